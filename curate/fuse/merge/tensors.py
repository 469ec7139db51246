"""The same weight of the base and of every model, read in blocks of float32 on several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

BLOCK = 1 << 18
"""Elements of a block: 1 MB in float32, so that what a method does with it stays in the processor's cache."""

Result = TypeVar("Result")
Combine = Callable[[slice], torch.Tensor]
"""Gives the merged weight of a block, in float32."""


@dataclass(frozen=True)
class Tensors:
    """One weight as it lies in the checkpoints: `base` (None where a method has none) and `models`, flat, any dtype.

    Blocks are always the same and sums over them are taken in their order, so that no number of threads can change
    a bit of the result.
    """

    name: str
    base: torch.Tensor | None
    models: Sequence[torch.Tensor]
    pool: ThreadPoolExecutor

    @property
    def size(self) -> int:
        """Return the number of elements."""
        return int(self.models[0].numel())

    def blocks(self) -> list[slice]:
        """Return the blocks in their order."""
        return [slice(start, min(start + BLOCK, self.size)) for start in range(0, self.size, BLOCK)]

    def sampled(self, count: int) -> Tensors:
        """Return about `count` of the places, evenly spaced, as tensors of their own."""
        step = max(1, self.size // count)
        base = None if self.base is None else self.base[::step]
        return replace(self, base=base, models=[model[::step] for model in self.models])

    def model(self, index: int, block: slice) -> torch.Tensor:
        """Return a block of one model, float32; it may lie in the file itself and must not be changed."""
        return self.models[index][block].to(torch.float32)

    def origin(self, block: slice) -> torch.Tensor:
        """Return a block of the base, float32: a copy, to which a method may add."""
        assert self.base is not None
        return self.base[block].to(torch.float32, copy=True)

    def deltas(self, block: slice) -> torch.Tensor:
        """Return what each model changed of the base, float32 [models, block]."""
        assert self.base is not None
        base = self.base[block].to(torch.float32)
        out = torch.empty(len(self.models), base.numel())
        for row, model in zip(out, self.models, strict=True):
            row.copy_(model[block]).sub_(base)
        return out

    def map(self, work: Callable[[slice], Result]) -> Iterator[Result]:
        """Yield what `work` gives for each block, in the order of the blocks, computed on all threads.

        A few blocks are under way at a time, so that a consumer that writes them holds no more than these.
        """
        blocks = self.blocks()
        ahead = 2 * (self.pool._max_workers or 1)
        futures = [self.pool.submit(work, block) for block in blocks[:ahead]]
        for index in range(len(blocks)):
            yield futures[index].result()
            futures[index] = None  # type: ignore[call-overload]  # lets the block go
            if index + ahead < len(blocks):
                futures.append(self.pool.submit(work, blocks[index + ahead]))


def agreeing(parts: torch.Tensor) -> torch.Tensor:
    """Return 1 where a change has the sign of the sum over all models (0 counts as +), else 0, float32 [models, block].

    This and every other mask here is of floats: comparing into them and multiplying by them is several times as fast
    as it is with booleans.
    """
    sign = parts.sum(0)
    torch.ge(sign, 0, out=sign).mul_(2).sub_(1)
    signed = parts * sign
    return torch.gt(signed, 0, out=signed)


def divided(total: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Divide in place, where `by` is not 0."""
    return total.div_(by.add_(torch.eq(by, 0, out=torch.empty_like(by))))
