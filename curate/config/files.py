"""Reading and writing domain files. What is wrong is named all at once: file, line, key and what would be right."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from curate.config.schema import Domain, Seed
from curate.errors import ConfigError
from curate.io import atomic, resource
from curate.io.marked import KeyPath, load_marked, nearest
from curate.text import normalise, slug

Marks = dict[KeyPath, tuple[str, int]]
"""File and line of every key, over a file and those it extends."""


class UnknownDomain(ConfigError):
    """The name is neither a shipped domain nor a file: a phrase, from which a domain file can be drafted."""


def shipped_domains() -> list[str]:
    """Return the names of the shipped domains."""
    return sorted(path.stem for path in resource("domains").glob("*.yaml"))


def load_domain(name_or_path: str | Path) -> Domain:
    """Return the domain of a shipped name or of a file, with what it extends resolved and its seeds checked.

    Raises UnknownDomain for a phrase, ConfigError for a file that is missing or wrong.
    """
    path = _find(str(name_or_path), Path())
    raw, marks = _read(path, ())
    problems: list[str] = []
    domain = None
    try:
        domain = Domain.model_validate(raw)
    except ValidationError as error:
        own = _where(path)
        errors = sorted(error.errors(), key=lambda one: _mark_of(marks, _keys(one)))
        problems = [explain(one, marks, own) for one in errors]
    if isinstance(raw.get("seeds"), Path):
        try:
            read_seeds(raw["seeds"])
        except ConfigError as error:
            lines = str(error).splitlines()
            problems += [f"{_at(marks, 'seeds')}: {line}" if line.startswith("seeds:") else line for line in lines]
    problems = problems or (_seed_tasks(domain, marks) if domain else [])
    if domain is None or problems:
        raise ConfigError("\n".join(problems))
    return domain


def _at(marks: Marks, *keys: str | int) -> str:
    """Return `file:line` of a key."""
    file, line = _mark_of(marks, keys)
    return f"{file}:{line}"


def _mark_of(marks: Marks, keys: KeyPath) -> tuple[str, int]:
    """Return file and line of the longest part of `keys` that stands in a file."""
    return next(marks[keys[:end]] for end in range(len(keys), -1, -1) if keys[:end] in marks)


def _find(name: str, folder: Path) -> Path:
    """Return the file of a shipped name or of a path, which is relative to `folder`."""
    shipped = shipped_domains()
    if name in shipped:
        return resource("domains") / f"{name}.yaml"
    path = folder / name
    if path.is_file():
        return path
    # "TCP/IP networking" is a phrase like any other.
    if name.endswith((".yaml", ".yml")):
        raise ConfigError(f"there is no domain file {path}")
    # A path and no phrase, such as runs/tenancy-law: it must not be paid for as a phrase to draft.
    if "/" in name and path.is_dir():
        inside = path / "domain.yaml"
        hint = f"its domain file is {inside}" if inside.is_file() else "give the path of a .yaml file"
        raise ConfigError(f"{path} is a folder and no domain file; {hint}")
    known = f"(known: {', '.join(shipped)})"
    raise UnknownDomain(f"'{name}' is neither a shipped domain nor a file{nearest(name, shipped)} {known}")


EXAM_PATHS = ("documents", "shots", "refusals")
"""What the part `exam` names by paths relative to its file."""


def _read(path: Path, above: tuple[Path, ...]) -> tuple[dict[str, Any], Marks]:
    """Return the raw mapping of a file merged over what it extends, with an absolute seeds path, and its marks."""
    where = _where(path)
    if path.resolve() in above:
        raise ConfigError(f"{where}: extends itself: {' -> '.join(p.name for p in (*above, path))}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: cannot be read: {error}") from None
    raw, lines = load_marked(text, where)
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}:1: a domain file has keys, e.g. 'root:' (known: {', '.join(_known(()))})")
    marks: Marks = {key: (where, line) for key, line in lines.items()}
    raw.setdefault("name", path.stem)
    if isinstance(raw.get("seeds"), str):
        raw["seeds"] = (path.parent / raw["seeds"]).resolve()
    if isinstance(raw.get("exam"), dict):
        named = {name: value for name in EXAM_PATHS if isinstance(value := raw["exam"].get(name), str)}
        raw["exam"] |= {name: (path.parent / value).resolve() for name, value in named.items()}
    if "extends" not in raw:
        return raw, marks
    base = raw.pop("extends")
    if not isinstance(base, str):
        raise ConfigError(f"{_at(marks, 'extends')}: extends takes a shipped domain or a file, not {base!r}")
    try:
        found = _find(base, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{_at(marks, 'extends')}: extends: {error}") from None
    inherited, inherited_marks = _read(found, (*above, path.resolve()))
    return _merge(inherited, raw), {**inherited_marks, **marks}


def _merge(base: Any, own: Any) -> Any:
    """Return `own` over `base`: mappings key by key, anything else replaced."""
    if isinstance(base, Mapping) and isinstance(own, Mapping):
        return {**base, **{key: _merge(base[key], value) if key in base else value for key, value in own.items()}}
    return own


def _where(path: Path) -> str:
    shipped = resource("domains")
    return f"domains/{path.name}" if path.parent == shipped else str(path)


def _keys(error: Any) -> KeyPath:
    """Return the key path of a pydantic error, without the names that pydantic puts between for unions and keys."""
    return tuple(part for part in error["loc"] if part not in ("[key]", "<path>", "<rows>"))


def explain(error: Any, marks: Marks, where: str, schema: type[BaseModel] = Domain, at: KeyPath = ()) -> str:
    """Return one line for a pydantic error: place, key, value and what would be right.

    `schema` is what was validated, and `at` are the keys in the file that lead to it.
    """
    below = _keys(error)
    path = (*at, *below)
    place, name = where, ".".join(str(part) for part in path) or "the file"
    if marks:
        file, line = _mark_of(marks, path)
        place = f"{file}:{line}" if file == where else f"{file}:{line} (extended by {where})"
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden" or "[key]" in error["loc"]:
        known = _known(below[:-1], schema)
        return f"{place}: {name} is not a key here{nearest(str(path[-1]), known)} (known: {', '.join(known)})"
    if kind == "missing":
        return f"{place}: {name} is missing"
    if kind == "value_error":
        return f"{place}: {name}: {context['error']}"
    if kind == "literal_error":
        choices = context["expected"].replace("'", "").replace(" or ", ", ")
        return f"{place}: {name} must be one of {choices}, not {value!r}{nearest(str(value), choices.split(', '))}"
    wanted = _WANTED.get(kind, error["msg"].removeprefix("Input should be ").removeprefix("a valid "))
    return f"{place}: {name} must be {wanted.format(**context)}, not {_short(value)}"


_WANTED = {
    "string_type": "text (in quotes)",
    "invalid_key": "text (in quotes)",
    "string_too_short": "text that is not empty",
    "string_too_long": "at most {max_length} characters",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
}
"""Plain words for what pydantic expected, by its error type."""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _known(path: KeyPath, schema: type[BaseModel] = Domain) -> list[str]:
    """Return the keys that the schema knows at `path`."""
    model: Any = schema
    for part in path:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        if field is None:
            break
        model = _model_in(field.annotation)
    if isinstance(model, tuple):
        return list(model)
    extends = ["extends"] if model is Domain else []
    return [*model.model_fields, *extends]


def _model_in(annotation: Any) -> Any:
    """Return the model, or the tuple of roles, that an annotation holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    arguments = get_args(annotation)
    if arguments and all(isinstance(argument, str) for argument in arguments):
        return arguments
    return next((found for argument in arguments if (found := _model_in(argument)) is not None), None)


def read_seeds(path: Path) -> tuple[Seed, ...]:
    """Return the seed samples of a JSONL file; raises ConfigError with one line per wrong row, naming file and line."""
    where = _where(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = "there is no file" if isinstance(error, FileNotFoundError) else "cannot be read:"
        raise ConfigError(f"seeds: {reason} {path}") from None
    seeds, problems = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            seeds.append(Seed.model_validate(json.loads(line)))
        except json.JSONDecodeError as error:
            problems.append(f"{where}:{number}: not valid JSON: {error.msg} (column {error.colno})")
        except ValidationError as error:
            problems += [_explain_row(one, f"{where}:{number}") for one in error.errors()]
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(seeds)


def _explain_row(error: Any, place: str) -> str:
    if not error["loc"]:
        return f"{place}: a seed must be an object with instruction and output, not {_short(error['input'])}"
    name, known = str(error["loc"][0]), list(Seed.model_fields)
    if error["type"] == "extra_forbidden":
        return f"{place}: {name} is not a key of a seed{nearest(name, known)} (known: {', '.join(known)})"
    if error["type"] == "missing":
        return f"{place}: {name} is missing"
    return f"{place}: {name} must be {_WANTED.get(error['type'], error['msg'])}, not {_short(error['input'])}"


def _seed_tasks(domain: Domain, marks: Marks) -> list[str]:
    """Return a line for each seed whose task the domain file does not have."""
    names = [task.name for top in domain.tasks for task in top.walk()]
    known = {normalise(name) for name in names}
    listed = f"(known: {', '.join(names)})" if names else "(the domain file lists no tasks)"
    return [
        f"{_at(marks, 'seeds')}: seed {number} belongs to the task '{row['task']}', which is not in the file"
        f"{nearest(row['task'], names)} {listed}"
        for number, row in enumerate(domain.seed_examples(), 1)
        if "task" in row and normalise(row["task"]) not in known
    ]


def domain_from_draft(draft: Mapping[str, Any], phrase: str, language: str = "en") -> Domain:
    """Return the domain that a model drafted for `phrase` (a valid reply to the prompt explore/domain).

    The name comes from the phrase, since it becomes a folder. Raises ConfigError naming what cannot be used.
    """
    distinct: dict[str, dict[str, Any]] = {}
    for task in draft["tasks"]:
        distinct.setdefault(normalise(task["name"]), dict(task))
    try:
        return Domain.general(
            slug(phrase),
            {"name": draft["root"], "description": draft["description"]},
            language,
            tasks=list(distinct.values()),
            seeds=[dict(seed) for seed in draft["seeds"]],
            guidance=draft["guidance"],
            rubric=draft["rubric"],
            verify={"kind": draft["verify"]},
        )
    except ValidationError as error:
        raise ConfigError("\n".join(explain(one, {}, f"the draft of '{phrase}'") for one in error.errors())) from None


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Unquoted, PyYAML would write a line separator such as U+0085 so that it reads as a space.
    odd = any(not character.isprintable() and character != "\n" for character in text)
    style = '"' if odd else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def write_domain(domain: Domain, path: Path) -> None:
    """Write a domain file that `load_domain` reads back as the same domain; a seeds file is named relative to `path`.

    Only what differs from the defaults is written, and the rules and `explore` always, since they are what one edits.
    Raises RunError where the file cannot be written.
    """
    value = domain.model_dump(mode="json", exclude_defaults=True)
    value = {"name": domain.name, "language": domain.language, **value}
    for part in ("explore", "rules"):
        value[part] = getattr(domain, part).model_dump(mode="json", exclude_none=True)
    for name in EXAM_PATHS:
        if domain.exam is not None and (named := getattr(domain.exam, name)) is not None:
            value["exam"][name] = os.path.relpath(named, path.resolve().parent)
    if isinstance(domain.seeds, Path):
        value["seeds"] = os.path.relpath(domain.seeds, path.resolve().parent)
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    with atomic(path) as out:
        out.write(text)
