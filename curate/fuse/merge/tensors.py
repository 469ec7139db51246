"""The same weight of the base and of every model, read in blocks of float32 on several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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

    def model(self, index: int, block: slice) -> torch.Tensor:
        """Return a block of one model, float32; it may lie in the file itself and must not be changed."""
        return self.models[index][block].to(torch.float32)

    def origin(self, block: slice) -> torch.Tensor:
        """Return a block of the base, float32: a copy, to which a method may add."""
        assert self.base is not None
        return self.base[block].to(torch.float32, copy=True)

    def deltas(self, block: slice, at: torch.Tensor | None = None) -> torch.Tensor:
        """Return what each model changed of the base, float32 [models, block], or only at some places of the block."""
        assert self.base is not None
        base = _part(self.base, block, at)
        out = torch.empty(len(self.models), base.numel())
        for row, model in zip(out, self.models, strict=True):
            torch.sub(_part(model, block, at), base, out=row)
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


def _part(tensor: torch.Tensor, block: slice, at: torch.Tensor | None) -> torch.Tensor:
    part = tensor[block]
    return (part if at is None else part[at]).to(torch.float32)
