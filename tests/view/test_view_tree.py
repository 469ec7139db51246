"""The task tree by hand in the page, and the next run that goes on from there."""

from __future__ import annotations

import fcntl
import json
from collections import Counter

import pytest
from runs import accepted, domain_file, run
from viewing import act, ask, row, write

from curate.tree import TaskTree
from curate.view.desk import Desk


@pytest.fixture
def page(folder, opened):
    return opened(folder)


def nodes(tree):
    return {node["name"]: node for node in tree["nodes"]}


def test_add_rename_merge_prune_and_the_next_run(page, folder, tmp_path):
    before = nodes(ask(page.url, "tree"))
    of = Counter(each["task"][-1] for each in _all(folder))
    root, *tasks = before.values()
    first, second, third = sorted(tasks, key=lambda task: -of[task["name"]])[:3]
    assert of[third["name"]]
    written = (folder / "tree.json").read_bytes()
    added = act(
        page.url, "tree", op="add", task=root["id"], name="Baking bread", description="For a start.", author="ada"
    )
    assert (added["done"], nodes(added)["Baking bread"]["parent"]) == ("Added “Baking bread”", root["id"])
    renamed = act(page.url, "tree", op="rename", task=first["id"], name="Renamed by hand", author="ada")
    assert nodes(renamed)["Renamed by hand"]["id"] == first["id"]
    assert (
        act(page.url, "tree", op="merge", task=second["id"], into=first["id"])["done"]
        == "Merged into “Renamed by hand”"
    )
    pruned = act(page.url, "tree", op="prune", task=third["id"])
    assert pruned["done"] == "Pruned 1 task"
    assert third["id"] not in {node["id"] for node in pruned["nodes"]}
    assert (folder / "tree.json").read_bytes() == written  # the run's own to write
    edits = [json.loads(line) for line in (folder / "tree.edits.jsonl").read_text().splitlines()]
    assert [edit["op"] for edit in edits] == ["add", "rename", "merge", "prune"]
    assert edits[0]["author"] == "ada"

    # Samples are counted where their tasks are now.
    facets = ask(page.url, "facets", which="all")["tasks"]
    assert facets[first["id"]] == of[first["name"]] + of[second["name"]]
    assert facets["gone"] == of[third["name"]]

    report = run(domain_file(tmp_path), folder, rows=40)
    names = {each["task"][-1] for each in accepted(report)}
    assert "Baking bread" in names
    assert "Renamed by hand" in names
    assert names.isdisjoint({first["name"], second["name"], third["name"]})
    assert ask(page.url, "about")["stale"] is True
    assert act(page.url, "reopen")["kept"] == len(accepted(report))
    assert ask(page.url, "about")["stale"] is False


def _all(folder):
    paths = folder.glob("accepted.*.jsonl")
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_what_cannot_be_done_is_said(page):
    tree = nodes(ask(page.url, "tree"))
    root, first, *_ = tree.values()
    for given, said in (
        ({"op": "prune", "task": root["id"]}, "is the root and cannot be pruned"),
        ({"op": "add", "task": root["id"], "name": first["name"]}, "is there already"),
        ({"op": "add", "task": root["id"], "name": " "}, "is not a task name"),
        ({"op": "merge", "task": root["id"], "into": first["id"]}, "cannot be merged"),
        ({"op": "rename", "task": "nope", "name": "x"}, "nope"),
        ({"op": "burn"}, "it takes add, rename, merge or prune"),
    ):
        assert said in act(page.url, "tree", **given)["error"]
    assert nodes(ask(page.url, "tree")) == tree


def test_while_a_run_is_at_work(page, folder):
    root = ask(page.url, "tree")["nodes"][0]
    with (folder / ".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert ask(page.url, "about")["busy"] is True
        assert ask(page.url, "search")["total"] == 24
        added = act(page.url, "tree", op="add", task=root["id"], name="Meanwhile")
        assert (added["busy"], "Meanwhile" in nodes(added)) == (True, True)
        assert "brief" in act(page.url, "decide", row=1, decision="accept")
    assert ask(page.url, "about")["busy"] is False


def test_a_tree_without_samples(tmp_path, opened):
    tree = TaskTree("Cooking")
    tree.add(tree.root.id, "Soups")
    (tmp_path / "run").mkdir()
    tree.save(tmp_path / "run" / "tree.json")
    page = opened(tmp_path / "run")
    assert [*nodes(ask(page.url, "tree"))] == ["Cooking", "Soups"]
    assert ask(page.url, "search")["total"] == 0
    assert "Salads" in nodes(act(page.url, "tree", op="add", task=tree.root.id, name="Salads"))


def test_a_dataset_has_the_tree_of_its_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rows = [row("One?", task=("Root", "A", "X")), row("Two?", task=("Root", "B")), row("Three?", task=("Root", "A"))]
    desk = Desk(str(write(tmp_path / "data.jsonl", rows)), lambda done, total: None)
    tree = desk.store.tree()
    assert [node["name"] for node in tree["nodes"]] == ["Root", "A", "X", "B"]
    assert tree["editable"] is False
    ids = {node["name"]: node["id"] for node in tree["nodes"]}
    assert desk.ask["facets"]({})["tasks"] == {ids["Root"]: 3, ids["A"]: 2, ids["X"]: 1, ids["B"]: 1}
    assert desk.ask["search"]({"task": ids["A"]})["total"] == 2
    desk.close()
