from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.io import write_jsonl
from curate.train.data.mixture import held, load_datasets, shares
from curate.train.data.sources import Source
from curate.train.data.templates import find_template
from curate.train.data.tokens import Coder


@pytest.fixture
def coder(make_tokenizer: Callable[..., Any]) -> Coder:
    tokenizer = make_tokenizer()
    return Coder(tokenizer, find_template("chatml", tokenizer), 100)


def written(path: Path, questions: list[str]) -> str:
    write_jsonl(path, [{"instruction": question, "output": f"to {question}"} for question in questions])
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    return (
        written(tmp_path / "a.jsonl", [f"a{n}" for n in range(30)]),
        written(tmp_path / "b.jsonl", [f"b{n}" for n in range(10)]),
    )


def test_without_weights_an_epoch_has_all(files: tuple[str, str], coder: Coder, tmp_path: Path) -> None:
    data = load_datasets([Source(file) for file in files], coder, tmp_path / "cache")
    assert data.held_out is None
    assert [data.train[n].source for n in (0, 29, 30, 39)] == [files[0], files[0], files[1], files[1]]
    assert data.train.lengths.tolist() == [len(one.input_ids) for one in data.train]
    first, second = (data.train.epoch(n).tolist() for n in (0, 1))
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second
    assert data.train.epoch(0).tolist() == first
    assert (
        load_datasets([Source(file) for file in files], coder, tmp_path / "cache", seed=1).train.epoch(0).tolist()
        != first
    )
    with pytest.raises(IndexError):
        _ = data.train[40]


def test_weights_are_shares_of_an_epoch(files: tuple[str, str], coder: Coder, tmp_path: Path) -> None:
    data = load_datasets([Source(files[0], 1), Source(files[1], 3)], coder, tmp_path / "cache")
    assert data.train.counts == [10, 30]
    assert data.notes == [
        f"{files[0]}: 10 of the 40 documents of an epoch, which is 0.33 times through it",
        f"{files[1]}: 30 of the 40 documents of an epoch, which is 3.00 times through it",
    ]
    epochs = [data.train.epoch(n).tolist() for n in range(3)]
    for epoch in epochs:
        assert len(epoch) == 40
        counts = Counter(n for n in epoch if n >= 30)
        assert set(counts.values()) == {3} and len(counts) == 10
    # The larger dataset goes on where the epoch before left it.
    assert sorted(n for epoch in epochs for n in epoch if n < 30) == list(range(30))


@given(st.integers(0, 1000), st.lists(st.floats(0.01, 100), min_size=1, max_size=5))
def test_shares_add_up(total: int, weights: list[float]) -> None:
    counts = shares(total, weights)
    assert sum(counts) == total
    assert all(abs(count - total * weight / sum(weights)) < 1 for count, weight in zip(counts, weights, strict=True))


def test_held_out(coder: Coder, tmp_path: Path) -> None:
    questions = [f"question {n % 150}" for n in range(300)]
    files = [
        written(tmp_path / "a.jsonl", questions),
        written(tmp_path / "b.jsonl", [f"  QUESTION {n}. " for n in range(150)]),
    ]
    sources = [Source(file) for file in files]

    def texts(documents: Any) -> list[str]:
        found = [coder.tokenizer.decode(one.input_ids) for one in documents]
        return [text.split("user\n")[1].split("<|im_end|>")[0].strip(" .").lower() for text in found]

    data = load_datasets(sources, coder, tmp_path / "cache", held_out=0.2, seed=3)
    assert data.held_out is not None
    inside, outside = texts(data.train), texts(data.held_out)
    assert len(inside) + len(outside) == 450
    assert not set(inside) & set(outside)
    assert set(Counter(inside).values()) == set(Counter(outside).values()) == {3}
    assert 15 <= len(set(outside)) <= 45
    other = load_datasets(sources, coder, tmp_path / "cache", held_out=0.2, seed=4)
    assert other.held_out is not None and set(texts(other.held_out)) != set(outside)
    # Further rows move none.
    more = [Source(written(tmp_path / "a.jsonl", [f"new {n}" for n in range(50)] + questions))]
    again = load_datasets(more, coder, tmp_path / "cache", held_out=0.2, seed=3)
    assert again.held_out is not None
    assert {text for text in texts(again.held_out) if "question" in text} == set(outside)


def test_a_share_of_hashes() -> None:
    places = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64)
    small, large = held(places, 0.1, 0), held(places, 0.3, 0)
    assert abs(small.mean() - 0.1) < 0.01 and abs(large.mean() - 0.3) < 0.01
    assert not (small & ~large).any()
    # Near hashes and other seeds are as chance has it.
    assert abs(held(np.arange(20_000, dtype=np.uint64), 0.1, 0).mean() - 0.1) < 0.01
    assert abs((small & held(places, 0.1, 1)).mean() - 0.01) < 0.004
    assert not held(places, 0.0, 0).any()


def test_splits_that_leave_nothing(files: tuple[str, str], coder: Coder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a held-out share of 1e-09 has none of the 10 documents; take a larger one"):
        load_datasets([Source(files[1])], coder, tmp_path / "cache", held_out=1e-9)
    with pytest.raises(InputError, match=r"b\.jsonl: a held-out share of 0\.999999 leaves nothing to train on"):
        load_datasets([Source(files[1])], coder, tmp_path / "cache", held_out=0.999999)
