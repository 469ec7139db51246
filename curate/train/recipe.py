"""Recipes: the settings of a published training run as a YAML file, shipped or one's own.

Its keys are options of the command in their Python spelling (`max_length`), each with its value, and `source`,
which says where they were published. What a command says itself takes precedence over its recipe.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from curate.errors import ConfigError
from curate.io.marked import load_marked, nearest
from curate.train.settings import Settings

FOLDER = Path(__file__).parent / "recipes"

OWN = ("datasets", "model", "out")
"""Settings that a run has of its own."""

KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "text"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
}
"""What a value may be, by the annotation of the setting."""


@dataclass(frozen=True)
class Recipe:
    """The settings of a recipe by their names in `Settings`, and where they are from."""

    name: str
    source: str
    settings: dict[str, Any]


def shipped_recipes() -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str, kind: type[Settings] = Settings) -> Recipe:
    """Return the recipe of a shipped name or of a file; its keys are fields of `kind`.

    Raises:
        ConfigError: no such recipe, or keys or values that are none; names the line and what would be right.
    """
    shipped = shipped_recipes()
    path = FOLDER / f"{name}.yaml" if name in shipped else Path(name)
    where = f"recipes/{path.name}" if name in shipped else str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = nearest(name, shipped)
        raise ConfigError(f"--recipe {name}: neither a file nor one of {', '.join(shipped)}{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: cannot be read ({error})") from None
    raw, lines = load_marked(text, where)
    known = {
        field.name: str(field.type)
        for field in fields(kind)
        if field.name not in OWN and str(field.type).partition(" | ")[0] in KINDS
    } | {"source": "str"}
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}:1: a recipe has keys and values (known: {', '.join(known)})")
    problems = []
    for key, value in raw.items():
        place = f"{where}:{lines[(str(key),)]}"
        if key not in known:
            problems.append(f"{place}: {key} is not a key here{nearest(str(key), known)} (known: {', '.join(known)})")
        elif complaint := _wrong(value, known[key]):
            problems.append(f"{place}: {key} must be {complaint}, not {value!r}")
    if problems:
        raise ConfigError("\n".join(problems))
    source = str(raw.pop("source", ""))
    return Recipe(path.stem, source, raw)


def _wrong(value: Any, annotation: str) -> str:
    """Return what a value should have been, or nothing where it is right."""
    kind, _, optional = annotation.partition(" | ")
    types, words = KINDS[kind]
    if value is None and optional:
        return ""
    # true is an int to Python, and 2e-5 is text to YAML, which wants 2.0e-5.
    if isinstance(value, types) and not (isinstance(value, bool) and kind != "bool"):
        return ""
    if kind == "float" and isinstance(value, str):
        return "a number (YAML reads 2e-5 as text; write 2.0e-5)"
    return words
