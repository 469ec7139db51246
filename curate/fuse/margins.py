"""The margins of a collection's pairs, as a histogram and in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from curate.fuse.pairs import Window

BINS = 10

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Histogram:
    """Counts of margins in BINS of equal width from the lowest to the highest, their quantiles, and how many are in
    the window (all, where there is none)."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    quantiles: dict[float, float]
    inside: int

    def as_json(self) -> dict[str, Any]:
        """Return the histogram as JSON values."""
        named = {f"{share:g}": value for share, value in self.quantiles.items()}
        return {"edges": list(self.edges), "counts": list(self.counts), "quantiles": named, "inside": self.inside}


def histogram(margins: Sequence[float], window: Window | None) -> Histogram | None:
    """Return the histogram of margins, None for none."""
    if not margins:
        return None
    ordered = sorted(margins)
    low, high = ordered[0], ordered[-1]
    width = (high - low) / BINS
    counts = [0] * BINS
    for margin in ordered:
        counts[min(BINS - 1, int((margin - low) / width)) if width else 0] += 1
    edges = (*(low + width * number for number in range(BINS)), high)
    quantiles = {share: ordered[round(share * (len(ordered) - 1))] for share in QUANTILES}
    inside = sum(window is None or window.holds(margin) for margin in ordered)
    return Histogram(edges, tuple(counts), quantiles, inside)


def nothing_inside(found: Histogram, window: Window) -> str:
    """Say in one line what margins there are, and which window would keep half of them."""
    at = found.quantiles
    return (
        f"no pair has a margin inside {window}: {sum(found.counts):,} pairs have margins from {at[0.0]:.4g} to "
        f"{at[1.0]:.4g}, half of them from {at[0.25]:.4g} to {at[0.75]:.4g} (median {at[0.5]:.4g}); scores of another "
        f"scale need another window, e.g. --margin {_down(at[0.25])}:{_up(at[0.75])}"
    )


def _down(value: float) -> str:
    """Return a number of two digits that is not above `value`."""
    return _rounded(value, math.floor)


def _up(value: float) -> str:
    """Return a number of two digits that is not below `value`."""
    return _rounded(value, math.ceil)


def _rounded(value: float, way: Callable[[float], int]) -> str:
    digits = 1 - math.floor(math.log10(abs(value))) if value else 0
    return f"{way(round(value * 10.0**digits, 6)) / 10.0**digits:g}"
