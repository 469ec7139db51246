"""What the page is given: counts that add up to the run's, samples within their room, bytes that unpack."""

from __future__ import annotations

import base64
import gzip
import importlib
import json
import re
import sqlite3
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from law_run import EXPLORE, LAW, call

from curate.errors import MissingExtraError
from curate.export.report import LIMIT, gather, open_to_report, points, write_report
from curate.export.report.gather import PER_TASK, Points, Shelf, as_shown
from curate.export.report.overview import groups, usage
from curate.export.report.points import _heads, pca, point_map
from curate.finished import open_run
from curate.io import read_jsonl


@pytest.fixture(scope="session")
def law_run(tmp_path_factory):
    """A finished run of the scripted teacher, with dropped samples and lost calls."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "law.yaml").write_text(LAW, encoding="utf-8")
    done = call(folder, *EXPLORE)
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "law"


def unpacked(page: str) -> dict[str, bytes]:
    """The data blocks of a page, by name."""
    blocks = re.findall(r'<script type="application/gzip\+base64" id="data-([\w-]+)">([^<]*)</script>', page)
    return {name: gzip.decompress(base64.b64decode(data)) for name, data in blocks}


@pytest.fixture(scope="session")
def page(law_run):
    return unpacked((law_run / "report.html").read_text(encoding="utf-8"))


def test_a_run_ends_with_its_report(law_run):
    text = (law_run / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "<!-- " not in text.split("<script", 1)[0]


def test_counts_of_the_tasks_are_those_of_the_rows(law_run, page):
    data = json.loads(page["overview"])
    run = open_run(law_run)
    kept = list(run.kept())
    dropped = [row for row in run.dropped() if row["messages"]]
    lost = [row for row in run.dropped() if not row["messages"]]
    tasks = data["tasks"]
    assert sum(tasks["kept"]) == len(kept) == data["run"]["accepted"] == data["flow"]["accepted"] == 20
    assert sum(tasks["lost"]) == len(lost) == sum(count for _, count in data["flow"]["lost"]) > 0

    reasons = Counter()
    for pairs in tasks["drops"]:
        for number, count in zip(pairs[::2], pairs[1::2], strict=True):
            reasons[tuple(data["reasons"][number - 1])] += count
    assert reasons == Counter((row["dropped"]["stage"], row["dropped"]["reason"]) for row in dropped)

    names = {task.id: task.name for task in run.tree.walk()}
    by_name = Counter(names[row["meta"]["generate"]["task_id"]] for row in kept)
    assert [by_name[name] for name in names.values()] == tasks["kept"]


def test_the_flow_leads_from_asked_to_accepted_without_a_gap(page):
    flow = json.loads(page["overview"])["flow"]
    assert flow["asked"] >= flow["candidates"] == flow["stages"][0][1]
    for (_, came, kept, why), following in zip(flow["stages"], [*flow["stages"][1:], None], strict=True):
        assert came - kept == sum(count for _, count in why)
        assert kept == (following[1] if following else flow["accepted"])


def test_points_are_the_samples_with_their_tasks_and_reasons(law_run, page):
    data = json.loads(page["overview"])
    about, raw = data["map"], page["points"]
    n = about["n"]
    assert n == about["total"] == 30
    assert len(raw) == n * (2 + 2 + 4 + 1)
    reasons = np.frombuffer(raw, "<u1", n, offset=8 * n)
    tasks = np.frombuffer(raw, "<u4", n, offset=4 * n)
    assert (reasons == 0).sum() == 20
    lines = page["heads"].decode().split("\n")
    assert len(lines) == 2 * n
    rows = {row["id"]: row for row in [*open_run(law_run).dropped(), *open_run(law_run).kept()]}
    for place, name in enumerate(lines[:n]):
        row = rows[name]
        assert row["task"][-1].startswith(data["tasks"]["names"][tasks[place]][:5])
        assert lines[n + place] == " ".join(row["messages"][0]["content"].split())


def test_samples_to_read_are_whole_and_of_their_task(law_run, page):
    data = json.loads(page["overview"])
    rows = {row["id"]: row for row in [*open_run(law_run).dropped(), *open_run(law_run).kept()]}
    shown = {int(task): found for name, block in page.items() if name.startswith("samples-")
             for task, found in json.loads(block).items()}  # fmt: skip
    assert sorted(shown)[0] == data["shards"][0]
    for task, samples in shown.items():
        for sample in samples:
            row = rows[sample["i"]]
            assert [list(turn.values()) for turn in row["messages"]] in (sample["m"], [])
            assert sample["r"] == 0 or data["reasons"][sample["r"] - 1][1] == row["dropped"]["reason"]
        assert sum(not sample["r"] for sample in samples) == min(data["tasks"]["kept"][task], PER_TASK)


def test_equal_runs_give_equal_pages(law_run, tmp_path):
    run = open_to_report(law_run)
    first, second = (write_report(run, tmp_path / name, soon=True).path.read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_a_shelf_keeps_within_its_room():
    def row(text, reason=None):
        found = {"id": "x", "messages": [{"role": "user", "content": text}], "meta": {}}
        return found | ({"dropped": {"stage": "rules", "reason": reason, "score": None}} if reason else {})

    shelf = Shelf([1000, 1000])
    for _ in range(50):
        shelf.offer(row("é" * 400), 0)
        shelf.offer(row("short", "too_short"), 1)
    kept = [sample for sample in shelf.samples if not sample["r"]]
    # A message takes half of the room that is left at most, and no less than the least.
    assert [sample["m"][0][1] for sample in kept] == ["é" * 250 + " …", "é" * 125 + " …", "é" * 125 + " …"]
    assert all(sample["c"] for sample in kept)
    assert len(shelf.samples) - len(kept) == 2  # no more than two for one reason


def test_what_is_shown_of_a_dropped_sample():
    row = {
        "id": "a", "messages": [{"role": "user", "content": "\ud800x"}], "meta": {"judge": {"score": 2}},
        "dropped": {"stage": "rouge", "reason": "rouge", "score": 0.8, "neighbour": "b", "value": "\udfff<"},
    }  # fmt: skip
    assert as_shown(row) == {"i": "a", "m": [("user", "\ufffdx")], "g": 2, "v": 0.8, "n": "b", "x": "value: \ufffd<"}
    lost = {
        "id": "call-x-0",
        "messages": [],
        "meta": {"generate": {"reply": "Sorry"}},
        "dropped": {"stage": "generate"},
    }
    assert as_shown(lost)["m"] == [("reply", "Sorry")]


def test_near_duplicates_are_grouped_by_the_kept_sample_they_name(tmp_path):
    (tmp_path / "law.yaml").write_text(LAW, encoding="utf-8")
    assert call(tmp_path, *EXPLORE).returncode == 0
    run = open_run(tmp_path / "runs" / "law")
    kept = list(run.kept())
    copies = []
    for number, original in enumerate([kept[0]] * 15 + [kept[1]] * 3):
        drop = {"stage": "rouge", "reason": "rouge", "score": 0.9, "neighbour": original["id"]}
        copies.append({**original, "id": f"copy-{number}", "dropped": drop})
    gone = {**kept[2], "id": "copy-gone", "dropped": {**copies[0]["dropped"], "neighbour": "not-there"}}
    lines = "".join(json.dumps(row) + "\n" for row in [*copies, gone])
    run.dropped_file.write_text(lines, encoding="utf-8")
    object.__setattr__(run, "summary", run.summary | {"dropped": {"rouge: rouge": 19}})

    found = gather.gather(run, lambda done, total: None)
    largest = groups(found)
    sizes = [(kept[0]["id"], 15), (kept[1]["id"], 3), ("not-there", 1)]
    assert [(group["id"], group["count"]) for group in largest] == sizes
    assert len(largest[0]["copies"]) == 8
    assert largest[0]["kept"]["i"] == kept[0]["id"] and largest[2]["kept"] is None
    assert largest[0]["copies"][0]["v"] == 0.9


def test_samples_of_a_pruned_task_are_counted_in_a_place_of_their_own(law_run):
    run = open_run(law_run)
    pruned = next(task for task in run.tree.walk() if task.parent is not None)
    rows = sum(row["meta"]["generate"]["task_id"] == pruned.id for row in run.kept())
    run.tree.prune(pruned.id)
    tasks = gather.gather(run, lambda done, total: None).tasks
    assert tasks.names[-1] == "No longer in the tree" and tasks.kept[-1] == rows > 0
    assert sum(tasks.kept) == 20


def test_the_principal_components_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(400, 12)) * np.linspace(3, 0.1, 12) + 5).astype(np.float32)
    flat, share = pca(vectors)
    centred = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    for axis in (0, 1):
        wanted = left[:, axis] * sizes[axis]
        assert np.allclose(np.abs(flat[:, axis]), np.abs(wanted), atol=1e-3)
    assert np.allclose(share, (sizes**2 / (sizes**2).sum())[:2], atol=1e-4)


def test_heads_are_160_characters_unless_all_of_them_are_too_much(monkeypatch):
    heads, length = _heads(["x" * 160, "y" * 161, " two\n lines "])
    assert (heads, length) == (["x" * 160, "y" * 159 + "…", "two lines"], 160)
    monkeypatch.setattr(points, "HEADS", 200)
    heads, length = _heads(["x" * 160, "y" * 160, "two lines"])
    assert length == 97 and [len(head) for head in heads] == [97, 97, 9]


def test_texts_without_a_vector_are_not_on_the_map():
    given = Points(["a", "b", "c", "d"], ["1", "2", "3", "4"], [0] * 4, [0, 0, 1, 0], total=4)
    vectors = np.eye(4, 5, dtype=np.float32)
    vectors[1] = 0
    made = point_map(given, vectors)
    assert made.about["n"] == 3 and made.about["total"] == 4
    assert made.heads.decode().split("\n") == ["1", "3", "4", "a", "c", "d"]
    assert point_map(given, np.zeros((4, 5), dtype=np.float32)) is None


def test_a_umap_is_of_its_own_points(monkeypatch):
    class Fake:
        def __init__(self, **options):
            assert options == {"metric": "cosine", "random_state": 0, "n_jobs": 1}

        def fit_transform(self, vectors):
            return vectors[:, :2] * 100 - 7

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Fake))
    monkeypatch.setattr(points, "UMAP_POINTS", 20)
    n = 30
    given = Points([f"text {i}" for i in range(n)], [str(i) for i in range(n)], [0] * n, [0] * n, total=n)
    vectors = np.random.default_rng(0).random((n, 6), dtype=np.float32)
    made = point_map(given, vectors, umap=True)
    assert made.about["umap"] == 20
    places = np.frombuffer(made.points, "<u4", 20, offset=9 * n)
    x = np.frombuffer(made.points, "<u2", 20, offset=9 * n + 80)
    assert len(made.points) == 9 * n + 8 * 20
    assert list(places) == sorted(set(places)) and places.max() < n
    assert list(np.argsort(x, kind="stable")) == list(np.argsort(vectors[places, 0], kind="stable"))

    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match="umap"):
        point_map(given, vectors, umap=True)


def test_a_run_that_has_only_a_tree_has_a_report(law_run, tmp_path):
    for name in ("run.yaml", "tree.json", "calls.sqlite"):
        (tmp_path / name).write_bytes((law_run / name).read_bytes())
    written = write_report(open_to_report(tmp_path))
    data = json.loads(unpacked(written.path.read_text(encoding="utf-8"))["overview"])
    assert data["run"]["tree_only"] and data["map"] is None and data["novelty"] is None
    assert sum(data["tasks"]["kept"]) == 0 and len(data["tasks"]["names"]) == 4
    assert data["usage"]


def test_an_unknown_price_is_unknown(law_run, page):
    assert {row["cost"] for row in json.loads(page["overview"])["usage"]} == {0.0}
    run = open_run(law_run)
    with sqlite3.connect(run.ledger) as ledger:
        ledger.execute("UPDATE totals SET unpriced = 1 WHERE stage = 'generate'")
    assert {row["stage"]: row["cost"] for row in usage(run)} == {"generate": None, "explore": 0.0}
    with sqlite3.connect(run.ledger) as ledger:
        ledger.execute("UPDATE totals SET unpriced = 0")


def test_a_page_that_cannot_be_written_fails_no_run(tmp_path):
    (tmp_path / "law.yaml").write_text(LAW, encoding="utf-8")
    (tmp_path / "runs" / "law" / "report.html").mkdir(parents=True)  # nothing can take the place of a folder
    done = call(tmp_path, *EXPLORE)
    assert done.returncode == 0
    assert "report.html was not written" in done.stdout
    assert len(list(read_jsonl(tmp_path / "runs" / "law" / "dataset" / "train.jsonl"))) == 20


def test_a_large_run_stays_below_the_limit(law_run, tmp_path, monkeypatch):
    """Where the samples to read make the page too large, there are fewer of them."""
    full = write_report(open_to_report(law_run), tmp_path / "full.html", soon=True)
    assert full.bytes < LIMIT
    monkeypatch.setattr(importlib.import_module("curate.export.report"), "LIMIT", full.bytes - 1)
    monkeypatch.setattr(gather, "LEAST", 50)
    small = write_report(open_to_report(law_run), tmp_path / "small.html", soon=True)
    assert small.bytes < full.bytes
