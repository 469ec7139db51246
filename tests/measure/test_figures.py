"""All figures of a dataset together: which there are, on how many samples, and why one is missing."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from curate.measure import figures, random_places
from curate.measure.lexical import rarefied
from curate.types import Sample

VERBS = ["Write", "Explain", "Describe", "List", "Compare"]
NOUNS = ["poem", "rule", "letter", "river", "planet", "recipe", "proof"]


def samples(n: int, seed: int = 0) -> list[Sample]:
    rng = random.Random(seed)
    made = []
    for number in range(n):
        text = f"{rng.choice(VERBS)} a {rng.choice(NOUNS)} with {rng.randrange(90)} parts and {rng.choice(NOUNS)}s."
        messages = (
            {"role": "user", "content": text},
            {"role": "assistant", "content": "Here it is. " * rng.randrange(9)},
        )
        made.append(Sample(f"{number:016x}", messages, ("Root", f"Leaf {number % 4}")))
    return made


def vectors(n: int) -> np.ndarray:
    found = np.random.default_rng(1).normal(size=(n, 16)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


ALWAYS = [
    "verb_noun", "verb_noun_per_1000", "distinct_1", "distinct_2", "self_repetition", "compression_ratio",
    "rouge_mean", "rouge_nearest",
]  # fmt: skip
EMBEDDED = ["vendi", "novelsum", "nearest_distance"]
LENGTHS = ["instruction_words", "response_words"]
LEAVES = ["leaf_entropy", "empty_leaves"]
APART = ["leaf_purity", "sibling_overlap", "held_out_right"]


def test_every_figure_has_an_interval_around_its_value():
    found = figures(samples(2_000), vectors=vectors(2_000))
    assert [figure.name for figure in found] == [*ALWAYS, *EMBEDDED, *LENGTHS, *LEAVES, *APART]
    for figure in found:
        assert figure.low <= figure.value <= figure.high, figure.name
        assert figure.n == (400 if figure.name == "held_out_right" else 2_000)
    assert found.get("verb_noun").value == 35
    assert sum(count for *_, count in found.verbs) == 2_000
    assert sum(found.lengths["instruction"].counts) == 2_000


def test_the_same_seed_gives_the_same_figures():
    some = samples(300)
    first = json.dumps(figures(some, vectors=vectors(300), seed=3).as_json())
    assert first == json.dumps(figures(some, vectors=vectors(300), seed=3).as_json())
    assert first != json.dumps(figures(some, vectors=vectors(300), seed=4).as_json())


def test_without_vectors_and_tasks_only_the_texts_are_measured():
    some = [Sample(sample.id, sample.messages) for sample in samples(50)]
    assert [figure.name for figure in figures(some)] == [*ALWAYS, *LENGTHS]


def test_what_cannot_be_taken_says_why():
    found = figures(samples(60), language="zh")
    assert [found.get(name).note for name in ALWAYS[:2]] == ["not measured: only English has a lexicon"] * 2
    assert found.verbs == ()
    few = figures(samples(60)).get("verb_noun_per_1000")
    assert (few.value, few.note) == (None, "fewer than 1,000 samples")


def test_samples_that_the_encoder_does_not_know_do_not_count():
    known = vectors(100)
    known[::4] = 0
    found = figures(samples(100), vectors=known)
    assert {found.get(name).n for name in EMBEDDED} == {75}
    alone = figures(
        [sample for place, sample in enumerate(samples(100)) if place % 4], vectors=known[known.any(axis=1)]
    )
    assert found.get("vendi").value == alone.get("vendi").value
    with pytest.raises(ValueError, match="100 samples and 99 vectors"):
        figures(samples(100), vectors=known[:99])


def test_one_sample_or_none_fails_nothing():
    assert figures([]).samples == 0
    one = figures(samples(1), vectors=vectors(1))
    assert one.get("rouge_mean") is None
    assert one.get("distinct_1").low is None


def test_a_random_subset_stands_beside_the_figures():
    some = samples(400)
    subset = [some[place] for place in random_places(400, 100, 0)]
    found = figures(some).against(figures(subset, intervals=False))
    for figure in found:
        assert figure.random_n == (100 if figure.name != "held_out_right" else 20), figure.name
    assert found.get("distinct_1").random_value > found.get("distinct_1").value
    assert figures(subset, intervals=False).get("distinct_1").low is None


def test_a_reference_adds_novelsum_with_its_densities():
    plain = figures(samples(80), vectors=vectors(80))
    found = figures(samples(80), vectors=vectors(80), reference=vectors(500))
    assert found.get("novelsum") == plain.get("novelsum")
    assert found.get("novelsum_density").value != plain.get("novelsum").value


def test_rarefied_is_the_mean_over_random_draws():
    counts = np.array([50, 20, 5, 1, 1, 1])
    kinds = np.repeat(np.arange(6), counts)
    rng = np.random.default_rng(0)
    every = np.concatenate([kinds, np.full(22, -1)])
    draws = [len(set(rng.choice(every, 10, replace=False).tolist()) - {-1}) for _ in range(20_000)]
    assert rarefied(counts, 100, 10) == pytest.approx(np.mean(draws), abs=0.03)
    assert rarefied(counts, 78, 78) == pytest.approx(6)
    assert rarefied(np.array([], dtype=np.int64), 50, 10) == 0.0
