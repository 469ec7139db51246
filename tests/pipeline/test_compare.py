"""The flat Self-Instruct set beside a run: its calls, its demonstrations, its folder and its budget."""

from __future__ import annotations

import json

import pytest
import runs
import teacher

from curate import plan
from curate.errors import InputError
from curate.finished import open_run
from curate.pipeline.compare import FLAT


class Log:
    """The tests' teacher, remembering the demonstrations that each call that writes was shown, by path."""

    def __init__(self):
        self.shown = []

    def __call__(self, request):
        if request.prompt == "generate/samples":
            self.shown.append((request.variables["path"], request.variables["demonstrations"]))
        return teacher.answer(request.messages, request.schema, request.attempt)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    seeds = [{"instruction": f"Say {teacher.some_words(teacher.random.Random(n), 6)}.", "output": "I say it."}
             for n in range(12)]  # fmt: skip
    domain, log = runs.domain_file(folder, seeds=seeds), Log()
    return domain, runs.run(domain, folder / "out", log, rows=60, compare=FLAT), log


def test_it_makes_as_many_calls_as_tree_and_samples_took_and_every_filter_is_the_same(compared):
    _, report, _ = compared
    flat = report.flat
    grown = report.counts["explore"]["lookahead"] + report.counts["explore"]["backtrack"]
    assert grown and flat.counts["calls"] == report.counts["calls"] + grown
    assert flat.stopped == "calls"
    assert flat.out == report.out / FLAT and flat.accepted == len(runs.accepted(flat))
    stages = {row["dropped"]["stage"] for row in runs.dropped(flat)}
    assert {"rules", "exact", "rouge"} <= stages
    assert {tuple(row["task"]) for row in runs.accepted(flat)} == {("Help people out",)}
    assert report.accepted == 60 and report.exit_code == 0
    assert report.as_json()["self_instruct"]["accepted"] == flat.accepted


def test_a_call_shows_six_seeds_and_two_of_its_own_from_earlier_rounds(compared):
    _, report, _ = compared
    run = open_run(report.flat.out)
    seeds, kept, rounds = set(run.tree.examples), {}, {}
    for row in run.kept():
        kept[row["id"]] = row["meta"]["generate"]["round"]
    for row in [*run.kept(), *run.dropped()]:
        origin = row["meta"]["generate"]
        if "demonstrations" in origin:
            rounds.setdefault(origin["round"], []).append(origin["demonstrations"])
    assert all(len(shown) == len(set(shown)) == 8 for each in rounds.values() for shown in each)
    assert all(set(shown) <= seeds for shown in rounds[1])
    for number in sorted(rounds)[1:]:
        for shown in rounds[number]:
            machine = [ident for ident in shown if ident not in seeds]
            assert len(machine) == 2 and all(kept[ident] < number for ident in machine)


def test_what_is_shown_is_what_was_written(compared):
    _, report, log = compared
    written = {row["meta"]["source"]["instruction"] for row in open_run(report.flat.out).kept()}
    flat = [demonstrations for path, demonstrations in log.shown if len(demonstrations) == 8]
    assert len(flat) == report.flat.counts["calls"]
    assert sum(shown["instruction"] in written for each in flat for shown in each) == 2 * (len(flat) - 8)


def test_it_goes_on_to_the_same_bytes_and_given_again_asks_nothing(compared, tmp_path):
    domain, whole, _ = compared
    spent = whole.stats.calls + 11
    first = runs.run(domain, tmp_path, Log(), rows=60, compare=FLAT, budget_calls=spent)
    assert (first.stopped, first.flat.stopped) == ("", "budget")
    assert first.flat.stats.calls == 11  # what the run itself has left of the budget
    log = Log()
    again = runs.run(domain, tmp_path, log, rows=60, compare=FLAT)
    assert runs.outcome(again.flat.out) == runs.outcome(whole.flat.out)
    assert again.flat.stats.replayed == 11
    asked = len(log.shown)
    runs.run(domain, tmp_path, log, rows=60, compare=FLAT)
    assert len(log.shown) == asked


def test_a_comparison_that_would_say_nothing_is_refused_before_any_call(tmp_path):
    domain = runs.domain_file(tmp_path)
    with pytest.raises(InputError, match="looks at no demonstration"):
        runs.run("math", tmp_path / "out", "procedural", compare=FLAT)
    with pytest.raises(InputError, match="--tree-only makes none"):
        runs.run(domain, tmp_path / "out", compare=FLAT, tree_only=True)
    with pytest.raises(InputError, match="compare is 'evol'; it takes self-instruct"):
        runs.run(domain, tmp_path / "out", compare="evol")
    assert not (tmp_path / "out").exists()


def test_a_plan_counts_both(compared, tmp_path):
    domain, _, _ = compared
    fresh = plan(domain, rows=60, out=tmp_path / "new", teacher=runs.TEACHER, compare=FLAT)
    calls = {step.name: step.calls for step in fresh.steps}
    assert calls["flat generate"] == calls["lookahead"] + calls["backtrack"] + calls["generate"]
    flat = next(step for step in fresh.steps if step.name == "flat generate")
    assert flat.input_each > next(step for step in fresh.steps if step.name == "generate").input_each
    assert json.loads(json.dumps(fresh.as_json()))["calls"] == sum(calls.values())
