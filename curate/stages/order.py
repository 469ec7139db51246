"""The orders in which samples are decided, which say who of its like is kept.

Every order ends in the hash of a sample's messages and of its whole row, so that it is one of the samples themselves:
rows in another order come out the same. `first` alone goes by the rows.
"""

from __future__ import annotations

import heapq
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from curate.embed.pairs import MILLION
from curate.stages.greedy import Edges, Relations

Keep = Literal["best", "first", "longest", "center", "facility"]
KEEPS: tuple[Keep, ...] = get_args(Keep)
"""best: the highest quality. first: the first row. longest: the most characters. center, facility: see `ordered`."""

Order = NDArray[np.int64]


def ordered(relations: Relations, keep: Keep) -> Order:
    """Return the places of the samples in the order they are decided, the fixed ones first.

    `center` is the farthest-first traversal for k-center (Gonzalez 1985): next comes the text whose nearest one before
    it is the farthest, so that what is kept is spread out. `facility` maximises step by step the sum over all texts of
    the cosine to the nearest one taken (Cornuejols, Fisher and Nemhauser 1977), so that what is kept stands for as
    many as possible. Both see the cosines that are known, and any lower one as 0; equals come by quality.
    """
    by_rank = _by_rank(relations, keep)
    if keep not in ("center", "facility"):
        return by_rank
    texts = len(relations.known)
    none = np.zeros(0, dtype=np.int32)
    edges = Edges(none, none, none, 0.0) if relations.semantic is None else relations.semantic
    # A text comes with its first sample.
    rank = np.full(texts, len(relations), dtype=np.int64)
    np.minimum.at(rank, relations.text[by_rank], np.arange(len(by_rank)))
    old = np.unique(relations.text[: relations.fixed])
    graph = _Graph(edges, texts)
    turn = (_farthest_first if keep == "center" else _facility)(graph, rank, old)
    position = np.empty(len(by_rank), dtype=np.int64)
    position[by_rank] = np.arange(len(by_rank))
    new = np.arange(len(relations)) >= relations.fixed
    return np.lexsort((position, turn[relations.text], new))


def _by_rank(relations: Relations, keep: Keep) -> Order:
    count = len(relations)
    if keep == "first":
        return np.arange(count)
    value: NDArray[Any] = relations.length if keep == "longest" else relations.quality
    new = np.arange(count) >= relations.fixed
    return np.lexsort((relations.row, relations.content, -value, new))


class _Graph:
    """The edges of each text, both ways."""

    def __init__(self, edges: Edges, texts: int) -> None:
        here = np.concatenate([edges.left, edges.right])
        order = np.argsort(here, kind="stable")
        self._there = np.concatenate([edges.right, edges.left])[order]
        self._score = np.concatenate([edges.score, edges.score])[order].astype(np.int64)
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(here, minlength=texts))]).tolist()

    def of(self, text: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the texts near to one, and the cosines in millionths."""
        part = slice(self._starts[text], self._starts[text + 1])
        return self._there[part], self._score[part]


def _farthest_first(graph: _Graph, rank: NDArray[np.int64], old: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return when each text has its turn. Keys only rise, so a stale one is put back with what it is by now."""
    nearest = np.zeros(len(rank), dtype=np.int64)
    turn = np.full(len(rank), -1, dtype=np.int64)
    heap = [(-1, text, text) for text in old.tolist()]
    heap += [(0, place, text) for text, place in enumerate(rank.tolist())]
    heapq.heapify(heap)
    taken = 0
    while heap:
        key, place, text = heapq.heappop(heap)
        if turn[text] >= 0:
            continue
        if key >= 0 and nearest[text] > key:
            heapq.heappush(heap, (int(nearest[text]), place, text))
            continue
        turn[text] = taken
        taken += 1
        there, score = graph.of(text)
        nearest[there] = np.maximum(nearest[there], score)
    return turn


def _facility(graph: _Graph, rank: NDArray[np.int64], old: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return when each text has its turn. Gains only fall, so the highest one that is up to date is the highest."""
    covered = np.zeros(len(rank), dtype=np.int64)
    turn = np.full(len(rank), -1, dtype=np.int64)
    taken = 0

    def gain(text: int) -> int:
        there, score = graph.of(text)
        # Whole millionths: a sum in floating point would depend on its order.
        return MILLION - int(covered[text]) + int(np.maximum(score - covered[there], 0).sum())

    def take(text: int) -> None:
        nonlocal taken
        turn[text] = taken
        taken += 1
        there, score = graph.of(text)
        covered[there] = np.maximum(covered[there], score)
        covered[text] = MILLION

    for text in old.tolist():
        take(text)
    heap = [(-gain(text), place, text) for text, place in enumerate(rank.tolist()) if turn[text] < 0]
    heapq.heapify(heap)
    while heap:
        key, place, text = heapq.heappop(heap)
        now = -gain(text)
        if now > key:
            heapq.heappush(heap, (now, place, text))
        else:
            take(text)
    return turn
