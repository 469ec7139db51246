"""What a collection holds of each model, counted from its files."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

from curate.fuse.folder import RESPONSES, SCORES, STATUSES, VERDICTS
from curate.fuse.rewards import NOT_A_NUMBER
from curate.fuse.scores import USEFUL
from curate.io import read_jsonl
from curate.types import TRANSIENT


@dataclass
class ModelTally:
    """Counts of one model: responses by status of their verdict, failed calls by kind, the reasons of verdicts.

    `unscored` counts responses that could be used and got no score, by reason; `total` sums the scores.
    """

    model: str
    role: str
    statuses: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    unscored: Counter[str] = field(default_factory=Counter)
    scored: int = 0
    total: float = 0.0

    @property
    def responses(self) -> int:
        """All that were asked for, failed calls too."""
        return sum(self.statuses.values())

    @property
    def useful(self) -> int:
        """Responses of which something can be made."""
        return sum(self.statuses[status] for status in USEFUL)

    @property
    def share(self) -> float:
        """The share of right responses among those that were found right or wrong; nan for none."""
        told = self.statuses["pass"] + self.statuses["fail"]
        return self.statuses["pass"] / told if told else math.nan

    @property
    def unscored_for_now(self) -> int:
        """Responses whose score may come with the next run."""
        return sum(count for why, count in self.unscored.items() if why in TRANSIENT)

    @property
    def not_numbers(self) -> int:
        """Responses for which the reward model gave no number."""
        return self.unscored[NOT_A_NUMBER]

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return {
            "model": self.model,
            "role": self.role,
            "responses": self.responses,
            **{status: self.statuses[status] for status in STATUSES},
            "pass_share": None if math.isnan(self.share) else self.share,
            "failures": dict(sorted(self.failures.items())),
            "reasons": dict(sorted(self.reasons.items())),
            "scored": self.scored,
            "unscored": dict(sorted(self.unscored.items())),
            "mean_score": self.total / self.scored if self.scored else None,
        }


def count(folder: Path, scored: bool) -> list[ModelTally]:
    """Return the counts of each model and role, in the order of their first response."""
    tallies: dict[tuple[str, str], ModelTally] = {}
    scores = read_jsonl(folder / SCORES) if scored else repeat(None)
    for row, verdict, score in zip(read_jsonl(folder / RESPONSES), read_jsonl(folder / VERDICTS), scores, strict=False):
        named = row["model_id"], row["role"]
        tally = tallies.setdefault(named, ModelTally(*named))
        status = verdict["status"]
        tally.statuses[status] += 1
        if row["failure"]:
            tally.failures[row["failure"]["kind"]] += 1
        elif status in ("error", "timeout") or (status == "fail" and verdict["why"] == "no_final_answer"):
            tally.reasons[verdict["why"]] += 1
        if score is None:
            continue
        if score["score"] is not None:
            tally.scored += 1
            tally.total += score["score"]
        elif status in USEFUL:
            tally.unscored[score["why"]] += 1
    return list(tallies.values())
