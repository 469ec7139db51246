"""Which samples of a dataset stay: one pass in an order, each against what was kept before it.

Two relations make samples the same: equality of their texts, and an edge between near texts, by ROUGE-L or by cosine,
that is strictly above a threshold. A sample that is the same as a kept one before it in the order is dropped and names
it; any other is kept. So no two kept samples are the same, and nothing is dropped by a sample that was dropped itself.
An order decides who stays (`order.py`); nothing else does.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.embed.pairs import MILLION

Ints = NDArray[np.int32]

FEW = 24
"""Up to so many neighbours a loop is faster than numpy."""

BLOCK = 65_536
"""Samples whose values are Python's numbers at a time."""

KEPT, EXACT, NORMALISED, ROUGE, SEMANTIC = range(5)
REASONS = ("", "exact_duplicate", "normalised_duplicate", "rouge", "semantic_duplicate")
"""The reasons of a verdict by their numbers."""


@dataclass(frozen=True)
class Edges:
    """Near texts: `left` and `right` number two of them, the highest `score` comes first.

    `score` is ROUGE-L's F (float64) or a cosine in millionths (int32). Every edge from `floor` up is there.
    """

    left: Ints
    right: Ints
    score: NDArray[Any]
    floor: float

    def __len__(self) -> int:
        return len(self.left)

    def above(self, threshold: float) -> Edges:
        """Return the edges strictly above a score, which is no lower than the floor."""
        assert threshold >= self.floor, "not all edges above it are known"
        # Not a search in `score / MILLION`: that would copy all of a file mapped to memory.
        scale = MILLION if self.score.dtype == np.int32 else 1
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.score[middle] / scale > threshold else (low, middle)
        return Edges(self.left[:low], self.right[:low], self.score[:low], self.floor)


@dataclass(frozen=True)
class Relations:
    """What makes the samples of a dataset the same, in arrays: n samples, m different texts, in the order they came.

    For each sample: `ids`, and `content`, the hash of its messages (both 64 bits of hex digits); `group`, equal for
    samples that are equal after normalising; `text`, the number of the text that is compared; `quality`, `length` and
    `row`, a hash of all of it, by which they are ordered. For each text: whether it has tokens for ROUGE-L (`worded`)
    and a vector (`known`), without which it is near to none, not even itself. The first `fixed` samples were decided
    before and stay. `rouge` or `semantic` is None where it is not compared.
    """

    ids: NDArray[np.uint64]
    content: NDArray[np.uint64]
    row: NDArray[np.uint64]
    group: Ints
    text: Ints
    quality: NDArray[np.float64]
    length: NDArray[np.int64]
    worded: NDArray[np.bool_]
    known: NDArray[np.bool_]
    fixed: int = 0
    rouge: Edges | None = None
    semantic: Edges | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, rouge: float | None, semantic: float | None) -> Relations:
        """Return them with the edges strictly above these thresholds; None leaves a comparison out."""
        return replace(
            self,
            rouge=self.rouge.above(rouge) if self.rouge is not None and rouge is not None else None,
            semantic=self.semantic.above(semantic) if self.semantic is not None and semantic is not None else None,
            # A text is as near to itself as can be, which is not above 1.
            worded=self.worded if rouge is not None and rouge < 1 else np.zeros_like(self.worded),
            known=self.known if semantic is not None and semantic < 1 else np.zeros_like(self.known),
        )


@dataclass(frozen=True)
class Decisions:
    """For each sample, in the order they came: `reason` (its number, 0 is kept), `neighbour`, the kept sample it is
    the same as (its place, -1 for none), and `score`, what they share (1 for equal ones, 0 for kept samples).
    """

    reason: NDArray[np.int8]
    neighbour: Ints
    score: NDArray[np.float64]

    @property
    def kept(self) -> int:
        """The number of kept samples."""
        return int(np.count_nonzero(self.reason == KEPT))


class _Neighbours:
    """The near texts of each text, with their scores: of all edges, both ways, sorted by text."""

    def __init__(self, edges: Edges | None, texts: int, own: NDArray[np.bool_], scale: int) -> None:
        # Bytes, as any other array here that is asked one by one: ten million Python objects take 360 MB.
        self.own = own.tobytes()
        self._scale = scale
        if edges is None:
            self.some = bytes(texts)
            return
        here = np.concatenate([edges.left, edges.right])
        order = np.argsort(here, kind="stable")
        self._there = np.concatenate([edges.right, edges.left])[order]
        self._score = np.concatenate([edges.score, edges.score])[order]
        counts = np.bincount(here, minlength=texts)
        self._starts = np.concatenate([[0], np.cumsum(counts)]).data
        self.some = (counts > 0).tobytes()

    def of(self, text: int) -> Iterator[tuple[int, float]]:
        """Return the near texts of one, with their scores."""
        part = slice(self._starts[text], self._starts[text + 1])
        return zip(self._there[part].tolist(), self._score[part].tolist(), strict=True)

    def nearest(self, text: int, turns: NDArray[np.int64]) -> tuple[int, float]:
        """Return the nearest kept text and the score, among equals the first kept; -1 and 0 where there is none.

        `turns` says when each text was kept, and -1 of the others.
        """
        part = slice(self._starts[text], self._starts[text + 1])
        nearest, first, highest = -1, -1, 0.0
        if part.stop - part.start > FEW:
            there = self._there[part]
            kept = np.flatnonzero(turns[there] >= 0)
            if len(kept):
                score = self._score[part][kept]
                best = there[kept[score == score.max()]]
                nearest, highest = int(best[turns[best].argmin()]), float(score.max())
            return nearest, highest / self._scale
        there_view, score_view, turn_view = self._there.data, self._score.data, turns.data
        for place in range(part.start, part.stop):
            turn = turn_view[there_view[place]]
            if turn >= 0:
                level = score_view[place]
                if level > highest or (level == highest and turn < first):
                    nearest, first, highest = there_view[place], turn, level
        return nearest, highest / self._scale


def decide(relations: Relations, order: NDArray[np.integer[Any]]) -> Decisions:
    """Decide every sample in this order, the fixed ones kept and first; edges are those above the thresholds."""
    count, texts = len(relations), len(relations.known)
    reason = np.zeros(count, dtype=np.int8)
    neighbour = np.full(count, -1, dtype=np.int32)
    score = np.zeros(count)
    # By messages, by group and by text, the sample kept first; by text, when it was kept.
    contents, content = np.unique(relations.content, return_inverse=True)
    of_content, in_group, of_text = (
        array("i", [-1]) * size for size in (len(contents), int(relations.group.max(initial=-1)) + 1, texts)
    )
    turns: NDArray[np.int64] = np.full(texts, -1, dtype=np.int64)
    near = (
        (ROUGE, _Neighbours(relations.rouge, texts, relations.worded, 1)),
        (SEMANTIC, _Neighbours(relations.semantic, texts, relations.known, MILLION)),
    )
    for turn, (place, here, alike, same) in enumerate(_each(order, relations.text, relations.group, content)):
        if place >= relations.fixed:
            found = KEPT
            if (kept := of_content[same]) >= 0:
                found, level = EXACT, 1.0
            elif (kept := in_group[alike]) >= 0:
                found, level = NORMALISED, 1.0
            else:
                for kind, neighbours in near:
                    if neighbours.own[here] and of_text[here] >= 0:
                        found, kept, level = kind, of_text[here], 1.0
                        break
                    if neighbours.some[here]:
                        nearest, level = neighbours.nearest(here, turns)
                        if nearest >= 0:
                            found, kept = kind, of_text[nearest]
                            break
            if found:
                reason[place], neighbour[place], score[place] = found, kept, level
                continue
        if of_content[same] < 0:
            of_content[same] = place
        if in_group[alike] < 0:
            in_group[alike] = place
        if of_text[here] < 0:
            of_text[here] = place
            turns[here] = turn
    return Decisions(reason, neighbour, score)


def _each(order: NDArray[np.integer[Any]], *columns: NDArray[Any]) -> Iterator[tuple[int, ...]]:
    """Yield the places in their order, each with its values of the columns, as Python's numbers."""
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        yield from zip(block.tolist(), *(column[block].tolist() for column in columns), strict=True)


def curve(relations: Relations, order: NDArray[np.integer[Any]], rouge: float | None, levels: list[float]) -> list[int]:
    """Return how many samples each cosine of `levels` (ascending, 63 at most) would keep: `decide` at all in one pass.

    Where `decide` asks whether a sample was kept, here is a number whose bits say at which levels it was.
    """
    every, below_one = (1 << len(levels)) - 1, (1 << sum(level < 1 for level in levels)) - 1
    texts = len(relations.known)
    edges = relations.semantic
    assert edges is not None and levels[0] >= edges.floor, "not all edges above it are known"
    lexical = relations.at(rouge, None)
    # A cosine is above the first so many levels.
    bits = np.searchsorted(np.array(levels), edges.score / MILLION, side="left")
    masks = [(1 << count) - 1 for count in range(len(levels) + 1)]
    counted = Edges(edges.left, edges.right, bits, 0.0)
    near = (
        (_Neighbours(lexical.rouge, texts, lexical.worded, 1), [every] * len(masks), every),
        (_Neighbours(counted, texts, relations.known, 1), masks, below_one),
    )
    in_group, of_text = (array("Q", [0]) * size for size in (int(relations.group.max(initial=-1)) + 1, texts))
    kept = np.zeros(len(relations), dtype=np.uint64)
    for place, here, alike in _each(order, relations.text, relations.group):
        lost = 0
        if place >= relations.fixed:
            lost = in_group[alike]
            for neighbours, above, own in near:
                if neighbours.own[here]:
                    lost |= of_text[here] & own
                if neighbours.some[here]:
                    for other, score in neighbours.of(here):
                        lost |= of_text[other] & above[int(score)]
        stays = every & ~lost
        in_group[alike] |= stays
        of_text[here] |= stays
        kept[place] = stays
    return [int(np.count_nonzero(kept >> np.uint64(bit) & np.uint64(1))) for bit in range(len(levels))]
