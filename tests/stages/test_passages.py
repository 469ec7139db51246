"""The index of passages finds what comparing everything with everything finds, to the share."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import pytest

from curate.stages.decontaminate import Item


@pytest.fixture(scope="module")
def bench():
    path = Path(__file__).parents[2] / "scripts" / "bench_decontaminate.py"
    spec = importlib.util.spec_from_file_location("bench_decontaminate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("words", [6, 40, 400])
def test_as_the_naive_way(bench, words):
    """The fewer words, the more phrases are everywhere; some items are the same, and some lie inside others."""
    rng = random.Random(words)
    vocabulary = [f"w{number}" for number in range(words)]

    def text(low, high):
        return " ".join(rng.choice(vocabulary) for _ in range(rng.randint(low, high)))

    items = [Item(str(n), text(3, 30), tuple(text(1, 4) for _ in range(n % 3)), text(0, 40)) for n in range(60)]
    items += [Item("again", items[5].question, items[5].choices, items[5].answer)]
    items += [Item("longer", f"{items[7].question} {text(3, 9)}"), Item("none", "")]
    texts = bench.planted([text(10, 60) for _ in range(200)], items)
    hits, wrong, _, _ = bench.check(items, texts)
    assert wrong == 0 and hits > 20


def test_on_real_questions(bench, shared_data):
    items = list(bench.read_items(bench.Source("exam", str(shared_data / "gsm8k" / "test.jsonl"))))[:150]
    samples = bench.read_samples(shared_data / "gsm8k" / "train.jsonl")
    texts = bench.planted([next(samples).instruction for _ in range(60)], items)
    hits, wrong, _, _ = bench.check(items, texts)
    assert wrong == 0 and hits > 10
