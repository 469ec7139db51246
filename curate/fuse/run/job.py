"""`curate fuse run`: from prompts to a fused model that is measured, stage by stage."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from curate.errors import CurateError, ModelError
from curate.fuse.run.asked import entries_of
from curate.fuse.run.look import look
from curate.fuse.run.plan import Plan, plan
from curate.fuse.run.recipe import Stage, recipe_text
from curate.fuse.run.results import RESULTS, Contender, Row, measure, write_results
from curate.fuse.run.schema import Recipe
from curate.fuse.run.state import State
from curate.fuse.run.steps import TARGET, Step, steps_of
from curate.fuse.run.work import Job
from curate.fuse.sample import Stopped
from curate.io import atomic
from curate.run import RunDirectory, key_of
from curate.train.progress import Listener


@dataclass
class Fused:
    """What a run has come to. `stopped` is "" where it is whole, else "budget" or "stopped".

    `done` are the steps that were done now; `figures` what each came to, by its key; `rows` the table, one for each
    model and dataset; `model` the folder of the model that came out, None where nothing was done.
    """

    out: Path
    plan: Plan
    done: list[Step] = field(default_factory=list)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    model: Path | None = None
    stopped: str = ""

    @property
    def exit_code(self) -> int:
        """3 where the same command goes on, else 0."""
        return 3 if self.stopped else 0

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        now = {step.key for step in self.done}
        planned = self.plan.as_json()
        for row, step in zip(planned["stages"], self.plan.steps, strict=True):
            row |= {"done": row["done"] or step.key in now, "figures": self.figures.get(step.key)}
        return {
            **planned,
            "model": str(self.model) if self.model else None,
            "stopped": self.stopped,
            "rows": [row.as_json() for row in self.rows],
        }


def run(
    recipe: Recipe,
    stages: Sequence[Stage],
    out: Path,
    listener: Listener | None = None,
    *,
    planned: Callable[[Plan], None] = lambda plan: None,
    plan_only: bool = False,
) -> Fused:
    """Do what is missing of a recipe in the folder `out`, and measure what came of it.

    `planned` is shown what it will take before anything is spent; with `plan_only` nothing is done then.

    Raises:
        InputError: something cannot be used; whatever can be known before is said before anything is spent.
        RunError: another process works in the folder.
        ModelError: a model cannot be used; what was done is kept.
    """
    listener = listener or Listener()
    listener.doing("looks at models and data")
    steps = steps_of(recipe, stages, look(recipe, stages, out))
    contenders = _contenders(recipe, out, steps)
    state = State(out, steps)
    missing = state.missing(step for step in steps if step.makes)
    fused = Fused(out, plan(recipe, stages, out, state, missing, _names(recipe, contenders)))
    planned(fused.plan)
    if refused := [f"{step.name}: {fused.plan.refused[step.key]}" for step in steps if step.key in fused.plan.refused]:
        raise ModelError("\n".join(refused))
    if plan_only:
        return fused
    with RunDirectory(out):
        state = State(out, steps)  # another process may have brought it forward
        with atomic(out / "recipe.yaml") as file:
            file.write(recipe_text(recipe))
        for step in state.missing(step for step in steps if step.makes):
            try:
                _do(step, Job(recipe, out, _numbered(listener, steps, step)), state)
            except Stopped as stop:
                fused.stopped = str(stop)
                return fused
            fused.done.append(step)
        fused.figures = {step.key: state.figures(step) for step in steps if state.done(step)}
        fused.model = out / [step for step in steps if step.makes][-1].place
        try:
            fused.rows = measure(recipe, contenders, out, listener)
        except Stopped as stop:
            fused.stopped = str(stop)
            return fused
        write_results(out / RESULTS, key_of([step.key for step in steps]), str(fused.model), fused.rows)
    return fused


def _numbered(listener: Listener, steps: Sequence[Step], step: Step) -> Listener:
    """Return a listener that says which of the steps it is."""
    place = f"{steps.index(step) + 1} of {len(steps)}, {step.name}"
    return replace(listener, doing=lambda name: listener.doing(f"{place}: {name}"))


def _do(step: Step, job: Job, state: State) -> None:
    job.listener.doing("begins")
    try:
        state.put(step, step.work(job, job.out / step.folder))
    except CurateError as error:
        error.args = (f"{step.name}: {error}",)
        raise
    finally:
        _release()


def _release() -> None:
    """Give back the memory of a device, which the next step or a server for it may need."""
    gc.collect()
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _names(recipe: Recipe, contenders: Sequence[Contender]) -> list[str]:
    asked = [recipe.named(one) for one in entries_of(recipe)]
    return [*(one.name for one in contenders), *asked]


def _contenders(recipe: Recipe, out: Path, steps: Sequence[Step]) -> list[Contender]:
    """Return the target, every model that was made, and the sources whose weights are known."""
    found = {TARGET: Contender(TARGET, recipe.target.model)}
    for step in steps:
        if step.makes:
            found[step.makes] = Contender(step.makes, str(out / step.place), found[step.start])
    sources = [Contender(recipe.named(one), one.model) for one in recipe.sources if one.model]
    return [*found.values(), *sources]
