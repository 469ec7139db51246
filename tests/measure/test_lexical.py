"""Each figure of the words against its definition, written out."""

from __future__ import annotations

import gzip
import math
import random

import numpy as np
import pytest

from curate.measure.lexical import NGrams, compression_ratio, distinct, lengths_of, self_repetition

WORDS = list("abcdef")


def corpus(seed: int, texts: int = 40) -> list[list[str]]:
    rng = random.Random(seed)
    return [[rng.choice(WORDS) for _ in range(rng.randrange(0, 14))] for _ in range(texts)]


def grams(text: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_distinct_is_unique_over_all_ngrams_of_single_texts(n):
    texts = corpus(n)
    every = [gram for text in texts for gram in grams(text, n)]
    assert distinct(NGrams(texts, n)) == len(set(every)) / len(every)
    places = np.array([1, 5, 6, 30])
    some = [gram for place in places for gram in grams(texts[place], n)]
    assert distinct(NGrams(texts, n), places) == len(set(some)) / len(some)


def by_definition(texts: list[list[str]]) -> float:
    """Salkar et al. as the package `diversity` 0.3.1 computes it."""
    sets = [set(grams(text, 4)) for text in texts]
    total = 0.0
    for one in sets:
        total += math.log(sum(sum(gram in other for other in sets) for gram in one) - len(one) + 1)
    return total / len(texts)


def test_self_repetition_counts_other_texts_with_each_ngram():
    texts = corpus(7) + corpus(7)[:10]
    assert self_repetition(NGrams(texts, 4).once()) == pytest.approx(by_definition(texts), rel=1e-12)
    places = np.arange(0, 50, 3)
    some = [texts[place] for place in places]
    assert self_repetition(NGrams(texts, 4).once(), places) == pytest.approx(by_definition(some), rel=1e-12)


def test_texts_without_ngrams_repeat_nothing():
    ngrams = NGrams([[], ["a"], ["a", "b"]], 4)
    assert (distinct(ngrams), self_repetition(ngrams.once()), ngrams.types) == (0.0, 0.0, 0)
    assert self_repetition(NGrams([], 4).once()) == distinct(NGrams([], 4)) == 0.0


def test_compression_ratio_is_plain_over_gzip():
    texts = ["the same words again"] * 50
    plain = " ".join(texts).encode()
    assert compression_ratio(texts) == len(plain) / len(gzip.compress(plain))
    assert compression_ratio([]) == 0.0


def test_lengths_hold_every_text_and_the_percentiles():
    counts = np.arange(1, 101)
    lengths = lengths_of(counts)
    assert sum(lengths.counts) == 100
    assert len(lengths.edges) == len(lengths.counts) + 1
    assert lengths.percentiles == pytest.approx((5.95, 25.75, 50.5, 75.25, 95.05))
    assert sum(lengths_of(np.array([7, 7])).counts) == 2
    assert lengths_of(np.array([], dtype=np.int64)).counts == (0,)
