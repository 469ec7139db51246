"""A run as it lies on disk, read back: settings, samples, tree, and what its ledger says of the calls."""

from __future__ import annotations

import pytest

import curate
from curate.errors import LedgerError, RunError
from curate.finished import is_run, open_run, stages_of
from curate.models.ledger_view import read_calls, read_usage


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "math"
    curate.explore("math", rows=40, out=out, quiet=True)
    return out


def test_kept_and_dropped_are_what_the_summary_counts(folder):
    run = open_run(folder)
    assert is_run(folder) and run.identity["domain"] == "math"
    assert len(list(run.kept())) == run.summary["accepted"] == 40
    dropped = list(run.dropped())
    assert len(dropped) == sum(run.summary["dropped"].values())
    assert all({"stage", "reason"} <= row["dropped"].keys() for row in dropped)
    assert len(run.tree) > 40


def test_the_ledger_tells_of_every_call_of_a_sample(folder):
    run = open_run(folder)
    keys = {key for row in run.kept() for key in row["meta"]["generate"]["calls"]}
    calls = read_calls(run.ledger, keys)
    assert calls.keys() == keys
    assert {(call.stage, call.role) for call in calls.values()} == {("generate", "teacher")}
    usage = {use.stage: use for use in run.usage()}
    assert usage["generate"].calls >= len(keys) and usage["generate"].failed == usage["generate"].possibly == 0
    assert usage["generate"].cost == 0


def test_looking_writes_nothing(folder):
    def files():  # but for the index that SQLite's readers share
        return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.suffix != ".sqlite-shm"}

    before = files()
    run = open_run(folder)
    assert run.usage() and run.tree and list(run.kept())
    assert files() == before


def test_a_folder_without_a_whole_run_is_refused_by_name(tmp_path):
    with pytest.raises(RunError, match="no run is here"):
        open_run(tmp_path)
    assert read_usage(tmp_path / "calls.sqlite") == [] and read_calls(tmp_path / "calls.sqlite", []) == {}
    (tmp_path / "calls.sqlite").write_text("no ledger, a text that is long enough to be taken for a file")
    with pytest.raises(LedgerError, match=r"calls\.sqlite: the ledger cannot be read"):
        read_usage(tmp_path / "calls.sqlite")


def test_stages_follow_the_order_of_the_loop():
    summary = {"candidates": 10, "dropped": {"quota: surplus": 1, "rules: too_long": 2, "rouge: rouge": 3}}
    assert stages_of(summary) == [("candidates", 10, 10), ("rules", 10, 8), ("rouge", 8, 5), ("quota", 5, 4)]
