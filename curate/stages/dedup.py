"""Duplicates over a whole dataset: exact, equal after normalising, ROUGE-L, and near in meaning.

Every comparison is with the samples that are kept in the end, in the order they come. So no two kept samples are above
a threshold, and every dropped one names a kept one above it: dropping by a neighbour that was dropped itself, as
clustering does, would lose samples that nothing kept resembles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from curate.embed import Unsent, VectorIndex, cosine, threshold_of
from curate.stages.rouge import RougeIndex
from curate.stages.rules import split_input
from curate.text import content_id, normalise, text_hash
from curate.types import KEEP, Sample, Verdict, drop

if TYPE_CHECKING:
    from curate.embed import Encoder, Vectors

Field = Literal["text", "instruction"]
"""What near-duplicate filters compare: the first user message, or, as the papers do, it without the input."""

STAGE_OF = {
    "exact_duplicate": "exact",
    "normalised_duplicate": "exact",
    "rouge": "rouge",
    "semantic_duplicate": "dedup",
    "uncompared_budget": "dedup",
    "uncompared_stopped": "dedup",
}
"""Which comparison, as a stage of a run, a reason belongs to."""

BLOCK = 1024

SLACK = 1e-4
"""More than a float32 product of unit vectors is off by."""


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


@dataclass(slots=True)
class Compared:
    """A sample on its way through the comparisons, with its vector (float32, unit length) once it has one."""

    sample: Sample
    vector: Vectors | None = field(default=None, kw_only=True)


AnyCompared = TypeVar("AnyCompared", bound=Compared)


@dataclass(frozen=True)
class Comparisons:
    """Which comparisons are made: None leaves one out. `rouge` and `semantic` drop what is strictly above them.

    `semantic` is the cosine that belongs to `encoder`: either both are given or neither.
    """

    language: str = "en"
    rouge: float | None = 0.7
    rouge_field: Field = "text"
    encoder: Encoder | None = None
    semantic: float | None = None
    semantic_field: Field = "text"


class _Nearest:
    """The nearest kept sample of each one of a block, whether it was kept before the block or in it."""

    def __init__(self, index: VectorIndex, vectors: Vectors, names: Sequence[str]) -> None:
        self.vectors = vectors
        self.names = names
        self.before = list(zip(*index.best(vectors), strict=True))
        self.inner = vectors @ vectors.T
        self.kept = np.zeros(len(vectors), dtype=bool)

    def of(self, position: int) -> tuple[float, str]:
        """Return the highest cosine and the sample's id; among equals the first kept. -1 and "" where there is none."""
        score, name = self.before[position]
        row = np.where(self.kept[:position], self.inner[position, :position], -2.0)
        # The matrix product is off in its last bits, by the block's shape: it proposes, `cosine` decides.
        for place in np.flatnonzero(row > max(score, row.max(initial=-2.0)) - SLACK).tolist():
            exact = cosine(self.vectors[position], self.vectors[place])
            if exact > score:
                score, name = exact, self.names[place]
        return score, name


class Corpus:
    """The kept samples, and what new ones are compared with: exactly, by ROUGE-L and in meaning."""

    def __init__(self, comparisons: Comparisons) -> None:
        self.comparisons = comparisons
        self._exact = ExactIndex()
        rouge = comparisons.rouge
        self._rouge = None if rouge is None else RougeIndex(rouge, comparisons.language)
        self._vectors = VectorIndex()
        self._last: Compared | None = None
        self._unsent = ""

    def decide(self, block: Sequence[AnyCompared]) -> Iterator[tuple[AnyCompared, Verdict]]:
        """Yield each of a block with its verdict; a good one's has the nearest kept sample as score and `neighbour`.

        What the caller adds while it iterates is compared with the rest of the block. So encoding and searching a block
        at once makes it fast, and its size changes nothing else.
        """
        near = self._nearest(block)
        for position, item in enumerate(block):
            yield item, self._verdict(item, position, near)
            if near is not None and self._last is item:
                near.kept[position] = True

    def add(self, item: Compared) -> None:
        """Take a sample among the kept ones, usually the one just decided."""
        sample = item.sample
        self._last = item
        self._exact.add(sample)
        if self._rouge is not None:
            self._rouge.add(sample.id, text_of(sample, self.comparisons.rouge_field))
        if item.vector is not None:
            self._vectors.add([sample.id], item.vector[None, :])

    def _verdict(self, item: Compared, position: int, near: _Nearest | None) -> Verdict:
        verdict = self._exact.check(item.sample)
        if verdict.keep and self._rouge is not None:
            verdict = self._rouge.check(text_of(item.sample, self.comparisons.rouge_field))
        if not verdict.keep or self.comparisons.encoder is None:
            return verdict
        if near is None or item.vector is None:
            return drop(f"uncompared_{self._unsent}")
        score, name = near.of(position)
        if self.comparisons.semantic is not None and score > self.comparisons.semantic:
            return drop("semantic_duplicate", score, neighbour=name)
        return Verdict(True, score=score, detail={"neighbour": name} if name else {})

    def _nearest(self, block: Sequence[Compared]) -> _Nearest | None:
        """Encode the block, each sample once and copies of what is kept not at all."""
        if self.comparisons.encoder is None:
            return None
        missing = [item for item in block if item.vector is None and self._exact.check(item.sample).keep]
        if missing:
            self._encode(missing, self.comparisons.encoder)
        rows = [item.vector for item in block if item.vector is not None]
        if not rows:
            return None
        # The exact comparison decides a copy, and nobody asks what it is near to.
        blank = np.zeros_like(rows[0])
        vectors = np.stack([blank if item.vector is None else item.vector for item in block])
        return _Nearest(self._vectors, vectors, [item.sample.id for item in block])

    def _encode(self, items: Sequence[Compared], encoder: Encoder) -> None:
        """Give the items their vectors; where the engine has stopped, those of them that are stored."""
        texts = [text_of(item.sample, self.comparisons.semantic_field) for item in items]
        try:
            vectors = encoder.encode(texts)
        except Unsent as unsent:
            from curate.embed.store import free

            self._unsent = unsent.kind
            there = free(encoder, texts).tolist()
            items = [item for item, stored in zip(items, there, strict=True) if stored]
            vectors = encoder.encode([text for text, stored in zip(texts, there, strict=True) if stored])
        for item, vector in zip(items, vectors, strict=True):
            item.vector = vector


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
    semantic = None if encoder is None else threshold_of(encoder, threshold)
    corpus = Corpus(Comparisons(language, rouge, field, encoder, semantic, field))
    stream = iter(samples)
    while chunk := [Compared(sample) for sample in islice(stream, block)]:
        for item, verdict in corpus.decide(chunk):
            if verdict.keep:
                corpus.add(item)
            yield item.sample, KEEP if verdict.keep else verdict


def text_of(sample: Sample, field: Field) -> str:
    """Return the text of a sample that near-duplicate filters compare."""
    return sample.instruction if field == "text" else split_input(sample)[0]
