"""The models whose responses are collected, each with how it is sampled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from curate.errors import ConfigError, InputError, without_credentials
from curate.fuse.split import Side
from curate.io.marked import KeyPath, load_marked, nearest
from curate.models import ModelOptions

Role = Literal["source", "target"]

OPTIONS = ("rpm", "tpm", "concurrency", "timeout", "price_in", "price_out")
"""Settings of `ModelOptions` that a file may give a model."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model is sampled: `n` responses to every prompt, of at most `max_tokens` tokens each.

    The defaults of temperature and top_p are FuseChat-3.0's for all of its sources but one (fusion.md, section 3).
    """

    n: int = 5
    temperature: float = 0.8
    top_p: float = 0.95
    repetition_penalty: float | None = None
    max_tokens: int = 2048

    def parameters(self) -> dict[str, float]:
        """Return what a request has besides temperature and max_tokens."""
        penalty = {} if self.repetition_penalty is None else {"repetition_penalty": self.repetition_penalty}
        return {"top_p": self.top_p, **penalty}


@dataclass(frozen=True)
class Source:
    """A model by its spec, how it is sampled, and whether it is the target or one of the sources.

    It is asked the prompts of a `side` alone, where nobody reads what it says to the others.
    """

    spec: str
    role: Role = "source"
    sampling: Sampling = Sampling()
    options: ModelOptions = field(default_factory=ModelOptions)
    side: Side | None = None

    def calls(self, prompt_id: str) -> int:
        """Return how many responses it gives to a prompt."""
        return self.sampling.n if self.side is None or self.side.has(prompt_id) else 0

    @property
    def local(self) -> bool:
        """Whether a server is started here for it; two at the same time may not fit into memory."""
        return self.spec.partition(":")[0] in ("vllm", "hf")

    def as_json(self) -> dict[str, Any]:
        """Return the model and its sampling as JSON values, without credentials."""
        side = {} if self.side is None else {"side": asdict(self.side)}
        return {"spec": without_credentials(self.spec), "role": self.role, **asdict(self.sampling), **side}


def name_of(spec: str) -> str:
    """Return the name in a model's spec, without what stands before it and where it is served."""
    return spec.partition(":")[2].partition("@http")[0] or spec


def check_sampling(sampling: Sampling, place: str) -> None:
    """Raise InputError, which begins with `place`, for a value that cannot be."""
    for name, good, takes in (
        ("n", sampling.n >= 1, "a whole number from 1"),
        ("temperature", 0 <= sampling.temperature <= 2, "0 to 2"),
        ("top_p", 0 < sampling.top_p <= 1, "a number above 0, up to 1"),
        ("repetition_penalty", 0 < (sampling.repetition_penalty or 1) < math.inf, "a number above 0"),
        ("max_tokens", sampling.max_tokens >= 1, "a whole number from 1"),
    ):
        if not good:
            raise InputError(f"{place}: {name} is {getattr(sampling, name)!r}; it takes {takes}")
    if sampling.n > 1 and not sampling.temperature:
        raise InputError(f"{place}: at temperature 0 the {sampling.n} responses would be the same one; give n: 1")


def check_sources(sources: Sequence[Source]) -> None:
    """Raise InputError where there is no model, more than one target, or one model twice in the same role."""
    if not sources:
        raise InputError(
            "which models? Give --source SPEC (repeatable) or --models FILE.yaml: openai:NAME@URL, vllm:NAME, hf:NAME, "
            "scripted:FILE.py"
        )
    if len([source for source in sources if source.role == "target"]) > 1:
        raise InputError("there can be one target; give the others as sources")
    seen: set[tuple[str, str]] = set()
    for source in sources:
        if (source.role, source.spec) in seen:
            raise InputError(f"--{source.role} {source.spec} is given twice; n says how many responses it gives")
        seen.add((source.role, source.spec))


def all_sources(specs: Sequence[str], target: str | None, file: Path | None, sampling: Sampling) -> list[Source]:
    """Return the models of a file, if there is one, then those named one by one, which are sampled as it says for all.

    Raises:
        ConfigError: as `load_sources`.
    """
    found, shared = load_sources(file, sampling) if file is not None else ([], sampling)
    named = [Source(spec, "source", shared) for spec in specs]
    return [*found, *named, *([Source(target, "target", shared)] if target else [])]


def load_sources(path: Path, base: Sampling) -> tuple[list[Source], Sampling]:
    """Return the models of a YAML file, and the sampling of those that say nothing of their own.

    The file has `sources`, a list, and `target`, each a spec or an object with `spec`, any field of `Sampling` and any
    of OPTIONS. Fields of `Sampling` at its top hold for all models; where it is silent, `base` does.

    Raises:
        ConfigError: the file cannot be read, or has a key or a value that cannot be; the message names the line.
    """
    try:
        value, lines = load_marked(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: expected an object with 'sources', found {type(value).__name__}")
    reader = _Reader(str(path), lines)
    reader.known(value, ("sources", "target", *_names(Sampling)), ())
    shared = reader.settings(value, base, _names(Sampling), ())
    entries = value.get("sources") or []
    if not isinstance(entries, list):
        raise ConfigError(f"{reader.at(('sources',))}: 'sources' is a list of models")
    found = [reader.model(entry, "source", shared, ("sources", number)) for number, entry in enumerate(entries)]
    if value.get("target") is not None:
        found.append(reader.model(value["target"], "target", shared, ("target",)))
    return found, shared


Settings = TypeVar("Settings", Sampling, ModelOptions)


@dataclass(frozen=True)
class _Reader:
    """Reads the parts of a file, and names the line of what is wrong."""

    path: str
    lines: dict[KeyPath, int]

    def at(self, where: KeyPath) -> str:
        return f"{self.path}:{self.lines[where]}" if where in self.lines else self.path

    def known(self, value: Mapping[str, Any], names: Sequence[str], where: KeyPath) -> None:
        for key in value:
            if key not in names:
                raise ConfigError(
                    f"{self.at((*where, key))}: no setting is called {key!r}{nearest(str(key), names)}; there are "
                    f"{', '.join(names)}"
                )

    def settings(self, value: Mapping[str, Any], base: Settings, names: Sequence[str], where: KeyPath) -> Settings:
        """Return `base` with the numbers that `value` gives."""
        changes: dict[str, Any] = {}
        for name in names:
            if name not in value:
                continue
            given, whole = value[name], name in ("n", "max_tokens", "concurrency")
            if isinstance(given, bool) or not isinstance(given, int if whole else (int, float)):
                kind = "a whole number" if whole else "a number"
                raise ConfigError(f"{self.at((*where, name))}: {name} is {given!r}; it takes {kind}")
            changes[name] = given if whole else float(given)
        changed = replace(base, **changes)
        if isinstance(changed, Sampling):
            check_sampling(changed, self.at(where))
        return changed

    def model(self, entry: Any, role: str, shared: Sampling, where: KeyPath) -> Source:
        if isinstance(entry, str):
            entry = {"spec": entry}
        if not isinstance(entry, dict) or not isinstance(entry.get("spec"), str):
            raise ConfigError(f"{self.at(where)}: expected a model's spec, or an object with 'spec'")
        self.known(entry, ("spec", *_names(Sampling), *OPTIONS), where)
        sampling = self.settings(entry, shared, _names(Sampling), where)
        options = self.settings(entry, ModelOptions(), OPTIONS, where)
        return Source(entry["spec"], cast("Role", role), sampling, options)


def _names(kind: type[Sampling]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind))
