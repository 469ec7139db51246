"""A tree for the eye: a summary, a drawing with box characters, and nested outlines for YAML and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from curate.errors import InputError
from curate.text import printable
from curate.tree.store import MAX_DEPTH, TaskTree
from curate.types import Task


def depths(tree: TaskTree) -> dict[str, int]:
    """Return each task's distance from the root, breadth first."""
    found: dict[str, int] = {}
    for task in tree.walk():
        found[task.id] = 0 if task.parent is None else found[task.parent] + 1
    return found


def summary(tree: TaskTree, widest: int = 5) -> list[str]:
    """Return lines: how many tasks at each depth, leaves, examples, merged and pruned tasks, the widest tasks."""
    levels = depths(tree)
    width = Counter(task.parent for task in tree.walk() if task.parent is not None)
    per_level = Counter(levels.values())
    bare = sum(not task.examples for task in tree.walk())
    merged = sum(merge["how"] != "rename" for merge in tree.merges)
    lines = [
        f"{printable(tree.root.name)}: {_count(len(tree), 'task')}, {len(tree) - len(width):,} of them leaves",
        "per depth: " + ", ".join(f"{depth}: {count:,}" for depth, count in per_level.items()),
        f"examples: {len(tree.examples):,}; {_count(bare, 'task')} without one",
        f"merged: {merged:,}; pruned: {sum(len(record['ids']) for record in tree.pruned):,}",
    ]
    if width:
        top = ", ".join(f"{printable(tree.get(ident).name)} ({count})" for ident, count in width.most_common(widest))
        lines.append(f"widest: {top}")
    return lines


def drawing(tree: TaskTree, max_depth: int | None = None, max_lines: int | None = None) -> Iterator[str]:
    """Yield the tree's lines, depth first; what is left out is counted.

    `max_depth`: deeper tasks are counted at their ancestor. `max_lines`: the drawing ends there.
    """
    below = _sizes(tree) if max_depth is not None else {}
    shown = 0
    # Each entry: a task, what stands before its name, what stands before those of its children, its depth.
    stack: list[tuple[Task, str, str, int]] = [(tree.root, "", "", 0)]
    while stack:
        task, head, indent, depth = stack.pop()
        if max_lines is not None and shown == max_lines:
            yield f"… {_count(len(tree) - shown, 'more task')}"
            return
        shown += 1
        cut = below[task.id] if depth == max_depth else 0
        yield f"{head}{printable(task.name)}" + (f"  (+{cut:,} below)" if cut else "")
        if depth == max_depth:
            continue
        children = tree.children(task.id)
        for position, child in reversed(list(enumerate(children, 1))):
            last = position == len(children)
            entry = (child, indent + ("└── " if last else "├── "), indent + ("    " if last else "│   "), depth + 1)
            stack.append(entry)


def _sizes(tree: TaskTree) -> Counter[str]:
    """Return how many tasks are below each task."""
    sizes: Counter[str] = Counter()
    for task in reversed(list(tree.walk())):
        if task.parent is not None:
            sizes[task.parent] += sizes[task.id] + 1
    return sizes


def outline(
    tree: TaskTree, max_depth: int | None = None, ids: bool = False, text: Callable[[str], str] = str
) -> dict[str, Any]:
    """Return the tree as nested dicts: name, description, tasks; with `ids` also id and the number of examples.

    `text` is applied to names and descriptions.

    Raises:
        InputError: deeper than MAX_DEPTH, as merging can make it; writers of nested formats would fail.
    """
    levels = depths(tree)
    deepest = max(levels.values())
    if deepest > MAX_DEPTH and (max_depth is None or max_depth > MAX_DEPTH):
        raise InputError(f"the tree has {deepest} levels, {MAX_DEPTH} can be nested; show fewer with --depth")
    nodes: dict[str, dict[str, Any]] = {}
    for task in tree.walk():
        if max_depth is not None and levels[task.id] > max_depth:
            break
        node: dict[str, Any] = {"id": task.id} if ids else {}
        node["name"] = text(task.name)
        if task.description:
            node["description"] = text(task.description)
        if ids:
            node["examples"] = len(task.examples)
        nodes[task.id] = node
        if task.parent is not None:
            nodes[task.parent].setdefault("tasks", []).append(node)
    return nodes[tree.root.id]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
