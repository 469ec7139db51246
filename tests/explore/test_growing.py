"""Growing a tree: lookahead, backtracking, the four ways it stops, and merging."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter

import pytest

from curate.config import Domain
from curate.embed import open_encoder
from curate.explore import Explorer
from curate.explore.merge import SameTask
from curate.generate.candidates import Writer
from curate.models import Budget, Engine, Ledger
from curate.models.scripted import ScriptedModel
from curate.tree import TaskTree
from curate.types import Failure

EXAMPLE = {"instruction": "Write three words.", "input": "", "output": "One two three."}


def tasks(*names, reason="Because.", example=EXAMPLE):
    return json.dumps({"tasks": [{"name": name, "reason": reason, "examples": [example]} for name in names]})


def same(number):
    return json.dumps({"same": number, "why": "An expert could not tell."})


class Fresh:
    """A teacher with a new name for every sub-task that is asked of it; `asked` holds every request."""

    def __init__(self, most=99):
        self.asked = []
        self.most = most

    def __call__(self, request):
        self.asked.append(request)
        if request.prompt == "explore/same_task":
            return same(0)
        place = request.variables["path"][-1]
        old = len(request.variables["existing"])
        count = min(self.most, request.variables["count"])
        return tasks(*(f"{place}.{old + number}" for number in range(count)))

    def moves(self):
        return Counter((r.prompt.partition("/")[2], tuple(r.variables["path"])) for r in self.asked)


def domain(**explore):
    settings = {"depth": 1, "width": [4], "per_call": 4, "merge_candidates": 0, **explore}
    return Domain.general("toy", "Root", explore=settings, rules={"instruction": {"forbidden_words": ["picture"]}})


def grow(model, spec, tree=None, encoder=None, budget=None, explorer=Explorer.grow):
    """Grow a tree with `model` as teacher; return the tree and what growing did."""
    tree = tree or TaskTree("Root")
    seat = model if isinstance(model, ScriptedModel) else ScriptedModel(model)
    with Ledger() as ledger, Engine({"teacher": seat}, ledger, budget) as engine:
        made = Explorer(engine, spec, tree, encoder, 0)
        explorer(made)
        return tree, made.growth


def names(tree):
    return {" > ".join(tree.path(task.id)[1:]) for task in tree.walk() if task.parent}


# The two moves


def test_lookahead_asks_each_task_once_for_sub_tasks_and_nothing_else():
    tree = TaskTree("Root")
    first = [tree.add(tree.root.id, name, f"About {name}.", [EXAMPLE]).task for name in ("A", "B")]
    teacher = Fresh()
    spec = domain(depth=2, width=[2, 3])
    _, growth = grow(teacher, spec, tree, explorer=lambda explorer: explorer.look_ahead(first))
    assert teacher.moves() == {("lookahead", ("Root", "A")): 1, ("lookahead", ("Root", "B")): 1}
    asked = teacher.asked[0]
    assert asked.variables["existing"] == [] and asked.variables["siblings"] == ["B"]
    assert asked.variables["examples"] == [EXAMPLE] and asked.variables["count"] == 3
    assert names(tree) == {"A", "B", "A > A.0", "A > A.1", "A > A.2", "B > B.0", "B > B.1", "B > B.2"}
    assert (growth.lookahead, growth.backtrack, growth.added) == (2, 0, 6)


def test_backtracking_asks_the_parent_for_alternatives_to_what_it_has():
    tree = TaskTree("Root")
    for name in ("A", "B"):
        tree.add(tree.root.id, name)
    teacher = Fresh(most=1)
    _, growth = grow(teacher, domain(), tree, explorer=lambda explorer: explorer.backtrack([tree.root]))
    assert teacher.moves() == {("backtrack", ("Root",)): 2}
    assert [request.variables["existing"] for request in teacher.asked] == [["A", "B"], ["A", "B", "Root.2"]]
    assert [request.variables["count"] for request in teacher.asked] == [2, 1]
    assert len({request.attempt for request in teacher.asked}) == 2
    assert names(tree) == {"A", "B", "Root.2", "Root.3"}
    assert (growth.lookahead, growth.backtrack, growth.added) == (0, 2, 2)


def test_a_call_for_a_task_stays_the_same_call_when_another_is_merged_into_it():
    """Else what `curate try` asks about a first level would be asked again once the second level is grown."""
    other = {"instruction": "Write four words.", "input": "", "output": "One two three four."}
    spec = domain(depth=2, width=[1, 2], per_call=2)
    before = TaskTree("Root", examples=[EXAMPLE])
    first = before.add(before.root.id, "A", "Because.", [EXAMPLE]).task
    answers = iter([tasks("A"), tasks("A", "B", example=other), tasks("C")])
    after, growth = grow(lambda request: next(answers), spec, TaskTree("Root", examples=[EXAMPLE]))
    (known,) = [task for task in after.walk() if task.name == "A"]
    assert growth.merged == 1 and len(known.examples) == 2 and after.state == {"own": {known.id: 1}}
    asked = [[Writer(spec, tree, 0).request((task, turn)) for turn in range(9)]
             for tree, task in ((before, first), (after, known))]  # fmt: skip
    assert asked[0] == asked[1]


def test_growth_ends_before_a_move_that_is_not_allowed():
    costs = []

    def allowed(calls):
        costs.append(calls)
        return len(costs) < 3

    def explorer(made):
        made.allowed = allowed
        return made.grow()

    teacher = Fresh()
    spec = domain(depth=2, width=[4, 3], per_call=2, merge_candidates=2)
    tree, growth = grow(teacher, spec, encoder=open_encoder("static"), explorer=explorer)
    # One question and the second newcomer's; one and both newcomers'; four, and two newcomers of each.
    assert costs == [2, 3, 12]
    assert growth.stopped == "enough" and len(tree) == 5 and growth.lookahead == growth.backtrack == 1


def test_growth_is_breadth_first_and_a_whole_level_is_asked_at_the_same_time():
    out, most, order = 0, 0, []
    fresh = Fresh()

    async def slow(request):
        nonlocal out, most
        order.append(len(request.variables["path"]) - 1)
        out += 1
        most = max(most, out)
        await asyncio.sleep(0.02)
        out -= 1
        return fresh(request)

    tree, growth = grow(slow, domain(depth=3, width=[3, 2, 2]))
    assert order == [0] + [1] * 3 + [2] * 6
    assert most == 6
    assert growth.added == 3 + 6 + 12 == len(tree) - 1


def test_the_tree_depends_on_no_timing(monkeypatch):
    def teacher(delays):
        rng = random.Random(delays)

        async def reply(request):
            await asyncio.sleep(rng.uniform(0, 0.01))
            if request.prompt == "explore/same_task":
                return same(random.Random(request.attempt).choice([0, 0, 1]))
            draw = random.Random(f"{request.attempt} {request.messages}")
            words = ["algebra", "geometry", "music", "law", "cooking", "travel", "sports", "history"]
            given = {"instruction": f"Think of {draw.random()}.", "input": "", "output": "Done."}
            pairs = (f"{draw.choice(words)} {draw.choice(words)}" for _ in range(request.variables["count"]))
            return tasks(*pairs, example=given)

        return reply

    encoder = open_encoder("static")
    trees = set()
    for delays in range(4):
        # One question at a time, or all at once.
        monkeypatch.setattr("curate.models.jobs.UNFINISHED", (1, 4096)[delays % 2])
        tree, _ = grow(teacher(delays), domain(depth=3, width=[4, 3, 2], merge_candidates=3), encoder=encoder)
        ledgers = json.dumps([tree.merges, [(t.id, t.name, t.parent, t.examples) for t in tree.walk()]])
        trees.add(ledgers)
    assert len(trees) == 1


# How it ends


@pytest.mark.parametrize(("depth", "width", "size"), [(0, [], 1), (1, [5], 6), (2, [3, 2], 10), (3, [2, 2, 2], 15)])
def test_depth_and_width_bound_the_tree_exactly(depth, width, size):
    tree, growth = grow(Fresh(), domain(depth=depth, width=width))
    assert len(tree) == size and growth.saturated == [] and growth.stopped == ""
    assert max(tree.depth(task.id) for task in tree.walk()) == depth


def test_a_call_asks_for_no_more_than_the_gap_and_never_for_more_than_a_reply_can_hold():
    teacher = Fresh()
    grow(teacher, domain(width=[9], per_call=4))
    assert [request.variables["count"] for request in teacher.asked] == [4, 4, 1]


@pytest.mark.parametrize("cap", [1, 2, 5, 12])
def test_the_cap_on_tasks_is_never_exceeded(cap):
    teacher = Fresh()
    tree, _ = grow(teacher, domain(depth=2, width=[4, 4], max_tasks=cap))
    assert len(tree) == cap
    if cap == 1:
        assert teacher.asked == []


def test_a_task_that_gets_nothing_new_is_left_alone_after_k_answers_in_a_row():
    teacher = Fresh()
    fresh = Fresh.__call__

    def stingy(request):
        reply = fresh(teacher, request)
        return reply if len(teacher.asked) <= 2 else tasks("Root.0", "root.1")

    tree, growth = grow(stingy, domain(width=[9], per_call=2, saturation=3))
    assert len(teacher.asked) == 2 + 3
    assert growth.saturated == ["Root"] and len(tree) == 5
    assert growth.lost == {"sub-task_repeated": 6}


def test_a_full_task_is_not_asked_at_all():
    """The reference code loops for ever where a task has more children than its quota."""
    tree = TaskTree("Root")
    for number in range(12):
        tree.add(tree.root.id, f"Child {number}")
    teacher = Fresh()
    grow(teacher, domain(width=[5]), tree)
    assert teacher.asked == [] and len(tree) == 13


def test_a_teacher_whose_every_alternative_is_an_old_task_in_other_words_is_not_asked_for_ever():
    number = 0

    def reply(request):
        nonlocal number
        if request.prompt == "explore/same_task":
            return same(1)
        number += 1
        assert number < 30, "asked for ever"
        return tasks(f"Solve quadratic equations in manner {number}")

    encoder = open_encoder("static")
    tree, growth = grow(reply, domain(width=[6], per_call=1, merge_candidates=2, saturation=3), encoder=encoder)
    assert growth.saturated == ["Root"]
    assert names(tree) == {"Solve quadratic equations in manner 1"}
    assert growth.added == 1 and growth.merged == 3 == len(tree.merges)


@pytest.mark.parametrize("failure", ["refusal", "empty_choice", "context_length", "bad_request"])
def test_calls_that_fail_are_counted_and_end_in_saturation(failure):
    calls = []

    def reply(request):
        calls.append(request)
        return Failure(failure, "no")

    tree, growth = grow(reply, domain(saturation=3))
    assert len(tree) == 1 and len(calls) == 3
    assert growth.lost == {failure: 3} and growth.saturated == ["Root"]


def test_replies_that_cannot_be_read_are_repaired_once_and_then_counted():
    calls = Counter()

    def reply(request):
        calls[request.attempt] += 1
        return "no object here"

    _, growth = grow(reply, domain(saturation=2))
    assert growth.lost == {"unreadable": 2} and set(calls.values()) == {2}


@pytest.mark.parametrize("limit", [1, 3])
def test_a_spent_budget_ends_growth_and_says_so(limit):
    teacher = Fresh()
    tree, growth = grow(teacher, domain(depth=2, width=[3, 3]), budget=Budget(calls=limit))
    assert growth.stopped == "budget" and len(teacher.asked) == limit
    assert len(tree) == 1 + 3 * limit
    assert growth.saturated == []


# What a reply may hold


def test_more_sub_tasks_than_asked_are_counted_and_left_out():
    teacher = Fresh()

    def generous(request):
        teacher.asked.append(request)
        return tasks(*(f"Sub {number}" for number in range(11)))

    tree, growth = grow(generous, domain(width=[4], per_call=4))
    assert len(tree) == 5 and growth.added == 4
    assert growth.lost == {"over_width": 7} and len(teacher.asked) == 1


def test_names_that_are_no_names_and_examples_against_the_rules_are_counted():
    bad = {"instruction": "Draw a picture of it.", "input": "", "output": "Done."}

    def reply(request):
        return json.dumps({"tasks": [
            {"name": "...", "reason": "none", "examples": [EXAMPLE]},
            {"name": "Good", "reason": "yes", "examples": [EXAMPLE, bad]},
            {"name": "Bold **move**", "reason": "Reason: it says Reason: twice", "examples": [bad]},
        ]})  # fmt: skip

    tree, growth = grow(reply, domain(width=[2]))
    assert names(tree) == {"Good", "Bold **move**"}
    assert growth.lost == {"unusable_name": 1, "example_forbidden_word": 2}
    assert len(tree.named("Good").examples) == 1 and tree.named("Bold **move**").examples == ()
    assert tree.named("Bold **move**").description == "Reason: it says Reason: twice"


def test_a_numbered_list_in_an_input_is_an_input():
    """The reference code drops such an example without a word."""
    listed = {"instruction": "Sort this list.", "input": "1. pears\n2. apples\n3. figs", "output": "1. apples"}
    tree, growth = grow(lambda request: tasks("Sorting", example=listed), domain(width=[1]))
    assert list(tree.examples.values()) == [listed] and growth.lost == {}


# Merging


def test_equal_names_merge_over_the_whole_tree_and_the_merge_is_recorded():
    def reply(request):
        place = request.variables["path"][-1]
        return tasks("Limits", "Number theory") if place == "Root" else tasks(f"Only {place}", "  LIMITS. ")

    tree, growth = grow(reply, domain(depth=2, width=[2, 2], saturation=1))
    assert names(tree) == {"Limits", "Number theory", "Limits > Only Limits", "Number theory > Only Number theory"}
    into = tree.named("Limits").id
    merged = [(merge["path"], merge["into"], merge["how"]) for merge in tree.merges]
    assert (["Root", "Number theory", "LIMITS."], into, "name") in [([*p], i, h) for p, i, h in merged]
    assert growth.merged >= 1


CLOSE = ("First-order differential equations", "Second-order differential equations")
APART = ("Greatest common divisor", "Highest common factor")


def test_the_teacher_decides_what_is_the_same_task_and_both_kinds_of_pair_are_put_to_it():
    proposed = []

    def reply(request):
        if request.prompt != "explore/same_task":
            return tasks(*CLOSE, *APART)
        new = request.variables["task"]["name"]
        shown = {row["name"]: row["number"] for row in request.variables["candidates"]}
        proposed.extend((new, name) for name in shown)
        return same(shown.get(APART[0], 0) if new == APART[1] else 0)

    encoder = open_encoder("static")
    tree, growth = grow(reply, domain(width=[4], merge_candidates=3, saturation=1), encoder=encoder)
    assert CLOSE[::-1] in proposed and APART[::-1] in proposed
    # Of two newcomers only the later is asked about, and nobody about the tasks above it.
    assert not any(pair in proposed for pair in (CLOSE, APART)) and "Root" not in {name for _, name in proposed}
    assert names(tree) == {*CLOSE, APART[0]}
    [merge] = tree.merges
    assert (merge["name"], merge["into"], merge["how"]) == (APART[1], tree.named(APART[0]).id, "teacher")
    assert len(merge["call"]) > 8 and growth.merged == 1
    # From then on the other name stands for the task.
    assert tree.named(APART[1]) == tree.named(APART[0])


def test_without_candidates_or_an_encoder_nobody_is_asked():
    for encoder, candidates in ((None, 3), (open_encoder("static"), 0)):
        teacher = Fresh()
        grow(teacher, domain(merge_candidates=candidates), encoder=encoder)
        assert {request.prompt for request in teacher.asked} == {"explore/lookahead"}


def test_a_chain_of_merges_ends_at_a_task_that_stands():
    """C is said to be B while B is said to be A: both end in A."""

    def reply(request):
        if request.prompt != "explore/same_task":
            return tasks("Prime numbers", "Primes numbers", "Primal numbers", "Cooking rice")
        shown = {row["name"]: row["number"] for row in request.variables["candidates"]}
        before = {"Primes numbers": "Prime numbers", "Primal numbers": "Primes numbers"}
        return same(shown.get(before.get(request.variables["task"]["name"], ""), 0))

    tree, growth = grow(reply, domain(width=[4], merge_candidates=3, saturation=1), encoder=open_encoder("static"))
    assert names(tree) == {"Prime numbers", "Cooking rice"}
    assert {merge["into"] for merge in tree.merges} == {tree.named("Prime numbers").id}
    assert growth.merged == len(tree.merges) == 2 and growth.added == 2


@pytest.mark.parametrize("number", [0, 4, 99])
def test_a_number_that_no_candidate_has_merges_nothing(number):
    def reply(request):
        if request.prompt == "explore/same_task":
            return same(number)
        return tasks("Prime numbers", "Prime factors")

    tree, growth = grow(reply, domain(width=[2], merge_candidates=1), encoder=open_encoder("static"))
    assert len(tree) == 3 and tree.merges == [] and growth.merged == 0


def test_candidates_are_the_nearest_of_the_whole_tree_without_the_own_branch():
    tree = TaskTree("Mathematics")
    algebra = tree.add(tree.root.id, "Algebra").task
    other = tree.add(tree.root.id, "Number theory").task
    near = tree.add(other.id, "Solving linear equations").task
    newcomer = tree.add(algebra.id, "Solving equations").task
    below = tree.add(newcomer.id, "Solving linear equations quickly").task
    with Ledger() as ledger, Engine({"teacher": ScriptedModel(Fresh())}, ledger) as engine:
        pairs = SameTask(engine, domain(merge_candidates=2), tree, open_encoder("static"), 0).candidates([newcomer])
    [(task, found)] = pairs
    assert task == newcomer and found[0] == near and len(found) <= 2
    assert not {below.id, algebra.id, tree.root.id} & {each.id for each in found}
