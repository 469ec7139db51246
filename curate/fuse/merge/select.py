"""Which elements of a large tensor are its k largest: exactly, without sorting it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from curate.fuse.merge.tensors import BLOCK, Tensors

SAMPLE = 1 << 15
"""Elements that are drawn to guess where the k-th largest lies."""


@dataclass(frozen=True)
class Selection:
    """The k largest: every value above `value`, and of those equal to it the first `equal[b]` of each block.

    Ties go by their place, so that the same tensors always give the same selection.
    """

    value: float
    equal: tuple[int, ...]

    def places(self, values: torch.Tensor, block: slice) -> torch.Tensor:
        """Return the selected places of one block's values, int64, ascending."""
        allowed = self.equal[block.start // BLOCK]
        if not allowed:
            return (values > self.value).nonzero().squeeze(1)
        ties = values == self.value
        ties &= ties.cumsum(0) <= allowed
        return ((values > self.value) | ties).nonzero().squeeze(1)


def largest(tensors: Tensors, values: Callable[[slice], torch.Tensor], k: int, sample: torch.Tensor) -> Selection:
    """Return the selection of the `k` (at least 1) largest of the values that `values` gives for each block.

    `sample` holds some of these values, in any order. They say between which two the k-th largest lies; one pass counts
    what is above and collects what is between, and the k-th is exact among those. Where the guess was wrong (the
    sample was unlucky, or most values are equal) the pass is repeated over everything.
    """
    low, high = _bracket(sample, k, tensors.size)
    for bounds in ((low, high), (float("-inf"), float("inf"))):
        below, above = bounds

        def count(block: slice, below: float = below, above: float = above) -> tuple[int, torch.Tensor]:
            part = values(block)
            return int((part > above).sum()), part[(part >= below) & (part <= above)]

        parts = list(tensors.map(count))
        rest = k - sum(number for number, _ in parts)
        between = torch.cat([part for _, part in parts])
        if 0 < rest <= between.numel():
            break
    value = float(between.kthvalue(between.numel() - rest + 1).values)
    return Selection(value, _shares(parts, value, rest - int((between > value).sum())))


def _shares(parts: list[tuple[int, torch.Tensor]], value: float, ties: int) -> tuple[int, ...]:
    """Deal the ties that belong to the selection over the blocks, the first blocks first."""
    shares = []
    for _, part in parts:
        taken = min(int((part == value).sum()), ties)
        shares.append(taken)
        ties -= taken
    return tuple(shares)


def _bracket(sample: torch.Tensor, k: int, size: int) -> tuple[float, float]:
    """Return two values between which the k-th largest of `size` lies, six standard errors to each side."""
    ordered = sample.sort(descending=True).values
    n = ordered.numel()
    share = k / size
    reach = 6 * (n * share * (1 - share)) ** 0.5 + 2
    first, last = int(share * n - reach), int(share * n + reach)
    above = float(ordered[first]) if first >= 0 else float("inf")
    below = float(ordered[last]) if last < n else float("-inf")
    return below, above
