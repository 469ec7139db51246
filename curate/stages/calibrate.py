"""Which cosine tells true duplicates: pairs drawn by bands of their cosine, marked, and what follows from the marks.

All pairs of texts from a floor up are known. They are cut into bands of the cosine, and about as many are drawn from
each at random, since at random from all of them nearly none would be near the top (stratified sampling: Cochran 1977,
chapter 5). Of `pairs` pairs in a band, `marked` of them marked and `same` found to be duplicates, the band has about
pairs * same / marked duplicates; the precision above a threshold is the sum of these over the bands above it, divided
by the number of pairs there. So thresholds are the lower ends of bands.

The interval of a sum over bands is recovered from those of its bands (MOVER: Zou and Donner 2008): the squares of their
distances from the estimates add up, each with its band's pairs. A band's own are Jeffreys' (Brown, Cai and DasGupta
2001), which cover well for few marks, with the correction for a finite population: a band that is marked in whole is
certain. Drawing the marks again with replacement, the plain bootstrap, would call twelve of twelve certain as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.embed.pairs import MILLION
from curate.stages.greedy import Edges, Relations

WIDTH = 20_000
"""Millionths of the cosine that a band spans."""

GRID = 4001
"""Points at which a posterior is summed up; its quantiles are then good to four digits."""

LEVEL = 0.95
"""The share of intervals that hold the true value."""

QUANTILES = (0.5, 0.9, 0.99, 0.999, 0.9999)
"""The quantiles of the cosines of random pairs that are shown."""

Places = NDArray[np.int64]
Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Band:
    """The pairs with a cosine above `low` and up to `high`, how many of them are marked, and marked as duplicates."""

    low: float
    high: float
    pairs: int
    marked: int = 0
    same: int = 0


@dataclass(frozen=True)
class Estimate:
    """The share of true duplicates among the `pairs` above a threshold, with its interval; NaN where nothing is known.

    `low` and `high` hold the true share in 95 of 100 calibrations.
    """

    threshold: float
    pairs: int
    precision: float
    low: float
    high: float


@dataclass(frozen=True)
class Chosen:
    """The lowest threshold whose estimated precision is the wanted one, None where there is none, and its interval.

    `low` is the lowest threshold that may have the precision, `high` the lowest that has it for sure, as far as 95 % of
    certainty go; 1 where none does.
    """

    threshold: float | None
    low: float
    high: float


class Population:
    """The near pairs that a threshold decides: of different texts, which are not equal after normalising either.

    They are sorted by band, the highest first, and within a band in an order that is random, but a function of the
    texts and the seed alone: neither the order of the rows nor more rows reorder them.
    """

    def __init__(self, relations: Relations, seed: int = 0) -> None:
        edges = relations.semantic
        assert edges is not None, "calibrating needs the pairs of an encoder"
        first = np.full(len(relations.known), len(relations), dtype=np.int64)
        np.minimum.at(first, relations.text, np.arange(len(relations)))
        self.first = first
        self.edges = _open(edges, relations.group[first])
        self.lows = _lows(edges.floor)
        band = np.searchsorted(self.lows, self.edges.score, side="left") - 1
        # A text is known by the smallest content of its samples, whatever comes first.
        content = np.full(len(relations.known), np.iinfo(np.uint64).max, dtype=np.uint64)
        np.minimum.at(content, relations.text, relations.content)
        mixed = _mixed(content[self.edges.left], content[self.edges.right], seed)
        inside = np.flatnonzero(band >= 0)
        self.order = inside[np.lexsort((mixed[inside], -band[inside]))]
        self.sizes = np.bincount(band[inside], minlength=len(self.lows))

    def draw(self, wanted: int) -> list[tuple[int, Places]]:
        """Return for each band, the highest first, its number and the edges drawn; more wanted ones add to fewer."""
        drawn, start = [], 0
        for band, count in sorted(enumerate(allotted(self.sizes.tolist(), wanted)), reverse=True):
            drawn.append((band, self.order[start : start + count]))
            start += int(self.sizes[band])
        return drawn

    def bands(self, marks: Sequence[tuple[int, bool]]) -> list[Band]:
        """Return the bands from the lowest up, with marks: the band of a pair, and whether it is a duplicate."""
        marked, same = [0] * len(self.lows), [0] * len(self.lows)
        for band, duplicate in marks:
            marked[band] += 1
            same[band] += duplicate
        ends = [*self.lows[1:].tolist(), MILLION]
        return [
            Band(low / MILLION, high / MILLION, int(size), *counts)
            for low, high, size, *counts in zip(self.lows.tolist(), ends, self.sizes, marked, same, strict=True)
        ]


def _open(edges: Edges, group: NDArray[np.int32]) -> Edges:
    """Return the edges between texts that are not equal after normalising."""
    different = np.flatnonzero(group[edges.left] != group[edges.right])
    return Edges(edges.left[different], edges.right[different], edges.score[different], edges.floor)


def _lows(floor: float) -> NDArray[np.int64]:
    """Return the lower ends of the bands in millionths, from the floor up."""
    lowest = ceil(round(floor * MILLION) / WIDTH) * WIDTH
    return np.arange(min(lowest, MILLION - WIDTH), MILLION, WIDTH, dtype=np.int64)


def _mixed(left: NDArray[np.uint64], right: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Return a well-mixed value for each pair, either way round (finaliser of SplitMix64, Steele et al. 2014)."""
    z: NDArray[np.uint64] = np.minimum(left, right) * np.uint64(0x9E3779B97F4A7C15) ^ np.maximum(left, right)
    z = z + np.uint64(seed % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def allotted(sizes: Sequence[int], wanted: int) -> list[int]:
    """Return how many pairs of each band are drawn: as evenly as their sizes allow, the rest from the highest down."""
    given = [0] * len(sizes)
    left = min(wanted, sum(sizes))
    while left:
        open_ = [band for band in range(len(sizes)) if given[band] < sizes[band]]
        each = left // len(open_)
        for band in reversed(open_):
            more = min(max(each, 1), sizes[band] - given[band], left)
            given[band] += more
            left -= more
    return given


def estimates(bands: Sequence[Band]) -> list[Estimate]:
    """Return the precision above the lower end of each band, from the lowest up."""
    pairs, marked, same = (
        np.array([getattr(band, name) for band in bands], dtype=np.float64) for name in ("pairs", "marked", "same")
    )
    share = np.divide(same, marked, out=np.full(len(bands), 0.5), where=marked > 0)
    low, high = _jeffreys(marked, same)
    # A band without marks may be anything; the pairs of one that is marked in whole are known.
    low, high = np.where(marked > 0, low, 0.0), np.where(marked > 0, high, 1.0)
    unknown = np.sqrt(np.divide(pairs - marked, pairs - 1, out=np.zeros(len(bands)), where=pairs > 1))
    unknown = np.where((pairs == 1) & (marked == 0), 1.0, unknown)
    above = np.maximum(_above(pairs), 1)
    middle = _above(pairs * share) / above
    down = np.sqrt(_above((pairs * (share - low) * unknown) ** 2)) / above
    up = np.sqrt(_above((pairs * (high - share) * unknown) ** 2)) / above
    # Where a band with pairs has no mark, the precision below it is anybody's guess.
    told = _above((pairs > 0) & (marked == 0)) == 0
    return [
        Estimate(
            band.low,
            int(_above(pairs)[at]),
            float(middle[at]) if told[at] else nan,
            float(max(middle[at] - down[at], 0)),
            float(min(middle[at] + up[at], 1)),
        )
        for at, band in enumerate(bands)
    ]


def _above(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return for each band the sum over it and those above."""
    summed: NDArray[np.float64] = np.cumsum(values[::-1].astype(np.float64))[::-1]
    return summed


def _jeffreys(marked: NDArray[np.float64], same: NDArray[np.float64]) -> tuple[Shares, Shares]:
    """Return the ends of Jeffreys' interval of each share, which are 0 and 1 where none or all are the same."""
    # With the share as the square of a sine, the posterior Beta(same + 1/2, marked - same + 1/2) has no poles.
    angle = np.linspace(0, np.pi / 2, GRID)[1:-1, None]
    logs = 2 * same * np.log(np.sin(angle)) + 2 * (marked - same) * np.log(np.cos(angle))
    density = np.exp(logs - logs.max(axis=0))
    summed = np.cumsum(density, axis=0) - density / 2
    tail = (1 - LEVEL) / 2
    ends = [[np.interp(at * part[-1], part, np.sin(angle[:, 0]) ** 2) for part in summed.T] for at in (tail, 1 - tail)]
    low, high = np.array(ends)
    return np.where(same == 0, 0.0, low), np.where(same == marked, 1.0, high)


def choose(bands: Sequence[Band], wanted: float) -> Chosen:
    """Return the threshold for a wanted precision, a share."""
    there = [estimate for estimate in estimates(bands) if estimate.pairs]
    threshold = next((estimate.threshold for estimate in there if estimate.precision >= wanted), None)
    low = next((estimate.threshold for estimate in there if estimate.high >= wanted), 1.0)
    high = next((estimate.threshold for estimate in there if estimate.low >= wanted), 1.0)
    return Chosen(threshold, low, high)


def null_cosines(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosines of all pairs of some random texts, ascending; texts without a vector are left out."""
    known = vectors[vectors.any(axis=1)].astype(np.float64)
    inner = (known @ known.T)[np.triu_indices(len(known), 1)]
    return np.sort(inner)
