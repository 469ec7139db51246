"""All pairs of near rows among n unit vectors: every pair with a cosine of at least a floor, and no other.

A pair's score is the float64 dot product of its two stored float32 rows, rounded to six decimals, as `index.cosine`
gives it: a function of these two rows alone. It is computed for candidates only, which a matrix product in low
precision proposes tile by tile. No pair is missed, whatever the product's tiles, threads, library or device, because
what is proposed is an upper bound of the cosine, lowered by more than arithmetic can be off.

Fewer columns. Let P be a d x k matrix with orthonormal columns, h = P'x what it keeps of a row and r = |x - Ph| the
length of the rest. Then x.y = h.h' + (x - Ph).(y - Ph') <= h.h' + r r' by Cauchy and Schwarz, and the right side is
the dot product of (h, r) and (h', r'): k + 1 columns bound the cosine of d. With P the leading eigenvectors of X'X the
rest is short, and k of about d / 6 proposes one pair in a thousand. Which P it is changes the speed alone.

Error of a product in float32, unit roundoff u = 2^-24. Any order of summation of m products, fused or not, is within
g(m) |x||y| with g(m) = m u / (1 - m u) (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1).
Rounding h to float32 moves a dot product by at most 2u + u^2. P is orthonormal to below 1e-12 in float64, which moves
h.h' by less than 1e-11; it would move r by its square root, so r^2 is raised by 1e-9 first, and r is rounded upwards.
Rows are of length 1 to within 1e-3. Altogether the product is too low by at most 1.01 (k + 5) u, `_error`.

Error in bfloat16, whose 8 significant bits make u_b = 2^-8: rounding both factors moves the dot product by at most
2 u_b + u_b^2 (a row's sum of |x_i y_i| is at most 1), rounding the result by u_b more. That is .0118, and the rows that
reach .0078 by the factors alone are easily written down: a margin of .01 would not be safe.

A score is rounded, so what is within 5e-7 below the floor may reach it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from curate.errors import ModelError

Item = TypeVar("Item")
Result = TypeVar("Result")
Floats = NDArray[np.float32]
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

ROWS, COLUMNS = 512, 1024
"""A tile of 2 MB stays in a core's cache: of those tried from 256 x 4096 to 2048 x 2048 the fastest on two cores."""

_CHUNK = 1024
"""Candidates gathered at a time: their rows stay in a core's cache."""

_DENSE = 1 / 20
"""From this share of a tile on, its whole product in d columns is cheaper than gathering the candidates."""

_FEW = 4096
"""Up to so many rows finding fewer columns takes longer than it saves."""

_TRIED = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)
_SAMPLE = 500
_BASIS = 5_000
_UNIT = 2.0**-24
_ROUNDED = 5e-7
_LENGTH = 1e-3

# Seconds: of a product's column for one pair, of gathering one candidate. They choose k and so the speed alone.
_COLUMN_COST = 2.2e-11
_CANDIDATE_COST = 1.5e-7

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


class Proposer(Protocol):
    """Gives the pairs of a tile whose cosine may reach a value: too many, never too few.

    `tile` is the rows and columns of the tiles that suit it; `words` say how it works, for people.
    """

    tile: tuple[int, int]
    words: str

    def candidates(self, rows: slice, columns: slice, least: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the places within `rows` and `columns` of all pairs whose exact cosine is at least `least`."""
        ...


class Heads:
    """Proposes by a float32 product of k + 1 columns, or of all d where fewer do not pay. Memory: 4 (k + 1) n bytes."""

    tile = ROWS, COLUMNS

    def __init__(self, vectors: Floats, least: float, *, columns: int | None = None) -> None:
        d = int(vectors.shape[1])
        self.columns = d if columns is None else min(columns, d)
        self.heads = vectors
        if self.columns < d or len(vectors) > _FEW:
            basis = _basis(vectors)
            self.columns = _columns(vectors, basis, least) if columns is None else self.columns
            self.heads = vectors if self.columns == d else _heads(vectors, basis[:, : self.columns])
        self.error = _error(self.columns)
        self.words = f"exact: float32, {self.columns} of {d} columns"

    def candidates(self, rows: slice, columns: slice, least: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the places within `rows` and `columns` of all pairs whose exact cosine is at least `least`."""
        inner = self.heads[rows] @ self.heads[columns].T
        return _high(inner, np.float32(least - self.error))


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
    """Return the cosine from which pairs are worth keeping: FLOOR, or as far down as EACH for a row reach.

    It is never above what is `needed`, and is taken from a sample of pairs: a function of the vectors alone.
    """
    n = len(vectors)
    if n < _FEW:
        return min(FLOOR, needed)
    some = vectors[:: n // _SAMPLE][: 2 * _SAMPLE].astype(np.float64)
    inner = np.sort(np.round((some @ some.T)[np.triu_indices(len(some), 1)], 6))
    level = inner[-min(int(EACH * 2 / n * len(inner)) + 1, len(inner))]
    return float(min(max(FLOOR, np.floor(level * 100) / 100), needed))


def check(vectors: Floats) -> None:
    """Raise ModelError unless every row is of length 1 or 0, and of numbers."""
    for start in range(0, len(vectors), 65_536):
        block = vectors[start : start + 65_536]
        squares = np.einsum("ij,ij->i", block, block)
        wrong = np.flatnonzero(~((np.abs(squares - 1) < 2 * _LENGTH) | (squares == 0)))
        if len(wrong):
            length = float(np.sqrt(squares[wrong[0]]))
            raise ModelError(
                f"the encoder gave a vector of length {length:g} for text {start + int(wrong[0]) + 1:,}, and unit "
                "vectors are needed: its weights or its server are broken, or it is no encoder of texts"
            )


def scores(vectors: Floats, left: NDArray[np.integer], right: NDArray[np.integer]) -> Rows:
    """Return the cosines of pairs of rows in millionths, int32: those of `index.cosine`, which pair by pair decide."""
    out = np.empty(len(left), dtype=np.int32)
    for start in range(0, len(left), _CHUNK):
        part = slice(start, start + _CHUNK)
        # A sum along a row's own memory: its order, unlike a matrix product's, depends on d alone.
        exact = (vectors.take(right[part], axis=0).astype(np.float64) * vectors.take(left[part], axis=0)).sum(axis=1)
        out[part] = np.rint(exact * MILLION)
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
    least = floor / MILLION - _ROUNDED
    parts: list[tuple[Rows, Rows, Rows]] = []
    for first in range(0, end, columns):
        last = min(first + columns, end)
        right, left = propose.candidates(slice(begin, end), slice(first, last), least)
        if last > begin:  # the tile reaches the diagonal
            earlier = left + first < right + begin
            right, left = right[earlier], left[earlier]
        near = likely(vectors[begin:end], vectors[first:last], right, left, floor)
        parts.append(near_enough(vectors, left[near] + first, right[near] + begin, floor))
    lefts, rights, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    return lefts, rights, score


def near_enough(
    vectors: Floats, left: NDArray[np.integer], right: NDArray[np.integer], floor: int
) -> tuple[Rows, Rows, Rows]:
    """Return those of the proposed pairs whose score reaches a floor in millionths, with it."""
    score = scores(vectors, left, right)
    high = score >= floor
    return left[high].astype(np.int32), right[high].astype(np.int32), score[high]


def likely(
    rows: Floats, columns: Floats, right: NDArray[np.intp], left: NDArray[np.intp], floor: int
) -> NDArray[np.bool_]:
    """Say which of a tile's candidates are near by all d columns in float32: a third of the time of float64."""
    least = floor / MILLION - _ROUNDED - _error(rows.shape[1])
    if len(left) > _DENSE * len(rows) * len(columns):
        whole: NDArray[np.bool_] = (rows @ columns.T)[right, left] >= least
        return whole
    out = np.empty(len(left), dtype=bool)
    for start in range(0, len(left), _CHUNK):
        part = slice(start, start + _CHUNK)
        inner = np.einsum("ij,ij->i", rows.take(right[part], axis=0), columns.take(left[part], axis=0))
        out[part] = inner >= least
    return out


def in_order(work: Callable[[Item], Result], items: Sequence[Item], workers: int | None) -> Iterator[Result]:
    """Yield the results in the order of the items; each worker multiplies on one core.

    A product spread over two threads waits for the slower one at every tile, and looking through it leaves one idle.
    """
    from threadpoolctl import threadpool_limits

    count = min(workers or _cores(), max(len(items), 1))
    with threadpool_limits(1):
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


def _high(inner: Floats, least: np.float32) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and columns of a tile that reach a value."""
    return np.divmod(np.flatnonzero(inner >= least), inner.shape[1])


def _error(columns: int) -> float:
    """Return by how much a float32 product of so many columns may be too low, and the bound's own rounding with it."""
    return 1.01 * (columns + 5) * _UNIT + 1e-10


def _basis(vectors: Floats) -> NDArray[np.float64]:
    """Return orthonormal columns, [d, d], that keep most of the rows first."""
    some = vectors[:: max(1, len(vectors) // _BASIS)].astype(np.float64)
    basis: NDArray[np.float64] = np.linalg.eigh(some.T @ some)[1][:, ::-1]
    return basis


def _heads(vectors: Floats, basis: NDArray[np.float64]) -> Floats:
    """Return (h, r) of every row, [n, k + 1]."""
    k = basis.shape[1]
    heads = np.empty((len(vectors), k + 1), dtype=np.float32)
    for start in range(0, len(vectors), 8192):
        block = vectors[start : start + 8192].astype(np.float64)
        kept = block @ basis
        rest = np.einsum("ij,ij->i", block, block) - np.einsum("ij,ij->i", kept, kept)
        heads[start : start + 8192, :k] = kept
        heads[start : start + 8192, k] = np.nextafter(
            np.sqrt(np.maximum(rest, 0) + 1e-9).astype(np.float32), np.float32(2)
        )
    return heads


def _columns(vectors: Floats, basis: NDArray[np.float64], least: float) -> int:
    """Return the k with which a sample of pairs takes the least time, d where fewer columns propose too much."""
    d = int(vectors.shape[1])
    rows = vectors[:: max(1, len(vectors) // _SAMPLE)][:_SAMPLE]
    costs: dict[int, float] = {d: d * _COLUMN_COST}
    for k in (k for k in _TRIED if k < d):
        heads = _heads(rows, basis[:, :k])
        inner = heads @ heads.T
        share = float((inner >= least).mean()) - 1 / len(rows)
        costs[k] = (k + 1) * _COLUMN_COST + share * _CANDIDATE_COST
    return min(costs, key=lambda k: costs[k])
