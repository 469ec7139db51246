"""stages.json: which steps of a run are done, what each came to, and which have to be done (again)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from curate.errors import RunError
from curate.fuse.run.steps import Step
from curate.io import atomic

STAGES = "stages.json"


class State:
    """The steps of a recipe as they lie in a run's folder.

    A step is recorded by its key when it is done. Records of other recipes and of options tried before stay, so that
    going back to them does nothing again.
    """

    def __init__(self, out: Path, steps: Sequence[Step]) -> None:
        self.out, self.steps = out, steps
        self.records: dict[str, dict[str, Any]] = {}
        path = out / STAGES
        if path.exists():
            try:
                value = json.loads(path.read_text(encoding="utf-8"))
                self.records = {row["key"]: row for row in (*value["stages"], *value["others"]) if row["done"]}
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise RunError(f"{path}: damaged ({error}); remove it, and what is there is found again") from error

    def done(self, step: Step) -> bool:
        """Was this step done once?"""
        return step.key in self.records

    def whole(self, step: Step) -> bool:
        """Is what the step left still there, or in a shared folder what includes it?"""
        place = self.out / step.place
        if not step.shared:
            return place.exists()
        later = self.steps[self.steps.index(step) :]
        marks = [self.records[one.key]["mark"] for one in later if one.shared == step.shared and self.done(one)]
        return place.exists() and _mark(place) in marks

    def missing(self, wanted: Iterable[Step]) -> list[Step]:
        """Return the steps that have to be done, in order; what is `wanted` has to be there at the end.

        A step that was done and whose result is gone is done again only where something needs that result.
        """
        needed, missing = set(wanted), []
        for step in reversed(self.steps):
            if not self.done(step) or (step in needed and not self.whole(step)):
                missing.append(step)
                # A folder that is shared is brought forward from whatever it holds.
                needed.update(one for one in step.reads if not one.shared or one.shared != step.shared)
        return missing[::-1]

    def put(self, step: Step, figures: dict[str, Any]) -> None:
        """Record that a step is done."""
        mark = _mark(self.out / step.place) if step.shared else None
        self.records[step.key] = {**_row(step), "done": True, "mark": mark, "figures": figures}
        self.write()

    def figures(self, step: Step) -> dict[str, Any]:
        """Return what a step that is done came to."""
        found: dict[str, Any] = self.records[step.key]["figures"]
        return found

    def write(self) -> None:
        """Write the list of steps."""
        own = {step.key for step in self.steps}
        value = {
            "stages": [self.records.get(step.key, {**_row(step), "done": False}) for step in self.steps],
            "others": [row for key, row in self.records.items() if key not in own],
        }
        with atomic(self.out / STAGES) as file:
            json.dump(value, file, indent=1, ensure_ascii=False)


def _row(step: Step) -> dict[str, Any]:
    return {"step": step.name, "key": step.key, "folder": step.folder, "reads": [one.key for one in step.reads]}


def _mark(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
