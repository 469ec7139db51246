"""tree.json: saving and loading a TaskTree. One task, example, merge and edit per line, so that `diff` reads well."""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.io import atomic
from curate.tree.edits import JOURNAL, TREE, apply_edits, read_edits
from curate.tree.names import name_key
from curate.tree.store import TaskTree
from curate.types import Task

VERSION = 1

# What tree.json holds after "version", and of which type.
_PARTS: dict[str, type] = {
    "state": dict,
    "tasks": list,
    "examples": dict,
    "merges": list,
    "pruned": list,
    "applied": list,
}
_EXAMPLE = {"instruction", "input", "output"}
_FIELDS: dict[str, tuple[str, ...]] = {
    "merges": ("name", "path", "parent", "into", "how"),
    "pruned": ("id", "path", "places", "ids"),
}


def save_tree(tree: TaskTree, path: Path) -> None:
    """Write the tree to `path`, whole or not at all; parents stand before their children.

    Raises:
        RunError: the file cannot be written.
    """
    with atomic(path) as file:
        file.writelines(_lines(tree))


def _lines(tree: TaskTree) -> Iterator[str]:
    yield f'{{\n"version": {VERSION},\n"state": {_json(tree.state)},\n'
    yield from _block("tasks", "[]", (_json(_row(task)) for task in tree.walk()))
    yield from _block("examples", "{}", (f"{_json(ident)}: {_json(fields)}" for ident, fields in tree.examples.items()))
    yield from _block("merges", "[]", map(_json, tree.merges))
    yield from _block("pruned", "[]", map(_json, tree.pruned))
    yield from _block("applied", "[]", map(_json, tree.applied), end="\n}\n")


def _block(name: str, brackets: str, lines: Iterable[str], end: str = ",\n") -> Iterator[str]:
    yield f'"{name}": {brackets[0]}'
    comma = "\n"
    for line in lines:
        yield comma + line
        comma = ",\n"
    yield ("" if comma == "\n" else "\n") + brackets[1] + end


def _row(task: Task) -> dict[str, Any]:
    row: dict[str, Any] = {"id": task.id, "parent": task.parent, "name": task.name}
    if task.description:
        row["description"] = task.description
    if task.examples:
        row["examples"] = task.examples
    return row


_ENCODE = json.JSONEncoder(ensure_ascii=False).encode


def _json(value: Any) -> str:
    text = _ENCODE(value)
    # Half a surrogate pair, cut off by a model, has no UTF-8 form; JSON can escape it.
    return text if text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text) else json.dumps(value)


def load_tree(path: Path) -> TaskTree:
    """Read the tree at `path`.

    Raises:
        InputError: no such file, not a tree.json of this version, or not a tree; the message names file and line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; `curate tree import SRC --out DIR` makes a tree.json") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); restore it or import the tree again") from error
    with _without_collector():
        return _Reader(path, text).tree(_parse(path, text))


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Pause the garbage collector: all that is being made stays, and looking through it again doubles the time."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def _parse(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise InputError(f"{path}:{line}: not JSON ({error}); restore the file or import the tree again") from error


def load_tree_with_edits(folder: Path) -> tuple[TaskTree, list[str]]:
    """Load a folder's tree.json with the edits of its journal applied; return the tree and warnings.

    Raises:
        InputError: there is no tree, or the tree or the journal cannot be read.
    """
    tree = load_tree(Path(folder) / TREE)
    edits, warnings = read_edits(Path(folder) / JOURNAL)
    return tree, warnings + apply_edits(tree, edits)


class _Reader:
    """Checks the content of one file. Lines are looked up only for a message, to keep loading fast."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text

    def wrong(self, what: str, at: str | None = None, nth: int = 1) -> InputError:
        """Return the error for `what`, at the line with the `nth` occurrence of `at`."""
        start = -1
        for _ in range(nth if at else 0):
            start = self.text.find(str(at), start + 1)
        line = f":{self.text.count(chr(10), 0, start) + 1}" if start >= 0 else ""
        return InputError(f"{self.path}{line}: {what}")

    def tree(self, content: Any) -> TaskTree:
        if not isinstance(content, dict) or "tasks" not in content:
            raise self.wrong("not a task tree: expected an object with version and tasks")
        if content.get("version") != VERSION:
            raise self.wrong(
                f"version {content.get('version')!r} of a task tree; this curate reads version {VERSION}: "
                "use the curate that wrote it, or `curate tree show --format yaml` there and `curate tree import` here",
                '"version"',
            )
        for name, kind in _PARTS.items():
            if not isinstance(content.get(name, kind()), kind):
                raise self.wrong(f"'{name}' must be a JSON {'object' if kind is dict else 'list'}", f'"{name}"')
        parts = {name: content.get(name, kind()) for name, kind in _PARTS.items()}
        tasks = self.ordered([self.task(row) for row in parts["tasks"]])
        self.check_examples(tasks, parts["examples"])
        self.check_records(parts, {task.id for task in tasks})
        return TaskTree.restore(tasks, **{name: parts[name] for name in _PARTS if name != "tasks"})

    def task(self, row: Any) -> Task:
        """Read one entry of `tasks`."""
        try:
            ident, parent, name = row["id"], row["parent"], row["name"]
            description, examples = row.get("description", ""), tuple(row.get("examples", ()))
            texts = {*map(type, (ident, name, description, *examples)), type(parent or "")}
            sound = texts == {str} and bool(ident) and bool(name.strip())
        except (TypeError, KeyError, AttributeError):
            sound = False
        if not sound:
            at = row.get("id") if isinstance(row, dict) else None
            raise self.wrong(
                f"{_json(row)[:120]} is not a task: expected id, parent (null for the root) and name, "
                "and optionally description and examples (a list of ids)",
                f'"id": {_json(at)}' if at else _json(row),
            )
        return Task(ident, name, description, parent, examples)

    def ordered(self, tasks: list[Task]) -> list[Task]:
        """Return the tasks breadth first, or raise InputError where they are not one tree of distinct names."""
        by_id: dict[str, Task] = {}
        keys: dict[str, Task] = {}
        children: dict[str | None, list[Task]] = {}
        for task in tasks:
            if task.id in by_id:
                raise self.wrong(f"a second task with the id '{task.id}'; give each its own", f'"id": "{task.id}"', 2)
            twin = keys.setdefault(name_key(task.name), task)
            if twin is not task:
                raise self.wrong(f"{task.name!r} has the name of task '{twin.id}'; rename one", f'"id": "{task.id}"')
            by_id[task.id] = task
            children.setdefault(task.parent, []).append(task)
        for parent, below in children.items():
            if parent is not None and parent not in by_id:
                at = f'"id": "{below[0].id}"'
                raise self.wrong(f"task {below[0].name!r} has the parent '{parent}', which is not in the file", at)
        roots = children.get(None, [])
        if len(roots) != 1:
            names = ", ".join(repr(root.name) for root in roots[:3]) or "none"
            at = f'"id": "{roots[1].id}"' if roots else '"tasks"'
            raise self.wrong(f"a tree has one root (a task whose parent is null); found {names}", at)
        ordered = roots
        for task in ordered:  # grows while it is read: breadth first
            ordered += children.get(task.id, [])
        if len(ordered) < len(tasks):
            reached = {task.id for task in ordered}
            lost = next(task.id for task in tasks if task.id not in reached)
            raise self.wrong(self.circle(by_id, lost), f'"id": "{lost}"')
        return ordered

    def circle(self, by_id: dict[str, Task], start: str) -> str:
        """Return the message for tasks that are each other's parents, above `start`."""
        seen: list[str] = []
        ident = start
        while ident not in seen:
            seen.append(ident)
            ident = by_id[ident].parent or ""
        names = [by_id[each].name for each in seen[seen.index(ident) :]]
        return f"the parents go in a circle: {' < '.join([*names, names[0]][:6])}; give one of them another parent"

    def check_examples(self, tasks: list[Task], examples: dict[str, Any]) -> None:
        for ident, fields in examples.items():
            if not isinstance(fields, dict) or fields.keys() != _EXAMPLE or {*map(type, fields.values())} != {str}:
                raise self.wrong(f"example '{ident}' must hold instruction, input and output, all text", f'"{ident}": ')
        for task in tasks:
            for ident in task.examples:
                if ident not in examples:
                    at = f'"id": "{task.id}"'
                    raise self.wrong(f"task {task.name!r} has the example '{ident}', which is not in the file", at)

    def check_records(self, parts: dict[str, Any], ids: set[str]) -> None:
        for part, fields in _FIELDS.items():
            for record in parts[part]:
                if not isinstance(record, dict) or any(field not in record for field in fields):
                    raise self.wrong(f"a record of '{part}' holds {', '.join(fields)}", _json(record))
        for record in parts["merges"]:
            if record["into"] not in ids:
                what = f"{record['name']!r} was merged into '{record['into']}', which is not in the file"
                raise self.wrong(f"{what}; delete this line", f'"into": {_json(record["into"])}')
