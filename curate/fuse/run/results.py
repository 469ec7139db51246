"""What a fusion came to: the target before, the model after every stage, and the sources, on the same data."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import CurateError
from curate.fuse.run.schema import Evaluation
from curate.io import atomic
from curate.train import run_eval
from curate.train.progress import Listener
from curate.train.scores import Difference, Scores

RESULTS, FOLDER = "results.json", "evaluations"

DOUBT = 0.05
"""Two-sided probability of chance below which a stage is said to have helped or to have harmed."""


@dataclass(frozen=True)
class Contender:
    """A model that is measured: what it is called, where its weights are, and who came `before` it in the run."""

    name: str
    model: str
    before: str | None = None


@dataclass(frozen=True)
class Row:
    """One contender on one dataset. `scores` None: it could not be measured here, and `why` says why.

    `change` and `step` are what it has more than the target and than the model before it, sample by sample; None where
    there is none. `verdict` says of `step` whether it helped: better, worse, or no difference beyond chance.
    """

    name: str
    model: str
    data: str
    scores: Scores | None
    change: Difference | None = None
    step: Difference | None = None
    verdict: str = ""
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        told = {"name": self.name, "model": self.model, "data": self.data, "verdict": self.verdict, "why": self.why}
        parts = {"scores": self.scores, "change": self.change, "step": self.step}
        return {**told, **{name: part.as_json() if part else None for name, part in parts.items()}}


def measure(
    contenders: Sequence[Contender], options: Evaluation, out: Path, template: str | None, listener: Listener
) -> list[Row]:
    """Return a row for every contender and dataset; what was measured before is not measured again.

    The first contender is the target. A source that cannot be loaded here has rows without scores.
    """
    by_name = {one.name: one for one in contenders}

    def scores_of(models: Sequence[Contender]) -> tuple[list[Scores], list[Difference]]:
        found = run_eval(
            listener, models=tuple(one.model for one in models), data=options.data, out=out / FOLDER,
            limit=options.limit, new=options.new_tokens, max_length=options.max_length, template=template,
        )  # fmt: skip
        return list(found.scores), list(found.differences)

    rows = []
    first = contenders[0]
    for one in contenders:
        try:
            scores, changes = scores_of([first, one] if one is not first else [one])
        except (CurateError, RuntimeError, OSError) as error:
            if one.before or one is first:
                raise
            rows += [Row(one.name, one.model, data, None, why=str(error).splitlines()[0]) for data in options.data]
            continue
        steps = scores_of([by_name[one.before], one])[1] if one.before and one.before != first.name else changes
        for data in options.data:
            own = next(each for each in scores if each.model == one.model and each.data == data)
            change = next((each for each in changes if each.data == data), None)
            step = next((each for each in steps if each.data == data), None) if one.before else None
            rows.append(Row(one.name, one.model, data, own, change, step, verdict(step)))
    return rows


def verdict(step: Difference | None) -> str:
    """Say whether a model is better than the one before it: by right answers where there are problems, else by loss.

    Answers: the sign test, two-sided, on the problems that only one of the two has right. Loss: its interval.
    """
    if step is None:
        return ""
    if step.gained is not None and step.lost is not None:
        better, sure = step.gained > step.lost, chance(step.gained, step.lost) < DOUBT
    elif step.loss is not None and step.loss.half is not None:
        better, sure = step.loss.value < 0, abs(step.loss.value) > step.loss.half
    else:
        return ""
    return ("better" if better else "worse") if sure else "no difference"


def chance(gained: int, lost: int) -> float:
    """Return how probable a split at least as uneven as this is where both sides are as likely (the sign test)."""
    total, least = gained + lost, min(gained, lost)
    return min(1.0, 2 * sum(math.comb(total, k) for k in range(least + 1)) / (1 << total))


def write_results(path: Path, key: str, model: str, rows: Sequence[Row]) -> None:
    """Write results.json."""
    with atomic(path) as file:
        value = {"key": key, "model": model, "rows": [row.as_json() for row in rows]}
        json.dump(value, file, indent=1, ensure_ascii=False)
