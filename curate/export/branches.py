"""The task tree in a dataset card: the rows of each branch, and the whole tree, cut where it is large."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from curate.export.markdown import folded, line, number, table

Path = tuple[str, ...]

LONGEST = 200
"""Tasks that the card lists."""

MOST = 40
"""Branches that the card lists."""

NOWHERE = "(no task)"


def branches(rows: Mapping[Path, int], tree: Sequence[Path] = ()) -> str:
    """Return the rows of each branch, and the tree folded away; empty where no row has a task.

    `rows` counts the rows of each task by its path; `tree` names all tasks, those without rows too, in their order.
    """
    if not any(rows):
        return ""
    totals, sizes, tasks = _totals(rows, tree)
    roots = [path for path in tasks if len(path) == 1]
    firsts = [path for path in tasks if len(path) == 2] if len(roots) == 1 else roots
    if not firsts:
        return ""
    lines: list[tuple[str, int, int]] = [(p[-1], sizes[p], totals[p]) for p in firsts]
    lines.sort(key=lambda row: -row[2])
    if len(lines) > MOST:
        rest = lines[MOST - 1 :]
        lines[MOST - 1 :] = [(f"{len(rest):,} more", sum(r[1] for r in rest), sum(r[2] for r in rest))]
    if len(roots) == 1 and rows.get(roots[0]):
        lines.append(("(the root itself)", 1, rows[roots[0]]))
    if rows.get(()):
        lines.append((NOWHERE, 0, rows[()]))
    drawn = _drawn(totals, sizes, tasks)
    return table(("branch", "tasks", "rows"), lines) + "\n" + folded(f"The tree: {number(len(tasks), 'task')}", drawn)


def _totals(rows: Mapping[Path, int], tree: Sequence[Path]) -> tuple[Counter[Path], Counter[Path], list[Path]]:
    """Return the rows, and the tasks, at and below each task, and all tasks, each after the one it belongs to."""
    totals: Counter[Path] = Counter()
    known: dict[Path, None] = {}
    for path in (*tree, *sorted(rows)):
        for depth in range(1, len(path) + 1):
            known.setdefault(path[:depth])
    for path, count in rows.items():
        for depth in range(1, len(path) + 1):
            totals[path[:depth]] += count
    place = {path: i for i, path in enumerate(known)}
    ordered = sorted(known, key=lambda path: [place[path[:depth]] for depth in range(1, len(path) + 1)])
    sizes = Counter(path[:depth] for path in known for depth in range(1, len(path) + 1))
    return totals, sizes, ordered


def _drawn(totals: Mapping[Path, int], sizes: Mapping[Path, int], tasks: Sequence[Path]) -> str:
    """Return the tree as a nested list: whole levels only, as many as the card has room for, and at least two."""
    levels = Counter(map(len, tasks))
    depth, lines = 1, levels[1]
    while (more := levels[depth + 1]) and (lines + more <= LONGEST or depth < 2):
        depth, lines = depth + 1, lines + more
    drawn = []
    for path in tasks:
        if len(path) > depth:
            continue
        inner = sizes[path] - 1 if len(path) == depth else 0
        hidden = f", {number(inner, 'task')} below" if inner else ""
        drawn.append(f"{'  ' * (len(path) - 1)}- {line(path[-1], 300)}: {number(totals[path], 'row')}{hidden}\n")
    if len(drawn) > LONGEST:
        rest = len(drawn) - LONGEST
        drawn[LONGEST:] = [f"\nand {number(rest, 'more task')}\n"]
    return "".join(drawn)
