"""What samples are filtered, sorted and counted by, in memory: a hundred thousand of them in a few milliseconds."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from curate.pipeline.reviews import Review

Numbers = NDArray[Any]
Mask = NDArray[np.bool_]

DECIDED = ("open", "accept", "reject", "edit")
"""What can stand decided of a sample, by number."""


class Columns:
    """One array for each thing known of the samples, in the order of their rows, which begin at 1.

    `causes` are the distinct (stage, reason) of drops, and `cause` is the number of each sample's, -1 for a kept one.
    `near` and `judge` are NaN where there is none; `decision` is a number in DECIDED, and `at` grows with its time.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        query = "SELECT place, kept, stage, reason, near, judge, length FROM samples ORDER BY row"
        rows = connection.execute(query).fetchall()
        place, kept, stage, reason, near, judge, length = zip(*rows, strict=True) if rows else ((),) * 7
        self.place: Numbers = np.array(place, dtype=np.int64)
        self.kept: Mask = np.array(kept, dtype=bool)
        self.near: Numbers = np.array(near, dtype=np.float64)
        self.judge: Numbers = np.array(judge, dtype=np.float64)
        self.length: Numbers = np.array(length, dtype=np.int64)
        numbers: dict[tuple[str, str], int] = {}
        known = [
            -1 if whole else numbers.setdefault((part or "", why or ""), len(numbers))
            for whole, part, why in zip(kept, stage, reason, strict=True)
        ]
        self.cause: Numbers = np.array(known, dtype=np.int64)
        self.causes = list(numbers)
        self.decision: Numbers = np.zeros(len(rows), dtype=np.int64)
        self.at: Numbers = np.zeros(len(rows), dtype=np.int64)
        self._moments = 0

    def __len__(self) -> int:
        return len(self.kept)

    def forget(self) -> None:
        """Take back every decision."""
        self.decision[:] = 0
        self.at[:] = 0

    def decide(self, rows: list[int], review: Review | None) -> None:
        """Note what stands decided of some rows."""
        self._moments += 1
        places = [row - 1 for row in rows]
        self.decision[places] = 0 if review is None else DECIDED.index(review.decision)
        self.at[places] = 0 if review is None else self._moments

    def mask_of(self, rows: Numbers) -> Mask:
        """Return a mask of these rows."""
        mask = np.zeros(len(self), dtype=bool)
        mask[rows - 1] = True
        return mask


def together(masks: Mapping[str, Mask], size: int, without: str = "") -> Mask:
    """Return what all masks but one have in common."""
    mask = np.ones(size, dtype=bool)
    for name, part in masks.items():
        if name != without:
            mask &= part
    return mask
