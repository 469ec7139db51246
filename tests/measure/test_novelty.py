"""The novelty of a run: what is counted as new, in which order, for which tokens."""

from __future__ import annotations

import json

import pytest
import runs
import teacher

from curate.finished import open_run
from curate.measure.novelty import CallYield, Tally, call_yields, enough, novelty_of, planned, recent


@pytest.mark.parametrize(
    ("tally", "novelty"),
    [
        (Tally(new=30, early=10), 0.75),
        (Tally(new=30, late=10), 0.75),
        (Tally(new=30, early=8, late=2), 0.75),
        # Half of what is checked fails. Of 100, 20 are early repeats; 40 are good, 10 of them late repeats.
        (Tally(new=30, early=20, late=10, failed=40), 0.8 * 0.75),
        (Tally(early=5), 0.0),
        (Tally(late=5), 0.0),
        (Tally(failed=5, early=5), None),
        (Tally(), None),
    ],
)
def test_novelty_is_the_chance_to_pass_both_comparisons(tally, novelty):
    assert tally.novelty == (pytest.approx(novelty) if novelty is not None else None)


def test_the_interval_is_wilson_s():
    low, high = Tally(new=80, early=20).interval(z=1.96)
    assert (low, high) == (pytest.approx(0.7112, abs=1e-4), pytest.approx(0.8666, abs=1e-4))
    assert Tally(new=10).interval()[1] == 1.0


def test_the_recent_novelty_is_that_of_the_fewest_latest_rounds():
    rounds = [Tally(new=90), Tally(new=30, early=30), Tally(new=1, early=49)]
    assert recent(rounds, 50) == rounds[2]
    assert recent(rounds, 51) == Tally(new=31, early=79)
    assert recent(rounds, 201) is None
    assert [enough(until) for until in (None, 0.5, 0.1, 0.01)] == [100, 100, 360, 3960]


def test_calls_come_in_the_order_of_their_plan():
    given = [("b", 0, 1), ("a", 1, 1), ("b", 1, 1), ("a", 0, 1), ("a", 2, 2), ("b", 3, 2), ("b", 2, 2), ("gone", 0, 1)]
    calls = [CallYield(*each) for each in given]
    order = [(call.round, call.task_id, call.attempt) for call in planned(calls, ["a", "b"])]
    assert order == [(1, "a", 0), (1, "b", 0), (1, "gone", 0), (1, "a", 1), (1, "b", 1), (2, "a", 2), (2, "b", 2),
                     (2, "b", 3)]  # fmt: skip


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """A run with votes and grades, whose teacher repeats itself."""
    folder = tmp_path_factory.mktemp("checked")
    domain = runs.domain_file(
        folder, verify={"kind": "math", "votes": 3}, judge={"min_score": 4, "rubric": "5: right. 1: wrong."}
    )
    return runs.run(domain, folder / "out", teacher.reply, rows=150)


def test_every_candidate_that_the_rules_let_through_is_counted_once(checked):
    run = open_run(checked.out)
    calls = call_yields(run)
    assert len(calls) == run.summary["calls"]
    tally = sum((call.tally for call in calls), Tally())
    by_stage = {stage: before - kept for stage, before, kept in checked.stages()[1:]}
    assert tally.new == 150 + by_stage.get("quota", 0)
    assert tally.early + tally.late == sum(by_stage.get(stage, 0) for stage in ("exact", "rouge", "dedup"))
    assert tally.early and tally.late
    assert tally.failed == by_stage["verify"] + by_stage["judge"]
    assert tally.judged == run.summary["candidates"] - by_stage["rules"]
    assert sum(call.accepted for call in calls) == 150


def test_tokens_are_those_of_the_ledger_and_the_tree_s_belong_to_no_branch(checked):
    found = novelty_of(open_run(checked.out))
    used = {}
    for usage in open_run(checked.out).usage():
        used[usage.stage] = used.get(usage.stage, 0) + usage.input_tokens + usage.output_tokens
    assert found.tree_tokens == used["explore"]
    assert found.whole.tokens == sum(used.values())
    assert sum(branch.tokens for branch in found.branches) == sum(used.values()) - used["explore"]
    assert found.branches[0].branch == "Help people out"
    assert len(found.branches) == 5
    assert sum(branch.accepted for branch in found.branches) == found.whole.accepted == 150
    assert found.whole.per_million == pytest.approx(150e6 / sum(used.values()))
    assert found.whole.unmetered == 0


def test_the_curve_ends_with_the_run_and_the_forecast_goes_on(checked):
    found = novelty_of(open_run(checked.out))
    calls = call_yields(open_run(checked.out))
    assert [window.calls for window in found.windows] == sorted({window.calls for window in found.windows})
    assert found.windows[-1].calls == len(calls) == found.whole.calls
    assert found.windows[-1].rows == sum(call.tally.new for call in calls)
    assert found.windows[-1].tokens == found.whole.tokens - found.tree_tokens
    assert all(window.candidates >= 50 and window.low <= window.novelty <= window.high for window in found.windows)
    assert found.forecast.calls <= len(calls) and 0 < found.forecast.low < found.forecast.high
    assert json.loads(json.dumps(found.as_json()))["latest"] == found.latest == found.windows[-1].novelty


def test_the_embedded_teacher_bills_no_token_and_has_no_rate(tmp_path):
    report = runs.run("math", tmp_path, "procedural", rows=200)
    found = report.novelty
    assert found.whole.tokens == 0 and found.whole.per_million is None
    assert found.whole.unmetered == report.stats.calls
    assert found.latest > 0.9
    assert found.forecast.low > 4 * found.forecast.calls
