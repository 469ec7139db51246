"""What another threshold would keep of a finished run: its accepted samples, and those that the cosine dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.embed.pairs import MILLION, STEP, TooManyPairs, all_pairs, worth
from curate.stages.greedy import Edges, Relations, curve

if TYPE_CHECKING:
    from curate.embed import Vectors
    from curate.export.report.gather import Gathered
    from curate.finished import FinishedRun

LARGE, SOON = 100_000, 20_000
"""Samples up to which the curve is drawn, and where the page must not keep a run waiting."""

COPY = ("dedup", "semantic_duplicate")


def run_curve(
    run: FinishedRun, found: Gathered, vectors: Vectors, encoder: str, *, soon: bool
) -> dict[str, Any] | None:
    """Return the curve's `points` (threshold, kept), the threshold `applied`, and `of` how many samples.

    `vectors` are those of the points, by the `encoder` of this name. None where they are not the run's own, where not
    all samples are points, or where there is nothing to compare: the curve would be another one.
    """
    applied = run.settings.get("encoder") or {}
    if applied.get("name") != encoder or applied.get("threshold") is None:
        return None
    dropped = found.reasons.index(COPY) + 1 if COPY in found.reasons else -1
    reasons = np.array(found.points.reasons, dtype=np.int64)
    # The accepted ones come first: at the run's own threshold exactly they stay.
    chosen = np.concatenate([np.flatnonzero(reasons == 0), np.flatnonzero(reasons == dropped)])
    if found.points.total > len(reasons) or not 1 < len(chosen) <= (SOON if soon else LARGE):
        return None
    rows = np.ascontiguousarray(vectors[chosen])
    threshold = float(applied["threshold"])
    floor = worth(rows, threshold)
    try:
        pairs = all_pairs(rows, floor, needed=threshold)
    except TooManyPairs:
        return None
    lowest = -(-pairs.floor // STEP)
    levels = sorted({level / 100 for level in range(lowest, 101)} | {threshold})
    edges = Edges(pairs.left, pairs.right, pairs.score, (pairs.floor - 1) / MILLION)
    counts = curve(_relations(rows, edges), np.arange(len(rows)), None, levels)
    return {"points": list(zip(levels, counts, strict=True)), "applied": threshold, "of": len(rows)}


def _relations(rows: Vectors, edges: Edges) -> Relations:
    """Return samples that nothing but the cosine makes the same; equal texts, too, are an edge."""
    count = len(rows)
    numbers, none = np.arange(count, dtype=np.int32), np.zeros(count, dtype=np.uint64)
    no = np.zeros(count, dtype=bool)
    return Relations(
        ids=none,
        content=none,
        row=none,
        group=numbers,
        text=numbers,
        quality=np.zeros(count),
        length=np.zeros(count, dtype=np.int64),
        worded=no,
        known=no,
        semantic=edges,
    )
