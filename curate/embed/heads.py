"""Upper bounds of cosines by products of few columns: what proposes near pairs, too many and never too few.

Fewer columns. Let P be a d x k matrix with orthonormal columns, h = P'x what it keeps of a row and r = |x - Ph| the
length of the rest. Then x.y = h.h' + (x - Ph).(y - Ph') <= h.h' + r r' by Cauchy and Schwarz, and the right side is
the dot product of (h, r) and (h', r'): k + 1 columns bound the cosine of d. With P the leading eigenvectors of X'X the
rest is short, and k of about d / 6 proposes one pair in a thousand. Which P it is changes the speed alone.

Error of a product in float32, unit roundoff u = 2^-24. Any order of summation of m products, fused or not, is within
g(m) |x||y| with g(m) = m u / (1 - m u) (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1).
Rounding h to float32 moves a dot product by at most 2u + u^2. P is orthonormal to below 1e-12 in float64, which moves
h.h' by less than 1e-11; it would move r by its square root, so r^2 is raised by 1e-9 first, and r is rounded upwards.
Rows are of length 1 to within 1e-3. Altogether the product is too low by at most 1.01 (k + 5) u, `rounding`.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Places = NDArray[np.intp]
MANY = 500_000
"""Rows up to which comparing all in float32 takes some minutes on two cores."""

LARGE = 1 << 30
"""Bytes of a mapped file from which its pages are not left in memory."""

TILE = 512, 1024
"""A tile of 2 MB stays in a core's cache: of those tried from 256 x 4096 to 2048 x 2048 the fastest on two cores."""

_FEW = 4096
"""Up to so many rows finding fewer columns takes longer than it saves."""

_TRIED = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)
_SAMPLE = 500
_BASIS = 5_000
_BLOCK = 8192
_UNIT = 2.0**-24

# Seconds on one core: of a product's column for one pair, and of looking at one candidate. They choose k, and so the
# speed alone.
COLUMN_COST = 2.2e-11
_CANDIDATE_COST = 1.5e-7
_MAPPED = 100
"""How many times longer a candidate takes whose rows are paged in from a large file, and out again."""

_ALIKE = 50
"""How many times as many pairs of a cell are candidates as of all pairs."""

_ROOM = 5 << 28
"""Bytes that heads may take among so many rows that only cells are compared."""


class Proposer(Protocol):
    """Gives the pairs of a tile whose cosine may reach a value: too many, never too few.

    `tile` is the rows and columns of the tiles that suit it, `many` the rows up to which comparing all takes minutes,
    and `words` say how it works, for people.
    """

    tile: tuple[int, int]
    many: int
    words: str

    def candidates(self, rows: slice, columns: slice, least: float) -> tuple[Places, Places]:
        """Return the places within `rows` and `columns` of all pairs whose exact cosine is at least `least`."""
        ...

    def part(self, rows: NDArray[np.integer]) -> Proposer:
        """Return the same for these rows alone, side by side."""
        ...


class Heads:
    """Proposes by a float32 product of k + 1 columns, or of all d where fewer do not pay. Memory: 4 (k + 1) n bytes."""

    tile = TILE
    many = MANY

    def __init__(self, vectors: Floats, least: float, *, columns: int | None = None) -> None:
        d = int(vectors.shape[1])
        self.columns = d if columns is None else min(columns, d)
        self.heads = vectors
        if self.columns < d or len(vectors) > _FEW:
            basis = leading(vectors)
            if columns is None:
                self.columns = best_columns(vectors, basis, least, COLUMN_COST, size=4, cells=len(vectors) > MANY)
            self.heads = vectors if self.columns == d else _heads(vectors, basis[:, : self.columns])
        self.error = rounding(self.columns)
        self.words = f"exact: float32, {self.columns} of {d} columns"

    def candidates(self, rows: slice, columns: slice, least: float) -> tuple[Places, Places]:
        """Return the places within `rows` and `columns` of all pairs whose exact cosine is at least `least`."""
        inner = self.heads[rows] @ self.heads[columns].T
        return np.divmod(np.flatnonzero(inner >= np.float32(least - self.error)), inner.shape[1])

    def part(self, rows: NDArray[np.integer]) -> Heads:
        """Return the same for these rows alone, side by side."""
        some = copy(self)
        some.heads = self.heads.take(rows, axis=0)
        return some


@contextmanager
def one_core() -> Iterator[None]:
    """Let every product be of one core, in this thread and those that it starts."""
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 0
    with threadpool_limits(1):
        try:
            if torch:
                torch.set_num_threads(1)
            yield
        finally:
            if torch:
                torch.set_num_threads(threads)


def let_go(vectors: Floats) -> None:
    """Take the pages of a large mapped file out of this process's memory; the system's cache keeps them."""
    holder = _mapping(vectors)
    if holder is not None and hasattr(mmap, "MADV_DONTNEED"):
        holder.madvise(mmap.MADV_DONTNEED)


def _mapping(vectors: Floats) -> mmap.mmap | None:
    """Return the mapping that an array shows a part of, None where there is none or its file is not large."""
    holder: Any = vectors
    while holder is not None and not isinstance(holder, mmap.mmap):
        holder = getattr(holder, "base", None)
    return holder if holder is not None and len(holder) > LARGE else None


def give_back() -> None:
    """Give memory that was freed back to the system, where glibc keeps it for the sake of small blocks among it.

    Threads that make large arrays while few small ones stay have it keep gigabytes.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def evenly(vectors: Floats, count: int) -> Floats:
    """Return about so many rows, evenly spaced, as a copy; those of a mapped file are let go as they are read."""
    step = max(1, len(vectors) // count)
    span = step * 512
    parts = []
    for start in range(0, len(vectors), span):
        parts.append(np.array(vectors[start : start + span : step]))
        let_go(vectors)
    return np.concatenate(parts)


def rounding(columns: int) -> float:
    """Return by how much a float32 product of so many columns may be too low, and the bound's own rounding with it."""
    return 1.01 * (columns + 5) * _UNIT + 1e-10


def leading(vectors: Floats) -> NDArray[np.float64]:
    """Return orthonormal columns, [d, d], that keep most of the rows first."""
    some = evenly(vectors, _BASIS).astype(np.float64)
    basis: NDArray[np.float64] = np.linalg.eigh(some.T @ some)[1][:, ::-1]
    return basis


def kept_and_rest(block: Floats, basis: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what a basis keeps of rows, h, [n, k], and the length of the rest raised by its error, r, [n]."""
    rows = block.astype(np.float64)
    kept = rows @ basis
    let_go(block)
    rest = np.einsum("ij,ij->i", rows, rows) - np.einsum("ij,ij->i", kept, kept)
    return kept, np.sqrt(np.maximum(rest, 0) + 1e-9)


def best_columns(
    vectors: Floats, basis: NDArray[np.float64], least: float, column_cost: float, *, size: int, cells: bool
) -> int:
    """Return the k with which a sample of pairs takes the least time, d where fewer columns propose too much.

    A column takes `size` bytes of a row. Where only `cells` are compared, pairs are more alike than those of the
    sample, and k is no larger than there is room for.
    """
    n, d = len(vectors), int(vectors.shape[1])
    count = 4 * _SAMPLE if cells else _SAMPLE
    rows = evenly(vectors, count)[:count]
    cost = _CANDIDATE_COST * (_ALIKE if cells else 1) * (_MAPPED if _mapping(vectors) is not None else 1)
    costs: dict[int, float] = {} if cells and d * n * size > _ROOM else {d: d * column_cost}
    for k in (k for k in _TRIED if k < d and (k == _TRIED[0] or not cells or k * n * size <= _ROOM)):
        heads = _heads(rows, basis[:, :k])
        share = float((heads @ heads.T >= least).mean()) - 1 / len(rows)
        costs[k] = (k + 1) * column_cost + share * cost
    return min(costs, key=lambda k: costs[k])


def _heads(vectors: Floats, basis: NDArray[np.float64]) -> Floats:
    """Return (h, r) of every row, [n, k + 1]."""
    k = basis.shape[1]
    heads = np.empty((len(vectors), k + 1), dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK):
        kept, rest = kept_and_rest(vectors[start : start + _BLOCK], basis)
        heads[start : start + _BLOCK, :k] = kept
        heads[start : start + _BLOCK, k] = np.nextafter(rest.astype(np.float32), np.float32(2))
    return heads
