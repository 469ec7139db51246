"""Where samples stand in the tree as it is now, whatever it was when they were written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.text import text_hash
from curate.view.columns import Numbers

if TYPE_CHECKING:
    from curate.tree import TaskTree

GONE = "gone"
"""The node of samples whose task is no longer in the tree."""


@dataclass
class Node:
    """A task as the page shows it: a task of the tree, or a name on the samples' paths where there is no tree."""

    id: str
    name: str
    parent: str | None = None
    description: str = ""
    examples: int = 0
    below: list[str] = field(default_factory=list)
    span: tuple[int, int] = (0, 0)

    def as_json(self) -> dict[str, Any]:
        """Return what the page needs of a node."""
        return {
            "id": self.id,
            "name": self.name,
            "parent": self.parent,
            "description": self.description,
            "examples": self.examples,
        }


class Places:
    """The nodes, parents first, and the node of every place (a distinct task of samples) in the index."""

    def __init__(self, rows: list[tuple[int, str, str]], tree: TaskTree | None) -> None:
        self.nodes: dict[str, Node] = {}
        self.node_of: dict[int, str] = {}
        if tree is not None:
            for task in tree.walk():
                self._add(Node(task.id, task.name, task.parent, task.description, len(task.examples)))
        for place, ident, path in rows:
            names = json.loads(path)
            self.node_of[place] = _current(tree, ident, names) if tree is not None else self._along(names)
        if tree is not None and GONE in self.node_of.values():
            self._add(Node(GONE, "No longer in the tree"))
        self._measure()

    def _add(self, node: Node) -> None:
        self.nodes[node.id] = node
        if node.parent is not None:
            self.nodes[node.parent].below.append(node.id)

    def _along(self, names: list[str]) -> str:
        """Return the node at a path of names, which is made where it is missing; "" for a sample without a task."""
        parent: str | None = None
        for depth, name in enumerate(names, 1):
            ident = text_hash(json.dumps(names[:depth]))[:12]
            if ident not in self.nodes:
                self._add(Node(ident, name, parent))
            parent = ident
        return parent or ""

    def _measure(self) -> None:
        """Number the nodes depth first, so that a branch is a range of numbers."""
        number = 0
        stack = [(node.id, False) for node in reversed(self.nodes.values()) if node.parent is None]
        while stack:
            ident, left = stack.pop()
            node = self.nodes[ident]
            if left:
                node.span = (node.span[0], number - 1)
                continue
            node.span = (number, number)
            number += 1
            stack.append((ident, True))
            stack += [(child, False) for child in reversed(node.below)]

    def positions(self) -> Numbers:
        """Return the position of every place in the tree, -1 for samples without a task."""
        at = (
            self.nodes[node].span[0] if node else -1 for node in map(self.node_of.__getitem__, range(len(self.node_of)))
        )
        return np.fromiter(at, dtype=np.int64, count=len(self.node_of))

    def counts(self, per_place: Sequence[int]) -> dict[str, int]:
        """Return how many samples each node and what is below it have, without those that have none."""
        counts: dict[str, int] = {}
        for place, number in enumerate(per_place):
            ident: str | None = self.node_of[place] if number else None
            while ident:
                counts[ident] = counts.get(ident, 0) + number
                ident = self.nodes[ident].parent
        return counts

    def path(self, ident: str) -> list[dict[str, str]]:
        """Return id and name of a node and all above it, from the root."""
        path: list[dict[str, str]] = []
        node = self.nodes.get(ident)
        while node is not None:
            path.append({"id": node.id, "name": node.name})
            node = self.nodes.get(node.parent or "")
        return path[::-1]


def _current(tree: TaskTree, ident: str, names: list[str]) -> str:
    """Return the id of the task that samples of a task belong to now: itself, what it was merged into, or GONE."""
    ident = tree.current(ident)
    if ident in tree:
        return ident
    found = tree.find(names[1:]) if names else tree.root
    return found.id if found is not None else GONE
