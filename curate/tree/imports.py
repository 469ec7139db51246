"""Trees that come along: tree.json, the reference layout, a nested YAML or JSON outline, an indented list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from curate.errors import InputError
from curate.text import printable
from curate.tree.edits import TREE
from curate.tree.files import load_tree_with_edits
from curate.tree.store import TaskTree

REFERENCE = "tree_meta_info.json"
"""The file of the layout of Explore-Instruct: nested tasks, each with a file of its own that holds its examples."""

KNOWN = (
    f"a folder with {TREE} or {REFERENCE}, a YAML or JSON outline (.yaml, .yml, .json), or an indented list (.txt, .md)"
)


class Entry(NamedTuple):
    """One task of a file: how deep it stands, and where (`file:line`, or the file)."""

    depth: int
    name: str
    description: str
    examples: list[Any]
    place: str


def import_tree(path: str | Path) -> tuple[TaskTree, list[str]]:
    """Read a tree in any of the known forms; return it and warnings (missing files, tasks that were merged).

    Raises:
        InputError: no such file, no known form, or a wrong entry; the message names file and line.
    """
    path = Path(path)
    if path.is_dir():
        if (path / TREE).exists():
            return load_tree_with_edits(path)
        path = path / REFERENCE
        if not path.exists():
            raise InputError(f"{path.parent}: neither {TREE} nor {REFERENCE} is in this folder; a tree can be {KNOWN}")
    text = _text(path)
    warnings: list[str] = []
    if path.name == REFERENCE:
        return _build(_reference(path, text, warnings), path, warnings), warnings
    if path.suffix == ".json" and _is_tree_json(text):
        return TaskTree.load(path), warnings
    if path.suffix in (".yaml", ".yml", ".json"):
        from curate.tree.outline import outline_entries

        return _build(outline_entries(path, text), path, warnings), warnings
    if path.suffix in (".txt", ".md"):
        return _build(_list_entries(path, text), path, warnings), warnings
    raise InputError(f"{path}: '{path.suffix}' is not a known form of a tree; it can be {KNOWN}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; a tree can be {KNOWN}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _is_tree_json(text: str) -> bool:
    return re.match(r'\s*\{\s*"version"', text) is not None


def _build(entries: Iterator[Entry], path: Path, warnings: list[str]) -> TaskTree:
    """Make a tree of entries in depth-first order. Several of depth 0 get a root with the file's name."""
    rows = list(entries)
    if not rows:
        raise InputError(f"{path}: no task is in this file; write one per line, sub-tasks indented")
    if sum(row.depth == 0 for row in rows) > 1:
        warnings.append(f"{path}: several tasks stand at the top; the root is called '{path.stem}', after the file")
        rows = [Entry(-1, path.stem, "", [], str(path)), *rows]
    first = rows[0].depth
    tree: TaskTree | None = None
    chain: list[str] = []
    for row in rows:
        try:
            if tree is None:
                tree = TaskTree(row.name, row.description, row.examples)
                chain = [tree.root.id]
                continue
            del chain[row.depth - first :]
            task, how = tree.add(chain[-1], row.name, row.description, row.examples)
        except InputError as error:
            raise InputError(f"{row.place}: {error}") from error
        assert task is not None  # nothing is pruned from a tree that is just being made
        chain.append(task.id)
        if how != "added":
            other = " > ".join(map(printable, tree.path(task.id)))
            warnings.append(f"{row.place}: '{printable(row.name)}' is the same task as '{other}' and joins it")
    assert tree is not None
    return tree


# The reference layout


def _reference(path: Path, text: str, warnings: list[str]) -> Iterator[Entry]:
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}:{getattr(error, 'lineno', 1)}: not JSON ({error})") from error
    stack = [(meta, 0)]
    while stack:
        node, depth = stack.pop()
        name = node.get("raw_task_name", node.get("task_name")) if isinstance(node, dict) else None
        children = node.get("children", []) if isinstance(node, dict) else None
        if not isinstance(name, str) or not isinstance(children, list):
            raise InputError(
                f"{path}: {json.dumps(node)[:80]} is not a task; expected raw_task_name, reason and children (a list)"
            )
        file = node.get("config_filename") or f"{node.get('task_name', name)}.json"
        if not isinstance(file, str) or Path(file).name != file:
            raise InputError(f"{path}: task {name!r} names the file {file!r}; it must lie in the same folder")
        examples = _node_examples(path.with_name(file), name, warnings)
        yield Entry(depth, name, str(node.get("reason") or ""), examples, str(path.with_name(file)))
        stack += [(child, depth + 1) for child in reversed(children)]


def _node_examples(path: Path, name: str, warnings: list[str]) -> list[Any]:
    if not path.exists():
        warnings.append(f"{path}: no such file; the task '{printable(name)}' comes without examples")
        return []
    try:
        examples = json.loads(_text(path)).get("examples", [])
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}:{getattr(error, 'lineno', 1)}: not a task's JSON object ({error})") from error
    for number, example in enumerate(examples if isinstance(examples, list) else [None], 1):
        if not isinstance(example, dict):
            raise InputError(f"{path}: example {number} must be an object with instruction, input and output")
    return list(examples)


# An indented list

_MARKED = re.compile(
    r"[ \t]*(?:(?P<heading>#{1,6})|(?P<bullet>[-*+•–])|\(?(?P<number>\d+(?:\.\d+)*)[.)]|(?P<section>\d+(?:\.\d+)+))"
    r"[ \t]+(?P<text>\S.*)"
)
_SPLIT = re.compile(r":\s+|\s+[-–—]\s+|：\s*")
_BOLD = re.compile(r"(?<!\w)\*\*(?=\S)(.+?)(?<=\S)\*\*(?!\w)")
_TAB = 4

Level = tuple[int, int, int]
"""How deep a line stands: under a heading of which level, indented by how many columns, its number's parts."""


def _list_entries(path: Path, text: str) -> Iterator[Entry]:
    """Yield a task per line: deeper indented is a sub-task, bullets and numbers go, "name: why" or "name - why".

    Markdown headings, numbers such as 2.1 and bullets right below an unmarked line are levels too.
    """
    chain: list[tuple[Level, bool]] = []  # the levels above the line, and whether their line was unmarked
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        mark = _MARKED.fullmatch(line.rstrip())
        level = _level(line, mark, chain)
        above = [each for each, _ in chain]
        if above and level < above[-1] and level not in above and not (mark and mark["heading"]):
            fits = " or ".join(str(width) for width in sorted({width for _, width, _ in above if width >= 0}))
            raise InputError(
                f"{path}:{number}: indented by {level[1]} columns (a tab is {_TAB}), which continues no line above; "
                f"indent by {fits} columns"
            )
        chain = [(each, plain) for each, plain in chain if each < level]
        parts = _SPLIT.split(_BOLD.sub(r"\1", mark["text"] if mark else line.strip()), maxsplit=1)
        yield Entry(len(chain), parts[0].rstrip(" :："), parts[1] if len(parts) > 1 else "", [], f"{path}:{number}")
        chain.append((level, mark is None))


def _level(line: str, mark: re.Match[str] | None, chain: list[tuple[Level, bool]]) -> Level:
    if mark and mark["heading"]:
        return len(mark["heading"]), -1, 0
    # What stands below a heading belongs to it, however it is indented.
    heading = chain[-1][0][0] if chain else 0
    width = len(line[: len(line) - len(line.lstrip())].expandtabs(_TAB))
    if mark is None:
        return heading, width, 0
    below_plain = any(plain and level == (heading, width, 0) for level, plain in chain)
    return heading, width, below_plain + (mark["number"] or mark["section"] or "").count(".")
