"""Intervals by half-sampling: the delete-half jackknife, which never shows a figure the same sample twice.

The ordinary bootstrap draws with replacement, and each drawn dataset then holds about 37 % copies: a diversity figure
would measure these copies. Here each replicate is a random half of the samples, drawn without replacement (Shao & Wu
1989, A general theory for jackknife variance estimation, Annals of Statistics 17(3); half-samples: McCarthy 1969). The
spread of the replicates around their own mean estimates the standard error of the figure on all samples:

    se^2 = m / (n - m) * mean((replicate - mean of replicates)^2),   m of n samples in a replicate

With m = n / 2 the factor is 1. Figures that depend on the size of the dataset (distinct-n, unique pairs, nearest
neighbours) have another level on a half than on the whole, which is why the spread is taken around the replicates' own
mean and the interval is laid around the value on all samples: value +- 1.96 se.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

REPLICATES = 50
"""Half-samples for an interval: its width is then off by 10 % (one standard deviation)."""

Z = 1.959964
"""Half the width of a 95 % interval of the normal distribution, in standard errors."""

Replicates = NDArray[np.float64]
"""The values of a figure on random subsets, [replicates]."""

Places = NDArray[np.int64]
"""Places of samples in a dataset, ascending."""


def halves(n: int, seed: int, *, at_most: int | None = None, replicates: int = REPLICATES) -> Iterator[Places]:
    """Yield random halves of `range(n)`, each without repeats and ascending; of at most `at_most` places if given."""
    rng = np.random.default_rng([seed, n])
    size = n // 2 if at_most is None else min(n // 2, at_most)
    for _ in range(replicates):
        yield np.sort(rng.choice(n, size, replace=False, shuffle=False))


def standard_error(replicates: Replicates, m: int, n: int) -> float:
    """Return the standard error on n samples from the figure's values on random subsets of m, [replicates]."""
    return math.sqrt(m / (n - m) * float(np.var(replicates)))


def interval(value: float, replicates: Replicates, m: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval around a figure's value on n samples; `replicates` as for `standard_error`."""
    half = Z * standard_error(replicates, m, n)
    return value - half, value + half


def resampled(
    figure: Callable[[Places], float], value: float, n: int, seed: int, *, at_most: int | None = None
) -> tuple[float, float]:
    """Return the 95 % interval of a figure that can be taken on any places of the dataset.

    `at_most` bounds a replicate's size where the figure is dear; it should be large enough that the figure's spread
    falls with the square root of the size from there on.
    """
    size = n // 2 if at_most is None else min(n // 2, at_most)
    values = np.array([figure(places) for places in halves(n, seed, at_most=at_most)])
    return interval(value, values, size, n)
