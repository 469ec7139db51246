"""The largest groups of near-duplicates: who was kept, and who was dropped for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from curate.pipeline.dedup_find import Found
from curate.stages.dedup import STAGE_OF
from curate.stages.greedy import KEPT, REASONS, Decisions

LARGEST = 40
"""Groups that are shown."""

COPIES = 8
"""Dropped samples shown of a group, the least alike: by those a threshold is judged."""


@dataclass(frozen=True)
class Group:
    """A kept sample, how many were dropped for it, and some of those, all as rows of the files."""

    count: int
    kept: dict[str, Any]
    copies: list[dict[str, Any]]


def groups(found: Found, decided: Decisions) -> list[Group]:
    """Return the largest groups, the largest first; equals as the kept samples came."""
    dropped = np.flatnonzero(decided.reason != KEPT)
    kept, counts = np.unique(decided.neighbour[dropped], return_counts=True)
    largest = np.lexsort((kept, -counts))[:LARGEST]
    # Sorted once, so that a group of a million is a slice.
    dropped = dropped[np.lexsort((dropped, decided.score[dropped], decided.neighbour[dropped]))]
    starts = np.searchsorted(decided.neighbour[dropped], kept[largest])
    made = []
    for place, count, start in zip(kept[largest].tolist(), counts[largest].tolist(), starts.tolist(), strict=True):
        copies = dropped[start : start + min(count, COPIES)].tolist()
        made.append(Group(count, _row(found, place), [_dropped(found, decided, copy) for copy in copies]))
    return made


def _row(found: Found, place: int) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(found.rows.line(place))
    return row


def _dropped(found: Found, decided: Decisions, place: int) -> dict[str, Any]:
    reason = REASONS[decided.reason[place]]
    score = float(decided.score[place])
    return _row(found, place) | {"dropped": {"stage": STAGE_OF[reason], "reason": reason, "score": score}}
