"""Share out a number of rows over the tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction


def largest_remainder(weights: Mapping[str, float], total: int) -> dict[str, int]:
    """Share `total` whole units in proportion to `weights` by the method of largest remainders (Hamilton).

    Every share is the floor or the ceiling of its exact quota and the shares add up to `total`. Equal remainders go to
    the smaller key. A key of weight 0 gets nothing; where all are 0, nobody gets anything. Quotas are exact fractions,
    so no share depends on rounding.

    Raises ValueError for a negative `total` or weight and for a weight that is not finite.
    """
    if total < 0:
        raise ValueError(f"total must be 0 or more, got {total}")
    if wrong := {key: w for key, w in weights.items() if not (math.isfinite(w) and w >= 0)}:
        raise ValueError(f"weights must be finite and 0 or more, got {wrong}")
    exact = {key: Fraction(weight) for key, weight in sorted(weights.items()) if weight > 0}
    whole = sum(exact.values())
    quotas = {key: weight * total / whole for key, weight in exact.items()}
    shares = dict.fromkeys(weights, 0) | {key: math.floor(quota) for key, quota in quotas.items()}
    # A stable sort keeps the key order among equal remainders.
    by_remainder = sorted(quotas, key=lambda key: shares[key] - quotas[key])
    for key in by_remainder[: total - sum(shares.values())]:
        shares[key] += 1
    return shares
