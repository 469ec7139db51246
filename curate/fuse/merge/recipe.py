"""The recipe of a merge: a YAML file in the words of mergekit, with every mistake named by its line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.errors import ConfigError
from curate.io.marked import KeyPath, load_marked, nearest

DTYPES = ("float32", "bfloat16", "float16")

SHARED: dict[str, Any] = {
    "normalize": None,
    "lambda": 1.0,
    "t": 0.5,
    "seed": 0,
    "granularity": "matrix",
    "select_topk": 1.0,
    "select": "merge",
}
"""Parameters of the whole merge, with their defaults; `normalize` has the method's own."""

PER_MODEL = {"weight": 1.0, "density": 1.0}

UNREAD = ("int8_mask",)
"""What recipes of mergekit say of its memory, which changes no weight."""

NORMALIZED = ("linear", "ties")
"""Methods that divide by the weights unless told otherwise, as in mergekit and in their papers."""

WORDS = {"granularity": ("matrix", "module", "layer", "model", "total"), "select": ("merge", "weights")}

RANGES = {"t": (0.0, 1.0), "select_topk": (0.0, 1.0), "density": (0.0, 1.0)}

KEYS = ("merge_method", "base_model", "models", "parameters", "dtype", "tokenizer_source")


@dataclass(frozen=True)
class Recipe:
    """A merge: what is merged, how, and in which dtype it is written (None: that of the base, or the first model)."""

    method: str
    base: str | None
    models: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    by_model: tuple[Mapping[str, float], ...] = ()
    dtype: str | None = None
    tokenizer_source: str | None = None

    def shared(self, name: str) -> Any:
        """Return a parameter of the whole merge, or its default."""
        if name == "normalize" and name not in self.parameters:
            return self.method in NORMALIZED
        return self.parameters.get(name, SHARED[name])

    def per_model(self, name: str) -> list[float]:
        """Return a parameter of each model: its own, else that of the whole merge, else the default."""
        common = self.parameters.get(name, PER_MODEL[name])
        return [float(own.get(name, common)) for own in self.by_model]

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as it can be written into a file again."""
        models = [
            {"model": model, **({"parameters": dict(own)} if own else {})}
            for model, own in zip(self.models, self.by_model, strict=True)
        ]
        rest = {
            "base_model": self.base,
            "parameters": dict(self.parameters) or None,
            "dtype": self.dtype,
            "tokenizer_source": self.tokenizer_source,
        }
        return {"merge_method": self.method, "models": models, **{k: v for k, v in rest.items() if v is not None}}


def load_recipe(path: Path) -> Recipe:
    """Return the recipe in a file. Raises ConfigError, which names the line and what would be right."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None
    raw, lines = load_marked(text, str(path))
    return _Reader(str(path), lines).recipe(raw)


def read_recipe(raw: Mapping[str, Any]) -> Recipe:
    """Return the recipe that a mapping holds, as `load_recipe` does of a file."""
    return _Reader("recipe", {}).recipe(dict(raw))


class _Reader:
    """Reads one file; every complaint names the line of the longest part of its key that stands there."""

    def __init__(self, path: str, lines: Mapping[KeyPath, int]) -> None:
        self.path, self.lines = path, lines

    def fail(self, keys: KeyPath, message: str) -> ConfigError:
        line = next((self.lines[keys[:end]] for end in range(len(keys), -1, -1) if keys[:end] in self.lines), 1)
        return ConfigError(f"{self.path}:{line}: {message}")

    def recipe(self, raw: Any) -> Recipe:
        from curate.fuse.merge.methods import METHODS

        if not isinstance(raw, dict):
            raise self.fail((), "a merge recipe has keys: " + ", ".join(KEYS))
        for key in raw:
            if key not in KEYS:
                raise self.fail((key,), f"'{key}' is no key of a merge recipe{nearest(str(key), KEYS)}; {_known(KEYS)}")
        name = raw.get("merge_method")
        if name not in METHODS:
            hint = nearest(str(name), METHODS) if name else ""
            raise self.fail(("merge_method",), f"merge_method: {name!r}{hint}; {_known(METHODS)}")
        method = METHODS[name]
        base = self.text(raw, "base_model")
        if method.base and base is None:
            raise self.fail((), f"{name} needs base_model: the model that the others were trained from")
        # mergekit's files name the base among the models as well.
        listed = self.models(raw.get("models"), {*method.per_model} if method.per_model else set(), name)
        rows = [(model, own) for model, own in listed if not (method.base and model == base and not own)]
        least = 1 if method.base else 2
        if len(rows) < least or (name == "slerp" and len(rows) != 1):
            wanted = "exactly one model besides base_model" if name == "slerp" else f"at least {least}"
            raise self.fail(("models",), f"models: {name} takes {wanted}, found {len(rows)}")
        parameters = self.parameters(raw.get("parameters"), ("parameters",), {*method.shared, *method.per_model}, name)
        dtype, tokenizer = self.text(raw, "dtype"), self.text(raw, "tokenizer_source")
        if dtype is not None and dtype not in DTYPES:
            raise self.fail(("dtype",), f"dtype: {dtype!r}; {_known(DTYPES)}")
        if tokenizer == "union":
            raise self.fail(
                ("tokenizer_source",), "tokenizer_source: vocabularies are not united; name base, a folder or a model"
            )
        recipe = Recipe(
            name,
            base if method.base else None,
            tuple(model for model, _ in rows),
            parameters,
            tuple(own for _, own in rows),
            dtype,
            None if tokenizer == "base" else tokenizer,
        )
        if "weight" in method.per_model and recipe.shared("normalize") and not sum(recipe.per_model("weight")):
            raise self.fail(("models",), "the weights add up to 0 and cannot be normalized; set normalize: false")
        return recipe

    def text(self, raw: Mapping[str, Any], key: str) -> str | None:
        value = raw.get(key)
        if value is not None and not isinstance(value, str):
            raise self.fail((key,), f"{key}: expected a name or a path, found {value!r}")
        return value

    def models(self, raw: Any, allowed: set[str], method: str) -> list[tuple[str, dict[str, float]]]:
        if not isinstance(raw, list):
            raise self.fail(("models",), "models: expected a list of '- model: PATH'")
        rows = []
        for index, entry in enumerate(raw):
            keys: KeyPath = ("models", index)
            row = {"model": entry} if isinstance(entry, str) else entry
            if not isinstance(row, dict) or not isinstance(row.get("model"), str) or {*row} - {"model", "parameters"}:
                raise self.fail(keys, f"models: expected '- model: PATH' with parameters, found {entry!r}")
            rows.append((row["model"], self.parameters(row.get("parameters"), (*keys, "parameters"), allowed, method)))
        return rows

    def parameters(self, raw: Any, keys: KeyPath, allowed: set[str], method: str) -> dict[str, Any]:
        if raw is None:
            return {}
        if not isinstance(raw, dict):
            raise self.fail(keys, f"parameters: expected keys with values, found {raw!r}")
        read = {name: value for name, value in raw.items() if name not in UNREAD}
        for name, value in read.items():
            place = (*keys, name)
            if name not in allowed:
                known = _known(sorted(allowed)) if allowed else "it takes none here"
                raise self.fail(place, f"{method} has no parameter '{name}'; {known}")
            self.check(place, name, value)
        return read

    def check(self, place: KeyPath, name: str, value: Any) -> None:
        if name in WORDS:
            if value not in WORDS[name]:
                raise self.fail(place, f"{name}: {value!r}; {_known(WORDS[name])}")
        elif name == "normalize":
            if not isinstance(value, bool):
                raise self.fail(place, f"normalize: expected true or false, found {value!r}")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.fail(place, f"{name}: expected one number, found {value!r}; gradients over layers are not read")
        elif name in RANGES and not RANGES[name][0] <= value <= RANGES[name][1]:
            raise self.fail(place, f"{name}: expected a number from 0 to 1, found {value!r}")
        elif name == "density" and value == 0:
            raise self.fail(place, "density: 0 would drop every change; leave the model out instead")


def _known(names: Any) -> str:
    return f"known: {', '.join(names)}"
