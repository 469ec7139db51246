"""A tree for the eye."""

from __future__ import annotations

import pytest

from curate.errors import InputError
from curate.tree import TaskTree
from curate.tree.draw import outline


@pytest.fixture
def tree():
    tree = TaskTree("Math", "", [{"instruction": "1 + 1?", "output": "2"}])
    algebra = tree.add(tree.root.id, "Algebra", "letters").task
    tree.add(algebra.id, "Equations")
    tree.add(algebra.id, "Evil \x1b[31m\nname\u202e")
    geometry = tree.add(tree.root.id, "Geometry").task
    tree.add(geometry.id, "Circles")
    tree.add(geometry.id, "equations")
    tree.rename(geometry.id, "Shapes")
    tree.prune(tree.add(geometry.id, "Squares").task.id)
    return tree


def test_drawing(tree):
    assert list(tree.show()) == [
        "Math",
        "├── Algebra",
        "│   ├── Equations",
        "│   └── Evil  name",
        "└── Shapes",
        "    └── Circles",
    ]
    assert list(tree.show(max_depth=1)) == ["Math", "├── Algebra  (+2 below)", "└── Shapes  (+1 below)"]
    assert list(tree.show(max_depth=0)) == ["Math  (+5 below)"]
    assert list(tree.show(max_lines=5))[4:] == ["└── Shapes", "… 1 more task"]
    assert list(tree.show(max_lines=6)) == list(tree.show())


def test_summary(tree):
    assert tree.summary() == [
        "Math: 6 tasks, 3 of them leaves",
        "per depth: 0: 1, 1: 2, 2: 3",
        "examples: 1; 5 tasks without one",
        "merged: 1; pruned: 1",
        "widest: Math (2), Algebra (2), Shapes (1)",
    ]
    assert TaskTree("Alone").summary() == [
        "Alone: 1 task, 1 of them leaves",
        "per depth: 0: 1",
        "examples: 0; 1 task without one",
        "merged: 0; pruned: 0",
    ]


def test_outline(tree):
    algebra = tree.named("Algebra")
    assert outline(tree, max_depth=1) == {
        "name": "Math",
        "tasks": [{"name": "Algebra", "description": "letters"}, {"name": "Shapes"}],
    }
    assert outline(tree, ids=True)["examples"] == 1
    assert outline(tree, ids=True)["tasks"][0]["id"] == algebra.id


def test_outline_of_a_chain_that_merging_made_too_deep():
    tree = TaskTree("0")
    for branch in "ab":
        parent = tree.root.id
        for level in range(1, 60):
            parent = tree.add(parent, f"{branch} {level}").task.id
    tree.merge(tree.named("b 1").id, tree.named("a 59").id)
    assert tree.depth(tree.named("b 59").id) == 117
    assert len(list(tree.show())) == len(tree)
    with pytest.raises(InputError, match="the tree has 117 levels, 100 can be nested; show fewer with --depth"):
        outline(tree)
    assert outline(tree, max_depth=0) == {"name": "0"}
