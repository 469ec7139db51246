"""TaskTree: adding, merging, renaming and pruning keep one tree of distinct names."""

from __future__ import annotations

import pytest

from curate.errors import InputError
from curate.tree import TaskTree
from curate.tree.store import MAX_DEPTH


def example(text):
    return {"instruction": text, "input": "", "output": f"answer to {text}"}


def math_tree():
    """Mathematics with Algebra (Equations, Factoring) and Geometry (Circles)."""
    tree = TaskTree("Mathematics", "all of it", [example("seed")])
    for parent, name in (
        ("Mathematics", "Algebra"),
        ("Mathematics", "Geometry"),
        ("Algebra", "Equations"),
        ("Algebra", "Factoring"),
        ("Geometry", "Circles"),
    ):
        tree.add(tree.named(parent).id, name, f"on {name}", [example(name)])
    return tree


def ident(tree, name):
    return tree.named(name).id


def names(tasks):
    return [task.name for task in tasks]


def test_looking():
    tree = math_tree()
    circles = tree.named("circles")
    assert tree.root.name == "Mathematics"
    assert tree.path(circles.id) == ("Mathematics", "Geometry", "Circles")
    assert (tree.depth(tree.root.id), tree.depth(circles.id)) == (0, 2)
    assert names(tree.children(tree.root.id)) == ["Algebra", "Geometry"]
    assert names(tree.siblings(ident(tree, "Equations"))) == ["Factoring"]
    assert tree.siblings(tree.root.id) == []
    assert names(tree.walk()) == ["Mathematics", "Algebra", "Geometry", "Equations", "Factoring", "Circles"]
    assert names(tree.walk(ident(tree, "Algebra"))) == ["Algebra", "Equations", "Factoring"]
    assert len(tree) == 6
    assert circles.id in tree
    assert "0" * 12 not in tree
    assert [tree.examples[each]["output"] for each in circles.examples] == ["answer to Circles"]
    with pytest.raises(InputError, match="no task has the id '000000000000' in the tree 'Mathematics'"):
        tree.get("0" * 12)


def test_find_takes_whole_paths_only():
    tree = math_tree()
    assert tree.find([]) == tree.root
    assert tree.find(["Mathematics"]) == tree.root
    assert tree.find(["algebra", "equations"]) == tree.find(["Mathematics", "Algebra", "Equations"])
    assert tree.find(["algebra", "equations"]).name == "Equations"
    assert tree.find(["equations"]) is None
    assert tree.find(["Geometry", "Equations"]) is None
    assert tree.find(["Nothing"]) is None


def test_a_name_is_one_task_in_the_whole_tree():
    tree = math_tree()
    geometry = ident(tree, "Geometry")
    assert tree.add(geometry, "equations.", "another", [example("new")]) == (tree.named("Equations"), "merged")
    equations = tree.named("Equations")
    assert [tree.examples[each]["instruction"] for each in equations.examples] == ["Equations", "new"]
    assert equations.description == "on Equations"
    record = {
        "name": "equations.",
        "path": ["Mathematics", "Geometry", "equations."],
        "parent": geometry,
        "into": equations.id,
        "how": "name",
    }
    assert tree.merges == [record]
    # The same answer again changes nothing.
    assert tree.add(geometry, "Equations", examples=[example("new")]).how == "merged"
    assert tree.merges == [record]
    assert len(tree) == 6


def test_repetition_at_its_own_place_is_no_merge():
    tree = math_tree()
    before = tree.named("Equations")
    assert tree.add(ident(tree, "Algebra"), "EQUATIONS", "x", [example("Equations")]) == (before, "repeated")
    assert tree.merges == []


def test_the_root_is_a_task_too():
    tree = math_tree()
    assert tree.add(ident(tree, "Algebra"), "mathematics") == (tree.root, "merged")


def test_a_newcomer_that_the_teacher_found_equal():
    tree = math_tree()
    geometry, equations = ident(tree, "Geometry"), ident(tree, "Equations")
    newcomer = tree.add(geometry, "Equalities", "", [example("more")]).task
    kept = tree.merge(newcomer.id, equations, how="teacher", call="abc")
    assert len(kept.examples) == 2
    assert tree.named("equalities") == kept
    assert tree.merges == [
        {
            "name": "Equalities",
            "path": ["Mathematics", "Geometry", "Equalities"],
            "parent": geometry,
            "into": equations,
            "how": "teacher",
            "call": "abc",
            "id": newcomer.id,
        }
    ]
    # Asked again anywhere, it is known without the teacher.
    assert tree.add(ident(tree, "Circles"), "equalities") == (kept, "merged")


def test_merging_two_tasks():
    tree = math_tree()
    algebra, geometry = ident(tree, "Algebra"), ident(tree, "Geometry")
    tree.add(geometry, "Algebra!!")  # stands for Algebra, and later for Geometry
    kept = tree.merge(algebra, geometry)
    assert kept == tree.named("Geometry")
    assert names(tree.walk()) == ["Mathematics", "Geometry", "Circles", "Equations", "Factoring"]
    assert tree.path(ident(tree, "Factoring")) == ("Mathematics", "Geometry", "Factoring")
    assert tree.named("Factoring").parent == geometry
    assert [tree.examples[each]["instruction"] for each in kept.examples] == ["Geometry", "Algebra"]
    assert algebra not in tree
    assert [(m["name"], m["into"], m["how"], m.get("id")) for m in tree.merges] == [
        ("Algebra!!", geometry, "name", None),
        ("Algebra", geometry, "hand", algebra),
    ]
    # The old id and the old name lead to the task they are now part of.
    assert tree.add(algebra, "Polynomials").task.parent == geometry
    assert tree.add(tree.root.id, "algebra") == (kept, "merged")


def test_a_task_merges_into_its_own_sub_task_never():
    tree = math_tree()
    algebra, equations = ident(tree, "Algebra"), ident(tree, "Equations")
    with pytest.raises(InputError, match="'Algebra' cannot be merged into 'Equations', which is below it"):
        tree.merge(algebra, equations)
    with pytest.raises(InputError, match="'Algebra' cannot be merged into itself"):
        tree.merge(algebra, algebra)
    with pytest.raises(InputError, match="'Mathematics' cannot be merged into 'Algebra'"):
        tree.merge(tree.root.id, algebra)
    assert names(tree.walk()) == names(math_tree().walk())
    assert tree.merge(equations, algebra).name == "Algebra"
    assert len(tree) == 5


def test_rename_keeps_the_id_and_the_old_name():
    tree = math_tree()
    algebra = ident(tree, "Algebra")
    assert tree.rename(algebra, " School  algebra ").name == "School algebra"
    assert tree.path(ident(tree, "Equations")) == ("Mathematics", "School algebra", "Equations")
    assert tree.named("school algebra").id == algebra
    assert tree.add(tree.root.id, "Algebra") == (tree.get(algebra), "merged")
    assert [(m["name"], m["how"]) for m in tree.merges] == [("Algebra", "rename")]
    with pytest.raises(InputError, match="'circles' already stands for 'Mathematics > Geometry > Circles'; merge"):
        tree.rename(algebra, "circles")
    assert tree.rename(algebra, "Algebra").name == "Algebra"
    assert tree.rename(tree.root.id, "Maths").name == "Maths"
    assert tree.named("Mathematics") == tree.root


def test_pruning_is_for_good():
    tree = math_tree()
    root, algebra, equations = tree.root.id, ident(tree, "Algebra"), ident(tree, "Equations")
    assert names(tree.prune(algebra)) == ["Algebra", "Equations", "Factoring"]
    assert names(tree.walk()) == ["Mathematics", "Geometry", "Circles"]
    assert [each["instruction"] for each in tree.examples.values()] == ["seed", "Geometry", "Circles"]
    assert tree.add(root, "ALGEBRA", examples=[example("lost")]) == (None, "pruned")
    assert tree.add(algebra, "Anything") == (None, "pruned")
    assert tree.add(equations, "Anything") == (None, "pruned")
    assert len(tree.examples) == 3
    # Another place is another matter.
    assert tree.add(ident(tree, "Geometry"), "Equations").how == "added"
    with pytest.raises(InputError, match="'Mathematics' is the root and cannot be pruned"):
        tree.prune(root)


def test_pruning_takes_the_other_names_along():
    tree = math_tree()
    geometry, algebra, factoring = (ident(tree, name) for name in ("Geometry", "Algebra", "Factoring"))
    tree.merge(tree.add(geometry, "Equalities").task.id, ident(tree, "Equations"))
    tree.merge(factoring, ident(tree, "Equations"))
    tree.prune(ident(tree, "Equations"))
    assert tree.merges == []
    assert [m["name"] for m in tree.pruned[0]["merges"]] == ["Equalities", "Factoring"]
    assert tree.add(geometry, "Equalities").how == "pruned"
    assert tree.add(algebra, "Factoring").how == "pruned"
    assert tree.add(factoring, "Anything").how == "pruned"
    assert tree.add(geometry, "Factoring").how == "added"


def test_merging_brings_nothing_pruned_back():
    tree = math_tree()
    algebra, geometry = ident(tree, "Algebra"), ident(tree, "Geometry")
    tree.prune(ident(tree, "Circles"))
    assert tree.add(algebra, "Circles").how == "added"
    tree.prune(ident(tree, "Equations"))
    tree.merge(algebra, geometry)
    assert names(tree.walk()) == ["Mathematics", "Geometry", "Factoring"]
    assert tree.add(geometry, "Circles").how == "pruned"
    assert tree.add(geometry, "Equations").how == "pruned"
    assert tree.add(algebra, "Equations").how == "pruned"


def test_readmitting():
    tree = math_tree()
    algebra = ident(tree, "Algebra")
    tree.prune(algebra)
    assert tree.is_pruned(tree.root.id, "algebra")
    tree.readmit(tree.root.id, "Algebra")
    assert not tree.is_pruned(tree.root.id, "algebra")
    assert tree.add(tree.root.id, "Algebra").task.id == algebra
    assert tree.pruned == []


def test_refusing_what_is_not_there_yet():
    tree = TaskTree("Mathematics")
    full = math_tree()
    tree.refuse(ident(full, "Equations"), ["Algebra", "Equations"])
    tree.refuse(ident(full, "Geometry"))
    algebra = tree.add(tree.root.id, "Algebra").task
    assert tree.add(algebra.id, "equations").how == "pruned"
    assert tree.add(tree.root.id, "geometry").how == "pruned"
    assert tree.add(algebra.id, "Factoring").how == "added"


def test_wrong_values():
    tree = math_tree()
    with pytest.raises(InputError, match="no task has the id 'nowhere'"):
        tree.add("nowhere", "Sets")
    with pytest.raises(InputError, match="an example's output is 3; it takes text"):
        tree.add(tree.root.id, "Sets", examples=[{"instruction": "a", "output": 3}])
    with pytest.raises(InputError, match="an example's instruction is ' '; it takes text"):
        tree.add(tree.root.id, "Sets", examples=[{"instruction": " "}])
    assert tree.named("Sets") is None


def test_depth_has_an_end():
    tree = TaskTree("level 0")
    parent = tree.root.id
    for level in range(1, MAX_DEPTH + 1):
        parent = tree.add(parent, f"level {level}").task.id
    assert tree.depth(parent) == MAX_DEPTH
    with pytest.raises(InputError, match="'too deep' would be 101 levels deep; 100 is the limit"):
        tree.add(parent, "too deep")


def test_examples_are_kept_once():
    tree = math_tree()
    algebra = tree.add(tree.root.id, "Algebra", examples=[example("Algebra"), example("b"), example("b")]).task
    assert [tree.examples[each]["instruction"] for each in algebra.examples] == ["Algebra", "b"]
    tree.add(tree.root.id, "Geometry", examples=[example("b")])
    tree.prune(algebra.id)
    assert [each["instruction"] for each in tree.examples.values()] == ["seed", "Geometry", "Circles", "b"]
