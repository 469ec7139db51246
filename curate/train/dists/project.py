"""Rows of one vocabulary in another: ids by a map, mass summed where ids fall together, the rest in the tail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NONE = -1
"""What a map says of a token that has no counterpart."""


@dataclass(frozen=True)
class Mass:
    """Probabilities: of `ids` [n, k] (NONE: of nothing in particular), `mass` [n, k], and the `rest` [n]."""

    ids: npt.NDArray[np.int64]
    mass: npt.NDArray[np.float64]
    rest: npt.NDArray[np.float64]


def gathered(given: Mass, k: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return ids [n, k], log-probabilities [n, k] descending and tails [n] that sum to 1.

    The mass of equal ids is added up; that of NONE, and of ids beyond the `k` most probable, goes to the tail. Places
    that are not used have id 0 and -inf.
    """
    order = np.argsort(given.ids, 1, kind="stable")
    ids, mass = np.take_along_axis(given.ids, order, 1), np.take_along_axis(given.mass, order, 1)
    for column in range(1, ids.shape[1]):
        same = ids[:, column] == ids[:, column - 1]
        mass[same, column] += mass[same, column - 1]
        mass[same, column - 1] = 0.0
    rest = given.rest + np.where(ids == NONE, mass, 0.0).sum(1)
    mass[ids == NONE] = 0.0
    order = np.argsort(-mass, 1, kind="stable")
    ids, mass = np.take_along_axis(ids, order, 1), np.take_along_axis(mass, order, 1)
    rest += mass[:, k:].sum(1)
    ids, mass = ids[:, :k], mass[:, :k]
    if ids.shape[1] < k:
        wide = ((0, 0), (0, k - ids.shape[1]))
        ids, mass = np.pad(ids, wide), np.pad(mass, wide)
    total = mass.sum(1) + rest
    with np.errstate(divide="ignore"):
        logprobs, tail = np.log(mass / total[:, None]), np.log(np.maximum(rest, 0.0) / total)
    return np.where(mass > 0, ids, 0).astype(np.uint32), logprobs.astype(np.float32), tail.astype(np.float32)
