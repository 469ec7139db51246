"""The figures of the proof: what each arm answers right, and by how much that differs from another's, seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.fusion_world.makers import SOURCES

Rows = Sequence[Mapping[str, Any]]

NAMES_OF_SOURCES = tuple(one.name for one in SOURCES)

T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120)
"""Student's t at 97.5 % for 1, 2, ... degrees of freedom; more take the last."""

FEWEST = 3
"""Seeds of which an interval is taken."""

BEFORE = "before"
"""What the target before fusion is called among the arms."""


@dataclass(frozen=True)
class Effect:
    """A mean difference over paired seeds with its 95 % interval; the latter is None where there are too few seeds."""

    mean: float
    interval: tuple[float, float] | None
    seeds: int

    @property
    def verdict(self) -> str:
        """What it says, in a word."""
        if self.interval is None:
            return "too few seeds"
        low, high = self.interval
        return "helps" if low > 0 else "hurts" if high < 0 else "no difference shown"

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.mean:+.3f}"
        return f"{self.mean:+.3f} [{self.interval[0]:+.3f}, {self.interval[1]:+.3f}]"


def effect(differences: Sequence[float]) -> Effect | None:
    """Return the mean of one difference per seed, with Student's interval over seeds; None for none.

    The percentiles of a bootstrap over five seeds are a third too narrow.
    """
    if not differences:
        return None
    values = np.asarray(differences, dtype=float)
    if len(values) < FEWEST:
        return Effect(float(values.mean()), None, len(values))
    mean = float(values.mean())
    half = T[min(len(values) - 1, len(T)) - 1] * float(values.std(ddof=1)) / len(values) ** 0.5
    return Effect(mean, (mean - half, mean + half), len(values))


def learnt(rows: Rows, least: float = 0.9) -> dict[int, set[str]]:
    """Return, for each seed, the skills that count: those of which a source answers so many of the tests right.

    A twin is no source: what it alone has learnt, no arm but one could have from it.
    """
    found: dict[int, set[str]] = {}
    for row in rows:
        if row["kind"] == "source" and row["name"] in NAMES_OF_SOURCES:
            skills = {skill for skill, share in row["right"].items() if share >= least}
            found.setdefault(row["seed"], set()).update(skills)
    return found


def by_seed(rows: Rows, arm: str, strength: float, accuracy: float = 1.0, skill: str | None = None) -> dict[int, float]:
    """Return the share of tests that an arm answers right, for each seed: of all skills that count, or of one of them.

    Seeds in which the arm failed, or the skill does not count, are absent.
    """
    skills, found = learnt(rows), {}
    for row in rows:
        shares = _shares(row, arm, strength, accuracy)
        if shares is None:
            continue
        mine = [share for name, share in shares.items() if name in skills[row["seed"]] and skill in (None, name)]
        if mine:
            found[int(row["seed"])] = float(np.mean(mine))
    return found


def _shares(row: Mapping[str, Any], arm: str, strength: float, accuracy: float) -> Mapping[str, float] | None:
    """Return what an arm's row says by skill, None for a row of something else."""
    if row["kind"] == "target" and arm == BEFORE:
        shares: Mapping[str, float] = row["strengths"][str(strength)]["right"]
        return shares
    if row["kind"] != "arm" or (row["arm"], row["strength"], row["accuracy"]) != (arm, strength, accuracy):
        return None
    return row.get("right")


def paired(
    rows: Rows, arm: str, other: str, strength: float, accuracy: float = 1.0, skill: str | None = None
) -> Effect | None:
    """Return arm minus other over the seeds that have both."""
    ones, others = (by_seed(rows, name, strength, accuracy, skill) for name in (arm, other))
    return effect([ones[seed] - others[seed] for seed in sorted(ones) if seed in others])
