from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from curate.embed import open_encoder
from curate.embed.static_table import FOLDER, StaticEncoder
from curate.errors import InputError


@pytest.fixture(scope="module")
def encoder() -> StaticEncoder:
    return StaticEncoder()


@pytest.fixture(scope="module")
def problems(shared_data: Path) -> list[str]:
    lines = (shared_data / "gsm8k" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["question"] for line in lines]


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """The share of (positive, negative) pairs in which the positive is higher."""
    return float(np.searchsorted(np.sort(negative), positive).mean() / len(negative))


def test_the_shipped_folder_is_small_licensed_and_complete() -> None:
    sizes = {p.name: p.stat().st_size for p in FOLDER.iterdir()}
    assert set(sizes) == {"model.safetensors", "tokenizer.json", "config.json", "LICENSE"}
    assert sum(sizes.values()) < 16e6
    licence = (FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert "all-MiniLM-L6-v2" in licence
    assert "Apache License" in licence


def test_rows_are_unit_float32_and_independent_of_the_batch(encoder: StaticEncoder) -> None:
    texts = ["A lake is calm.", "", "12 + 30", "A lake is calm.", "☃☃"] * 300
    rows = encoder.encode(texts)
    assert rows.dtype == np.float32
    assert rows.shape == (1500, encoder.dim) == (1500, 256)
    norms = np.linalg.norm(rows[:5], axis=1)
    assert norms == pytest.approx([1, 0, 1, 1, 0], abs=1e-6)
    assert np.array_equal(rows, np.concatenate([encoder.encode([t]) for t in texts[:5]] * 300))
    assert encoder.encode([]).shape == (0, 256)


def test_rows_equal_those_of_model2vec(problems: list[str]) -> None:
    model2vec = pytest.importorskip("model2vec")
    texts = [*problems[:300], "", "中文", "Ünïcode ﬁne"]
    expected = model2vec.StaticModel.from_pretrained(str(FOLDER)).encode(texts, max_length=None)
    assert np.abs(StaticEncoder().encode(texts) - expected).max() < 1e-6


def test_paraphrases_are_closer_than_random_pairs(shared_data: Path, encoder: StaticEncoder) -> None:
    examples = json.loads((shared_data / "explore_instruct_demo" / "paraphrase.json").read_text())["examples"]
    pairs = [(e["input"], e["output"]) for e in examples if e["input"] and e["output"]]
    assert len(pairs) == 512
    left, right = (encoder.encode([p[side] for p in pairs]) for side in (0, 1))
    scores = left @ right.T
    assert auc(np.diag(scores), scores[~np.eye(len(pairs), dtype=bool)]) > 0.985


def test_at_most_one_percent_of_gsm8k_is_lost(problems: list[str], encoder: StaticEncoder) -> None:
    rows = encoder.encode(problems)
    scores = rows @ rows.T
    kept = np.zeros(len(rows), dtype=bool)
    for i in range(len(rows)):
        kept[i] = not (scores[i, :i][kept[:i]] > encoder.default_threshold).any()
    assert len(rows) == 7473
    assert kept.sum() == pytest.approx(7436, abs=5)
    assert kept.sum() >= 0.99 * len(rows)


def test_half_a_surrogate_pair_is_a_text_like_any_other(encoder: StaticEncoder) -> None:
    rows = encoder.encode(["add two numbers \ud83d", "add two numbers \ufffd", "add two numbers"])
    assert (rows[0] == rows[1]).all()
    assert rows[0] @ rows[2] > 0.9


def test_an_unknown_script_is_an_error_that_names_what_works(shared_data: Path) -> None:
    rows = json.loads((shared_data / "alpaca_zh_demo.json").read_text(encoding="utf-8"))
    with pytest.raises(InputError, match=r"the encoder 'static' does not know \d\d% of the tokens.*chargrams"):
        StaticEncoder().encode([r["instruction"] for r in rows])
    for text in ("Привет, как твои дела сегодня? " * 20, "你好吗" * 40):
        with pytest.raises(InputError, match="does not know"):
            StaticEncoder().encode([text])


def test_a_fifth_unknown_is_allowed_and_few_tokens_say_nothing() -> None:
    known, unknown = ["lake"] * 80, ["中"] * 20
    random.Random(0).shuffle(mixed := known + unknown)
    assert StaticEncoder().encode([" ".join(mixed)]).any()
    assert not StaticEncoder().encode(["中" * 99]).any()
    with pytest.raises(InputError, match="22%"):
        StaticEncoder().encode([" ".join([*mixed, "中", "中"])])


def test_a_folder_without_a_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a static table"):
        StaticEncoder(tmp_path)


def test_open_encoder_gives_the_shipped_table() -> None:
    encoder = open_encoder("static")
    assert (encoder.name, encoder.dim, encoder.default_threshold) == ("static", 256, 0.95)


def test_a_text_of_which_too_much_is_unknown_is_near_to_nothing() -> None:
    encoder = open_encoder("static")
    texts = [
        "Какая столица Франции?",
        "東京の人口は?",
        "اكتب قصيدة عن البحر.",
        "Translate 大海 into English.",
        "Name a river.",
    ]
    assert encoder.encode(texts).any(axis=1).tolist() == [False, False, False, False, True]
    long = "Explain in plain words to a class of children how the tide of the sea at 東京 rises and falls again."
    assert encoder.encode([long]).any()
