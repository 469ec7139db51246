"""What a run will take, and what of it is done: said before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.fuse.collect import estimate
from curate.fuse.plan import Plan as CollectPlan
from curate.fuse.run.recipe import Stage
from curate.fuse.run.schema import Collect, Recipe
from curate.fuse.run.state import State
from curate.fuse.run.steps import Step
from curate.fuse.run.work import collection


@dataclass(frozen=True)
class Plan:
    """The steps of a run with those that are `missing`; `calls` is what each collection among these takes.

    `measured` are the names of the models that the table will have, `data` what they are measured on.
    """

    out: Path
    steps: Sequence[Step]
    missing: Sequence[Step]
    calls: Mapping[str, CollectPlan]
    measured: Sequence[str]
    data: Sequence[str]
    notes: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "out": str(self.out),
            "stages": [
                {"step": step.name, "folder": step.folder, "done": step not in self.missing, "about": step.about,
                 "calls": self.calls[step.key].as_json() if step.key in self.calls else None}
                for step in self.steps
            ],
            "measured": list(self.measured),
            "data": list(self.data),
            "notes": list(self.notes),
        }  # fmt: skip


def plan(
    recipe: Recipe, stages: Sequence[Stage], out: Path, state: State, missing: Sequence[Step], measured: Sequence[str]
) -> Plan:
    """Return what the missing steps take.

    Raises:
        InputError: a model, the prompts or a value of a collection cannot be used.
    """
    collects = [stage.options for stage in stages if isinstance(stage.options, Collect)]
    steps = [step for step in state.steps if step.name == "collect"]
    calls = {}
    for step, options in zip(steps, collects, strict=True):
        if step in missing:
            # The model that will be asked may not be there yet.
            target = recipe.target.model if options.target else None
            calls[step.key] = estimate(recipe.prompts or "", collection(recipe, options, target, out / step.folder))
    return Plan(out, state.steps, missing, calls, measured, recipe.eval.data)
