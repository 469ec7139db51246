"""Bounds of cosines by products of whole numbers of eight bits, which processors and GPUs multiply the fastest.

A processor's AVX512-VNNI or AMX and a GPU's matrix units take int8 at 2 to 4 times the rate of bfloat16 and 4 to 16
times that of float32, and sums in int32 are exact. So of the low precisions this is both the fastest and the one whose
error is known best: it lies in the factors alone, and is computed for every row.

As in `heads`, h = P'x is what k orthonormal columns keep of a row, and r the length of the rest. With a step s let
q = round(h / s), limited to +-127, and e = h - s q what that leaves out. Then by Cauchy and Schwarz

    x.y <= h.h' + r r' = s^2 q.q' + s q.e' + e.s q' + e.e' + r r'
        <= s^2 q.q' + r r' + M     where M = 2 max |s q| max |e| + max |e|^2

with the largest over all rows. r is held by m equal columns c = ceil(r / (s sqrt m)): r r' <= s^2 m c c', where m is so
large that c fits eight bits. M was .02 on all vectors tried; rounding to bfloat16 has to be allowed .0118 by its worst
case. P is rotated at random, which gives all of its columns alike spread: else one step would suit the first alone.
What arithmetic in float64 adds is below 1e-11, and 1e-9 is allowed for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curate.embed.heads import (
    TILE,
    Floats,
    Heads,
    Places,
    Proposer,
    best_columns,
    kept_and_rest,
    leading,
    one_core,
)

if TYPE_CHECKING:
    import torch

MANY = 100_000
"""Rows from which loading torch, two seconds, is worth it."""

MARGIN = 0.025
"""About what M is: it chooses k, and so the speed alone."""

COLUMN_COST = 5e-12
"""Seconds of a product's column for one pair, on one core with AVX512-VNNI."""

GAIN = 2.0
"""How many times faster than float32 int8 must be to be taken: it needs twice as many columns for the same bound."""

_BLOCK = 8192
_LIMIT = 127
_WIDE = 32
"""Rows of a product are filled up to multiples of this: a GPU wants multiples of 8, and more than 16."""


class Int8Heads:
    """Proposes by an exact product of k + m columns of int8 on a torch device. Memory there: (k + m) n bytes."""

    def __init__(self, vectors: Floats, least: float, device: str = "cpu", *, columns: int | None = None) -> None:
        import torch

        d = int(vectors.shape[1])
        basis = leading(vectors)
        self.many = 10_000_000 if device == "cuda" else 1_500_000
        cells = len(vectors) > self.many
        k = min(columns or best_columns(vectors, basis, least - MARGIN, COLUMN_COST, size=1, cells=cells), d)
        turned = basis[:, :k] @ np.linalg.qr(np.random.default_rng(0).standard_normal((k, k)))[0]
        heads, self._step, self.error = _rounded(vectors, turned)
        self._heads = torch.from_numpy(heads).to(device)
        self.tile = (8192, 65_536) if device == "cuda" else TILE
        self.words = f"exact: int8 on {device}, {k} of {d} columns"

    def candidates(self, rows: slice, columns: slice, least: float) -> tuple[Places, Places]:
        """Return the places within `rows` and `columns` of all pairs whose exact cosine is at least `least`."""
        import torch

        high, wide = self._taken(rows), self._taken(columns)
        inner = torch._int_mm(high, wide.T)
        at_least = int(np.floor((least - self.error) / self._step**2))
        if inner.device.type == "cpu":
            found = np.flatnonzero(inner.numpy() >= at_least)
        else:
            found = torch.nonzero((inner >= at_least).ravel()).ravel().cpu().numpy()
        high_place, wide_place = np.divmod(found, len(wide))
        if at_least > 0:  # what a tile was filled up with is zero, and proposes nothing
            return high_place, wide_place
        own = (high_place < rows.stop - rows.start) & (wide_place < columns.stop - columns.start)
        return high_place[own], wide_place[own]

    def part(self, rows: NDArray[np.integer]) -> Int8Heads:
        """Return the same for these rows alone, side by side."""
        import torch

        some = copy(self)
        some._heads = self._heads[torch.from_numpy(rows).to(self._heads.device)]
        return some

    def _taken(self, which: slice) -> torch.Tensor:
        """Return these rows, filled up with zeros to a number of rows that a GPU multiplies."""
        import torch

        some = self._heads[which]
        return torch.nn.functional.pad(some, (0, 0, 0, -len(some) % _WIDE)) if len(some) % _WIDE else some


def best_proposer(vectors: Floats, least: float) -> Proposer:
    """Return the fastest proposer here: int8 with a GPU, or where a try shows it to be faster; float32 elsewhere."""
    device = _device() if len(vectors) >= MANY else ""
    return Int8Heads(vectors, least, device) if device else Heads(vectors, least)


def _device() -> str:
    """Return the torch device that multiplies int8 much faster than numpy does float32, or the empty string."""
    if find_spec("torch") is None:
        return ""
    import torch

    if not hasattr(torch, "_int_mm"):  # not among what torch promises to keep
        return ""
    if torch.cuda.is_available():
        return "cuda"
    return "cpu" if _gain() >= GAIN else ""


def _gain() -> float:
    """Return how many times faster one core multiplies a small tile of int8 than one of float32."""
    import torch

    with one_core():
        whole = torch.ones((256, 64), dtype=torch.int8)
        real = np.ones((256, 64), dtype=np.float32)
        return _seconds(lambda: real @ real.T) / _seconds(lambda: torch._int_mm(whole, whole.T))


def _seconds(work: Callable[[], object]) -> float:
    """Return the shortest of several times."""
    times = []
    for _ in range(8):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def _rounded(vectors: Floats, basis: NDArray[np.float64]) -> tuple[NDArray[np.int8], float, float]:
    """Return the rows as whole numbers, (q, c, .., c), [n, k + m], the step, and what a product may be too low by."""
    n, k = len(vectors), basis.shape[1]
    blocks = [slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK)]
    largest = longest = 0.0
    for block in blocks:
        kept, rest = kept_and_rest(vectors[block], basis)
        largest, longest = max(largest, float(np.abs(kept).max())), max(longest, float(rest.max()))
    step = max(largest, 1e-6) / _LIMIT
    # At least as many columns as let the longest rest fit, and then up to a multiple of 8 for a GPU.
    more = int(np.ceil((longest / (step * (_LIMIT - 1))) ** 2))
    more += -(k + more) % 8
    heads = np.empty((n, k + more), dtype=np.int8)
    left_out = rounded = 0.0
    for block in blocks:
        kept, rest = kept_and_rest(vectors[block], basis)
        whole = np.clip(np.rint(kept / step), -_LIMIT, _LIMIT)
        heads[block, :k] = whole
        heads[block, k:] = np.ceil(rest / (step * more**0.5))[:, None]
        left_out = max(left_out, float(np.square(kept - step * whole).sum(axis=1).max()))
        rounded = max(rounded, float(np.square(step * whole).sum(axis=1).max()))
    return heads, step, 2 * (rounded * left_out) ** 0.5 + left_out + 1e-9
