"""Which source teaches a turn, and what comes of several."""

import numpy as np
import pytest

from curate.train.distill.blend import Rows, at_offsets, avgce, blended, mince, rows_of
from curate.train.dists import Dist

NAN = float("nan")


def dist_of(offsets, ids, chances, tail):
    logprobs = np.log(np.array(chances, np.float32), where=np.array(chances) > 0, out=np.full_like(chances, -np.inf))
    count = len(offsets)
    return Dist(
        np.array(offsets, np.uint32), np.array(ids, np.uint32), logprobs.astype(np.float32),
        np.log(np.array(tail, np.float32)), 1.0, np.zeros(count, np.uint8), np.zeros(count, np.uint32),
        np.zeros(count, np.float32), b"",
    )  # fmt: skip


def test_mince_takes_the_least_surprised_and_the_first_of_equals():
    nlls = np.array([[0.5, 0.4, 0.9], [0.7, 0.7, 0.8], [NAN, 0.9, 0.3], [NAN, NAN, NAN]])
    assert mince(nlls).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_mince_does_not_depend_on_how_finely_a_source_splits_the_text():
    # 24 nats over 12 bytes, read as 3 tokens or as 12; another source with 30. For a token, 8 and 2 against 10.
    coarse, fine, other = np.full(3, 8.0), np.full(12, 2.0), np.full(3, 10.0)
    for split in (coarse, fine):
        nlls = np.array([[split.sum() / 12, other.sum() / 12]])
        assert mince(nlls).tolist() == [[1, 0]]
    # A source that splits finely and is worse would win by its nats for a token: 2.5 against 8.
    assert mince(np.array([[coarse.sum() / 12, np.full(12, 2.5).sum() / 12]])).tolist() == [[1, 0]]


def test_avgce_is_the_softmax_of_the_likelihoods():
    weights = avgce(np.array([[0.5, 1.5], [NAN, 2.0], [NAN, NAN]]))
    high, low = np.exp(np.exp(-0.5)), np.exp(np.exp(-1.5))
    np.testing.assert_allclose(weights, [[high / (high + low), low / (high + low)], [0, 1], [0, 0]])


def test_the_tail_is_a_bin_of_its_own_or_given_to_the_others():
    dist = dist_of([0, 3], [[5, 9], [2, 0]], [[0.5, 0.25], [0.8, 0.0]], [0.25, 0.2])
    kept = rows_of(dist, "bucket")
    assert kept.ids.tolist() == [[5, 9], [2, -1]]
    np.testing.assert_allclose(kept.probabilities, [[0.5, 0.25], [0.8, 0]], rtol=1e-6)
    np.testing.assert_allclose(kept.tail, [0.25, 0.2], rtol=1e-6)
    spread = rows_of(dist, "renormalise")
    np.testing.assert_allclose(spread.probabilities, [[2 / 3, 1 / 3], [1, 0]], rtol=1e-6)
    assert spread.tail.tolist() == [0, 0]


def test_rows_are_found_by_their_offset():
    dist = dist_of([0, 4, 9], [[1]] * 3, [[0.5]] * 3, [0.5] * 3)
    assert at_offsets(dist, np.array([0, 2, 4, 9, 12], np.uint32)).tolist() == [0, -1, 1, 2, -1]
    assert at_offsets(dist_of([], np.empty((0, 1)), np.empty((0, 1)), []), np.array([0], np.uint32)).tolist() == [-1]


def test_a_mean_adds_up_equal_tokens_and_leaves_the_rest_in_the_tails():
    one = Rows(np.array([[3, 7]]), np.array([[0.6, 0.2]], np.float32), np.array([0.2], np.float32))
    two = Rows(np.array([[7, 8]]), np.array([[0.5, 0.1]], np.float32), np.array([0.4], np.float32))
    at = np.array([0])
    rows, places = blended([(one, at), (two, at)], [0.75, 0.25])
    assert (places.tolist(), rows.ids.tolist()) == ([0], [[3, 7, 8]])
    np.testing.assert_allclose(rows.probabilities, [[0.45, 0.15 + 0.125, 0.025]], rtol=1e-6)
    np.testing.assert_allclose(rows.tail, [0.15 + 0.1], rtol=1e-6)
    assert rows.probabilities.sum() + rows.tail.sum() == pytest.approx(1)


def test_two_equal_sources_are_one():
    one = Rows(np.array([[9, 3, -1], [4, 2, 1]]), np.array([[0.6, 0.2, 0], [0.5, 0.25, 0.125]], np.float32),
               np.array([0.2, 0.125], np.float32))  # fmt: skip
    at = np.array([1, -1, 0])
    rows, places = blended([(one, at), (one, at)], [0.25, 0.75])
    assert places.tolist() == [0, 2]
    assert rows.ids.tolist() == [[1, 2, 4], [3, 9, -1]]
    np.testing.assert_allclose(rows.probabilities, [[0.125, 0.25, 0.5], [0.2, 0.6, 0]], rtol=1e-6)
    np.testing.assert_allclose(rows.tail, [0.125, 0.2], rtol=1e-6)


def test_where_one_source_has_no_row_the_others_make_up_for_it():
    one = Rows(np.array([[3], [4]]), np.array([[0.5], [1.0]], np.float32), np.array([0.5, 0], np.float32))
    two = Rows(np.array([[6]]), np.array([[0.25]], np.float32), np.array([0.75], np.float32))
    rows, places = blended([(one, np.array([0, 1, -1, -1])), (two, np.array([0, -1, 0, -1]))], [0.5, 0.5])
    assert places.tolist() == [0, 1, 2]
    assert rows.ids.tolist() == [[3, 6], [4, -1], [6, -1]]
    np.testing.assert_allclose(rows.probabilities, [[0.25, 0.125], [1, 0], [0.25, 0]])
    np.testing.assert_allclose(rows.tail, [0.625, 0, 0.75])
