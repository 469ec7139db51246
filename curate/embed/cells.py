"""Near pairs among more rows than all pairs can be compared of: within cells, with the share that is found measured.

An inverted file (Sivic and Zisserman 2003) on both sides: rows go to the nearest of some 2 sqrt(n) centres, and
each cell's rows are compared with all rows that have the cell among their `probes` nearest ones. What is proposed is
decided as `pairs` decides, so that no pair is wrong; some are missing. How many is measured on rows of an even sample,
of which all pairs are computed: the probes are chosen on 1,000 rows of it, and the recall that is told comes from 2,000
others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.embed.pairs import (
    MILLION,
    Floats,
    Found,
    Heads,
    Pairs,
    Rows,
    Tick,
    TooManyPairs,
    in_order,
    likely,
    near_enough,
)

MANY = 500_000
"""Rows from which cells are used: comparing all of so many takes two minutes on two cores."""

RECALL = 0.998
"""Share of the needed pairs of the first sample from which no further probes are added."""

CHOOSING, MEASURING = 1000, 2000
PROBES = (2, 4, 8, 16)
POINTS = 40
"""Rows for each centre that it is learnt from."""

ROUNDS = 5
BLOCK = 4096
PART = 1024


@dataclass(frozen=True)
class Cells:
    """The rows' nearest cells, nearest first, [n, probes], and the rows by their nearest cell."""

    nearest: Rows
    count: int

    def rows(self, probes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return all rows sorted by cell, each under its `probes` nearest, and where each cell begins."""
        cells = self.nearest[:, :probes].ravel()
        order = np.argsort(cells, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(cells, minlength=self.count))])
        return order // probes, starts


def cell_pairs(
    vectors: Floats,
    floor: float,
    *,
    needed: float | None,
    most: int,
    since: int = 0,
    workers: int | None = None,
    tick: Tick | None = None,
) -> tuple[Pairs, str]:
    """Return near pairs as `all_pairs` does, nearly all of them, and how they were found with what recall, in words.

    Raises TooManyPairs where the floor would have to rise above the cosine that is `needed`.
    """
    n = len(vectors)
    heads = Heads(vectors, floor)
    cells = _cells(vectors, round(2 * n**0.5))
    sample = np.linspace(0, n - 1, min(n, CHOOSING + MEASURING)).astype(np.int64)
    chosen = np.arange(len(sample)) % 3 == 0
    levels = round(floor * MILLION), round((needed or floor) * MILLION)
    probes = next(
        p for p in PROBES if p == PROBES[-1] or _met(vectors, heads, cells, sample[chosen], p, levels).above >= RECALL
    )
    met = _met(vectors, heads, cells, sample[~chosen], probes, levels)
    home, home_starts = cells.rows(1)
    guest, guest_starts = cells.rows(probes)
    found = Found(round(floor * MILLION), most)

    def search(cell: int) -> tuple[Rows, Rows, Rows]:
        hosts = home[home_starts[cell] : home_starts[cell + 1]]
        guests = guest[guest_starts[cell] : guest_starts[cell + 1]]
        return _within(vectors, heads, cells, probes, hosts, guests, since, found.floor)

    for done, part in enumerate(in_order(search, range(cells.count), workers), 1):
        found.add(*part)
        if needed is not None and found.floor > needed * MILLION:
            raise TooManyPairs
        if tick is not None:
            tick(done, cells.count)
    above = f"{met.above:.4f} above {needed:g} and " if needed else ""
    words = (
        f"approximate: {cells.count:,} cells, {probes} of them for a text; recall {above}{met.share:.4f} "
        f"from {floor:g} up, measured on {met.pairs:,} pairs of {int((~chosen).sum()):,} texts"
    )
    return found.pairs(), words


def _within(
    vectors: Floats,
    heads: Heads,
    cells: Cells,
    probes: int,
    hosts: NDArray[np.int64],
    guests: NDArray[np.int64],
    since: int,
    floor: int,
) -> tuple[Rows, Rows, Rows]:
    """Return the pairs of a cell's own rows with all that have it among their nearest cells, each pair in one cell."""
    parts = []
    for start in range(0, len(hosts), PART):
        rows = hosts[start : start + PART]
        low, whole = heads.heads.take(rows, axis=0), vectors.take(rows, axis=0)
        for first in range(0, len(guests), PART):
            columns = guests[first : first + PART]
            high = low @ heads.heads.take(columns, axis=0).T
            host, guest = np.divmod(
                np.flatnonzero(high >= np.float32(floor / MILLION - 5e-7 - heads.error)), len(columns)
            )
            near = likely(whole, vectors.take(columns, axis=0), host, guest, floor)
            here, there = rows[host[near]], columns[guest[near]]
            # Seen from both cells, it is the lower row's; of a row and itself there is no pair.
            both = (cells.nearest[here, :probes] == cells.nearest[there, :1]).any(axis=1)
            once = ((here < there) | ~both) & (here != there) & (np.maximum(here, there) >= since)
            here, there = here[once], there[once]
            parts.append(near_enough(vectors, np.minimum(here, there), np.maximum(here, there), floor))
    empty = np.zeros(0, dtype=np.int32)
    left, right, score = (np.concatenate(column) for column in zip((empty, empty, empty), *parts, strict=True))
    return left, right, score


@dataclass(frozen=True)
class _Met:
    """The share of a sample's pairs that meet in a cell: of all from the floor up, and of those that are needed."""

    share: float
    above: float
    pairs: int


def _met(
    vectors: Floats, heads: Heads, cells: Cells, sample: NDArray[np.int64], probes: int, levels: tuple[int, int]
) -> _Met:
    """Find all pairs of a sample's rows by comparing all, and return how many of them meet in a cell."""
    floor, needed = levels
    nearest = cells.nearest
    counts: NDArray[np.int64] = np.zeros((2, 2), dtype=np.int64)
    for start in range(0, len(vectors), BLOCK):
        high = heads.heads[sample] @ heads.heads[start : start + BLOCK].T
        row, column = np.nonzero(high >= np.float32(floor / MILLION - 5e-7 - heads.error))
        other = sample[row] != column + start
        row, column = row[other], column[other]
        near = likely(vectors.take(sample, axis=0), vectors[start : start + BLOCK], row, column, floor)
        left, right, score = near_enough(vectors, sample[row[near]], column[near] + start, floor)
        meets = (nearest[left, :probes] == nearest[right, :1]).any(axis=1)
        meets |= (nearest[right, :probes] == nearest[left, :1]).any(axis=1)
        for level, high_enough in enumerate((score >= floor, score > needed)):
            counts[level] += high_enough.sum(), (high_enough & meets).sum()
    shares = [float(met / pairs) if pairs else 1.0 for pairs, met in counts]
    return _Met(shares[0], shares[1], int(counts[0, 0]))


def _cells(vectors: Floats, count: int) -> Cells:
    """Learn centres by spherical k-means on an even sample of rows, and find the nearest ones of every row."""
    n = len(vectors)
    some = np.asarray(vectors[:: max(1, n // (POINTS * count))])
    centres = some[np.random.default_rng(0).choice(len(some), count, replace=False)].copy()
    for _ in range(ROUNDS):
        home = np.concatenate([(some[i : i + BLOCK] @ centres.T).argmax(axis=1) for i in range(0, len(some), BLOCK)])
        order = np.argsort(home, kind="stable")
        used, begin = np.unique(home[order], return_index=True)
        sums = np.add.reduceat(some[order], begin, axis=0)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        centres[used] = np.divide(sums, norms, out=centres[used], where=norms > 0)
    nearest = np.empty((n, PROBES[-1]), dtype=np.int32)
    for i in range(0, n, BLOCK):
        inner = np.asarray(vectors[i : i + BLOCK]) @ centres.T
        top = np.argpartition(inner, count - PROBES[-1], axis=1)[:, -PROBES[-1] :]
        order = np.argsort(-np.take_along_axis(inner, top, axis=1), axis=1, kind="stable")
        nearest[i : i + BLOCK] = np.take_along_axis(top, order, axis=1)
    return Cells(nearest, count)
