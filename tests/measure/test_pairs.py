"""All pairs against the package rouge-score and against plain loops."""

from __future__ import annotations

import random

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from curate.measure.bootstrap import halves
from curate.measure.pairs import NEIGHBOURS, Pairs, compare, cosine_blocks, rouge_blocks
from curate.text import rouge_tokens

WORDS = [f"w{number}" for number in range(700)]


def texts(n: int) -> list[str]:
    """Texts of very different lengths: one without a word, one with more different words than a byte has values."""
    rng = random.Random(n)
    some = [" ".join(rng.choice(WORDS[:40]) for _ in range(rng.randrange(1, 30))) for _ in range(n - 2)]
    return [*some, "!?", " ".join(WORDS[:300])]


def matrix(corpus: list[str]) -> np.ndarray:
    """ROUGE-L F of all pairs as the package rouge-score gives it; 0 of a text with itself."""
    scorer = RougeScorer(["rougeL"])
    found = np.zeros((len(corpus), len(corpus)))
    for row, left in enumerate(corpus):
        for column in range(row):
            found[row, column] = found[column, row] = scorer.score(left, corpus[column])["rougeL"].fmeasure
    return found


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    return texts(60)


@pytest.fixture(scope="module")
def expected(corpus) -> np.ndarray:
    return matrix(corpus)


@pytest.fixture(scope="module")
def pairs(corpus) -> Pairs:
    return compare(rouge_blocks([rouge_tokens(text) for text in corpus]), 60, list(halves(60, 0, replicates=3)))


def test_the_mean_is_that_of_rouge_score(pairs, expected):
    assert pairs.mean == pytest.approx(expected.sum() / (60 * 59), abs=1e-7)


def test_the_nearest_are_those_of_rouge_score(pairs, expected):
    np.fill_diagonal(expected, -1)
    assert pairs.similarities.shape == (60, NEIGHBOURS)
    assert pairs.nearest_mean() == pytest.approx(expected.max(axis=1).mean(), abs=1e-7)
    assert np.allclose(pairs.similarities, -np.sort(-expected, axis=1)[:, :NEIGHBOURS], atol=1e-7)
    assert np.allclose(np.take_along_axis(expected, pairs.places, axis=1), pairs.similarities, atol=1e-7)


def test_a_half_has_its_own_mean_and_neighbours(pairs, expected):
    for number, half in enumerate(halves(60, 0, replicates=3)):
        inside = expected[np.ix_(half, half)].copy()
        np.fill_diagonal(inside, 0)
        assert pairs.half_means[number] == pytest.approx(inside.sum() / (30 * 29), abs=1e-6)
        np.fill_diagonal(inside, -1)
        similarities, places = pairs.nearest_within(half)
        assert np.allclose(similarities, inside.max(axis=1), atol=1e-7)
        assert set(places.tolist()) <= set(half.tolist())


def test_cosines_over_several_blocks():
    vectors = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    inner = vectors.astype(np.float64) @ vectors.T
    np.fill_diagonal(inner, 0)
    pairs = compare(cosine_blocks(vectors), 600)
    assert pairs.mean == pytest.approx(inner.sum() / (600 * 599), abs=1e-6)
    np.fill_diagonal(inner, -2)
    assert pairs.places[:, 0].tolist() == inner.argmax(axis=1).tolist()
    assert len(pairs.half_means) == 0


def test_two_equal_texts_are_each_others_nearest():
    pairs = compare(rouge_blocks([["a", "b"], ["a", "b"]]), 2)
    assert (pairs.mean, pairs.nearest_mean(), pairs.places.tolist()) == (1.0, 1.0, [[1], [0]])


def test_texts_without_words_have_nothing_in_common():
    pairs = compare(rouge_blocks([[], [], ["a"]]), 3)
    assert (pairs.mean, pairs.nearest_mean()) == (0.0, 0.0)
