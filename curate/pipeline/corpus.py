"""The accepted samples as the near-duplicate filters see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.embed.index import VectorIndex, cosine
from curate.stages.dedup import ExactIndex
from curate.stages.rouge import RougeIndex
from curate.stages.rules import split_input
from curate.types import KEEP, Sample, Verdict, drop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.embed import Encoder
    from curate.generate.candidates import Call


@dataclass(slots=True)
class Candidate:
    """A sample on its way through a round: the call it came from, its vector (float32, unit length), its neighbour.

    `near` has the cosine to the nearest kept sample as its score and that sample's id as `neighbour`.
    """

    sample: Sample
    call: Call
    vector: NDArray[np.float32] | None = None
    near: Verdict = KEEP

    @property
    def task_id(self) -> str:
        """The id of the task it was written for."""
        return self.call[0].id


@dataclass(frozen=True)
class Comparisons:
    """Which comparisons are made: None leaves one out. `rouge` and `semantic` drop what is strictly above them.

    `rouge_field` is "text" (instruction and input) or "instruction", as the papers compare.
    """

    language: str
    rouge: float | None
    rouge_field: str
    encoder: Encoder | None
    semantic: float | None


class Corpus:
    """Exact, ROUGE-L and semantic comparison against a growing set of kept samples."""

    def __init__(self, comparisons: Comparisons) -> None:
        self.comparisons = comparisons
        self.kept: list[Candidate] = []
        self._reset()

    def _reset(self) -> None:
        self.kept = []
        self.exact = ExactIndex()
        self.rouge = None
        if self.comparisons.rouge is not None:
            self.rouge = RougeIndex(self.comparisons.rouge, self.comparisons.language)
        self.vectors: VectorIndex | None = None
        self._block: list[Candidate] = []

    def decide(self, block: Sequence[Candidate]) -> Iterator[tuple[Candidate, str, Verdict]]:
        """Yield each candidate with the stage that drops it ("" where none does) and its verdict.

        What the caller adds while it iterates is compared with the rest of the block, so the size of a block changes
        nothing but the speed.
        """
        scores, names = self._nearest(block)
        self._block = []
        for position, candidate in enumerate(block):
            sample = candidate.sample
            verdict = self.exact.check(sample)
            if not verdict.keep:
                yield candidate, "exact", verdict
                continue
            verdict = self.rouge.check(self._rouge_text(sample)) if self.rouge else KEEP
            if not verdict.keep:
                yield candidate, "rouge", verdict
                continue
            score, name = scores[position], names[position]
            for other in self._block:
                assert candidate.vector is not None and other.vector is not None
                inner = cosine(candidate.vector, other.vector)
                if inner > score:
                    score, name = inner, other.sample.id
            if self.comparisons.semantic is not None and score > self.comparisons.semantic:
                yield candidate, "dedup", drop("semantic_duplicate", round(score, 4), neighbour=name)
            else:
                yield candidate, "", Verdict(True, score=score, detail={"neighbour": name} if name else {})

    def _nearest(self, block: Sequence[Candidate]) -> tuple[list[float], list[str]]:
        """Return the best score and its sample's id for each candidate, against all that was kept before the block."""
        encoder = self.comparisons.encoder
        if self.comparisons.semantic is None or encoder is None or not block:
            return [-1.0] * len(block), [""] * len(block)
        missing = [candidate for candidate in block if candidate.vector is None]
        if missing:
            vectors = encoder.encode([candidate.sample.instruction for candidate in missing])
            for candidate, vector in zip(missing, vectors, strict=True):
                candidate.vector = vector
        if self.vectors is None:
            self.vectors = VectorIndex()
        scores, names = self.vectors.best(np.stack([c.vector for c in block if c.vector is not None]))
        return [float(score) for score in scores], [name or "" for name in names]

    def add(self, candidate: Candidate) -> None:
        """Take a candidate among the kept ones."""
        sample = candidate.sample
        self.kept.append(candidate)
        self.exact.add(sample)
        if self.rouge:
            self.rouge.add(sample.id, self._rouge_text(sample))
        if self.vectors is not None:
            assert candidate.vector is not None
            self._block.append(candidate)
            self.vectors.add([sample.id], candidate.vector[None, :])

    def _rouge_text(self, sample: Sample) -> str:
        return sample.instruction if self.comparisons.rouge_field == "text" else split_input(sample)[0]

    def absorb(self, other: Corpus) -> None:
        """Take over everything that `other` kept, and empty it."""
        for candidate in other.kept:
            self.add(candidate)
            # The vectors live in the index from here on; a million Python objects would not be flat in memory.
            candidate.vector = None
        self._block = []
        self.kept = []
        other._reset()
