"""How long a large task tree takes to grow, save, load, sum up, draw and edit: python scripts/bench_tree.py [TASKS]."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from curate.tree import TaskTree, name_key

FAN_OUT = 10
Value = TypeVar("Value")


def grown(tasks: int) -> TaskTree:
    """Return a tree of `tasks` tasks, ten below each, with one example each."""
    tree = TaskTree("Everything")
    queue = deque([tree.root])
    while len(tree) < tasks:
        parent = queue.popleft()
        for number in range(min(FAN_OUT, tasks - len(tree))):
            name = f"Topic {len(tree)}: part {number} of {parent.name[:20]}"
            example = {"instruction": f"Explain topic {len(tree)}.", "input": "", "output": f"It is number {number}."}
            task = tree.add(parent.id, name, f"Because {parent.name} needs it.", [example]).task
            assert task is not None
            queue.append(task)
    return tree


def timed(what: str, action: Callable[[], Value]) -> Value:
    """Run `action`, print what it took, return its value."""
    start = time.perf_counter()
    value = action()
    print(f"{what:<28}{time.perf_counter() - start:8.2f} s")
    return value


def main() -> None:
    """Print one line per measure."""
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    timed("import networkx", lambda: __import__("networkx"))
    tree = timed(f"add {tasks:,} tasks", lambda: grown(tasks))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tree.json"
        timed("save", lambda: tree.save(path))
        print(f"{'tree.json':<28}{path.stat().st_size / 1e6:8.2f} MB")
        name_key.cache_clear()
        loaded = timed("load", lambda: TaskTree.load(path))
    assert [task.id for task in loaded.walk()] == [task.id for task in tree.walk()]
    lines = timed("summary", loaded.summary)
    timed("draw all lines", lambda: sum(1 for _ in loaded.show()))
    first, second = (task.id for task in loaded.children(loaded.root.id)[:2])
    timed("merge two branches", lambda: loaded.merge(first, second))
    timed("prune a branch", lambda: loaded.prune(second))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
