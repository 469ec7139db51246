"""What a fusion came to: the target before, the model after every stage, and the sources, on the same data."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError, InputError, without_credentials
from curate.fuse.run.asked import Answers, ask, entries_of
from curate.fuse.run.schema import Recipe
from curate.io import atomic
from curate.train import run_eval
from curate.train.progress import Listener
from curate.train.scores import Difference, Scores, Share
from curate.train.settings import Settings

if TYPE_CHECKING:
    from curate.train.evaluate import Evaluation

RESULTS, FOLDER = "results.json", "evaluations"

DOUBT = 0.05
"""Two-sided probability of chance below which a stage is said to have helped or to have harmed."""


SHOWN = 5e-5
"""Difference of losses (nats) that is worth a word; smaller ones are shown as 0."""

BETTER, WORSE, SAME = "better", "worse", "same"


@dataclass(frozen=True)
class Contender:
    """A model that is measured: what it is called, where its weights are, and the one that it was made from."""

    name: str
    model: str
    before: Contender | None = None


@dataclass(frozen=True)
class Row:
    """One contender on one dataset.

    `scores` are None where its weights are not here, and `answers` are then what it said when it was asked. `change` is
    what it has more than the target, sample by sample, and `step` what it has more than the model `before` it; None
    where there is none. `why` says why it could not be measured.
    """

    name: str
    model: str
    data: str
    scores: Scores | None = None
    answers: Answers | None = None
    before: str | None = None
    change: Difference | None = None
    step: Difference | None = None
    why: str = ""

    @property
    def exact(self) -> Share | None:
        """The share of problems whose marked answer is right."""
        found = self.scores or self.answers
        return found.exact if found else None

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        parts = {"scores": self.scores, "answers": self.answers, "change": self.change, "step": self.step}
        return {
            "name": self.name, "model": self.model, "data": self.data, "before": self.before, "why": self.why,
            **{name: part.as_json() if part else None for name, part in parts.items()},
            "verdict": verdict(self.step) if self.step else None,
        }  # fmt: skip


def measure(recipe: Recipe, contenders: Sequence[Contender], out: Path, listener: Listener) -> list[Row]:
    """Return a row for every contender and dataset, the first contender being the target.

    What was measured before is not measured again. A source that cannot be loaded here has rows without figures.

    Raises:
        Stopped: the budget is spent before all sources were asked.
    """
    measured = _Measured(recipe, out, listener)
    first = contenders[0]
    rows: list[Row] = []
    for one in contenders:
        try:
            rows += measured.rows(one, first)
        except (CurateError, RuntimeError, OSError) as error:
            if one.before or one is first:
                raise
            rows += [Row(one.name, one.model, data, why=_first_line(error)) for data in recipe.eval.data]
    return [*rows, *(row for data in recipe.eval.data for row in _asked(recipe, data, out, listener))]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _asked(recipe: Recipe, data: str, out: Path, listener: Listener) -> Iterator[Row]:
    """Yield the rows of the sources that can only be asked."""
    why, found = "it can only be asked for words", {}
    try:
        found = ask(recipe, data, out, listener)
    except CurateError as error:
        why = _first_line(error)
    for source in entries_of(recipe):
        answers = found.get(source.spec)
        yield Row(
            recipe.named(source), without_credentials(source.spec), data, answers=answers, why="" if answers else why
        )


@dataclass(frozen=True)
class _Measured:
    recipe: Recipe
    out: Path
    listener: Listener

    def evaluated(self, *models: str) -> Evaluation:
        options = self.recipe.eval
        return run_eval(
            self.listener, models=models, data=options.data, out=self.out / FOLDER, limit=options.limit,
            new=options.new_tokens, max_length=options.max_length, template=self.recipe.template,
        )  # fmt: skip

    def rows(self, one: Contender, first: Contender) -> Iterator[Row]:
        """Yield the rows of one contender."""
        if one is not first and not one.before:
            _check_fits(one.model)
        found = self.evaluated(first.model, one.model) if one is not first else self.evaluated(one.model)
        changes = {each.data: each for each in found.differences}
        steps = dict(changes) if one.before else {}
        if one.before and one.before.name != first.name:
            steps = {each.data: each for each in self.evaluated(one.before.model, one.model).differences}
        before = one.before.name if one.before else None
        for scores in found.scores:
            if scores.model == one.model:
                data = scores.data
                yield Row(one.name, one.model, data, scores, None, before, changes.get(data), steps.get(data))


def _check_fits(model: str) -> None:
    """Raise InputError where a source is too large to be loaded here; the system would end the run instead."""
    import torch

    from curate.train.memory import USABLE, free_bytes, size_of
    from curate.train.model import open_config

    settings = Settings((), model, Path())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    weights = size_of(open_config(settings), settings).parameters * (2 if device.type == "cuda" else 4)
    if weights > USABLE * (free := free_bytes(device)):
        raise InputError(
            f"too large to be measured here: {weights / 1e9:,.0f} GB of weights, {free / 1e9:,.0f} GB free"
        )


def verdict(step: Difference) -> dict[str, str]:
    """Say of right answers and of the loss whether each is better, worse, or the same but for chance.

    Answers: the sign test, two-sided, on the problems that only one of the two models has right. Loss: its interval.
    """
    said = {}
    if step.gained is not None and step.lost is not None:
        sure = chance(step.gained, step.lost) < DOUBT
        said["answers"] = SAME if not sure else BETTER if step.gained > step.lost else WORSE
    if step.loss is not None and step.loss.half is not None:
        sure = abs(step.loss.value) > max(step.loss.half, SHOWN)
        said["loss"] = SAME if not sure else BETTER if step.loss.value < 0 else WORSE
    return said


def chance(gained: int, lost: int) -> float:
    """Return how probable a split at least as uneven as this is where both sides are as likely (the sign test)."""
    total, least = gained + lost, min(gained, lost)
    return min(1.0, 2 * sum(math.comb(total, k) for k in range(least + 1)) / (1 << total))


def write_results(path: Path, key: str, model: str, rows: Sequence[Row]) -> None:
    """Write results.json."""
    with atomic(path) as file:
        value = {"key": key, "model": model, "rows": [row.as_json() for row in rows]}
        json.dump(value, file, indent=1, ensure_ascii=False)
