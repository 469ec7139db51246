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
    from curate.embed import Encoder, Vectors
    from curate.generate.candidates import Call


SLACK = 1e-5
"""More than a float32 product of unit vectors is off by."""


@dataclass(slots=True)
class Candidate:
    """A sample on its way through a round: the call it came from, its vector (float32, unit length), its neighbour.

    `near` has the cosine to the nearest kept sample as its score and that sample's id as `neighbour`.
    """

    sample: Sample
    call: Call
    vector: Vectors | None = None
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


class _Nearest:
    """The nearest kept sample of each candidate of a block, whether it was kept before the block or in it."""

    def __init__(self, index: VectorIndex, vectors: Vectors | None) -> None:
        self.vectors = vectors
        self.ids: list[str] = []
        self.positions: list[int] = []
        if vectors is not None:
            self.scores, self.names = index.best(vectors)
            self.inner = vectors @ vectors.T

    def of(self, position: int) -> tuple[float, str]:
        """Return the highest cosine and the sample's id; among equals the first kept. -1 and "" where there is none."""
        if self.vectors is None:
            return -1.0, ""
        score, name = self.scores[position], self.names[position]
        if self.positions:
            row = self.inner[position, self.positions]
            # The matrix product is off in its last bits, by the block's shape: it proposes, `cosine` decides.
            for place in np.flatnonzero(row > max(score, float(row.max())) - SLACK):
                exact = cosine(self.vectors[position], self.vectors[self.positions[place]])
                if exact > score:
                    score, name = exact, self.ids[place]
        return score, name

    def taken(self, position: int, name: str) -> None:
        """Note that the candidate at this position was kept."""
        self.positions.append(position)
        self.ids.append(name)


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
        self.vectors = VectorIndex()

    def decide(self, block: Sequence[Candidate]) -> Iterator[tuple[Candidate, str, Verdict]]:
        """Yield each candidate with the stage that drops it ("" where none does) and its verdict.

        What the caller adds while it iterates is compared with the rest of the block, so the size of a block changes
        nothing but the speed.
        """
        near = _Nearest(self.vectors, self._encoded(block))
        for position, candidate in enumerate(block):
            sample = candidate.sample
            verdict = self.exact.check(sample)
            if not verdict.keep:
                yield candidate, "exact", verdict
                continue
            verdict = self.rouge.check(self._rouge_text(sample)) if self.rouge is not None else KEEP
            if not verdict.keep:
                yield candidate, "rouge", verdict
                continue
            score, name = near.of(position)
            if self.comparisons.semantic is not None and score > self.comparisons.semantic:
                yield candidate, "dedup", drop("semantic_duplicate", score, neighbour=name)
            else:
                yield candidate, "", Verdict(True, score=score, detail={"neighbour": name} if name else {})
            if self.kept and self.kept[-1] is candidate:
                near.taken(position, sample.id)

    def _encoded(self, block: Sequence[Candidate]) -> Vectors | None:
        """Return the block's vectors, [n, d]; each candidate is encoded once and keeps its own."""
        encoder = self.comparisons.encoder
        if self.comparisons.semantic is None or encoder is None or not block:
            return None
        missing = [candidate for candidate in block if candidate.vector is None]
        if missing:
            vectors = encoder.encode([candidate.sample.instruction for candidate in missing])
            for candidate, vector in zip(missing, vectors, strict=True):
                candidate.vector = vector
        return np.stack([candidate.vector for candidate in block if candidate.vector is not None])

    def add(self, candidate: Candidate) -> None:
        """Take a candidate among the kept ones."""
        sample = candidate.sample
        self.kept.append(candidate)
        self.exact.add(sample)
        if self.rouge is not None:
            self.rouge.add(sample.id, self._rouge_text(sample))
        if candidate.vector is not None:
            self.vectors.add([sample.id], candidate.vector[None, :])

    def _rouge_text(self, sample: Sample) -> str:
        return sample.instruction if self.comparisons.rouge_field == "text" else split_input(sample)[0]

    def absorb(self, other: Corpus) -> None:
        """Take over everything that `other` kept, and empty it."""
        for candidate in other.kept:
            self.add(candidate)
            # The vectors live in the index from here on; a million Python objects would not be flat in memory.
            candidate.vector = None
        self.kept = []
        other._reset()
