"""A trial: its calls are the run's own, it publishes nothing, and what it projects is what the run takes."""

from __future__ import annotations

import json
import random

import pytest
import runs
import teacher

from curate.errors import InputError
from curate.models.keys import call_key
from curate.models.ledger_view import read_totals
from curate.pipeline.explore import Options
from curate.pipeline.projection import share_of
from curate.pipeline.trial import measured, spread, try_run, varied
from curate.tree import TaskTree
from curate.types import Completion

DEEP = {"depth": 2, "width": [4, 2], "per_call": 2, "merge_candidates": 2}
JUDGED = {"judge": {"rubric": "5: sound. 1: not.", "min_score": 4}}


class Served:
    """The tests' teacher; `keys` holds the key of every call that it answered."""

    def __init__(self, repeat=0.0):
        self.keys = []
        self.repeat = repeat

    async def __call__(self, request):
        self.keys.append(call_key("scripted", request).hex())
        if self.repeat and request.prompt == "explore/same_task":
            same = int(random.Random(request.attempt).random() < self.repeat)
            return json.dumps({"same": same, "why": "An expert could not tell."})
        return teacher.answer(request.messages, request.schema, request.attempt)


def tried(domain, out, model, calls=20, **more):
    return try_run(Options(domain=domain, out=out, teacher=model, rows=more.pop("rows", 200), **more), calls)


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({}, 200),
        ({"explore": DEEP}, 200),
        ({"explore": DEEP, **JUDGED}, 200),
        ({"explore": DEEP, "verify": {"kind": "math", "votes": 3}}, 200),
        ({"explore": DEEP, "generate": {"per_call": 2}}, 40),
    ],
    ids=["whole tree", "head of a tree", "judged", "voted", "few rows"],
)
def test_a_run_replays_every_call_of_a_trial_and_comes_out_as_without_one(tmp_path, changes, rows):
    domain = runs.domain_file(tmp_path, **changes)
    # A third of the newcomers turn out to be a task that stands already, which then has more examples than before.
    first, later, alone = Served(0.3), Served(0.3), Served(0.3)
    trial = tried(domain, tmp_path / "a", first, rows=rows)
    assert 6 <= len(first.keys) == trial.asked == len(set(first.keys)) <= 20
    assert trial.kept_rows and trial.certain == 1 and not (tmp_path / "a/tree.json").exists()
    report = runs.run(domain, tmp_path / "a", later, rows=rows)
    runs.run(domain, tmp_path / "b", alone, rows=rows)
    assert set(first.keys).isdisjoint(later.keys)
    assert sorted(first.keys + later.keys) == sorted(alone.keys)
    assert report.stats.replayed == len(first.keys)
    assert runs.outcome(tmp_path / "a") == runs.outcome(tmp_path / "b")


def test_a_phrase_is_drafted_tried_and_run(tmp_path):
    first, later, alone = Served(), Served(), Served()
    trial = tried("tenancy law", tmp_path / "a", first, rows=300)
    assert trial.drafted == tmp_path / "a/domain.yaml" and trial.domain == "tenancy-law"
    assert len(trial.tree) > 1 and trial.kept_rows and not trial.whole and trial.expected > len(trial.tree)
    runs.run("tenancy law", tmp_path / "a", later, rows=300)
    runs.run("tenancy law", tmp_path / "b", alone, rows=300)
    assert sorted(first.keys + later.keys) == sorted(alone.keys)
    assert runs.outcome(tmp_path / "a") == runs.outcome(tmp_path / "b")


def test_a_trial_publishes_nothing_and_is_free_the_second_time(tmp_path):
    domain = runs.domain_file(tmp_path, explore=DEEP, generate={"per_call": 2})
    first, again, more = Served(), Served(), Served()
    one = tried(domain, tmp_path / "out", first)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".lock", "calls.sqlite", "run.yaml"]
    two = tried(domain, tmp_path / "out", again)
    assert again.keys == [] and two.stats.replayed == two.asked == one.asked == 20
    assert (two.kept_rows, two.dropped_rows, two.measured) == (one.kept_rows, one.dropped_rows, one.measured)
    three = tried(domain, tmp_path / "out", more, calls=30)
    assert len(more.keys) < three.asked == 30


@pytest.mark.parametrize("calls", [5, 8, 20, 50])
@pytest.mark.parametrize("changes", [{}, {"explore": DEEP, **JUDGED, "verify": {"kind": "math", "votes": 3}}])
def test_no_trial_makes_more_calls_than_it_was_given(tmp_path, calls, changes):
    model = Served()
    trial = tried(runs.domain_file(tmp_path, **changes), tmp_path / "out", model, calls)
    assert len(model.keys) <= calls and trial.exit_code == 0
    assert sum(total.calls for total in read_totals(tmp_path / "out/calls.sqlite")) == len(model.keys)


def test_broken_replies_are_repaired_within_the_calls(tmp_path):
    def broken(request):
        if request.prompt in ("generate/samples", "repair"):
            return "I would rather not."
        return teacher.answer(request.messages, request.schema, request.attempt)

    trial = tried(runs.domain_file(tmp_path), tmp_path / "out", broken)
    assert trial.stats.calls <= 20 and trial.kept_rows == [] and trial.projection is None
    lost = {row["dropped"]["reason"] for row in trial.dropped_rows}
    assert lost == {"unreadable"} and trial.measured.good == 0


def test_a_budget_ends_a_trial_early(tmp_path):
    model = Served()
    trial = tried(runs.domain_file(tmp_path), tmp_path / "out", model, budget_calls=6)
    assert (len(model.keys), trial.stopped) == (6, "budget")
    assert trial.exit_code == 0 and len(trial.tree) > 1


def test_the_whole_tree_of_a_finished_run_is_tried_as_it_stands(tmp_path):
    domain = runs.domain_file(tmp_path, explore=DEEP)
    made = runs.run(domain, tmp_path / "out", Served(), rows=200)
    before = runs.outcome(tmp_path / "out")
    model = Served()
    trial = tried(domain, tmp_path / "out", model)
    assert model.keys == [] and trial.whole and trial.expected == len(trial.tree)
    assert len({row["task"][1] for row in trial.kept_rows if row["task"][1:]}) == 4
    assert runs.outcome(tmp_path / "out") == before and made.accepted == 200


def test_few_rows_ask_some_tasks_only_and_the_trial_says_so(tmp_path):
    trial = tried(runs.domain_file(tmp_path, explore=DEEP), tmp_path / "out", Served(), rows=30)
    assert trial.expected == 13
    assert trial.certain == pytest.approx(30 / 5 / 13)
    assert len({row["meta"]["generate"]["calls"][0] for row in trial.kept_rows + trial.dropped_rows}) <= 6


def test_the_projection_holds_what_the_run_then_takes(tmp_path):
    """Tokens are counted as characters here, and priced."""

    def reply(request):
        text = teacher.answer(request.messages, request.schema, request.attempt)
        given = sum(len(message["content"]) for message in request.messages)
        return Completion(text=text, finish_reason="stop", input_tokens=given, output_tokens=len(text), cost=0.001)

    domain = runs.domain_file(tmp_path, explore=DEEP)
    trial = tried(domain, tmp_path / "out", reply, calls=30, rows=300)
    report = runs.run(domain, tmp_path / "out", reply, rows=300)
    made = trial.projection
    assert report.accepted == 300
    # The tree merges what the projection takes for new, and later rows repeat earlier ones: neither is in the interval.
    assert made.calls.low * 0.85 <= report.stats.calls <= made.calls.high * 1.15
    used = report.stats.total.input_tokens + report.stats.total.output_tokens
    assert made.tokens.low * 0.8 <= used <= made.tokens.high * 1.2
    assert made.calls.low <= made.calls.value <= made.calls.high and made.rows == 300


def test_too_few_calls_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"^calls is 4; a tree and a few samples take 5 or more"):
        tried(runs.domain_file(tmp_path), tmp_path / "out", Served(), calls=4)
    assert not (tmp_path / "out").exists()


# The pieces


def test_share_of_holds_the_truth_nine_times_of_ten():
    rng = random.Random(7)
    held = 0
    for _ in range(600):
        # The samples of a call are alike: each call has a yield of its own around 0.7.
        shares = [rng.betavariate(7, 3) for _ in range(12)]
        interval = share_of([(5, sum(rng.random() < share for _ in range(5))) for share in shares])
        held += interval.low <= 0.7 <= interval.high
    assert 0.84 <= held / 600 <= 0.95


def test_share_of_is_wilsons_interval_where_the_calls_are_alike():
    interval = share_of([(5, 4), (5, 4), (5, 4), (5, 4)])
    assert interval.value == 0.8
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.6216, 0.9069)
    assert share_of([(5, 5)] * 4).low > share_of([(5, 5)]).low > 0.2
    assert share_of([(5, 0)] * 4).low == 0 < share_of([(5, 0)] * 4).high < 0.2
    apart = share_of([(5, 5), (5, 0), (5, 5), (5, 0)])
    assert apart.high - apart.low > 1.5 * (share_of([(5, 2), (5, 3)] * 2).high - share_of([(5, 2), (5, 3)] * 2).low)


def test_what_was_never_checked_is_neither_good_nor_bad():
    def row(attempt, stage="", reason="", messages=("text",)):
        verdict = {"dropped": {"stage": stage, "reason": reason}} if stage else {}
        return {"meta": {"generate": {"task_id": "t", "attempt": attempt}}, "messages": messages, **verdict}

    kept = [row(0), row(0)]
    dropped = [
        row(0, "rules", "too_short"), row(0, "judge", "unjudged_budget"), row(0, "judge", "judge_low_score"),
        row(1, "generate", "unreadable", ()), row(2, "judge", "unjudged_budget"), row(2, "quota", "surplus"),
    ]  # fmt: skip
    seen = measured(kept, dropped, 5)
    assert seen.calls == ((4, 2), (5, 0), (4, 1))
    assert (seen.asked, seen.good) == (13, 3)
    assert seen.passing == pytest.approx(1 - 1 / 7)


def test_calls_take_the_branches_in_turn():
    tree = TaskTree("Root")
    tasks = {}
    for branch in "AB":
        top = tree.add(tree.root.id, branch).task
        tasks[branch] = [tree.add(top.id, f"{branch}{number}").task for number in range(3)]
    calls = [(task, attempt) for attempt in range(2) for branch in "AB" for task in tasks[branch]]
    order = spread(calls, tree, 0)
    assert sorted(order, key=str) == sorted(calls, key=str)
    assert [tree.path(task.id)[1] for task, _ in order] == ["A", "B"] * 6
    assert [attempt for _, attempt in order] == [0] * 6 + [1] * 6
    assert order == spread(calls, tree, 0) != spread(calls, tree, 1)


def test_what_is_shown_is_of_every_kind_before_a_second_of_one():
    rows = [
        {"kind": kind, "number": number} for kind, count in (("a", 5), ("b", 2), ("c", 1)) for number in range(count)
    ]
    assert [row["kind"] for row in varied(rows, lambda row: row["kind"], 6)] == ["a", "b", "c", "a", "b", "a"]
