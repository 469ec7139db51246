"""tree.json: what is saved is what is loaded, and a wrong file is named with its line."""

from __future__ import annotations

import json

import pytest

from curate.errors import InputError, RunError
from curate.tree import TaskTree


def example(text):
    return {"instruction": text, "input": "", "output": f"answer to {text}"}


def content(tree):
    """Everything a tree knows, as JSON."""
    books = (tree.examples, tree.merges, tree.pruned, tree.applied, tree.state)
    return json.loads(json.dumps([[vars_of(task) for task in tree.walk()], *books]))


def vars_of(task):
    return [task.id, task.name, task.description, task.parent, task.examples]


@pytest.fixture
def tree():
    tree = TaskTree("Mathematics", "all of it", [example("seed")])
    algebra = tree.add(tree.root.id, "Algebra", "letters", [example("a"), example("b")]).task
    tree.add(algebra.id, 'Gleichungen für "Anfänger" \ud83d', "half an emoji")
    geometry = tree.add(tree.root.id, "Geometry").task
    tree.add(geometry.id, "Circles", examples=[example("a")])
    tree.add(geometry.id, "Algebra")
    tree.prune(tree.add(geometry.id, "Squares").task.id)
    tree.rename(geometry.id, "Shapes")
    tree.state = {"expanded": {algebra.id: 2}}
    tree.applied = ["0123456789ab"]
    return tree


def test_saved_is_loaded(tree, tmp_path):
    path = tmp_path / "tree.json"
    tree.save(path)
    loaded = TaskTree.load(path)
    assert content(loaded) == content(tree)
    assert loaded.named("Geometry").name == "Shapes"
    assert loaded.add(loaded.named("Shapes").id, "squares").how == "pruned"
    again = tmp_path / "again.json"
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


def test_one_thing_per_line(tree, tmp_path):
    tree.save(tmp_path / "tree.json")
    lines = (tmp_path / "tree.json").read_text(encoding="utf-8").splitlines()
    assert lines[0:4] == [
        "{",
        '"version": 1,',
        f'"state": {{"expanded": {{"{tree.named("Algebra").id}": 2}}}},',
        '"tasks": [',
    ]
    assert [json.loads(line.rstrip(","))["name"] for line in lines[4:9]] == [task.name for task in tree.walk()]
    assert lines[9] == "],"
    assert json.loads("\n".join(lines))["version"] == 1


def test_a_bare_root(tmp_path):
    TaskTree("Root").save(tmp_path / "tree.json")
    assert [task.name for task in TaskTree.load(tmp_path / "tree.json").walk()] == ["Root"]


def test_unwritable(tree, tmp_path):
    with pytest.raises(RunError, match="nowhere"):
        tree.save(tmp_path / "nowhere" / "tree.json")


def rows(*rows, **more):
    return {"version": 1, "tasks": [dict(zip(("id", "parent", "name"), row, strict=True)) for row in rows], **more}


ROOT = ("r", None, "Root")


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (rows(ROOT, ("a", "x", "A")), 5, "task 'A' has the parent 'x', which is not in the file"),
        (rows(ROOT, ("a", "b", "A"), ("b", "a", "B")), 5, "the parents go in a circle: A < B < A"),
        (rows(ROOT, ("a", "a", "A")), 5, "the parents go in a circle: A < A; give one of them another parent"),
        (rows(ROOT, ("a", None, "A")), 5, "a tree has one root (a task whose parent is null); found 'Root', 'A'"),
        (rows(("a", "a", "A")), 3, "a tree has one root (a task whose parent is null); found none"),
        (rows(ROOT, ("a", "r", "A"), ("a", "r", "B")), 6, "a second task with the id 'a'; give each its own"),
        (rows(ROOT, ("a", "r", "A"), ("b", "a", "a.")), 6, "'a.' has the name of task 'a'; rename one"),
        (rows(ROOT, ("a", "r", 7)), 5, '{"id": "a", "parent": "r", "name": 7} is not a task: expected id, parent'),
        (rows(ROOT, ("a", "r", " ")), 5, "is not a task: expected id, parent"),
        ({"version": 1, "tasks": [{"id": "r"}]}, 4, '{"id": "r"} is not a task: expected id, parent'),
        ({"version": 1, "tasks": ["r"]}, 4, '"r" is not a task: expected id, parent'),
        ({"version": 2, "tasks": []}, 2, "version 2 of a task tree; this curate reads version 1"),
        ({"tasks": []}, None, "version None of a task tree; this curate reads version 1"),
        ({"version": 1}, None, "not a task tree: expected an object with version and tasks"),
        ([], None, "not a task tree"),
        ({"version": 1, "tasks": {}}, 3, "'tasks' must be a JSON list"),
        (rows(ROOT, state=[]), 6, "'state' must be a JSON object"),
        (rows(ROOT, examples={"e": {"instruction": "i"}}), 7, "example 'e' must hold instruction, input and output"),
        (
            {"version": 1, "tasks": [{"id": "r", "parent": None, "name": "R", "examples": ["e"]}]},
            4,
            "task 'R' has the example 'e', which is not in the file",
        ),
        (rows(ROOT, merges=[{"name": "x"}]), 7, "a record of 'merges' holds name, path, parent, into, how"),
        (rows(ROOT, pruned=[3]), 7, "a record of 'pruned' holds id, path, places, ids"),
        (
            rows(ROOT, merges=[{"name": "x", "path": [], "parent": "r", "into": "gone", "how": "hand"}]),
            7,
            "'x' was merged into 'gone', which is not in the file; delete this line",
        ),
    ],
)
def test_wrong_files(content, line, message, tmp_path):
    path = tmp_path / "tree.json"
    path.write_text(lines_of(content), encoding="utf-8")
    with pytest.raises(InputError) as error:
        TaskTree.load(path)
    assert str(error.value).startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert message in str(error.value)


def lines_of(content):
    """JSON with each entry of each part on its own line."""
    if not isinstance(content, dict):
        return json.dumps(content)
    parts = []
    for name, value in content.items():
        text = json.dumps(value)
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join(map(json.dumps, value)) + "\n]"
        elif name == "examples":
            text = "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(each)}" for key, each in value.items()) + "\n}"
        parts.append(f'"{name}": {text}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def test_unreadable_files(tmp_path):
    path = tmp_path / "tree.json"
    with pytest.raises(InputError, match=r"tree\.json: no such file; `curate tree import SRC --out DIR` makes a tree"):
        TaskTree.load(path)
    path.write_text('{\n"version": 1,\n"tasks": [\n{"id": ', encoding="utf-8")
    with pytest.raises(InputError, match=r"tree\.json:4: not JSON \(Expecting value"):
        TaskTree.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"tree\.json: cannot be read \('utf-8' codec"):
        TaskTree.load(path)
    path.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(InputError, match=r"tree\.json:1: not JSON"):
        TaskTree.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        TaskTree.load(tmp_path)
