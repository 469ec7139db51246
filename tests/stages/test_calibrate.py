"""A threshold by marked pairs: who is drawn, what the marks say, and that the intervals hold the truth."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.stages.alike import verdict
from curate.stages.calibrate import Band, Estimate, Population, allotted, choose, estimates, null_cosines
from curate.stages.gather import Comparing, Gathering
from curate.stages.greedy import Edges
from curate.text import content_id
from curate.types import Sample

LOWS = np.arange(700_000, 1_000_000, 20_000)


@given(st.lists(st.integers(0, 40), max_size=8), st.integers(0, 200))
def test_pairs_are_drawn_as_evenly_as_the_bands_allow(sizes, wanted):
    given_ = allotted(sizes, wanted)
    assert sum(given_) == min(wanted, sum(sizes))
    assert all(count <= size for count, size in zip(given_, sizes, strict=True))
    unfilled = [count for count, size in zip(given_, sizes, strict=True) if count < size]
    assert not unfilled or max(given_) - min(unfilled) <= 1
    more = allotted(sizes, wanted + 1)
    assert all(now <= then for now, then in zip(given_, more, strict=True))


def gathered(texts, order=None):
    """Relations of these texts, with edges of a made-up cosine between each two neighbours of `texts`."""
    places = order if order is not None else list(range(len(texts)))
    gathering = Gathering(Comparing(), io.BytesIO())
    for place in places:
        messages = ({"role": "user", "content": texts[place]},)
        gathering.add(Sample(content_id(messages), messages), b"")
    number = {place: at for at, place in enumerate(places)}
    scored = sorted(((701_000 + 997 * at % 299_000, at) for at in range(len(texts) - 1)), reverse=True)
    left = np.array([number[at] for _, at in scored], dtype=np.int32)
    right = np.array([number[at + 1] for _, at in scored], dtype=np.int32)
    score = np.array([score for score, _ in scored], dtype=np.int32)
    return replace(gathering.bare(), semantic=Edges(left, right, score, 0.7))


def drawn(texts, order, wanted, seed=0):
    population = Population(gathered(texts, order), seed)
    names = order if order is not None else list(range(len(texts)))
    edges = population.edges
    return [
        [band, {frozenset((names[edges.left[edge]], names[edges.right[edge]])) for edge in places.tolist()}]
        for band, places in population.draw(wanted)
    ]


def test_the_draw_is_a_function_of_the_texts_and_the_seed():
    texts = [f"Text number {number} of all." for number in range(301)]
    order = np.random.default_rng(1).permutation(301).tolist()
    few = drawn(texts, None, 60)
    assert [len(pairs) for _, pairs in few] == [4] * 15
    assert drawn(texts, order, 60) == few
    assert drawn(texts, None, 60, seed=1) != few
    for (_, before), (_, after) in zip(few, drawn(texts, None, 120), strict=True):
        assert before < after


def test_bands_hold_what_a_threshold_at_their_lower_end_drops():
    texts = [f"Text number {number} of all." for number in range(301)]
    relations = gathered(texts)
    population = Population(relations)
    bands = population.bands([(0, True), (0, False), (14, True)])
    assert [round(band.low, 6) for band in bands] == [low / 1e6 for low in LOWS]
    assert all(left.high == right.low for left, right in pairwise(bands)) and bands[-1].high == 1
    for band, estimate in zip(bands, estimates(bands), strict=True):
        assert estimate.pairs == len(relations.semantic.above(band.low))
    assert (bands[0].marked, bands[0].same, bands[14].marked, bands[14].same) == (2, 1, 1, 1)


def test_what_is_equal_after_normalising_is_no_question():
    relations = gathered(["Name a river.", "name a RIVER", "Name a lake."])
    assert relations.group.tolist() == [0, 0, 1]
    assert Population(relations).sizes.sum() == 1


def test_the_precision_of_marks_by_hand():
    bands = [Band(0.8, 0.9, 60, 6, 3), Band(0.9, 1.0, 20, 4, 4)]
    low, high = estimates(bands)
    assert (low.threshold, low.pairs, low.precision) == (0.8, 80, pytest.approx((30 + 20) / 80))
    assert (high.pairs, high.precision, high.high) == (20, 1.0, 1.0)
    # Jeffreys' lower end for four of four is 0.5552; 16 of 20 pairs are not known.
    assert high.low == pytest.approx(1 - (1 - 0.5552) * (16 / 19) ** 0.5, abs=0.0005)


def test_what_is_marked_in_whole_is_certain_and_what_is_not_marked_unknown():
    assert estimates([Band(0.9, 1.0, 5, 5, 4)]) == [Estimate(0.9, 5, 0.8, 0.8, 0.8)]
    unknown = estimates([Band(0.8, 0.9, 9, 9, 9), Band(0.9, 1.0, 1, 0, 0)])
    assert [np.isnan(estimate.precision) for estimate in unknown] == [True, True]
    assert (unknown[1].low, unknown[1].high) == (0.0, 1.0)
    assert choose([Band(0.8, 0.9, 9, 9, 9), Band(0.9, 1.0, 0, 0, 0)], 0.95).threshold == 0.8


def test_the_lowest_threshold_with_the_precision():
    bands = [Band(0.7, 0.8, 100, 100, 0), Band(0.8, 0.9, 50, 50, 40), Band(0.9, 1.0, 50, 50, 50)]
    assert choose(bands, 0.9).threshold == 0.8
    assert choose(bands, 0.91).threshold == 0.9
    assert choose([Band(0.9, 1.0, 50, 50, 5)], 0.5) == choose([], 0.5)
    assert (choose([], 0.5).threshold, choose([], 0.5).low, choose([], 0.5).high) == (None, 1.0, 1.0)


@pytest.mark.parametrize(("middle", "wanted"), [(0.75, 200), (0.86, 100), (0.86, 300), (0.93, 200)])
def test_the_intervals_hold_the_true_values(middle, wanted):
    """Worlds whose truth is known: few pairs high up, many below, and more duplicates the higher the cosine."""
    rng = np.random.default_rng(7)
    pairs = (5000 * 0.68 ** np.arange(15)).astype(int) + 1
    above = np.cumsum(pairs[::-1])[::-1]
    share = 1 / (1 + np.exp(-(LOWS / 1e6 + 0.01 - middle) * 50))
    marked = np.array(allotted(pairs.tolist(), wanted))
    worlds, inside, threshold = 120, np.zeros(15), 0
    for _ in range(worlds):
        true = rng.binomial(pairs, share)
        same = rng.hypergeometric(true, pairs - true, marked)
        bands = [
            Band(low / 1e6, (low + 20_000) / 1e6, *map(int, counts))
            for low, *counts in zip(LOWS, pairs, marked, same, strict=True)
        ]
        precision = np.cumsum(true[::-1])[::-1] / above
        inside += [e.low - 1e-9 <= p <= e.high + 1e-9 for e, p in zip(estimates(bands), precision, strict=True)]
        truly = next((band.low for band, p in zip(bands, precision, strict=True) if p >= 0.9), 1.0)
        chosen = choose(bands, 0.9)
        threshold += chosen.low <= truly <= chosen.high
    # Of 120 worlds, 95 % is 114; one threshold alone may miss by chance, all of them together may not.
    assert inside.min() >= 100 and inside.mean() >= 111
    assert threshold >= 112


def test_random_pairs():
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8], [0, 0]], dtype=np.float32)
    assert null_cosines(vectors) == pytest.approx([0, 0.6, 0.8])


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("Both ask for it.\nverdict: same", True),
        ("**Verdict: Different.**", False),
        ("verdict：same", True),
        ("verdict: same\nNo:\nverdict: different", False),
        ("verdict: same\nverdict: mostly the same", None),
        ("They are the same.", None),
        ("", None),
    ],
)
def test_the_last_verdict_on_the_menu_counts(reply, said):
    assert verdict(reply) is said
