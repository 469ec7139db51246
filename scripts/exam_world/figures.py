"""The figures of the proof: how well the exam tells known from unknown, and what each treatment is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from curate.pipeline.exam_result import Result
from curate.stages.exam.score import HALF, TWO_THIRDS, mean_leak, votes_leak
from scripts.exam_world.exam import LABEL, WAYS

PASSING = 0.95
"""The share of known facts that pass at the threshold where the passing unknown ones are counted."""

DRAWS = 10_000


def auc(known: Sequence[float], unknown: Sequence[float]) -> float:
    """Return how often a known fact's score is above an unknown one's, ties counting half."""
    ranked = np.sort(unknown)
    below = np.searchsorted(ranked, known, "left") + np.searchsorted(ranked, known, "right")
    return float(below.sum() / 2 / len(known) / len(unknown))


def leak_at(known: Sequence[float], unknown: Sequence[float], passing: float = PASSING) -> float:
    """Return the share of unknown facts at or above the highest threshold that so many known facts reach."""
    ranked = sorted(known, reverse=True)
    threshold = ranked[int(np.ceil(passing * len(ranked))) - 1]
    return float(np.mean([score >= threshold for score in unknown]))


def detection(results: Sequence[Result], known: set[str]) -> dict[str, dict[str, float]]:
    """Return, for each way, how the exam's scores tell the facts in `known` from the others.

    `votes_*` and `mean_*` are the shares that pass the two rules at curate's thresholds; `votes_luck` and `mean_luck`
    what a guesser, and a student as sure as this one is of unknown facts, would pass by luck.
    """
    found: dict[str, dict[str, float]] = {}
    for way in WAYS:
        scores = {result.sample.id: result.scores[LABEL][way] for result in results}
        told = [score for name, score in scores.items() if name in known]
        untold = [score for name, score in scores.items() if name not in known]
        means = [[score.mean or 0.0 for score in group] for group in (told, untold)]
        shares = {
            f"{rule}_{name}": float(np.mean([score.passes(rule, threshold) for score in group]))
            for rule, threshold in (("votes", TWO_THIRDS), ("mean", HALF))
            for name, group in (("known", told), ("unknown", untold))
        }
        rows = [
            [getattr(one, way) for one in result.taken[LABEL]] for result in results if result.sample.id not in known
        ]
        found[way] = {
            "auc": auc(means[0], means[1]),
            "leak": leak_at(means[0], means[1]),
            **shares,
            "votes_luck": votes_leak(3, TWO_THIRDS),
            "mean_luck": float(np.mean([mean_leak(row, HALF) for row in rows])),
        }
    return found


def interval(differences: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """Return the mean of one difference per seed, and its 95 % interval by the bootstrap over seeds."""
    values = np.asarray(differences, dtype=float)
    drawn = np.random.default_rng(seed).integers(len(values), size=(DRAWS, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def by_seed(
    rows: Sequence[Mapping[str, Any]], share: float, arm: str, step: int, group: str, kind: str
) -> dict[int, float]:
    """Return, for each seed, the share of a group's answers that are of a kind after so many steps of an arm."""
    return {
        row["seed"]: row["steps"][str(step)][group][kind]
        for row in rows
        if row["kind"] == "arm" and (row["share"], row["arm"]) == (share, arm)
    }
