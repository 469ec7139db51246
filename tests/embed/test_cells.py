"""Cells find nearly all pairs, say how many, and never a wrong one."""

from __future__ import annotations

import numpy as np
import pytest
from near_vectors import clustered, told

from curate.embed import cells
from curate.embed.cells import cell_pairs
from curate.embed.pairs import MILLION, TooManyPairs, all_pairs


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return clustered(6_000, 24, seed=2)


def test_pairs_are_true_ones_and_the_recall_is_told(vectors: np.ndarray) -> None:
    exact = set(told(all_pairs(vectors, 0.95)))
    found, words = cell_pairs(vectors, 0.95, needed=None, most=10_000_000)
    pairs = told(found)
    assert len(pairs) == len(set(pairs)) and set(pairs) <= exact
    assert [(right, left) for left, right, _ in pairs] == sorted((right, left) for left, right, _ in pairs)
    recall = len(pairs) / len(exact)
    claimed = float(words.split("recall ")[1].split()[0])
    assert recall > 0.98 and abs(recall - claimed) < 0.01
    assert "from 0.95 up, measured on" in words
    assert words.startswith("approximate: 155 cells, ")
    assert words.endswith("of 2,000 texts")


def test_probes_are_for_the_pairs_that_decide(vectors: np.ndarray) -> None:
    _, words = cell_pairs(vectors, 0.8, needed=0.99, most=10_000_000)
    above, from_floor = (float(words.split(key)[1].split()[0]) for key in ("recall ", "and "))
    assert above >= 0.995 > from_floor
    assert "above 0.99 and" in words


def test_with_every_cell_searched_every_pair_is_found(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    some = vectors[:900]
    monkeypatch.setattr(cells, "PROBES", (60,))
    found, words = cell_pairs(some, 0.8, needed=None, most=10_000_000, workers=3)
    assert told(found) == told(all_pairs(some, 0.8))
    assert "recall 1.0000" in words


def test_too_few_probes_are_seen_in_the_recall(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = len(all_pairs(vectors, 0.9))
    monkeypatch.setattr(cells, "PROBES", (1,))
    found, words = cell_pairs(vectors, 0.9, needed=None, most=10_000_000)
    claimed = float(words.split("recall ")[1].split()[0])
    assert claimed < 0.97 and abs(len(found) / exact - claimed) < 0.03


def test_old_rows_are_not_compared_with_each_other(vectors: np.ndarray) -> None:
    found, _ = cell_pairs(vectors, 0.95, needed=None, most=10_000_000, since=5_000)
    whole, _ = cell_pairs(vectors, 0.95, needed=None, most=10_000_000)
    assert told(found) == [pair for pair in told(whole) if pair[1] >= 5_000]


def test_the_floor_rises_and_what_is_needed_is_not_given_up(vectors: np.ndarray) -> None:
    found, _ = cell_pairs(vectors, 0.7, needed=None, most=5_000)
    assert len(found) <= 5_000 and found.floor > 0.7 * MILLION
    with pytest.raises(TooManyPairs):
        cell_pairs(vectors, 0.7, needed=0.71, most=5_000)
