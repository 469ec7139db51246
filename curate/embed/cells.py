"""Near pairs among more rows than all can be compared of: within cells, with the share that is found measured.

An inverted file (Sivic and Zisserman 2003) on both sides: each row has a home, the nearest of some 2 sqrt(n) centres,
and the rows of a cell are compared with all rows that have the cell among their `probes` nearest ones. Every pair that
meets so is bounded and decided as `pairs` does it, so that no pair is wrong; some never meet. How many is measured on
8,000 rows of an even sample, which are compared with all others: half of them choose the fewest probes that reach
RECALL for all that is kept, and where the most do not, what is kept begins higher up, so that the promise holds. The
recall that is told comes from the other half.

FAISS has an inverted file, too (`IndexIVFFlat.range_search`), and HNSW: scripts/bench_dedup.py shows all three. They
are not used here, because they keep all vectors in memory, take longer at a million (centres are learnt
and found by all d columns, rows compared by all d in float32), and say nothing of the recall. Here vectors stay mapped,
centres are found by 64 columns, and bounds take a sixth of the columns, or eight bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from curate.embed.heads import Floats, Proposer, evenly, give_back, leading, let_go
from curate.embed.pairs import MILLION, STEP, Found, Near, Pairs, Rows, Tick, TooManyPairs, in_order

RECALL = 0.998
"""Share of the pairs of the choosing sample that probes are added for: .995 is promised, of pairs of other rows."""

SAMPLE = 8000
"""Rows of the sample: at a million, 3,000 of them had so few pairs that the choice was luck."""

PROBES = (4, 8, 16, 32)
CELLS = 4096
"""Cells at most: more take longer to find than they save."""

GROUPED = 16
"""Columns of which the highest is found at once; the number of cells is a multiple."""

POINTS = 40
"""Rows for each centre that it is learnt from."""

ROUNDS = 5
COLUMNS = 64
"""Leading columns that centres are learnt and found by."""

BLOCK = 4096
WITHIN = 256
"""Rows whose products with all centres stay in a core's cache: a block's, 64 MB, take three times as long."""

SCANNED = 1 << 20

CHUNKS = 128
"""Parts of the search: each lists its rows' cells, at ten million some 60 MB."""

TILE = 512, 1024


@dataclass(frozen=True)
class Cells:
    """The nearest cells of every row, nearest first, [n, most probes] uint16, and the rows sorted by the first one."""

    nearest: NDArray[np.uint16]
    count: int
    hosts: Rows
    starts: NDArray[np.int64]

    def meets(self, one: NDArray[np.integer], other: NDArray[np.integer], probes: int) -> NDArray[np.bool_]:
        """Say of pairs of rows whether the second one's home is among the nearest of the first."""
        found: NDArray[np.bool_] = (self.nearest[one, :probes] == self.nearest[other, :1]).any(axis=1)
        return found

    def visits(self, first: int, last: int, probes: int) -> Iterator[tuple[int, Rows, Rows]]:
        """Yield each of these cells with its own rows, and with all that have it among their nearest."""
        rows, cells = [], []
        for start in range(0, len(self.nearest), SCANNED):
            block = self.nearest[start : start + SCANNED, :probes]
            place, probe = np.nonzero((block >= first) & (block < last))
            rows.append((place + start).astype(np.int32))
            cells.append(block[place, probe])
        row, cell = np.concatenate(rows), np.concatenate(cells)
        row = row[np.argsort(cell, kind="stable")]
        ends = np.cumsum(np.bincount(cell - first, minlength=last - first))
        for number in range(first, last):
            own = self.hosts[self.starts[number] : self.starts[number + 1]]
            yield number, own, row[ends[number - first - 1] if number > first else 0 : ends[number - first]]


@dataclass(frozen=True)
class Sample:
    """All near pairs of some rows with any other: a row of the sample, the other, their score, and who chooses."""

    row: Rows
    other: Rows
    score: Rows
    chooses: NDArray[np.bool_]
    rows: int

    def recall(self, cells: Cells, probes: int, level: int, chooses: bool) -> tuple[float, int]:
        """Return the share of the pairs from a level (millionths) up that meet in a cell, and of how many pairs."""
        some = (self.score >= level) & (self.chooses == chooses)
        one, other = self.row[some], self.other[some]
        met = cells.meets(one, other, probes) | cells.meets(other, one, probes)
        return (float(met.mean()) if len(met) else 1.0), len(met)


def cell_pairs(
    vectors: Floats,
    floor: float,
    propose: Proposer,
    *,
    needed: float | None,
    most: int,
    since: int = 0,
    workers: int | None = None,
    tick: Tick | None = None,
) -> tuple[Pairs, str]:
    """Return near pairs as `all_pairs` does, nearly all of them, and how they were found with what recall, in words.

    The floor of what is kept may be higher than what is asked for, up to what is `needed`. `vectors` may be mapped from
    a file: memory is the proposer's, 64 bytes for a row, the pairs, and some hundred MB.

    Raises TooManyPairs where the floor would have to rise above the cosine that is `needed`.
    """
    n = len(vectors)
    cells = _cells(vectors, min(round(2 * n**0.5 / GROUPED + 0.5) * GROUPED, CELLS))
    lowest, limit = round(floor * MILLION), round((needed or 1.0) * MILLION)
    sample = _sample(vectors, propose, lowest)
    probes, level = _chosen(cells, sample, lowest, limit if needed else lowest)
    cells = replace(cells, nearest=cells.nearest[:, :probes].copy())  # the other probes' memory goes
    give_back()
    found = Found(level, most)
    chunks = [
        (first, min(first + -(-cells.count // CHUNKS), cells.count))
        for first in range(0, cells.count, -(-cells.count // CHUNKS))
    ]

    def search(chunk: tuple[int, int]) -> tuple[Rows, Rows, Rows]:
        near = Near(vectors, found.floor)
        for _, hosts, guests in cells.visits(*chunk, probes):
            _within(near, propose, cells, probes, hosts, guests, since)
            give_back()
        return near.pairs()

    for (_, last), part in zip(chunks, in_order(search, chunks, workers), strict=True):
        found.add(*part)
        if needed is not None and found.floor > limit:
            raise TooManyPairs
        if tick is not None:
            tick(last, cells.count)
    pairs = found.pairs()
    return pairs, _words(cells, sample, probes, pairs.floor, needed)


def _chosen(cells: Cells, sample: Sample, lowest: int, limit: int) -> tuple[int, int]:
    """Return the fewest probes, and with them the lowest level in millionths, for which the recall is reached."""
    for level in range(lowest, limit + 1, STEP):
        for probes in PROBES:
            # What decides now is a small part of what is kept for later.
            if all(sample.recall(cells, probes, from_there, True)[0] >= RECALL for from_there in (level, limit)):
                return probes, level
    return PROBES[-1], limit


def _words(cells: Cells, sample: Sample, probes: int, level: int, needed: float | None) -> str:
    share, pairs = sample.recall(cells, probes, level, False)
    above = ""
    if needed is not None:
        above = f"{sample.recall(cells, probes, round(needed * MILLION) + 1, False)[0]:.4f} above {needed:g} and "
    return (
        f"approximate: {cells.count:,} cells, {probes} of them for a text; recall {above}{share:.4f} "
        f"from {level / MILLION:g} up, measured on {pairs:,} pairs of {sample.rows:,} texts"
    )


def _within(near: Near, propose: Proposer, cells: Cells, probes: int, hosts: Rows, guests: Rows, since: int) -> None:
    """Propose the pairs of a cell's own rows with all that have it among their nearest, each pair in one cell only."""
    own, all_of = len(hosts), len(hosts) + len(guests)
    heads = propose.part(np.concatenate([hosts, guests]))
    for start in range(0, own, TILE[0]):
        for first in range(own, all_of, TILE[1]):
            rows, columns = slice(start, min(start + TILE[0], own)), slice(first, min(first + TILE[1], all_of))
            host, guest = heads.candidates(rows, columns, near.least)
            here, there = hosts[host + start], guests[guest + (first - own)]
            # Seen from both cells, it is the lower row's; of a row and itself there is no pair.
            once = (here != there) & (np.maximum(here, there) >= since)
            here, there = here[once], there[once]
            once = (here < there) | ~cells.meets(here, there, probes)
            here, there = here[once], there[once]
            near.add(np.minimum(here, there), np.maximum(here, there))


def _sample(vectors: Floats, propose: Proposer, floor: int) -> Sample:
    """Compare an even sample of rows with all rows."""
    n = len(vectors)
    rows = np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int32)
    chooses = np.arange(len(rows)) % 2 == 0
    starts = range(0, n, BLOCK)

    def search(start: int) -> tuple[Rows, Rows, Rows]:
        near = Near(vectors, floor)
        block = np.arange(start, min(start + BLOCK, n), dtype=np.int32)
        heads = propose.part(np.concatenate([rows, block]))
        for first, begin in product(range(0, len(rows), TILE[0]), range(0, len(block), TILE[1])):
            tile = slice(first, min(first + TILE[0], len(rows)))
            across = slice(len(rows) + begin, len(rows) + min(begin + TILE[1], len(block)))
            one, other = heads.candidates(tile, across, near.least)
            left, right = rows[one + first], block[other + begin]
            near.add(left[left != right], right[left != right])
        return near.pairs()

    parts = list(in_order(search, starts, None))
    one, other, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Sample(one, other, score, chooses[np.searchsorted(rows, one)], int((~chooses).sum()))


def _cells(vectors: Floats, count: int) -> Cells:
    """Learn centres by spherical k-means on an even sample of rows, and find the nearest ones of every row."""
    n = len(vectors)
    basis = leading(vectors)[:, :COLUMNS].astype(np.float32)
    some = evenly(vectors, POINTS * count) @ basis
    centres = some[np.random.default_rng(0).choice(len(some), count, replace=False)].copy()
    for _ in range(ROUNDS):
        home = np.concatenate([(some[i : i + WITHIN] @ centres.T).argmax(axis=1) for i in range(0, len(some), WITHIN)])
        order = np.argsort(home, kind="stable")
        used, begin = np.unique(home[order], return_index=True)
        centres[used] = np.add.reduceat(some[order], begin, axis=0)
        norms = np.linalg.norm(centres, axis=1, keepdims=True)
        np.divide(centres, norms, out=centres, where=norms > 0)
    most = min(PROBES[-1], count)
    nearest = np.empty((n, most), dtype=np.uint16)

    def find(start: int) -> None:
        block = vectors[start : start + BLOCK] @ basis
        let_go(vectors)
        for i in range(0, len(block), WITHIN):
            nearest[start + i : start + i + WITHIN] = _highest(block[i : i + WITHIN] @ centres.T, most)

    for _ in in_order(find, range(0, n, BLOCK), None):
        pass
    hosts = np.argsort(nearest[:, 0], kind="stable").astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(np.bincount(nearest[:, 0], minlength=count))])
    return Cells(nearest, count, hosts, starts)


def _highest(inner: Floats, most: int) -> NDArray[np.intp]:
    """Return the columns of the highest values of each row, the highest first.

    They are in the groups with the highest maxima, which are far fewer than the columns.
    """
    wide = inner.shape[1] // GROUPED
    maxima = inner.reshape(len(inner), GROUPED, wide).max(axis=1)
    groups = np.argpartition(-maxima, min(most, wide) - 1, axis=1)[:, :most]
    columns = (groups[:, None, :] + wide * np.arange(GROUPED)[:, None]).reshape(len(inner), -1)
    heights = -np.take_along_axis(inner, columns, axis=1)
    top = np.argpartition(heights, most - 1, axis=1)[:, :most]
    order = np.argsort(np.take_along_axis(heights, top, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, np.take_along_axis(top, order, axis=1), axis=1)
