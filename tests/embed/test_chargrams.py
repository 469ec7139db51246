from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from curate.embed import open_encoder
from curate.embed.chargrams import CharGramEncoder


@pytest.fixture(scope="module")
def instructions(shared_data: Path) -> list[str]:
    rows = json.loads((shared_data / "alpaca_zh_demo.json").read_text(encoding="utf-8"))
    return [f"{r['instruction']}\n\n{r['input']}" for r in rows]


def test_rows_are_unit_float32_and_independent_of_the_batch() -> None:
    texts = ["计算三角形的面积", "", "a", "计算 三角形\n的面积。", "x" * 3000]
    rows = CharGramEncoder().encode(texts * 300)
    assert rows.dtype == np.float32
    assert rows.shape == (1500, 512)
    assert np.linalg.norm(rows[:5], axis=1) == pytest.approx([1, 0, 1, 1, 1], abs=1e-6)
    assert np.array_equal(rows, np.concatenate([CharGramEncoder().encode([t]) for t in texts] * 300))
    assert rows[0] @ rows[3] == pytest.approx(1, abs=1e-6)
    assert CharGramEncoder().encode([]).shape == (0, 512)


def test_the_cosine_is_that_of_the_unhashed_counts() -> None:
    # Hashing into 512 places adds noise of about 1 / sqrt(512) to the true cosine.
    def grams(text: str) -> dict[str, float]:
        found = [text[i : i + n] for n in (1, 2, 3) for i in range(len(text) - n + 1)]
        return {g: 1 + np.log(found.count(g)) for g in set(found)}

    rng = random.Random(0)
    letters = "一二三四五六七八九十"
    for _ in range(20):
        left = "".join(rng.choices(letters, k=30))
        right = left[:20] + "".join(rng.choices(letters, k=10))
        a, b = grams(left), grams(right)
        norm = np.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))
        expected = sum(v * b.get(g, 0) for g, v in a.items()) / norm
        one, two = CharGramEncoder().encode([left, right])
        assert one @ two == pytest.approx(expected, abs=0.1)


def test_real_chinese_instructions_survive_and_edited_copies_do_not(instructions: list[str]) -> None:
    encoder = open_encoder("chargrams")
    threshold = encoder.default_threshold
    assert threshold == 0.8
    rows = encoder.encode(instructions)
    scores = np.triu(rows @ rows.T, k=1)
    close = np.argwhere(scores > threshold)
    assert len(instructions) == 1000
    # Eight exact copies, and one that differs by a "please".
    assert len(close) == 9
    assert scores[scores <= threshold].max() < 0.7

    rng = random.Random(0)
    edited = []
    for text in instructions:
        characters = list(text)
        for place in rng.sample(range(len(text)), len(text) // 10):
            characters[place] = rng.choice(rng.choice(instructions))
        edited.append("".join(characters))
    own = np.einsum("ij,ij->i", rows, encoder.encode(edited))
    assert (own > threshold).mean() > 0.8
