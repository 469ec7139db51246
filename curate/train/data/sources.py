"""Which datasets are trained on: `FILE`, `FILE:0.3`, or a YAML file that lists them."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from curate.errors import ConfigError, InputError
from curate.io.marked import load_marked, nearest
from curate.io.shapes import FIELDS

KEYS = ("path", "weight", "split", "fields")
"""What a dataset of a YAML file can say of itself."""


@dataclass(frozen=True)
class Source:
    """A dataset: what `curate.io.read_samples` reads, or a pattern of such files.

    `weight` is its share of the documents of an epoch, relative to the others'; None for all: each as large as it is.
    `split` and `fields` are those of `read_samples`.
    """

    path: str
    weight: float | None = None
    split: str = "train"
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """The files of a pattern, in the order of their names; any other path as it is.

        Raises InputError where a pattern matches nothing.
        """
        if Path(self.path).exists() or not glob.has_magic(self.path):
            return [self.path]
        pattern = Path(self.path)
        anchor = Path(pattern.anchor)
        if found := sorted(map(str, anchor.glob(str(pattern.relative_to(anchor))))):
            return found
        raise InputError(f"{self.path}: no file has such a name")


def parse_sources(texts: Iterable[str], fields: Mapping[str, str] = MappingProxyType({})) -> tuple[Source, ...]:
    """Return the datasets of a command: `FILE`, `FILE:WEIGHT`, or a `.yaml` with a list of path, weight, split, fields.

    `fields` are those of the datasets that name none themselves.

    Raises:
        InputError: no dataset, one twice, a weight that is no number above 0, or weights for some and not for others.
        ConfigError: a YAML file that is none, named with the line.
    """
    found: list[Source] = []
    for text in texts:
        if text.endswith((".yaml", ".yml")):
            found += _from_yaml(Path(text))
        else:
            path, weight = _weighted(text)
            found.append(Source(path, weight))
    if not found:
        raise InputError("there is no dataset to train on")
    names = [(source.path, source.split) for source in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"{twice[0]}: this dataset is named twice; give it one weight instead")
    without = [source.path for source in found if source.weight is None]
    if without and len(without) < len(found):
        raise InputError(f"{without[0]}: this dataset has no weight and others have one; weights are for all or none")
    return tuple(replace(source, fields=source.fields or fields) for source in found)


def _weighted(text: str) -> tuple[str, float | None]:
    path, colon, weight = text.rpartition(":")
    # A file's own name may have a colon in it.
    if not colon or Path(text).exists():
        return text, None
    try:
        return path, _weight(float(weight), text)
    except ValueError:
        return text, None


def _weight(weight: float, place: str) -> float:
    if not 0 < weight < float("inf"):
        raise InputError(f"{place}: the weight of a dataset is a number above 0, not {weight:g}")
    return weight


def _from_yaml(path: Path) -> list[Source]:
    """Return the datasets that a YAML file lists; relative paths are relative to the file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    rows, lines = load_marked(text, str(path))
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"{path}:1: expected a list of datasets, as in '- {{path: math.jsonl, weight: 0.7}}'")
    return [_from_row(row, f"{path}:{lines[(number,)]}", path.parent) for number, row in enumerate(rows)]


def _from_row(row: Any, place: str, folder: Path) -> Source:
    if isinstance(row, str):
        row = {"path": row}
    if not isinstance(row, dict) or not isinstance(row.get("path"), str):
        raise ConfigError(f"{place}: expected the path of a dataset, as in '- {{path: math.jsonl, weight: 0.7}}'")
    if wrong := next((key for key in row if key not in KEYS), None):
        raise ConfigError(f"{place}: {wrong} is not a key here{nearest(str(wrong), KEYS)} (known: {', '.join(KEYS)})")
    weight, split, fields = row.get("weight"), row.get("split", "train"), row.get("fields") or {}
    if weight is not None and (isinstance(weight, bool) or not isinstance(weight, (int, float))):
        raise ConfigError(f"{place}: weight must be a number, not {weight!r}")
    if not isinstance(split, str):
        raise ConfigError(f"{place}: split must be text, not {split!r}")
    if not isinstance(fields, dict) or any(key not in FIELDS or not isinstance(fields[key], str) for key in fields):
        raise ConfigError(f"{place}: fields names columns for {', '.join(FIELDS)}, as in {{instruction: question}}")
    own = str(folder / row["path"])
    # A name on the Hub is no path.
    path = own if Path(own).exists() or glob.has_magic(own) else row["path"]
    return Source(path, None if weight is None else _weight(float(weight), place), split, fields)
