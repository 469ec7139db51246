"""A run that ends where samples stop being new: when, with which rows, and what it says."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
import runs
import teacher

from curate import plan
from curate.errors import InputError
from curate.finished import open_run
from curate.measure.novelty import novelty_of
from curate.pipeline.explore import Options


def repeating(size, share=0.0):
    """A teacher who knows so many samples for each task, and makes up a share of the others as it goes."""

    def reply(request):
        if request.prompt != "generate/samples":
            return teacher.answer(request.messages, request.schema, request.attempt)
        task = request.variables["path"][-1]
        rng = random.Random(request.attempt)
        samples = []
        for _ in range(request.variables["count"]):
            known = rng.random() >= share
            words = teacher.some_words(random.Random(f"{task}{rng.randrange(size)}") if known else rng, 14)
            samples.append({"instruction": f"Explain {words}.", "input": "", "output": f"Yes: {words}."})
        return json.dumps({"samples": samples})

    return reply


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ended")
    domain = runs.domain_file(folder, explore={"width": [3], "depth": 1, "per_call": 3}, generate={"saturation": 50})
    return domain, runs.run(domain, folder / "out", repeating(40), rows=0, until_novelty=0.2)


def test_it_ends_below_the_target_and_is_done(ended):
    _, report = ended
    assert (report.stopped, report.exit_code, report.rows) == ("novelty", 0, 0)
    assert 0 < report.counts["novelty"] < 0.2
    # Most of what the teacher knows for the four tasks, and nothing twice.
    assert 110 < report.accepted <= 160
    instructions = [row["messages"][0]["content"] for row in runs.accepted(report)]
    assert len(set(instructions)) == report.accepted == len((report.dataset / "train.jsonl").read_text().splitlines())
    assert report.as_json()["rows"] is None and report.as_json()["until_novelty"] == 0.2


def test_every_task_was_asked_equally_often_and_the_curve_falls(ended):
    run = open_run(ended[1].out)
    asked = {}
    for row in [*run.kept(), *run.dropped()]:
        origin = row["meta"]["generate"]
        asked.setdefault(origin["task_id"], set()).add(origin["attempt"])
    assert len({len(attempts) for attempts in asked.values()}) == 1 and len(asked) == 4
    shares = [window.novelty for window in novelty_of(run).windows]
    assert shares[0] > 0.8 and shares[-1] < 0.3 and shares[0] == max(shares)


def test_a_run_stopped_by_its_budget_goes_on_to_the_same_bytes(ended, tmp_path):
    domain, whole = ended
    first = runs.run(domain, tmp_path, repeating(40), rows=0, until_novelty=0.2, budget_calls=40)
    assert (first.stopped, first.exit_code) == ("budget", 3)
    again = runs.run(domain, tmp_path, repeating(40), rows=0, until_novelty=0.2)
    assert again.stats.replayed == 39  # and the call that grew the tree, which stands
    assert runs.outcome(again.out) == runs.outcome(whole.out)


def test_a_teacher_who_repeats_himself_but_brings_new_ones_too_does_not_end_it(tmp_path):
    domain = runs.domain_file(tmp_path)
    report = runs.run(domain, tmp_path / "out", repeating(5, share=0.3), rows=300, until_novelty=0.1)
    assert (report.stopped, report.accepted, report.exit_code) == ("", 300, 0)
    assert 0.2 < report.counts["novelty"] < 0.4


def test_where_every_task_runs_dry_first_it_is_done_too(tmp_path):
    domain = runs.domain_file(tmp_path, explore={"depth": 0}, generate={"saturation": 1})
    report = runs.run(domain, tmp_path / "out", repeating(3), rows=0, until_novelty=0.01)
    assert (report.stopped, report.accepted, report.exit_code) == ("saturated", 3, 0)
    assert report.novelty.forecast is None
    refused = runs.run(domain, tmp_path / "none", lambda request: "No.", rows=0, until_novelty=0.01)
    assert (refused.accepted, refused.exit_code) == (0, 3)


def test_another_target_is_another_file_and_none_keeps_its_key(ended, tmp_path):
    domain, _ = ended
    given = [{"rows": 30}, {"rows": 30, "until_novelty": 0.1}, {"rows": 30, "until_novelty": 0.2}, {"rows": 31}]
    keys = [runs.run(domain, tmp_path, repeating(40), **each).key for each in given]
    assert Counter(keys).most_common(1)[0][1] == 1
    assert runs.run(domain, tmp_path, repeating(40), rows=30).key == keys[0]


@pytest.mark.parametrize("share", [0, 1, -0.1, 2])
def test_a_target_that_is_no_share_is_refused_before_any_call(tmp_path, share):
    with pytest.raises(InputError, match=r"until_novelty is .*; it takes a share between 0 and 1"):
        runs.run(runs.domain_file(tmp_path), tmp_path / "out", repeating(9), until_novelty=share)
    with pytest.raises(InputError, match="rows is 0"):
        runs.run(runs.domain_file(tmp_path), tmp_path / "out", repeating(9), rows=0)


def test_a_plan_needs_a_bound_and_says_that_it_is_one(tmp_path):
    with pytest.raises(InputError, match="give --rows N beside"):
        plan("math", until_novelty=0.1, out=tmp_path)
    made = plan("math", until_novelty=0.1, rows=500, out=tmp_path)
    assert made.rows == 500
    assert "this is the most: the run ends earlier where novelty falls below 0.1" in made.notes
    assert Options().until_novelty is None
