"""`curate tree show | import | prune | merge | rename | add` as functions.

A hand edit is checked against the tree with all earlier edits, then appended to the journal beside tree.json; tree.json
itself is the run's to write.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from curate.errors import InputError, RunError
from curate.text import printable
from curate.tree.draw import drawing, outline, summary
from curate.tree.edits import JOURNAL, OPERATIONS, TREE, Edit, append_edit, reference
from curate.tree.files import load_tree_with_edits
from curate.tree.imports import import_tree
from curate.tree.names import name_key
from curate.tree.store import TaskTree
from curate.types import Task

Note = Callable[[str], None]
"""Takes what is odd about the edits made so far: one that waits for its task, one that a crash cut off."""


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=4)


def tree_show(
    source: str | Path, *, depth: int | None = None, lines: int | None = None, format: str = "text"
) -> Iterator[str]:
    """Yield the lines of a tree (of a run, or in any form that can be imported), in one of FORMATS.

    Raises:
        InputError: no tree there, or no such format.
    """
    if format not in FORMATS:
        raise InputError(f"no format {format!r} for a tree; there are {', '.join(FORMATS)}")
    tree, odd = import_tree(source)
    if format == "text":
        yield from (f"note: {printable(text)}" for text in odd)
    yield from FORMATS[format](tree, depth, lines)


def _text(tree: TaskTree, depth: int | None, lines: int | None) -> Iterator[str]:
    yield from drawing(tree, depth, lines)
    yield ""
    yield from summary(tree)


def _yaml(tree: TaskTree, depth: int | None, lines: int | None) -> Iterator[str]:
    import yaml

    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    nested = outline(tree, depth, text=printable)
    yield from yaml.dump(nested, Dumper=dumper, allow_unicode=True, sort_keys=False, width=120).splitlines()


def _json(tree: TaskTree, depth: int | None, lines: int | None) -> Iterator[str]:
    yield from json.dumps(outline(tree, depth, ids=True), indent=1).splitlines()


FORMATS = {"text": _text, "yaml": _yaml, "json": _json}
"""How `tree_show` can print a tree. YAML can be edited and imported again; JSON has ids and counts of examples."""


def tree_import(source: str | Path, out: str | Path) -> tuple[TaskTree, list[str]]:
    """Write somebody's tree as `out`/tree.json, ready for `curate explore --out`; return it and warnings.

    Raises:
        InputError: the source is no tree, or `out` has one already.
        RunError: `out` cannot be written.
    """
    target = Path(out) / TREE
    tree, odd = import_tree(source)
    if target.exists():
        raise InputError(f"{target}: there is a tree already; give another folder with --out")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{target.parent}: cannot be made ({error.strerror}); give another folder with --out") from error
    tree.save(target)
    return tree, odd


def tree_prune(run: str | Path, *tasks: str, dry_run: bool = False, author: str = "", note: Note = _warn) -> list[Task]:
    """Prune tasks and everything below them for good; return what went, or would go with `dry_run`.

    `tasks` are ids, names, or paths such as "Algebra/Linear equations".

    Raises:
        InputError: no such tree or task, or a name that several tasks could mean.
    """
    editor = _Editor(run, author, note)
    chosen = [editor.find(task) for task in tasks]
    gone: list[Task] = []
    for task in chosen:
        if task.id in editor.tree:  # one of `tasks` may be below another
            gone += editor.tree.walk(task.id)
            editor.edit({"op": "prune", "task": reference(editor.tree, task)}, keep=not dry_run)
    return gone


def tree_merge(run: str | Path, task: str, into: str, *, author: str = "", note: Note = _warn) -> Task:
    """Make a task part of another one, with its examples and sub-tasks; return that one.

    Raises:
        InputError: no such tree or task, or `into` is `task` or below it.
    """
    editor = _Editor(run, author, note)
    one, other = editor.find(task), editor.find(into)
    tree = editor.tree
    editor.edit({"op": "merge", "task": reference(tree, one), "into": reference(tree, other)})
    return tree.get(other.id)


def tree_rename(run: str | Path, task: str, name: str, *, author: str = "", note: Note = _warn) -> Task:
    """Give a task another name; its id and its samples' calls stay; return it.

    Raises:
        InputError: no such tree or task, or the name stands for another task.
    """
    editor = _Editor(run, author, note)
    found = editor.find(task)
    editor.edit({"op": "rename", "task": reference(editor.tree, found), "name": name})
    return editor.tree.get(found.id)


def tree_add(
    run: str | Path, parent: str, name: str, description: str = "", *, author: str = "", note: Note = _warn
) -> Task:
    """Add a task below `parent`, also where one was pruned; return it.

    Raises:
        InputError: no such tree or parent, or the name stands for a task already.
    """
    editor = _Editor(run, author, note)
    above = editor.find(parent)
    known = editor.tree.named(name)
    if known is not None:
        raise InputError(f"'{printable(name)}' is there already, as '{_shown(editor.tree, known)}'")
    edit = {"op": "add", "task": reference(editor.tree, above), "name": name, "description": description}
    editor.edit(edit)
    task = editor.tree.named(name)
    assert task is not None
    return task


class _Editor:
    """A run's tree with its journal: finds the tasks that a user means and keeps his edits."""

    def __init__(self, run: str | Path, author: str, note: Note) -> None:
        folder = Path(run)
        if folder.name == TREE:
            folder = folder.parent
        self.journal = folder / JOURNAL
        self.author = author
        self.tree, odd = load_tree_with_edits(folder)
        for text in odd:
            note(text)

    def edit(self, edit: Edit, keep: bool = True) -> None:
        """Apply one edit, which raises InputError where it cannot be; then keep it."""
        OPERATIONS[edit["op"]][0](self.tree, edit)
        if keep:
            append_edit(self.journal, {**edit, "author": self.author} if self.author else edit)

    def find(self, text: str) -> Task:
        """Return the task that `text` means: an id, a name, or the last names of a path, separated by / or >.

        Raises:
            InputError: none, or several; the message lists the nearest.
        """
        tree = self.tree
        if text in tree:
            return tree.get(text)
        # "/" is folded like other punctuation, so a path is the keys of its names in a row.
        key = name_key(text.replace(">", "/"))
        found = [task for task in tree.walk() if key.endswith(name_key(task.name)) and _ends(tree, task, key)]
        if len(found) == 1:
            return found[0]
        if found:
            shown = "; ".join(f"'{_shown(tree, task)}' ({task.id})" for task in found[:8])
            raise InputError(f"'{printable(text)}' can mean {len(found)} tasks; name one by its id: {shown}")
        owner = tree.named(text)
        if owner is not None:
            raise InputError(f"'{printable(text)}' was merged into '{_shown(tree, owner)}'; name that one")
        raise InputError(f"no task '{printable(text)}' in the tree{_nearest(tree, key)}")


def _ends(tree: TaskTree, task: Task, key: str) -> bool:
    """Does the path of a task end with these names?"""
    keys = [name_key(name) for name in tree.path(task.id)]
    return any(" ".join(keys[start:]) == key for start in range(len(keys)))


def _shown(tree: TaskTree, task: Task) -> str:
    return " > ".join(map(printable, tree.path(task.id)))


def _nearest(tree: TaskTree, key: str) -> str:
    from rapidfuzz import fuzz, process

    tasks = list(tree.walk())
    near = process.extract(key, [name_key(task.name) for task in tasks], scorer=fuzz.WRatio, limit=3, score_cutoff=70)
    names = ", ".join(f"'{_shown(tree, tasks[position])}'" for _, _, position in near)
    return f"; the nearest: {names}" if names else "; `curate tree show` prints them all"
