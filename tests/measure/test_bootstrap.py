"""Half-sampling against what theory says of a mean."""

from __future__ import annotations

import numpy as np
import pytest

from curate.measure.bootstrap import REPLICATES, halves, interval, resampled, standard_error
from curate.measure.lexical import kinds_error


def test_halves_hold_nothing_twice_and_come_again_by_seed():
    first = [half.tolist() for half in halves(11, 5)]
    assert len(first) == REPLICATES
    assert all(half == sorted(set(half)) and len(half) == 5 and max(half) < 11 for half in first)
    assert first == [half.tolist() for half in halves(11, 5)]
    assert first != [half.tolist() for half in halves(11, 6)]
    assert {len(half) for half in halves(100, 0, at_most=7)} == {7}


@pytest.mark.parametrize("at_most", [None, 20])
def test_the_error_of_a_mean_is_the_textbooks(at_most):
    values = np.random.default_rng(0).exponential(size=400)
    replicates = np.array([values[half].mean() for half in halves(400, 1, at_most=at_most, replicates=4_000)])
    size = 200 if at_most is None else at_most
    assert standard_error(replicates, size, 400) == pytest.approx(values.std() / 20, rel=0.05)


def test_a_level_that_depends_on_the_size_moves_no_interval():
    low, high = interval(10.0, np.array([4.0, 6.0]), 5, 10)
    assert (low, high) == pytest.approx((10 - 1.959964, 10 + 1.959964))


def test_intervals_of_a_mean_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(2)
    covered = 0
    for trial in range(300):
        values = rng.exponential(size=100)
        low, high = resampled(lambda places, v=values: float(v[places].mean()), float(values.mean()), 100, trial)
        covered += low <= 1.0 <= high
    assert 0.90 <= covered / 300 <= 0.98


@pytest.mark.parametrize(("kinds", "samples"), [(3_000, 400), (300, 2_000)])
def test_the_error_of_a_number_of_kinds_is_its_spread(kinds, samples):
    rng = np.random.default_rng(kinds)
    shares = 1 / np.arange(1, kinds + 1)
    draws = [np.unique(rng.choice(kinds, samples, p=shares / shares.sum()), return_counts=True)[1] for _ in range(200)]
    errors = [kinds_error(counts, samples) for counts in draws]
    assert np.mean(errors) == pytest.approx(np.std([len(counts) for counts in draws]), rel=0.15)


def test_kinds_that_all_came_often_have_no_error():
    assert kinds_error(np.array([40, 40, 40]), 120) == 0
    assert kinds_error(np.array([], dtype=np.int64), 5) == 0
