"""Sweeps: every living task is asked equally often, a quarter more each round."""

from __future__ import annotations

from collections import Counter

from curate.generate.sweeps import NO_LIMIT, Sweeps
from curate.types import Task


def sweeps(tasks, rows=NO_LIMIT, **more):
    root = Task("r", "Root")
    return Sweeps([root, *(Task(f"t{n}", f"Task {n}", parent="r") for n in range(1, tasks))], rows, 5, 3, **more)


def go(planner, good=5):
    """Make one round in which every call brings 5 candidates, `good` of them good; return its calls."""
    plan = planner.calls()
    for task, _ in plan:
        planner.settle(task.id, 5, good)
        planner.accounts[task.id].accepted += good
    planner.retire()
    return plan


def test_tasks_are_asked_equally_often_whatever_they_give():
    planner = sweeps(4)
    for _ in range(12):
        for task, _ in planner.calls():
            planner.settle(task.id, 5, 1 if task.id == "t1" else 5)
    assert {account.calls for account in planner.accounts.values()} == {18}


def test_a_round_asks_for_a_quarter_more_and_one_call_of_each_task_before_a_second():
    planner = sweeps(2)
    rounds = [go(planner) for _ in range(10)]
    assert [len(plan) // 2 for plan in rounds] == [1, 1, 1, 1, 1, 1, 1, 1, 2, 2]
    assert [(task.id, attempt) for task, attempt in rounds[8]] == [("r", 8), ("t1", 8), ("r", 9), ("t1", 9)]


def test_few_tasks_are_asked_for_enough_samples_at_once():
    assert len(sweeps(2, least=90).calls()) == 18
    assert len(sweeps(50, least=90).calls()) == 50


def test_a_retired_task_is_asked_no_more_and_without_any_left_nothing_is():
    planner = sweeps(2)
    for _ in range(3):
        for task, _ in planner.calls():
            planner.settle(task.id, 5, 0 if task.id == "r" else 5)
    assert planner.retire() == ["r"]
    assert [task.id for task, _ in planner.calls()] == ["t1"]
    for _ in range(3):
        go(planner, good=0)
    assert planner.calls() == []


def test_the_rows_that_are_missing_and_the_number_of_calls_bound_a_round():
    planner = sweeps(9, rows=52)
    assert len(go(planner)) == 9
    # Seven rows are missing, and a call brings five.
    assert len(planner.calls()) == 2
    assert len(planner.calls(spare=4)) == 1
    few = sweeps(3, most_calls=8)
    made = [call for _ in range(4) for call in go(few)]
    assert Counter(task.id for task, _ in made) == {"r": 3, "t1": 3, "t2": 2}
