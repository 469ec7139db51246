"""YAML with the line of every key, and hints for misspelt words: what all files that people write share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import yaml

from curate.errors import ConfigError

KeyPath = tuple[str | int, ...]
"""The keys and list positions that lead to a value, e.g. `("tasks", 0, "name")`."""


def load_marked(text: str, where: str, offset: int = 0) -> tuple[Any, dict[KeyPath, int]]:
    """Return the value of a YAML text and the 1-based line of each key path in it.

    `offset` lines stand before `text` in the file called `where`. Raises ConfigError naming the line where the text is
    no YAML or a key stands twice (YAML itself would silently take the second).
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
        lines: dict[KeyPath, int] = {}
        if node is not None:
            _mark(node, (), lines, where, offset)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1 + offset}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{where}{line}: not valid YAML: {reason}") from None
    return value, lines


def _mark(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], where: str, offset: int) -> None:
    """Enter the lines of everything below `node` under `path`."""
    lines.setdefault(path, node.start_mark.line + 1 + offset)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1 + offset
            if name in seen:
                raise ConfigError(f"{where}:{line}: the key '{name}' stands here and in line {seen[name]}; keep one")
            seen[name] = line
            lines[(*path, name)] = line
            _mark(value, (*path, name), lines, where, offset)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            _mark(value, (*path, position), lines, where, offset)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'width'?"`, or the empty string where nothing known is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""
