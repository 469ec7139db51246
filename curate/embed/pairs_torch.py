"""Pairs proposed in bfloat16 by torch, where a GPU or a processor with matrix units multiplies it many times faster.

Only the proposing is done here; `pairs` decides, so that the set of pairs is the same. Nobody has measured it yet.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from curate.embed.pairs import Floats, Heads, Proposer

MANY = 50_000
"""Rows from which loading torch, some seconds, is worth it."""

_UNIT = 2.0**-8
ERROR = 3 * _UNIT + _UNIT**2 + 1e-4
"""By how much a bfloat16 product of (h, r) may be too low: both factors and the result rounded, `pairs` has the proof.

The last part covers summing in float32, and the rounding of h and r to float32 before, up to 1,000 columns.
"""

_MOST_COLUMNS = 1000


class BfloatHeads:
    """Proposes by a product of k + 1 bfloat16 columns on a torch device. Memory there: 2 (k + 1) n bytes."""

    def __init__(self, vectors: Floats, least: float, device: str, *, columns: int | None = None) -> None:
        import torch

        heads = Heads(vectors, least - ERROR, columns=columns)
        self._torch = torch
        self._heads = torch.from_numpy(np.ascontiguousarray(heads.heads)).to(device, torch.bfloat16)
        self.tile = (8192, 65_536) if device == "cuda" else (1024, 1024)
        self.words = f"exact: bfloat16 on {device}, {heads.columns} of {vectors.shape[1]} columns"

    def candidates(self, rows: slice, columns: slice, least: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the places within `rows` and `columns` of all pairs whose exact cosine is at least `least`."""
        inner = self._heads[rows] @ self._heads[columns].T
        right, left = self._torch.nonzero(inner.float() >= least - ERROR, as_tuple=True)
        return right.cpu().numpy(), left.cpu().numpy()


def best_proposer(vectors: Floats, least: float) -> Proposer:
    """Return the fastest proposer here: bfloat16 with a GPU or matrix units, float32 elsewhere and for few rows."""
    device = _device() if len(vectors) >= MANY and vectors.shape[1] <= _MOST_COLUMNS else ""
    return BfloatHeads(vectors, least, device) if device else Heads(vectors, least)


def _device() -> str:
    """Return the torch device that multiplies bfloat16 in units of its own, or the empty string."""
    if find_spec("torch") is None:
        return ""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return "cpu" if amx is not None and amx() else ""
