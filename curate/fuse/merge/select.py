"""Which elements of a large tensor are its k largest: exactly, without sorting it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from curate.fuse.merge.tensors import Tensors

SAMPLE = 1 << 15
"""Elements that are drawn to guess where the k-th largest lies."""


@dataclass(frozen=True)
class Selection:
    """The k largest: every value above `value`, and those equal to it that lie before the place `end` of the tensor.

    Ties go by their place, so that the same tensors always give the same selection.
    """

    value: float
    end: int

    def mask(self, values: torch.Tensor, block: slice) -> torch.Tensor:
        """Return 1 for each selected one of a block's values and 0 for the others, float32."""
        selected = torch.gt(values, self.value, out=torch.empty_like(values))
        ties = max(0, self.end - block.start)
        torch.ge(values[:ties], self.value, out=selected[:ties])
        return selected


def largest(tensors: Tensors, values: Callable[[slice], torch.Tensor], k: int, sample: torch.Tensor) -> Selection:
    """Return the selection of the `k` (at least 1) largest of the values that `values` gives for each block.

    `sample` holds some of these values, in any order. They say between which two the k-th largest lies; one pass counts
    what is above and collects what is between, and the k-th is exact among those. Where the guess was wrong (the
    sample was unlucky, or most values are equal) the pass is repeated over everything.
    """
    for low, high in (_bracket(sample, k, tensors.size), (float("-inf"), float("inf"))):

        def count(block: slice, low: float = low, high: float = high) -> tuple[int, np.ndarray]:
            part = values(block).numpy()
            above = part > high
            return int(np.count_nonzero(above)), part[(part >= low) ^ above]

        parts = list(tensors.map(count))
        rest = k - sum(number for number, _ in parts)
        between = np.concatenate([part for _, part in parts])
        if 0 < rest <= between.size:
            break
    place = between.size - rest
    between.partition(place)
    value = between[place]
    ties = rest - int(np.count_nonzero(between[place:] > value))
    for block, (_, part) in zip(tensors.blocks(), parts, strict=True):
        equal = int(np.count_nonzero(part == value))
        if ties <= equal:
            places = np.flatnonzero(values(block).numpy() == value)
            return Selection(float(value), block.start + int(places[ties - 1]) + 1)
        ties -= equal
    raise AssertionError("the k-th largest is one of the values")


def _bracket(sample: torch.Tensor, k: int, size: int) -> tuple[float, float]:
    """Return two values between which the k-th largest of `size` lies, six standard errors to each side."""
    ordered = np.sort(sample.numpy())[::-1]
    share = k / size
    reach = 6 * (ordered.size * share * (1 - share)) ** 0.5 + 2
    first, last = int(share * ordered.size - reach), int(share * ordered.size + reach)
    above = float(ordered[first]) if first >= 0 else float("inf")
    below = float(ordered[last]) if last < ordered.size else float("-inf")
    return below, above
