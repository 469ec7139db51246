"""What answers say of a sample: the two rules, by each way of answering, and how often a guesser passes them."""

from __future__ import annotations

import math
from itertools import product

import pytest

from curate.stages.exam.score import (
    Score,
    is_right,
    mean_leak,
    right_by_chance,
    score_of,
    votes_leak,
)
from curate.stages.exam.take import Taken
from curate.types import Question


def question(number, answer=0):
    return Question(f"q{number}", "Which?", ("a", "b", "c", "d"), answer)


def logs(*probabilities):
    return tuple(math.log(p) for p in probabilities)


SURE, WRONG, EVEN = logs(0.91, 0.03, 0.03, 0.03), logs(0.03, 0.91, 0.03, 0.03), logs(0.25, 0.25, 0.25, 0.25)


def scored(*rows, way="letter"):
    questions = [question(n) for n in range(len(rows))]
    return score_of(questions, [Taken(f"q{n}", **{way: row}) for n, row in enumerate(rows)], way)


def test_a_score_is_the_mean_of_the_right_options_log_probabilities():
    found = scored(SURE, SURE, EVEN)
    assert found == Score(3, 2, pytest.approx((2 * math.log(0.91) + math.log(0.25)) / 3))
    assert found.probability == pytest.approx((0.91 * 0.91 * 0.25) ** (1 / 3))


def test_the_two_rules_differ_over_one_sure_error():
    found = scored(SURE, SURE, WRONG)
    assert found.share == pytest.approx(2 / 3)
    assert found.passes("votes", 2 / 3)
    assert not found.passes("mean", 0.5)  # the geometric mean of .91, .91 and .03 is .29
    assert found.passes("mean", 0.25)


@pytest.mark.parametrize(("questions", "right", "passes"), [(3, 2, True), (3, 1, False), (2, 1, False), (1, 1, True)])
def test_two_of_three_is_not_missed_by_rounding(questions, right, passes):
    assert Score(questions, right).passes("votes", 2 / 3) is passes


def test_an_even_guess_never_passes_by_mean_and_is_never_right():
    found = scored(EVEN, EVEN, EVEN)
    assert found.right == 0
    assert not found.passes("mean", 0.26)


def test_votes_have_no_log_probabilities_and_decide_by_share():
    found = scored((3, 1, 0, 0), (2, 2, 0, 0), (0, 0, 0, 0), way="votes")
    assert found == Score(3, 1, None)
    assert found.probability is None
    assert found.passes("mean", 0.5) is False


def test_a_question_that_could_not_be_put_does_not_count():
    questions = [question(0), question(1)]
    taken = [Taken("q0", error="context: 9 tokens of 8"), Taken("q1", letter=SURE)]
    assert score_of(questions, taken, "letter") == Score(1, 1, pytest.approx(math.log(0.91)))
    assert score_of(questions[:1], taken[:1], "letter") is None


def test_level_options_are_no_answer():
    assert is_right(logs(0.4, 0.3, 0.2, 0.1), 0)
    assert not is_right(logs(0.4, 0.4, 0.1, 0.1), 0)


def test_guessing_passes_two_of_three_in_10_of_64():
    assert votes_leak(3, 2 / 3) == pytest.approx(10 / 64)
    assert votes_leak(1, 2 / 3) == 0.25
    assert votes_leak(2, 2 / 3) == pytest.approx(1 / 16)


@pytest.mark.parametrize("votes", [1, 2, 3, 4])
def test_the_chance_of_a_majority_by_guessing_is_exact(votes):
    cases = list(product(range(4), repeat=votes))
    won = sum(all(case.count(0) > case.count(other) for other in (1, 2, 3)) for case in cases)
    assert right_by_chance(4, votes) == pytest.approx(won / len(cases))


def test_without_votes_a_guess_is_one_option_of_all():
    assert right_by_chance(5) == 0.2


def test_a_sure_guesser_leaks_as_often_as_it_has_all_right():
    assert mean_leak([SURE, SURE], 0.5) == 1 / 16
    assert mean_leak([SURE], 0.5) == 0.25
    assert mean_leak([EVEN, EVEN, EVEN], 0.3) == 0.0
    assert mean_leak([EVEN], 0.0) == 1.0
