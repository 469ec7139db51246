"""Share out a number of rows over the tasks, and pick a balanced part of a dataset."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction

from curate.types import KEEP, Sample, Verdict, drop


def largest_remainder(
    weights: Mapping[str, float], total: int, caps: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Share `total` whole units in proportion to `weights` by the method of largest remainders (Hamilton).

    Every share is the floor or the ceiling of its exact quota and the shares add up to `total`. Equal remainders go to
    the smaller key. What a key cannot take (`caps`, units; a key without a cap takes any number) is dealt again among
    the others in proportion to their weights, so less than `total` is returned only when every key is full. A key of
    weight 0 gets nothing. Quotas are exact fractions, so no share depends on rounding.

    Raises ValueError for a negative `total`, cap or weight and for a weight that is not finite.
    """
    limits = caps or {}
    if total < 0 or any(cap < 0 for cap in limits.values()):
        raise ValueError(f"total and caps must be 0 or more, got total {total} and caps {dict(limits)}")
    if wrong := {key: w for key, w in weights.items() if not (math.isfinite(w) and w >= 0)}:
        raise ValueError(f"weights must be finite and 0 or more, got {wrong}")
    shares = dict.fromkeys(weights, 0)
    left = total
    active = {key: Fraction(weights[key]) for key in sorted(weights) if weights[key] > 0}
    while active and left:
        dealt = _deal(active, left)
        full = [key for key, share in dealt.items() if key in limits and share > limits[key]]
        if not full:
            shares.update(dealt)
            break
        # Only the full keys are settled: the others are dealt anew, since their exact quotas have grown.
        for key in full:
            shares[key] = limits[key]
            left -= limits[key]
            del active[key]
    return shares


def _deal(weights: Mapping[str, Fraction], total: int) -> dict[str, int]:
    """Return the plain largest-remainder shares; `weights` are positive and in key order."""
    whole = sum(weights.values())
    quotas = {key: weight * total / whole for key, weight in weights.items()}
    shares = {key: math.floor(quota) for key, quota in quotas.items()}
    # A stable sort keeps the key order among equal remainders.
    by_remainder = sorted(weights, key=lambda key: shares[key] - quotas[key])
    for key in by_remainder[: total - sum(shares.values())]:
        shares[key] += 1
    return shares


def _task_of(sample: Sample) -> tuple[str, ...]:
    return sample.task


def balance(
    samples: Iterable[Sample], n: int, *, seed: int = 0, by: Callable[[Sample], tuple[str, ...]] = _task_of
) -> Iterator[tuple[Sample, Verdict]]:
    """Keep `n` samples, one from every group before a second from any; the others are dropped as "over_quota".

    Groups are tasks unless `by` says otherwise; a group that has too few gives all it has and the rest is dealt to the
    others. Which samples of a group stay is drawn with `seed` from their ids, so it depends neither on their order in
    the input nor on other groups. Yields every sample once, in input order. The whole input is held in memory.
    """
    pool = list(samples)
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(pool):
        groups["\x1f".join(by(sample))].append(index)
    quotas = largest_remainder(dict.fromkeys(groups, 1.0), n, {key: len(group) for key, group in groups.items()})
    kept: set[int] = set()
    for key, group in groups.items():
        order = sorted(group, key=lambda index: (pool[index].id, index))
        kept.update(random.Random(f"{seed}/{key}").sample(order, quotas[key]))
    for index, sample in enumerate(pool):
        yield sample, KEEP if index in kept else drop("over_quota", quota=quotas["\x1f".join(by(sample))])
