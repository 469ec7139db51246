from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.stages.select import balance, largest_remainder
from curate.types import Sample

WEIGHTS = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(0, 1e6), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("weights", "total", "caps", "shares"),
    [
        # Wikipedia's example of the Hamilton method with the Hare quota: ten seats.
        (
            {"yellow": 47000, "white": 16000, "red": 15900, "green": 12000, "blue": 6000, "pink": 3100},
            10,
            None,
            {"yellow": 5, "white": 2, "red": 1, "green": 1, "blue": 1, "pink": 0},
        ),
        ({"b": 1, "a": 1, "c": 1}, 4, None, {"b": 1, "a": 2, "c": 1}),  # a tie goes to the smaller key
        ({"a": 0.1, "b": 0.2, "c": 0.7}, 10, None, {"a": 1, "b": 2, "c": 7}),  # floats that are not exact
        ({"a": 1, "b": 1}, 10, {"a": 2}, {"a": 2, "b": 8}),
        ({"a": 8, "b": 1, "c": 1}, 10, {"a": 2, "b": 3}, {"a": 2, "b": 3, "c": 5}),  # b fills up only after a did
        ({"a": 1, "b": 1}, 10, {"a": 2, "b": 3}, {"a": 2, "b": 3}),  # everything full: less than the total
        ({"a": 0, "b": 1}, 3, None, {"a": 0, "b": 3}),
        ({"a": 0}, 3, None, {"a": 0}),
        ({"a": 5, "b": 5}, 0, None, {"a": 0, "b": 0}),
        ({}, 5, None, {}),
    ],
)
def test_shares(weights, total, caps, shares):
    assert largest_remainder(weights, total, caps) == shares


@settings(max_examples=60, deadline=None)
@given(WEIGHTS, st.integers(0, 500))
def test_every_share_is_a_neighbour_of_its_quota_and_all_is_dealt(weights, total):
    shares = largest_remainder(weights, total)
    whole = sum(map(Fraction, weights.values()))
    assert sum(shares.values()) == (total if whole else 0)
    for key, share in shares.items():
        assert whole == 0 or abs(share - Fraction(weights[key]) * total / whole) < 1


@settings(max_examples=60, deadline=None)
@given(WEIGHTS, st.integers(0, 500), st.data())
def test_caps_hold_and_nothing_is_left_while_somebody_has_room(weights, total, data):
    caps = data.draw(st.fixed_dictionaries({}, optional={key: st.integers(0, 60) for key in weights}))
    shares = largest_remainder(weights, total, caps)
    assert all(shares[key] <= cap for key, cap in caps.items())
    room = [key for key, w in weights.items() if w > 0 and (key not in caps or shares[key] < caps[key])]
    assert sum(shares.values()) == total or not room
    assert largest_remainder(dict(reversed(weights.items())), total, caps) == shares  # the order given is nothing


@pytest.mark.parametrize(
    ("weights", "total", "caps"),
    [({"a": -1}, 1, None), ({"a": float("nan")}, 1, None), ({"a": 1}, -1, None), ({"a": 1}, 1, {"a": -1})],
)
def test_wrong_numbers_are_refused(weights, total, caps):
    with pytest.raises(ValueError, match="0 or more"):
        largest_remainder(weights, total, caps)


def make(counts: dict[str, int]) -> list[Sample]:
    return [
        Sample(f"{task}{i}", ({"role": "user", "content": str(i)},), ("root", task))
        for task, n in counts.items()
        for i in range(n)
    ]


def kept(pairs) -> list[Sample]:
    return [sample for sample, verdict in pairs if verdict.keep]


def test_balance_takes_one_of_each_before_a_second_and_deals_again():
    samples = make({"big": 50, "mid": 4, "one": 1})
    pairs = list(balance(samples, 12, seed=1))
    assert [s for s, _ in pairs] == samples  # all come back, in order
    assert Counter(s.task[1] for s in kept(pairs)) == {"big": 7, "mid": 4, "one": 1}
    assert {v.reason for _, v in pairs if not v.keep} == {"over_quota"}
    assert {v.detail["quota"] for s, v in pairs if not v.keep} == {7}


def test_balance_is_a_function_of_the_seed_and_not_of_the_order():
    samples = make({"a": 30, "b": 30})
    first = {s.id for s in kept(balance(samples, 10, seed=1))}
    assert {s.id for s in kept(balance(samples[::-1], 10, seed=1))} == first
    assert {s.id for s in kept(balance(samples, 10, seed=2))} != first
    # Another group that grows changes nothing in this one as long as its quota is the same.
    grown = {s.id for s in kept(balance([*samples, *make({"b": 40})[30:]], 10, seed=1)) if s.task[1] == "a"}
    assert grown == {i for i in first if i.startswith("a")}


def test_balance_of_more_than_there_is_keeps_all_and_a_second_pass_drops_nothing():
    samples = make({"a": 3, "b": 2})
    assert kept(balance(samples, 99)) == samples
    once = kept(balance(samples, 4))
    assert kept(balance(once, 4)) == once
