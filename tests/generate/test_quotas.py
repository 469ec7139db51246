"""How many samples each task owes, and how many calls that takes."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from curate.generate.quotas import FIRST_YIELD, PATIENCE_CAP, Quotas
from curate.types import Task


def quotas(tasks=3, rows=30, per_call=5, saturation=3):
    return Quotas([Task(f"t{number:02}", f"Task {number}") for number in range(tasks)], rows, per_call, saturation)


def numbers(plan):
    return [(task.id, attempt) for task, attempt in plan]


@pytest.mark.parametrize(("tasks", "rows"), [(1, 1), (3, 10), (7, 100), (57, 60), (10, 3)])
def test_targets_are_largest_remainders_and_sum_to_n(tasks, rows):
    targets = quotas(tasks, rows).targets()
    assert sum(targets.values()) == rows
    assert set(targets.values()) <= {rows // tasks, -(-rows // tasks)}


def test_every_task_is_asked_once_before_any_is_asked_twice():
    plan = numbers(quotas(3, 45).calls())
    assert plan[:3] == [("t00", 0), ("t01", 0), ("t02", 0)]
    counts = Counter(name for name, _ in plan)
    # 15 rows at 5 a call.
    assert counts == {"t00": 3, "t01": 3, "t02": 3}
    assert plan == sorted(plan, key=lambda call: call[1])


def test_the_numbers_of_the_calls_of_a_task_go_on_where_they_ended():
    made = quotas(2, 40)
    first = numbers(made.calls())
    for name, _ in first:
        made.settle(name, 5, 5)
        made.accounts[name].accepted += 3
    second = numbers(made.calls())
    of = [attempt for name, attempt in first + second if name == "t00"]
    assert of == list(range(len(of))) and len(second) > 0


def test_the_identity_of_a_call_does_not_depend_on_n():
    few, many = (set(numbers(quotas(5, rows).calls())) for rows in (25, 250))
    assert few < many


def test_parts_of_calls_are_added_up_and_go_to_the_widest_gaps():
    made = quotas(3, 30)
    for account, accepted in zip(made.accounts.values(), (8, 7, 10), strict=True):
        account.calls, account.candidates, account.good, account.accepted = 2, 10, 10, accepted
    # 2 and 3 of 5 a call are one call, and the wider gap gets it.
    assert numbers(made.calls()) == [("t01", 2)]
    # What others have to spare is no reason to ask, but a gap of a whole call is never left to others.
    assert made.calls(spare=5) == []
    made.accounts["t01"].accepted = 4
    assert numbers(made.calls()) == [("t00", 2), ("t01", 2)]
    assert numbers(made.calls(spare=5)) == [("t01", 2)]


def test_hardly_more_is_asked_than_is_missing():
    # 51 tasks that owe 7 or 8 each: 80 calls of 5, and not two for every task.
    assert len(quotas(51, 400).calls()) == 80


def test_a_gap_that_another_task_filled_is_not_asked_for_again():
    made = quotas(60, 60)
    # Twelve calls of five gave 57 samples, all of them accepted: three are missing, and not one for each of 48 tasks.
    for number, account in enumerate(list(made.accounts.values())[:12]):
        account.calls, account.candidates, account.good, account.accepted = 1, 5, 5, 5 if number else 2
    assert made.accepted == 57
    assert len(made.calls()) == 1


def test_few_calls_are_dealt_over_the_branches_and_not_to_the_first_tasks():
    root = Task("root", "Root")
    branches = [Task(f"b{number}", f"Branch {number}", parent="root") for number in range(8)]
    leaves = [Task(f"l{leaf}{branch.id}", "Leaf", parent=branch.id) for branch in branches for leaf in range(6)]
    # 57 tasks that owe one or two rows each, which take 20 calls: two or three for each branch of seven tasks.
    plan = Quotas([root, *branches, *leaves], 100, 5, 3).calls()
    asked = Counter(task.id[-2:] for task, _ in plan)
    assert len(plan) == 20
    assert all(asked[branch.id] in (2, 3) for branch in branches), asked
    # Below a branch the widest gaps come first.
    owed = Quotas([root, *branches, *leaves], 100, 5, 3).targets()
    assert {owed[task.id] for task, _ in plan} == {2}


def test_what_few_rows_ask_for_more_rows_ask_for_too():
    rng = random.Random(0)
    root = Task("root", "Root")
    branches = [Task(f"{rng.getrandbits(40):010x}", "Branch", parent="root") for _ in range(8)]
    leaves = [Task(f"{rng.getrandbits(40):010x}", "Leaf", parent=branch.id) for branch in branches for _ in range(6)]
    few: set[tuple[str, int]] = set()
    lost = asked = 0
    for rows in (20, 50, 80, 100, 160, 200, 250, 300, 400, 1000):
        more = set(numbers(Quotas([root, *branches, *leaves], rows, 5, 3).calls()))
        lost, asked, few = lost + len(few - more), asked + len(few), more
    # Which branch gets the last call can change; what was paid for is left aside hardly ever.
    assert lost <= asked // 50, (lost, asked)


def test_a_poor_yield_is_met_with_more_calls_up_to_a_bound():
    made = quotas(1, 20)
    made.settle("t00", 99, 19)
    assert len(made.calls()) == round(20 / (5 * (19 + FIRST_YIELD) / 100)) == 20
    made = quotas(1, 20)
    made.settle("t00", 999, 0)
    assert len(made.calls()) == PATIENCE_CAP * 4


def test_a_task_retires_after_k_barren_calls_in_a_row_and_its_share_is_dealt_again():
    made = quotas(3, 30, saturation=2)
    made.accounts["t00"].accepted = 4
    for good in (0, 1, 0):
        made.settle("t00", 5, good)
    assert made.retire() == []
    made.settle("t00", 0, 0)
    assert made.retire() == ["t00"] and made.retire() == []
    assert made.targets() == {"t00": 4, "t01": 13, "t02": 13}
    assert "t00" not in {name for name, _ in numbers(made.calls())}


def test_when_all_have_retired_there_is_nothing_to_ask():
    made = quotas(2, 30, saturation=1)
    for name in made.accounts:
        made.settle(name, 5, 0)
    made.retire()
    assert made.calls() == [] and sum(made.targets().values()) == 0


@pytest.mark.parametrize("seed", range(20))
def test_rounds_of_any_yield_end_with_all_rows_or_with_all_tasks_retired(seed):
    rng = random.Random(seed)
    made = quotas(rng.randint(1, 12), rng.randint(1, 200), rng.randint(1, 8), rng.randint(1, 4))
    share = {name: rng.choice([0.0, 0.2, 0.8, 1.0]) for name in made.accounts}
    left = {name: rng.choice([0, 5, 10**6]) for name in made.accounts}
    for _ in range(500):
        targets = made.targets()
        plan = made.calls()
        if not plan:
            break
        for task, _ in plan:
            good = min(sum(rng.random() < share[task.id] for _ in range(made.per_call)), left[task.id])
            left[task.id] -= good
            made.settle(task.id, made.per_call, good)
            account = made.accounts[task.id]
            account.accepted = min(targets[task.id], account.accepted + good)
        made.retire()
    else:
        pytest.fail("rounds without end")
    everybody = all(account.retired for account in made.accounts.values())
    assert made.accepted == made.rows or everybody
