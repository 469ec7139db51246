"""Reading the file of a fusion: a shipped one by its name or anybody's by its path, with every mistake by its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from curate.config.files import Marks, explain
from curate.errors import ConfigError
from curate.fuse.merge.recipe import read_recipe
from curate.fuse.run.schema import STAGES, TRAINING, Merge, Recipe, Trained
from curate.io.marked import load_marked, nearest
from curate.train.recipe import load_recipe as load_training

FOLDER = Path(__file__).parents[1] / "recipes"

STANDARD = "fusechat-3.0"
"""The stages of a recipe that names none."""


@dataclass(frozen=True)
class Stage:
    """A stage as a recipe lists it: its kind and its options, of the class that STAGES has for it."""

    kind: str
    options: Any


def shipped_recipes() -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str, given: Mapping[str, Any], data: Sequence[str] = ()) -> tuple[Recipe, tuple[Stage, ...]]:
    """Return the recipe of a shipped name or of a file with its stages.

    What is `given` goes before what the file says, but for sources, which are added to its own; `data` is what is
    measured on.

    Raises:
        ConfigError: no such recipe, or keys or values that cannot be; names every one with its line.
    """
    raw, marks, where = _read(name)
    stages, stage_marks, stage_where = raw.get("stages", STANDARD), marks, where
    if isinstance(stages, str):
        if stages not in shipped_recipes():
            raise ConfigError(
                f"{_place(marks, where, 'stages')}: stages: {stages!r}{nearest(stages, shipped_recipes())}; it takes a "
                f"list of stages or one of {', '.join(shipped_recipes())}"
            )
        shipped, stage_marks, stage_where = _read(stages)
        stages = shipped["stages"]
        # What was published with the stages holds with them.
        raw = {**{key: value for key, value in shipped.items() if key != "published"}, **raw}
    raw = {**raw, **{key: value for key, value in given.items() if key != "sources"}, "stages": stages}
    if data:
        raw["eval"] = {**(raw["eval"] if isinstance(raw.get("eval"), dict) else {}), "data": list(data)}
    if given.get("sources") and isinstance(raw.get("sources", []), list):
        raw["sources"] = [*raw.get("sources", []), *given["sources"]]
    if name in shipped_recipes() and (missing := [key for key in ("target", "eval") if not raw.get(key)]):
        words = {"target": "--target MODEL", "eval": "--data FILE (what everything is measured on)"}
        raise ConfigError(f"{name}: add {' and '.join(words[key] for key in missing)}")
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("\n".join(explain(one, marks, where, Recipe) for one in error.errors())) from None
    return recipe, _stages(recipe.stages, stage_marks, stage_where)


def _read(name: str) -> tuple[dict[str, Any], Marks, str]:
    """Return the content of a recipe, where its keys stand, and what the file is called."""
    shipped = name in shipped_recipes()
    path = FOLDER / f"{name}.yaml" if shipped else Path(name)
    where = f"recipes/{path.name}" if shipped else str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = nearest(name, shipped_recipes())
        raise ConfigError(f"{name}: neither a file nor one of {', '.join(shipped_recipes())}{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: cannot be read ({error})") from None
    raw, lines = load_marked(text, where)
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}:1: a recipe has keys and values (known: {', '.join(Recipe.model_fields)})")
    return raw, {key: (where, line) for key, line in lines.items()}, where


def _place(marks: Marks, where: str, *keys: str | int) -> str:
    return f"{where}:{marks[keys][1]}" if keys in marks else where


def _stages(listed: tuple[dict[str, Any], ...], marks: Marks, where: str) -> tuple[Stage, ...]:
    problems: list[str] = []
    stages = []
    for number, entry in enumerate(listed):
        place = _place(marks, where, "stages", number)
        if len(entry) != 1:
            problems.append(f"{place}: a stage is a name, or a name with its options: 'sft' or 'sft: {{epochs: 3}}'")
            continue
        ((kind, options),) = entry.items()
        if kind not in STAGES:
            problems.append(f"{place}: no stage is called {kind!r}{nearest(str(kind), STAGES)} ({_known()})")
            continue
        try:
            stage = Stage(kind, STAGES[kind].model_validate(options or {}))
            _check(stage)
        except ValidationError as error:
            at = ("stages", number, kind)
            problems += [explain(one, marks, where, STAGES[kind], at) for one in error.errors()]
        except ConfigError as error:
            problems += [f"{place}: {line}" for line in str(error).splitlines()]
        else:
            stages.append(stage)
    if not listed:
        problems.append(f"{_place(marks, where, 'stages')}: stages: there are none ({_known()})")
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(stages)


def _known() -> str:
    return f"known: {', '.join(STAGES)}"


def _check(stage: Stage) -> None:
    """Raise ConfigError for options that are wrong in themselves, though each is of its kind."""
    if isinstance(stage.options, Merge):
        read_recipe(stage.options.recipe("BASE", ("MODEL", "MODEL")))
    elif isinstance(stage.options, Trained) and stage.options.recipe:
        load_training(stage.options.recipe, TRAINING[stage.kind])


def recipe_text(recipe: Recipe) -> str:
    """Return the text of a recipe that reads back as the same one."""
    value = recipe.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)
