"""`curate tree`: what each verb prints, keeps and refuses."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from curate.cli.tree import tree as command
from curate.errors import InputError, RunError
from curate.tree import TaskTree, load_tree_with_edits, tree_add, tree_prune, tree_show


@pytest.fixture
def run(tmp_path):
    tree = TaskTree("Math")
    for parent, name in (
        ("Math", "Algebra"),
        ("Math", "Geometry"),
        ("Algebra", "Linear equations"),
        ("Algebra", "Factoring"),
        ("Geometry", "Circles and/or \x1b[31mspheres"),
    ):
        tree.add(tree.named(parent).id, name, f"on {name}")
    tree.save(tmp_path / "tree.json")
    return tmp_path


def ident(run, name):
    return load_tree_with_edits(run)[0].named(name).id


def names(run):
    return [task.name for task in load_tree_with_edits(run)[0].walk()]


def call(*arguments, fails=None):
    """Run the command; return its stdout lines, or the message of the error it must fail with."""
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if fails is None:
        assert result.exception is None, result.output
        return result.stdout.splitlines()
    assert isinstance(result.exception, fails), result.output
    return str(result.exception)


def test_show(run):
    lines = call("show", run, "--depth", 1)
    assert lines[:5] == [
        "Math",
        "├── Algebra  (+2 below)",
        "└── Geometry  (+1 below)",
        "",
        "Math: 6 tasks, 3 of them leaves",
    ]
    assert call("show", run, "--lines", 2)[:3] == ["Math", "├── Algebra", "… 4 more tasks"]
    assert call("show", run / "tree.json") == call("show", run)
    assert "\x1b" not in "\n".join(call("show", run) + call("show", run, "--format", "yaml"))
    call("prune", run, "Algebra")
    assert call("show", run)[1] == "└── Geometry"


def test_show_what_can_be_imported_again(run, tmp_path):
    for form in ("yaml", "json"):
        text = "\n".join(call("show", run, "--format", form))
        (tmp_path / f"outline.{form}").write_text(text, encoding="utf-8")
        out = tmp_path / form
        call("import", tmp_path / f"outline.{form}", "--out", out)
        assert [ident(out, name) for name in ("Math", "Algebra", "Factoring")] == [
            ident(run, name) for name in ("Math", "Algebra", "Factoring")
        ]
        assert load_tree_with_edits(out)[0].named("Factoring").description == "on Factoring"
    assert json.loads("\n".join(call("show", run, "--format", "json")))["tasks"][1]["id"] == ident(run, "Geometry")


def test_show_has_the_formats_it_has(run):
    with pytest.raises(InputError, match="no format 'xml' for a tree; there are text, yaml, json"):
        list(tree_show(run, format="xml"))
    assert "no such file" in call("show", run / "nothing.txt", fails=InputError)


def test_import(tmp_path):
    source = tmp_path / "law.txt"
    source.write_text("Law\n  Tenancy\n  Contracts\n    tenancy\n", encoding="utf-8")
    result = CliRunner().invoke(command, ["import", str(source), "--out", str(tmp_path / "runs" / "law")])
    target = tmp_path / "runs" / "law" / "tree.json"
    assert result.stderr == f"note: {source}:4: 'tenancy' is the same task as 'Law > Tenancy' and joins it\n"
    assert result.stdout.splitlines()[0] == "Law: 3 tasks, 2 of them leaves"
    assert result.stdout.splitlines()[-1] == f"written to {target}"
    assert [task.name for task in TaskTree.load(target).walk()] == ["Law", "Tenancy", "Contracts"]
    message = call("import", source, "--out", tmp_path / "runs" / "law", fails=InputError)
    assert message == f"{target}: there is a tree already; give another folder with --out"
    assert "cannot be made" in call("import", source, "--out", source / "below", fails=RunError)


def test_prune(run):
    before = (run / "tree.json").read_bytes()
    algebra, equations, factoring = (ident(run, name) for name in ("Algebra", "Linear equations", "Factoring"))
    would = [f"would prune {algebra} Algebra", f"would prune {equations} Linear equations"]
    assert call("prune", run, "Algebra", "--dry-run") == [*would, f"would prune {factoring} Factoring", "3 tasks"]
    assert not (run / "tree.edits.jsonl").exists()
    assert call("prune", run, "Algebra/Factoring", "algebra", "--author", "Ada") == [
        f"pruned {factoring} Factoring",
        f"pruned {algebra} Algebra",
        f"pruned {equations} Linear equations",
        "3 tasks",
    ]
    assert names(run) == ["Math", "Geometry", "Circles and/or \x1b[31mspheres"]
    assert (run / "tree.json").read_bytes() == before
    edits = [json.loads(line) for line in (run / "tree.edits.jsonl").read_text(encoding="utf-8").splitlines()]
    assert edits == [
        {"op": "prune", "task": {"id": factoring, "path": ["Algebra", "Factoring"]}, "author": "Ada"},
        {"op": "prune", "task": {"id": algebra, "path": ["Algebra"]}, "author": "Ada"},
    ]
    assert "is the root and cannot be pruned" in call("prune", run, "Math", fails=InputError)


def test_a_task_and_the_one_above_it_are_pruned_once(run):
    assert len(tree_prune(run, "Algebra", "Factoring")) == 3
    assert len((run / "tree.edits.jsonl").read_text(encoding="utf-8").splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Linear equations",
        "LINEAR  equations.",
        "Algebra/Linear equations",
        "Math/Algebra/Linear equations",
        "Math > Algebra > Linear equations",
        "ID",
    ],
)
def test_ways_to_name_a_task(run, text):
    text = ident(run, "Linear equations") if text == "ID" else text
    assert [task.name for task in tree_prune(run, text, dry_run=True)] == ["Linear equations"]


def test_a_name_with_a_slash(run):
    assert call("prune", run, "Geometry/Circles and/or \x1b[31mspheres", "--dry-run")[0].endswith(
        " Circles and/or spheres"
    )


def test_a_name_that_means_nothing_or_too_much(run):
    message = call("prune", run, "Linear equation", fails=InputError)
    assert message == "no task 'Linear equation' in the tree; the nearest: 'Math > Algebra > Linear equations'"
    assert (
        call("prune", run, "xyz", fails=InputError) == "no task 'xyz' in the tree; `curate tree show` prints them all"
    )
    assert "no task 'Geometry/Factoring'" in call("prune", run, "Geometry/Factoring", fails=InputError)
    path, name = ident(run, "Factoring"), tree_add(run, "Geometry", "Algebra factoring").id
    assert call("prune", run, "Algebra/Factoring", fails=InputError) == (
        "'Algebra/Factoring' can mean 2 tasks; name one by its id: "
        f"'Math > Algebra > Factoring' ({path}); 'Math > Geometry > Algebra factoring' ({name})"
    )
    call("merge", run, "Factoring", "Linear equations")
    message = call("prune", run, "Factoring", fails=InputError)
    assert message == "'Factoring' was merged into 'Math > Algebra > Linear equations'; name that one"


def test_merge(run):
    geometry = ident(run, "Geometry")
    assert call("merge", run, "Algebra", "Geometry") == [f"merged into {geometry} Geometry"]
    assert names(run) == ["Math", "Geometry", "Circles and/or \x1b[31mspheres", "Linear equations", "Factoring"]
    message = call("merge", run, "Geometry", "Factoring", fails=InputError)
    assert message.startswith("task 'Geometry' cannot be merged into 'Factoring', which is below it")
    assert len((run / "tree.edits.jsonl").read_text(encoding="utf-8").splitlines()) == 1


def test_rename(run):
    algebra = ident(run, "Algebra")
    assert call("rename", run, "Algebra", "Letters") == [f"renamed {algebra} Letters"]
    assert names(run)[1] == "Letters"
    assert "already stands for 'Math > Geometry'" in call("rename", run, "Letters", "geometry", fails=InputError)


def test_add(run):
    call("prune", run, "Algebra")
    algebra = call("add", run, "Math", "Algebra", "--description", "again")[0].split()[1]
    assert load_tree_with_edits(run)[0].get(algebra).description == "again"
    assert names(run) == ["Math", "Geometry", "Algebra", "Circles and/or \x1b[31mspheres"]
    assert (
        call("add", run, "Algebra", "Geometry", fails=InputError) == "'Geometry' is there already, as 'Math > Geometry'"
    )


def test_an_edit_that_was_cut_off_is_told(run):
    (run / "tree.edits.jsonl").write_text('{"op": "pru', encoding="utf-8")
    result = CliRunner().invoke(command, ["prune", str(run), "Factoring", "--dry-run"])
    told = "the last edit was cut off while it was written and is ignored; repeat it"
    assert result.stderr == f"note: {run / 'tree.edits.jsonl'}:1: {told}\n"
    with pytest.warns(UserWarning, match="the last edit was cut off"):
        tree_prune(run, "Factoring")
    assert "Factoring" not in names(run)


def test_a_folder_without_a_tree(tmp_path):
    assert "no such file; `curate tree import SRC --out DIR` makes a tree.json" in call(
        "prune", tmp_path, "Algebra", fails=InputError
    )


@pytest.mark.parametrize("verb", ["show", "import", "prune", "merge", "rename", "add"])
def test_help_teaches_with_an_example(verb):
    text = "\n".join(call(verb, "--help"))
    assert f"curate tree {verb} " in text
    assert "Example" in text
