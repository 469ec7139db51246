"""Whatever is done to a tree in whatever order, it stays one, and its file holds all of it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.tree import TaskTree, apply_edits, name_key

NAMES = ["A", "B", "C", "D", "E", "F", "a.", "B!"]

steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "prune", "merge", "rename", "readmit"]),
        st.integers(0, 30),
        st.integers(0, 30),
        st.sampled_from(NAMES),
    ),
    max_size=30,
)


def do(tree, step):
    """Do one step; return whether it was possible."""
    what, one, other, name = step
    tasks = list(tree.walk())
    one, other = tasks[one % len(tasks)].id, tasks[other % len(tasks)].id
    examples = [{"instruction": name, "input": "", "output": str(len(tasks) % 3)}]
    try:
        if what == "add":
            tree.add(one, name, "", examples)
        elif what == "prune":
            tree.prune(one)
        elif what == "merge":
            tree.merge(one, other)
        elif what == "rename":
            tree.rename(one, name)
        else:
            tree.readmit(one, name)
    except InputError:
        return False
    return True


def books(tree):
    tasks = [[task.id, task.name, task.parent, task.examples] for task in tree.walk()]
    public = [tasks, tree.examples, tree.merges, tree.pruned, tree.applied, tree.state]
    derived = [tree._names, tree._moved, sorted(tree._places), sorted(tree._refused), sorted(tree._recorded)]
    return json.loads(json.dumps([public, derived]))


def reloaded(tree):
    with tempfile.TemporaryDirectory() as folder:
        tree.save(Path(folder) / "tree.json")
        return TaskTree.load(Path(folder) / "tree.json")


@settings(max_examples=150, deadline=None)
@given(steps)
def test_it_stays_a_tree(sequence):
    tree = TaskTree("Root")
    for step in sequence:
        before = books(tree)
        if not do(tree, step):
            assert books(tree) == before
    tasks = list(tree.walk())
    assert nx.is_arborescence(tree._graph)
    assert len(tasks) == len(tree) == len({task.id for task in tasks}) == len({name_key(task.name) for task in tasks})
    for task in tasks:
        assert task in (tree.children(task.parent) if task.parent else [tree.root])
        assert tree.find(tree.path(task.id)) == task
        assert tree.named(task.name) == task
    assert set(tree.examples) == {example for task in tasks for example in task.examples}
    assert not {task.id for task in tasks} & {ident for record in tree.pruned for ident in record["ids"]}


@settings(max_examples=60, deadline=None)
@given(steps, steps)
def test_saving_changes_nothing(sequence, more):
    tree = TaskTree("Root")
    for step in sequence:
        do(tree, step)
    loaded = reloaded(tree)
    assert books(loaded) == books(tree)
    for step in more:
        assert do(loaded, step) == do(tree, step)
    assert books(loaded) == books(tree)


paths = st.lists(st.sampled_from(NAMES[:6]), min_size=1, max_size=2)
edits = st.lists(
    st.one_of(
        st.fixed_dictionaries({"op": st.just("prune"), "task": paths}),
        st.fixed_dictionaries({"op": st.just("rename"), "task": paths, "name": st.sampled_from(NAMES)}),
        st.fixed_dictionaries({"op": st.just("merge"), "task": paths, "into": paths}),
        st.fixed_dictionaries({"op": st.just("add"), "task": paths, "name": st.sampled_from(NAMES)}),
    ),
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(steps, edits)
def test_edits_are_applied_once(sequence, journal):
    tree = TaskTree("Root")
    for step in sequence:
        do(tree, step)
    first = apply_edits(tree, journal)
    # What waited may have become possible by a later edit; after as many rounds as there are edits nothing can.
    for _ in journal:
        first = apply_edits(tree, journal)
    before = books(tree)
    assert apply_edits(reloaded(tree), journal) == first
    assert apply_edits(tree, journal) == first
    assert books(tree) == before
