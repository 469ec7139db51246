from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.stages.select import largest_remainder

WEIGHTS = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(0, 1e6), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("weights", "total", "shares"),
    [
        # Wikipedia's example of the Hamilton method with the Hare quota: ten seats.
        (
            {"yellow": 47000, "white": 16000, "red": 15900, "green": 12000, "blue": 6000, "pink": 3100},
            10,
            {"yellow": 5, "white": 2, "red": 1, "green": 1, "blue": 1, "pink": 0},
        ),
        ({"b": 1, "a": 1, "c": 1}, 4, {"b": 1, "a": 2, "c": 1}),  # a tie goes to the smaller key
        ({"a": 0.1, "b": 0.2, "c": 0.7}, 10, {"a": 1, "b": 2, "c": 7}),  # floats that are not exact
        ({"a": 0, "b": 1}, 3, {"a": 0, "b": 3}),
        ({"a": 0}, 3, {"a": 0}),
        ({"a": 5, "b": 5}, 0, {"a": 0, "b": 0}),
        ({}, 5, {}),
    ],
)
def test_shares(weights, total, shares):
    assert largest_remainder(weights, total) == shares


@settings(max_examples=60, deadline=None)
@given(WEIGHTS, st.integers(0, 500))
def test_every_share_is_a_neighbour_of_its_quota_and_all_is_dealt(weights, total):
    shares = largest_remainder(weights, total)
    whole = sum(map(Fraction, weights.values()))
    assert sum(shares.values()) == (total if whole else 0)
    for key, share in shares.items():
        assert whole == 0 or abs(share - Fraction(weights[key]) * total / whole) < 1
    assert largest_remainder(dict(reversed(weights.items())), total) == shares  # the order given is nothing


@pytest.mark.parametrize(("weights", "total"), [({"a": -1}, 1), ({"a": float("nan")}, 1), ({"a": 1}, -1)])
def test_wrong_numbers_are_refused(weights, total):
    with pytest.raises(ValueError, match="0 or more"):
        largest_remainder(weights, total)
