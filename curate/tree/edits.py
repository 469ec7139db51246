"""The journal of hand edits, `tree.edits.jsonl`: appended line by line, applied to tree.json once each.

A run keeps its tree in memory and publishes it whole, so a hand edit never writes tree.json: it adds a line here, and
whoever loads the tree next applies it. The tree notes which edits it holds, so that exploring never undoes one and
loading twice never repeats one.

    {"op": "prune", "task": TASK}            {"op": "rename", "task": TASK, "name": "New name"}
    {"op": "merge", "task": TASK, "into": TASK}   {"op": "add", "task": PARENT, "name": "Name", "description": "Why"}

TASK is an id, a list of names from below the root, or both: {"id": id, "path": [names]}. `author` may say who it was.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.io.journal import append_journal, read_journal
from curate.text import printable
from curate.tree.names import name_key
from curate.tree.store import TaskTree
from curate.types import Task

Edit = Mapping[str, Any]

TREE = "tree.json"
JOURNAL = "tree.edits.jsonl"

WHAT = "an edit"


def reference(tree: TaskTree, task: Task) -> dict[str, Any]:
    """Return how an edit names a task: by its id, and by its path in case the tree is grown anew."""
    return {"id": task.id, "path": list(tree.path(task.id)[1:])}


def _parts(tree: TaskTree, what: Any) -> tuple[str, list[str]]:
    """Return the id ("" where there is none) and the path below the root of a TASK."""
    if isinstance(what, str):
        return what, []
    ident, path = ("", what) if isinstance(what, list) else (what.get("id", ""), what.get("path", []))
    return ident, path[1:] if path and name_key(path[0]) == name_key(tree.root.name) else path


def _locate(tree: TaskTree, what: Any) -> Task | None:
    ident, path = _parts(tree, what)
    ident = tree.current(ident)
    if ident in tree:
        return tree.get(ident)
    return tree.find(path) if path or not ident else None


def _task(tree: TaskTree, what: Any) -> Task:
    task = _locate(tree, what)
    if task is None:
        ident, path = _parts(tree, what)
        raise InputError(f"no task '{printable(' > '.join(path) or ident)}' in the tree")
    return task


def _prune(tree: TaskTree, edit: Edit) -> None:
    task = _locate(tree, edit["task"])
    if task is not None:
        tree.prune(task.id)
    else:
        # The tree is being grown anew and has not come this far: what was pruned must not come back.
        tree.refuse(*_parts(tree, edit["task"]))


def _rename(tree: TaskTree, edit: Edit) -> None:
    tree.rename(_task(tree, edit["task"]).id, edit["name"])


def _merge(tree: TaskTree, edit: Edit) -> None:
    tree.merge(_task(tree, edit["task"]).id, _task(tree, edit["into"]).id, how="hand")


def _add(tree: TaskTree, edit: Edit) -> None:
    parent = _task(tree, edit["task"])
    tree.readmit(parent.id, edit["name"])
    tree.add(parent.id, edit["name"], edit.get("description", ""))


OPERATIONS: dict[str, tuple[Callable[[TaskTree, Edit], None], tuple[str, ...]]] = {
    "prune": (_prune, ("task",)),
    "rename": (_rename, ("task", "name")),
    "merge": (_merge, ("task", "into")),
    "add": (_add, ("task", "name")),
}
"""Each edit: what it does to a tree, and the fields it needs."""


def check_edit(edit: Any) -> str:
    """Return what is wrong with an edit, or ""."""
    if not isinstance(edit, dict) or edit.get("op") not in OPERATIONS:
        return f"expected an object whose 'op' is one of {', '.join(OPERATIONS)}"
    for field in (*OPERATIONS[edit["op"]][1], "description"):
        value = edit.get(field, "" if field == "description" else None)
        if field in ("name", "description") and not isinstance(value, str):
            return f"'{field}' of '{edit['op']}' must be text"
        if field in ("task", "into") and not _is_reference(value):
            return f"'{field}' of '{edit['op']}' must be a task's id, a list of names, or {{\"id\", \"path\"}}"
    return ""


def _is_reference(value: Any) -> bool:
    if isinstance(value, dict):
        path = value.get("path", [])
        return bool(value) and isinstance(value.get("id", ""), str) and (not path or _is_reference(path))
    if isinstance(value, list):
        return bool(value) and all(isinstance(name, str) for name in value)
    return isinstance(value, str) and bool(value)


def apply_edits(tree: TaskTree, edits: Iterable[Edit]) -> list[str]:
    """Apply the edits of a journal that the tree does not hold yet, in their order; return warnings.

    `edits` is the journal from its first line: the same edit twice in it is two edits. One that cannot be applied, as
    its task is not in the tree, is left for the next time and named in a warning.
    """
    warnings = []
    seen: Counter[str] = Counter()
    held = set(tree.applied)
    for number, edit in enumerate(edits, 1):
        text = json.dumps(edit, sort_keys=True, ensure_ascii=True)
        seen[text] += 1
        ident = hashlib.blake2b(f"{seen[text]} {text}".encode(), digest_size=6).hexdigest()
        if ident in held:
            continue
        try:
            OPERATIONS[edit["op"]][0](tree, edit)
        except InputError as error:
            warnings.append(f"hand edit {number} ({edit['op']}) waits: {error}")
        else:
            tree.applied.append(ident)
    return warnings


def read_edits(path: Path) -> tuple[list[Edit], list[str]]:
    """Return the edits of a journal and warnings. No file is no edits; a last line that a crash cut off is ignored.

    Raises:
        InputError: any other line that is no edit; the message names file and line.
    """
    rows, warnings = read_journal(path, WHAT, check_edit)
    return [*rows], warnings


def append_edit(path: Path, edit: Edit) -> None:
    """Add an edit to a journal, on the disk when this returns. A last line that a crash cut off makes room for it.

    Raises:
        InputError: not an edit.
        RunError: the journal cannot be written.
    """
    append_journal(path, edit, WHAT, check_edit)
