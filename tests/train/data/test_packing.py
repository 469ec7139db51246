from __future__ import annotations

from itertools import chain, permutations
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.train.data.packing import pack, padding_share

BUDGET = 20
LENGTHS = st.lists(st.integers(1, BUDGET), max_size=60)


def by_definition(lengths: list[int], budget: int) -> list[list[int]]:
    """Best-fit decreasing as textbooks have it; among packs with equal room, the one that came to it last."""
    packs: list[list[int]] = []
    room: list[int] = []
    when: list[int] = []
    for step, index in enumerate(sorted(range(len(lengths)), key=lambda i: -lengths[i])):
        fitting = [p for p in range(len(packs)) if room[p] >= lengths[index]]
        if fitting:
            best = min(fitting, key=lambda p: (room[p], -when[p]))
        else:
            best = len(packs)
            packs.append([])
            room.append(budget)
            when.append(step)
        packs[best].append(index)
        room[best] -= lengths[index]
        when[best] = step
    return packs


def fewest(lengths: list[int], budget: int) -> int:
    """The least number of packs, by trying every order (next-fit of some order is optimal)."""
    best = len(lengths)
    for order in set(permutations(lengths)):
        packs, room = 0, 0
        for length in order:
            if length > room:
                packs, room = packs + 1, budget
            room -= length
        best = min(best, packs)
    return best


@given(LENGTHS)
def test_each_document_once_and_no_pack_above_the_budget(lengths: list[int]) -> None:
    packs = pack(lengths, BUDGET)
    assert sorted(chain.from_iterable(packs)) == list(range(len(lengths)))
    assert all(0 < sum(lengths[i] for i in one) <= BUDGET for one in packs)


@given(LENGTHS)
def test_it_is_best_fit_decreasing(lengths: list[int]) -> None:
    assert pack(lengths, BUDGET) == by_definition(lengths, BUDGET)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, BUDGET), min_size=1, max_size=7))
def test_it_is_as_near_to_the_best_as_first_fit_decreasing(lengths: list[int]) -> None:
    assert len(pack(lengths, BUDGET)) <= floor(11 / 9 * fewest(lengths, BUDGET) + 6 / 9)


def test_a_known_case() -> None:
    assert pack([5, 1, 3, 2, 4], 6) == [[0, 1], [4, 3], [2]]
    assert pack(np.array([6, 6, 3, 3], dtype=np.int32), 6) == [[0], [1], [2, 3]]
    assert pack([], 6) == []


def test_what_cannot_be_packed() -> None:
    with pytest.raises(ValueError, match="document 1 has 7 tokens, and a pack takes from 1 to 6"):
        pack([1, 7], 6)
    with pytest.raises(ValueError, match="document 0 has 0 tokens"):
        pack([0], 6)


def test_the_share_of_padding() -> None:
    assert padding_share([6, 3], 2, 6) == 0.25
    assert padding_share([], 0, 6) == 0.0
