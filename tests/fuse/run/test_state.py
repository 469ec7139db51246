"""Which steps have to be done: by what is recorded, what is there, and what needs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.errors import RunError
from curate.fuse.run.state import State
from curate.fuse.run.steps import Step


def work(job, folder):
    raise AssertionError("no step is done here")


COLLECT = Step("collect", work, "collected.json", {"n": 1}, shared="collected")
BUILD = Step("build sft", work, "samples.jsonl", {}, (COLLECT,))
TRAIN = Step("train sft", work, "model", {"lr": 1}, (BUILD,), makes="sft")
AGAIN = Step("collect", work, "collected.json", {"n": 1, "target": True}, (COLLECT, TRAIN), shared="collected")
PAIRS = Step("build wrpo", work, "samples.jsonl", {}, (AGAIN,))
LAST = Step("train wrpo", work, "model", {"lr": 1}, (PAIRS, TRAIN), makes="wrpo")
STEPS = [COLLECT, BUILD, TRAIN, AGAIN, PAIRS, LAST]


def make(folder: Path, step: Step, state: State) -> None:
    """Do as if a step were done."""
    (folder / step.folder).mkdir(parents=True, exist_ok=True)
    (folder / step.place).write_text(step.key)
    state.put(step, {"of": step.name})


def missing(folder: Path, steps=STEPS) -> list[str]:
    """Return the missing steps; a second collection is told from the first."""
    names = {AGAIN: "collect again"}
    found = State(folder, steps).missing(step for step in steps if step.makes)
    return [names.get(step, step.name) for step in found]


@pytest.fixture
def done(tmp_path):
    state = State(tmp_path, STEPS)
    for step in STEPS:
        make(tmp_path, step, state)
    return tmp_path


def test_nothing_is_done_at_first_and_nothing_is_missing_at_last(tmp_path, done):
    assert missing(tmp_path / "new") == [
        "collect", "build sft", "train sft", "collect again", "build wrpo", "train wrpo"]  # fmt: skip
    # The first collection is in the second, which has taken its place.
    assert missing(done) == []
    rows = json.loads((done / "stages.json").read_text())["stages"]
    assert [row["figures"]["of"] for row in rows] == [step.name for step in STEPS]


def test_what_is_gone_is_missing_only_where_something_needs_it(done):
    (done / BUILD.place).unlink()
    assert missing(done) == []
    (done / TRAIN.place).unlink()
    assert missing(done) == ["build sft", "train sft"]


def test_a_collection_that_was_stopped_half_way_is_gone_on_with_alone(done):
    state = State(done, STEPS)
    for step in (AGAIN, PAIRS, LAST):
        del state.records[step.key]
    state.write()
    (done / COLLECT.place).unlink()
    assert missing(done) == ["collect again", "build wrpo", "train wrpo"]


def test_an_option_changes_its_step_and_those_that_read_it(done):
    train = Step("train sft", work, "model", {"lr": 2}, (BUILD,), makes="sft")
    again = Step("collect", work, "collected.json", {"n": 1, "target": True}, (COLLECT, train), shared="collected")
    pairs = Step("build wrpo", work, "samples.jsonl", {}, (again,))
    last = Step("train wrpo", work, "model", {"lr": 1}, (pairs, train), makes="wrpo")
    other = [COLLECT, BUILD, train, again, pairs, last]
    assert missing(done, other) == ["train sft", "collect", "build wrpo", "train wrpo"]
    state = State(done, other)
    state.write()
    others = json.loads((done / "stages.json").read_text())["others"]
    assert {row["key"] for row in others} == {TRAIN.key, AGAIN.key, PAIRS.key, LAST.key}
    assert missing(done) == []


def test_a_damaged_list_is_said(done):
    (done / "stages.json").write_text("{")
    with pytest.raises(RunError, match=r"stages\.json: damaged"):
        State(done, STEPS)
