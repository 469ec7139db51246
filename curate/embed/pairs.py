"""All pairs of near rows among n unit vectors: every pair with a cosine of at least a floor, and no other.

A pair's score is the float64 dot product of its two stored float32 rows, rounded to six decimals, as `index.cosine`
gives it: a function of these two rows alone. It is computed for candidates only, which a matrix product in low
precision proposes tile by tile. No pair is missed, whatever the product's tiles, threads, library or device, because
what is proposed is an upper bound of the cosine (`heads`), lowered by more than arithmetic can be off.

A score is rounded, so what is within 5e-7 below the floor may reach it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from curate.embed.heads import Floats, Heads, Proposer, evenly, let_go, one_core, rounding
from curate.errors import ModelError

Item = TypeVar("Item")
Result = TypeVar("Result")
Rows = NDArray[np.int32]

MILLION = 1_000_000
"""Scores are whole millionths: six decimals, compared without rounding."""

FLOOR = 0.70
"""The cosine from which pairs are worth keeping: a later threshold is never lower."""

MOST = 20_000_000
"""Pairs held at most, 240 MB; where there are more, the floor rises."""

EACH = 50
"""Pairs worth keeping for each row: encoders that put unrelated texts at .8 would have thousands from .7 up."""

STEP = 10_000
"""Millionths by which the floor rises: a hundredth."""

_HELD = 1 << 17
"""Candidates gathered from tiles until they are looked at: few calls, and little memory."""

_CHUNK = 256
"""Candidates gathered at a time: their rows stay in a core's cache, and few pages of a mapped file in memory.

A row of a mapped file brings the 64 kB around it or more, so that 1,024 pairs in two threads held 0.7 GiB."""

_DENSE = 1 / 20
"""From this share of a tile on, its whole product in d columns is cheaper than gathering the candidates."""

_SURE = 4096
"""Rows up to which all pairs from FLOOR up are few."""

_SAMPLE = 500
_SHOWN = 80
_ROUNDED = 5e-7
_LENGTH = 1e-3

Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Pairs:
    """Near rows: `left` < `right` number two of them and `score` is their cosine in millionths, all int32.

    Every pair from `floor` (millionths) up is there; they are sorted by `right`, then by `left`.
    """

    left: Rows
    right: Rows
    score: Rows
    floor: int

    def __len__(self) -> int:
        return len(self.left)

    def above(self, threshold: float) -> Pairs:
        """Return the pairs strictly above a cosine. Raises ValueError where they are not all there."""
        if threshold * MILLION < self.floor - 1:
            raise ValueError(f"pairs are known from {self.floor / MILLION} up, not from {threshold}")
        high = self.score / MILLION > threshold
        return Pairs(self.left[high], self.right[high], self.score[high], self.floor)


class TooManyPairs(Exception):
    """More pairs above the needed cosine than are held: a dataset of little but near-copies."""


def all_pairs(
    vectors: Floats,
    floor: float = FLOOR,
    *,
    since: int = 0,
    needed: float | None = None,
    most: int = MOST,
    workers: int | None = None,
    proposer: Proposer | None = None,
    tile: tuple[int, int] | None = None,
    tick: Tick | None = None,
) -> Pairs:
    """Return every pair of rows of `vectors`, [n, d] float32 of length 1 or 0, with a cosine of `floor` or more.

    With `since`, rows before it are old: only pairs with a newer row are searched, the rectangle new x old and the
    triangle new x new. Where more than `most` pairs would be held, the floor rises by hundredths until they are not:
    to the lowest at which all fit, so that the result is a function of the vectors alone. `vectors` may be mapped from
    a file; memory is `most` pairs, the proposer's, and a tile for each of the `workers` (all cores). `tick` is told the
    pairs of rows compared and of how many.

    Raises:
        ModelError: rows that are no unit vectors.
        TooManyPairs: the floor would have to rise above the cosine that is `needed`.
    """
    vectors = np.asarray(vectors)
    check(vectors)
    found = Found(round(floor * MILLION), most)
    n = len(vectors)
    total = (n * (n - 1) - since * (since - 1)) // 2
    if n <= since:
        return found.pairs()
    propose = proposer or Heads(vectors, floor)
    high, wide = tile or propose.tile
    blocks = [(start, min(start + high, n)) for start in range(since, n, high)]
    compared = 0

    def search(block: tuple[int, int]) -> tuple[Rows, Rows, Rows]:
        return _block(vectors, propose, block, wide, found.floor)

    for (start, end), part in zip(blocks, in_order(search, blocks, workers), strict=True):
        found.add(*part)
        if needed is not None and found.floor > needed * MILLION:
            raise TooManyPairs
        compared += (start + end - 1) * (end - start) // 2
        if tick is not None:
            tick(compared, total)
    return found.pairs()


def worth(vectors: Floats, needed: float) -> float:
    """Return the cosine from which pairs are worth keeping: FLOOR, or as far down as EACH a row or twice MOST reach.

    It is never above what is `needed`, and is taken from a sample of pairs: a function of the vectors alone.
    """
    n = len(vectors)
    if n < _SURE:
        return min(FLOOR, needed)
    some = evenly(vectors, _SAMPLE)[: 2 * _SAMPLE].astype(np.float64)
    inner = np.sort(np.round((some @ some.T)[np.triu_indices(len(some), 1)], 6))
    level = inner[-min(int(min(EACH * n, 2 * MOST) * 2 / n**2 * len(inner)) + 1, len(inner))]
    return float(min(max(FLOOR, np.floor(level * 100) / 100), needed))


def check(vectors: Floats, texts: Sequence[str] = ()) -> None:
    """Raise ModelError unless every row is of length 1 or 0, and of numbers; with the texts, it shows the one."""
    for start in range(0, len(vectors), 65_536):
        block = vectors[start : start + 65_536]
        squares = np.einsum("ij,ij->i", block, block)
        wrong = np.flatnonzero(~((np.abs(squares - 1) < 2 * _LENGTH) | (squares == 0)))
        if len(wrong):
            length, number = float(np.sqrt(squares[wrong[0]])), start + int(wrong[0])
            text = f"the text {texts[number][:_SHOWN]!r}" if texts else f"text {number + 1:,}"
            raise ModelError(
                f"the encoder gave a vector of length {length:g} for {text}, and unit vectors are needed: its weights "
                "or its server are broken, or it is no encoder of texts"
            )
        let_go(vectors)


def scores(vectors: Floats, left: NDArray[np.integer], right: NDArray[np.integer]) -> Rows:
    """Return the cosines of pairs of rows in millionths, int32: those of `index.cosine`, which pair by pair decide."""
    out = np.empty(len(left), dtype=np.int32)
    for start in range(0, len(left), _CHUNK):
        part = slice(start, start + _CHUNK)
        # A sum along a row's own memory: its order, unlike a matrix product's, depends on d alone.
        exact = (vectors.take(right[part], axis=0).astype(np.float64) * vectors.take(left[part], axis=0)).sum(axis=1)
        out[part] = np.rint(exact * MILLION)
        let_go(vectors)
    return out


class Found:
    """The pairs found so far, and the floor, which rises so that they stay below a number."""

    def __init__(self, floor: int, most: int) -> None:
        self.floor = floor
        self._most = most
        self._parts: list[tuple[Rows, Rows, Rows]] = []
        self._count = 0
        self._steps: NDArray[np.int64] = np.zeros(MILLION // STEP + 2, dtype=np.int64)

    def add(self, left: Rows, right: Rows, score: Rows) -> None:
        """Take the pairs of one block of rows."""
        self._parts.append((left, right, score))
        self._count += len(left)
        self._steps += np.bincount(score // STEP, minlength=len(self._steps))
        if self._count > self._most:
            self._rise()

    def _rise(self) -> None:
        """Raise the floor to the lowest hundredth at which all pairs fit, and forget those below."""
        at_least = np.cumsum(self._steps[::-1])[::-1]
        fits = np.flatnonzero(at_least <= self._most)
        self.floor = max(self.floor, int(fits[0]) * STEP)
        self._parts = [_filtered(part, self.floor) for part in self._parts]
        self._steps[: self.floor // STEP] = 0
        self._count = sum(len(part[0]) for part in self._parts)

    def pairs(self) -> Pairs:
        """Return all pairs from the floor up, sorted."""
        empty = np.zeros(0, dtype=np.int32)
        parts = [_filtered(part, self.floor) for part in self._parts] or [(empty, empty, empty)]
        left, right, score = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.lexsort((left, right))
        return Pairs(left[order], right[order], score[order], self.floor)


def _filtered(part: tuple[Rows, Rows, Rows], floor: int) -> tuple[Rows, Rows, Rows]:
    high = part[2] >= floor
    return part if high.all() else (part[0][high], part[1][high], part[2][high])


def _block(
    vectors: Floats, propose: Proposer, block: tuple[int, int], columns: int, floor: int
) -> tuple[Rows, Rows, Rows]:
    """Return the pairs of the rows of a block with all rows before them."""
    begin, end = block
    near = Near(vectors, floor)
    for first in range(0, end, columns):
        last = min(first + columns, end)
        right, left = propose.candidates(slice(begin, end), slice(first, last), near.least)
        if len(left) > _DENSE * (end - begin) * (last - first):
            whole = vectors[begin:end] @ vectors[first:last].T
            high = whole[right, left] >= near.least - rounding(vectors.shape[1])
            right, left = right[high], left[high]
        if last > begin:  # the tile reaches the diagonal
            earlier = left + first < right + begin
            right, left = right[earlier], left[earlier]
        near.add(left + first, right + begin)
    return near.pairs()


class Near:
    """Gathers proposed pairs and decides them, many at a time."""

    def __init__(self, vectors: Floats, floor: int) -> None:
        self.least = floor / MILLION - _ROUNDED
        self._vectors = vectors
        self._floor = floor
        self._proposed: list[tuple[NDArray[np.integer], NDArray[np.integer]]] = []
        self._held = 0
        none = np.zeros(0, dtype=np.int32)
        self._near: list[tuple[Rows, Rows, Rows]] = [(none, none, none)]

    def add(self, left: NDArray[np.integer], right: NDArray[np.integer]) -> None:
        """Take proposed pairs."""
        self._proposed.append((left, right))
        self._held += len(left)
        if self._held > _HELD:
            self._decide()

    def pairs(self) -> tuple[Rows, Rows, Rows]:
        """Return those pairs whose score reaches the floor, with it."""
        self._decide()
        left, right, score = (np.concatenate(column) for column in zip(*self._near, strict=True))
        return left, right, score

    def _decide(self) -> None:
        if not self._held:
            return
        left, right = (np.concatenate(column) for column in zip(*self._proposed, strict=True))
        self._proposed, self._held = [], 0
        likely = self._likely(left, right)
        left, right = left[likely], right[likely]
        score = scores(self._vectors, left, right)
        high = score >= self._floor
        self._near.append((left[high].astype(np.int32), right[high].astype(np.int32), score[high]))

    def _likely(self, left: NDArray[np.integer], right: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Say which pairs are near by all d columns in float32: a third of the time of float64."""
        least = self.least - rounding(self._vectors.shape[1])
        out = np.empty(len(left), dtype=bool)
        for start in range(0, len(left), _CHUNK):
            part = slice(start, start + _CHUNK)
            rows, columns = (self._vectors.take(side[part], axis=0) for side in (right, left))
            out[part] = np.einsum("ij,ij->i", rows, columns) >= least
            let_go(self._vectors)
        return out


def in_order(work: Callable[[Item], Result], items: Sequence[Item], workers: int | None) -> Iterator[Result]:
    """Yield the results in the order of the items; each worker multiplies on one core.

    A product spread over two threads waits for the slower one at every tile, and looking through it leaves one idle.
    """
    count = min(workers or _cores(), max(len(items), 1))
    with one_core():
        if count == 1:
            yield from map(work, items)
            return
        with ThreadPoolExecutor(count, "curate-pairs") as pool:
            waiting = deque(pool.submit(work, item) for item in items[: 2 * count])
            for number in range(len(items)):
                result = waiting.popleft().result()
                if number + 2 * count < len(items):  # no further ahead, or results would pile up
                    waiting.append(pool.submit(work, items[number + 2 * count]))
                yield result


def _cores() -> int:
    """Return the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
