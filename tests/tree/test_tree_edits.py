"""The journal of hand edits: each edit is applied once, in order, whatever happened in between."""

from __future__ import annotations

import json

import pytest

from curate.errors import InputError, RunError
from curate.tree import TaskTree, append_edit, apply_edits, load_tree_with_edits, read_edits
from curate.tree.edits import JOURNAL, TREE, check_edit, reference


def math_tree():
    tree = TaskTree("Mathematics")
    for parent, name in (
        ("Mathematics", "Algebra"),
        ("Mathematics", "Geometry"),
        ("Algebra", "Equations"),
        ("Algebra", "Factoring"),
        ("Geometry", "Circles"),
    ):
        tree.add(tree.named(parent).id, name)
    return tree


def names(tree):
    return [task.name for task in tree.walk()]


@pytest.mark.parametrize("how", ["id", "path", "whole path", "both"])
def test_ways_to_name_a_task(how):
    tree = math_tree()
    algebra = tree.named("Algebra")
    what = {
        "id": algebra.id,
        "path": ["algebra"],
        "whole path": ["Mathematics", "Algebra"],
        "both": {"id": "unknown", "path": ["Algebra"]},
    }[how]
    assert apply_edits(tree, [{"op": "prune", "task": what}]) == []
    assert names(tree) == ["Mathematics", "Geometry", "Circles"]


def test_each_operation():
    tree = math_tree()
    edits = [
        {"op": "rename", "task": ["Algebra"], "name": "Letters"},
        {"op": "merge", "task": ["Letters", "Factoring"], "into": ["Letters", "Equations"]},
        {"op": "prune", "task": ["Geometry"], "author": "Ada"},
        {"op": "add", "task": ["Letters"], "name": "Matrices", "description": "tables"},
    ]
    assert apply_edits(tree, edits) == []
    assert names(tree) == ["Mathematics", "Letters", "Equations", "Matrices"]
    assert tree.named("Factoring").name == "Equations"
    assert tree.named("Matrices").description == "tables"
    assert len(set(tree.applied)) == 4
    assert apply_edits(tree, edits) == []
    assert names(tree) == ["Mathematics", "Letters", "Equations", "Matrices"]
    assert len(tree.applied) == 4


def test_applying_twice_spares_what_came_since():
    tree = math_tree()
    prune, add = {"op": "prune", "task": ["Algebra"]}, {"op": "add", "task": ["Mathematics"], "name": "Algebra"}
    assert apply_edits(tree, [prune, add]) == []
    algebra = tree.named("Algebra")
    tree.add(algebra.id, "Groups")
    assert apply_edits(tree, [prune, add]) == []
    assert names(tree) == ["Mathematics", "Geometry", "Algebra", "Circles", "Groups"]
    # The same edit a second time in the journal is another edit.
    assert apply_edits(tree, [prune, add, prune]) == []
    assert names(tree) == ["Mathematics", "Geometry", "Circles"]


def test_a_tree_that_is_grown_anew_stays_pruned():
    old, new = math_tree(), TaskTree("Mathematics")
    edits = [{"op": "prune", "task": reference(old, old.named(name))} for name in ("Equations", "Geometry")]
    edits.append({"op": "rename", "task": reference(old, old.named("Algebra")), "name": "Letters"})
    assert apply_edits(new, edits) == ["hand edit 3 (rename) waits: no task 'Algebra' in the tree"]
    algebra = new.add(new.root.id, "Algebra").task
    assert new.add(algebra.id, "Equations").how == "pruned"
    assert new.add(new.root.id, "Geometry").how == "pruned"
    assert apply_edits(new, edits) == []
    assert names(new) == ["Mathematics", "Letters"]


def test_edits_of_merged_tasks_reach_what_they_are_part_of():
    tree = math_tree()
    algebra, geometry = tree.named("Algebra"), tree.named("Geometry")
    tree.merge(algebra.id, geometry.id)
    assert apply_edits(tree, [{"op": "rename", "task": algebra.id, "name": "Both"}]) == []
    assert tree.get(geometry.id).name == "Both"


def test_what_cannot_be_done_waits():
    tree = math_tree()
    edits = [
        {"op": "prune", "task": ["Mathematics"]},
        {"op": "merge", "task": ["Algebra"], "into": ["Algebra", "Equations"]},
        {"op": "merge", "task": ["Nowhere"], "into": ["Algebra"]},
        {"op": "rename", "task": ["Algebra"], "name": "Geometry"},
    ]
    assert apply_edits(tree, edits) == [
        "hand edit 1 (prune) waits: 'Mathematics' is the root and cannot be pruned; prune tasks below it",
        "hand edit 2 (merge) waits: task 'Algebra' cannot be merged into 'Equations', which is below it; "
        "name a task outside of its own branch",
        "hand edit 3 (merge) waits: no task 'Nowhere' in the tree",
        "hand edit 4 (rename) waits: the name 'Geometry' already stands for 'Mathematics > Geometry'; "
        "merge the two, or take another",
    ]
    assert tree.applied == []


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        ({"op": "prune", "task": "abc"}, ""),
        ({"op": "prune", "task": {"id": "abc"}}, ""),
        ([], "expected an object whose 'op' is one of prune, rename, merge, add"),
        ({"op": "drop", "task": "abc"}, "expected an object whose 'op' is one of prune, rename, merge, add"),
        ({"op": "prune"}, "'task' of 'prune' must be a task's id, a list of names, or {\"id\", \"path\"}"),
        ({"op": "prune", "task": []}, "'task' of 'prune' must be a task's id, a list of names, or {\"id\", \"path\"}"),
        ({"op": "prune", "task": {}}, "'task' of 'prune' must be a task's id, a list of names, or {\"id\", \"path\"}"),
        ({"op": "merge", "task": "a", "into": [3]}, "'into' of 'merge' must be a task's id, a list of names, or"),
        ({"op": "rename", "task": "a"}, "'name' of 'rename' must be text"),
        ({"op": "add", "task": "a", "name": "b", "description": 3}, "'description' of 'add' must be text"),
    ],
)
def test_checking(edit, problem):
    assert check_edit(edit).startswith(problem)
    assert bool(check_edit(edit)) == bool(problem)


EDIT = {"op": "prune", "task": ["Algebra"]}
LINE = json.dumps(EDIT) + "\n"


def test_appending_and_reading(tmp_path):
    path = tmp_path / JOURNAL
    assert read_edits(path) == ([], [])
    other = {"op": "rename", "task": "abc", "name": "für Ada \ud83d"}
    append_edit(path, EDIT)
    append_edit(path, other)
    assert read_edits(path) == ([EDIT, other], [])
    assert path.read_bytes().count(b"\n") == 2
    with pytest.raises(InputError, match="not an edit"):
        append_edit(path, {"op": "drop"})
    with pytest.raises(RunError, match=r"tree\.edits\.jsonl: cannot be written"):
        append_edit(tmp_path / "nowhere" / JOURNAL, EDIT)


def test_a_last_line_that_was_cut_off(tmp_path):
    path = tmp_path / JOURNAL
    for cut in range(1, len(LINE) - 1):
        path.write_text(LINE + LINE[:cut], encoding="utf-8")
        assert read_edits(path) == (
            [EDIT],
            [f"{path}:2: the last edit was cut off while it was written and is ignored; repeat it"],
        )
    append_edit(path, EDIT)
    assert path.read_text(encoding="utf-8") == LINE * 2
    path.write_text(LINE[:9], encoding="utf-8")
    append_edit(path, EDIT)
    assert path.read_text(encoding="utf-8") == LINE


def test_a_last_line_that_lacks_only_its_end(tmp_path):
    path = tmp_path / JOURNAL
    path.write_text(LINE + LINE[:-1], encoding="utf-8")
    assert read_edits(path) == ([EDIT, EDIT], [])
    append_edit(path, EDIT)
    assert path.read_text(encoding="utf-8") == LINE * 3


@pytest.mark.parametrize("bad", ['{"op": "pru\n', "[]\n", '{"op": "prune"}\n'])
def test_other_wrong_lines(bad, tmp_path):
    path = tmp_path / JOURNAL
    path.write_text(LINE + bad + LINE, encoding="utf-8")
    with pytest.raises(InputError, match=r"tree\.edits\.jsonl:2: not an edit \(.+\); correct or delete the line"):
        read_edits(path)
    path.write_text(LINE + bad, encoding="utf-8")
    with pytest.raises(InputError, match=r"tree\.edits\.jsonl:2: not an edit"):
        read_edits(path)


def test_loading_with_edits(tmp_path):
    tree = math_tree()
    tree.save(tmp_path / TREE)
    before = (tmp_path / TREE).read_bytes()
    append_edit(tmp_path / JOURNAL, EDIT)
    loaded, warnings = load_tree_with_edits(tmp_path)
    assert (names(loaded), warnings) == (["Mathematics", "Geometry", "Circles"], [])
    assert (tmp_path / TREE).read_bytes() == before
    loaded.save(tmp_path / TREE)
    again, warnings = load_tree_with_edits(tmp_path)
    assert (names(again), warnings) == (["Mathematics", "Geometry", "Circles"], [])
    assert again.applied == loaded.applied
    with (tmp_path / JOURNAL).open("a", encoding="utf-8") as file:
        file.write('{"op"')
    assert [warning.partition(": ")[2] for warning in load_tree_with_edits(tmp_path)[1]] == [
        "the last edit was cut off while it was written and is ignored; repeat it"
    ]
