"""Duplicates over a whole dataset: exact, equal after normalising, ROUGE-L, and near in meaning.

Every comparison is with the samples that are kept in the end, in the order they come. So no two kept samples are above
a threshold, and every dropped one names a kept one above it: dropping by a neighbour that was dropped itself, as
clustering does, would lose samples that nothing kept resembles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from curate.embed import VectorIndex, cosine, threshold_of
from curate.stages.rouge import RougeIndex
from curate.stages.rules import split_input
from curate.text import content_id, normalise, text_hash
from curate.types import KEEP, Sample, Verdict, drop

if TYPE_CHECKING:
    from curate.embed import Encoder

Field = Literal["text", "instruction"]
"""What near-duplicate filters compare: the first user message, or, as the papers do, it without the input."""

BLOCK = 1024
# A float32 matrix product is within this of `cosine`.
_MARGIN = 1e-4


class ExactIndex:
    """The kept samples by hash: of all their messages, and of their normalised first user message."""

    def __init__(self) -> None:
        self._messages: dict[str, str] = {}
        self._instructions: dict[str, str] = {}
        self._last: tuple[Sample, str, str] | None = None

    def check(self, sample: Sample) -> Verdict:
        """Return KEEP, or a drop as `exact_duplicate` or `normalised_duplicate` that names the `neighbour`'s id.

        A first user message of nothing but punctuation is equal to no other.
        """
        messages, instruction = self._keys(sample)
        if (name := self._messages.get(messages)) is not None:
            return drop("exact_duplicate", 1.0, neighbour=name)
        if instruction and (name := self._instructions.get(instruction)) is not None:
            return drop("normalised_duplicate", 1.0, neighbour=name)
        return KEEP

    def add(self, sample: Sample) -> None:
        """Add a kept sample, usually the one just checked."""
        messages, instruction = self._keys(sample)
        self._messages.setdefault(messages, sample.id)
        if instruction:
            self._instructions.setdefault(instruction, sample.id)

    def _keys(self, sample: Sample) -> tuple[str, str]:
        if self._last is None or self._last[0] is not sample:
            text = normalise(sample.instruction)
            self._last = sample, content_id(sample.messages), text_hash(text) if text else ""
        return self._last[1], self._last[2]


class SemanticIndex:
    """The vectors of the kept texts, and a block of new texts that are checked and added one by one against them.

    Encoding and searching a block at once is what makes it fast; what is decided does not depend on the blocks.
    """

    def __init__(self, encoder: Encoder, threshold: float) -> None:
        self.encoder = encoder
        self.threshold = threshold
        self._index = VectorIndex()
        self._open([])

    def __len__(self) -> int:
        return len(self._index)

    def check_many(self, texts: list[str]) -> list[tuple[float, str]]:
        """Return for each text its highest cosine with an added one and that one's id; -1.0 and "" while none is."""
        return list(zip(*self._index.best(self.encoder.encode(texts)), strict=True))

    def add(self, names: list[str], texts: list[str]) -> None:
        """Add kept texts under their ids."""
        self._index.add(names, self.encoder.encode(texts))

    def begin(self, texts: list[str]) -> None:
        """Take up a block of new texts; `check_at` and `keep_at` speak of them by position, in ascending order."""
        self._open(texts)

    def _open(self, texts: list[str]) -> None:
        self._vectors: NDArray[np.float32] = self.encoder.encode(texts) if texts else np.zeros((0, 1), np.float32)
        self._scores, self._names = self._index.best(self._vectors)
        near = np.argwhere(np.tril(self._vectors @ self._vectors.T, k=-1) > self.threshold - _MARGIN)
        self._near: dict[int, list[int]] = {}
        for later, earlier in near.tolist():
            self._near.setdefault(later, []).append(earlier)
        self._kept: dict[int, str] = {}

    def check_at(self, position: int) -> Verdict:
        """Return KEEP, or a drop as `semantic_duplicate` with the cosine and the `neighbour`'s id.

        The neighbour is the nearest kept text, of this block or before it, and among equals the first.
        """
        score, name = self._scores[position], self._names[position]
        for earlier in self._near.get(position, ()):
            if earlier in self._kept:
                inner = cosine(self._vectors[position], self._vectors[earlier])
                if inner > score:
                    score, name = inner, self._kept[earlier]
        return drop("semantic_duplicate", score, neighbour=name) if score > self.threshold else KEEP

    def keep_at(self, position: int, name: str) -> None:
        """Add the text at this position under its id."""
        self._kept[position] = name
        self._index.add([name], self._vectors[position : position + 1])


def dedup_samples(
    samples: Iterable[Sample],
    *,
    rouge: float | None = 0.7,
    encoder: Encoder | None = None,
    threshold: float | str | None = "auto",
    language: str = "en",
    field: Field = "text",
    block: int = BLOCK,
) -> Iterator[tuple[Sample, Verdict]]:
    """Yield every sample in order with its verdict, comparing it with all kept before it.

    `rouge` is the ROUGE-L above which a sample is dropped, None leaves the comparison out; so does `encoder=None` for
    that by meaning, whose cosine `threshold` belongs to the encoder ("auto" is its own). Samples are read and encoded
    `block` at a time; nothing but the speed depends on it. Raises InputError for an encoder without a threshold.
    """
    exact = ExactIndex()
    lexical = None if rouge is None else RougeIndex(rouge, language)
    semantic = None if encoder is None else SemanticIndex(encoder, threshold_of(encoder, threshold))
    stream = iter(samples)
    while chunk := list(islice(stream, block)):
        # Copies of what is kept already are known by their hash and need no vector.
        fresh = [sample for sample in chunk if semantic is not None and exact.check(sample).keep]
        if semantic is not None:
            semantic.begin([compared(sample, field) for sample in fresh])
        position = 0
        for sample in chunk:
            text = compared(sample, field)
            verdict = exact.check(sample)
            if verdict.keep and lexical is not None:
                verdict = lexical.check(text)
            if verdict.keep and semantic is not None:
                # What is fresh now was so before the block; its own copies in the block come after it.
                while fresh[position] is not sample:
                    position += 1
                verdict = semantic.check_at(position)
            if verdict.keep:
                exact.add(sample)
                if lexical is not None:
                    lexical.add(sample.id, text)
                if semantic is not None:
                    semantic.keep_at(position, sample.id)
            yield sample, verdict


def compared(sample: Sample, field: Field) -> str:
    """Return the text of a sample that near-duplicate filters compare."""
    return sample.instruction if field == "text" else split_input(sample)[0]
