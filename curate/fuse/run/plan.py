"""What a run will take, and what of it is done: said before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from curate.fuse.collect import estimate
from curate.fuse.plan import Plan as CollectPlan
from curate.fuse.plan import Step as Calls
from curate.fuse.prompts import read_prompts
from curate.fuse.run.asked import calls_of
from curate.fuse.run.recipe import Stage
from curate.fuse.run.schema import Collect, Recipe
from curate.fuse.run.sides import sides_of
from curate.fuse.run.state import State
from curate.fuse.run.steps import Step
from curate.fuse.run.work import collection
from curate.io import read_samples
from curate.text import content_id


@dataclass(frozen=True)
class Plan:
    """The steps of a run with those that are `missing`; `calls` is what each collection among these takes.

    `measured` are the names of the models that the table will have, `data` what they are measured on, `asked` the calls
    that this takes of sources whose weights are not here. `shared` counts the samples of `data` whose question is also
    among the prompts that are learnt from. `refused` says by their keys why steps cannot be done: a server does
    not give what they need.
    """

    out: Path
    steps: Sequence[Step]
    missing: Sequence[Step]
    calls: Mapping[str, CollectPlan]
    measured: Sequence[str]
    data: Sequence[str]
    refused: Mapping[str, str]
    asked: int = 0
    shared: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "out": str(self.out),
            "stages": [
                {"step": step.name, "folder": step.folder, "done": step not in self.missing, "about": step.about,
                 "refused": self.refused.get(step.key, ""),
                 "calls": self.calls[step.key].as_json() if step.key in self.calls else None}
                for step in self.steps
            ],
            "measured": list(self.measured),
            "data": list(self.data),
            "asked": self.asked,
            "shared": self.shared,
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
    for step, options, sides in zip(steps, collects, sides_of(recipe, stages), strict=True):
        if step in missing:
            # The model that will be asked may not be there yet.
            target = recipe.target.model if options.target else None
            found = estimate(
                recipe.prompts or "", collection(recipe, options, collects[0], sides, target, out, out / step.folder)
            )
            calls[step.key] = found if step is steps[0] else _later(found)
    asks = [(step.key, step.refusal(out, out / step.folder)) for step in missing if step.refusal]
    refused = {key: why for key, why in asks if why}
    return Plan(
        out, state.steps, missing, calls, measured, recipe.eval.data, refused, calls_of(recipe), _shared(recipe)
    )


def _later(found: CollectPlan) -> CollectPlan:
    """Return what a later collection takes: the first asked the sources all that any stage reads, and graded it."""
    known = sum(one.calls for one in found.steps if one.role == "source")
    rest = [one for one in found.steps if one.role != "source"]
    return replace(found, steps=[_without(one, known) if one.role == "judge" else one for one in rest])


def _without(one: Calls, known: int) -> Calls:
    """Return the calls of a model without those that are made before."""
    calls = one.calls - known
    part = calls / max(1, one.calls)
    return replace(
        one, calls=calls, paid=max(0, one.paid - known), input_tokens=round(one.input_tokens * part),
        output_tokens=round(one.output_tokens * part), cost=None if one.cost is None else one.cost * part,
    )  # fmt: skip


def _shared(recipe: Recipe) -> int:
    """Return how many samples that are measured on ask what the prompts ask too."""
    if recipe.prompts is None:
        return 0
    asked = {prompt.id for prompt, _ in read_prompts(recipe.prompts)}
    return sum(
        content_id(turns) in asked
        for data in recipe.eval.data
        for sample in islice(read_samples(data, documents=True), recipe.eval.limit)
        if (turns := list(takewhile(lambda turn: turn["role"] != "assistant", sample.messages)))
    )
