"""Bounds in eight bits are never too low, and are taken where they are faster."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from near_vectors import clustered, told, unit

from curate.embed import heads_int8
from curate.embed.heads import Heads
from curate.embed.heads_int8 import Int8Heads, best_proposer
from curate.embed.pairs import all_pairs

torch = pytest.importorskip("torch")


def bounds(heads: Int8Heads) -> np.ndarray:
    """What every pair's cosine is held to be at most."""
    whole = heads._heads.numpy().astype(np.int64)
    highest: np.ndarray = (whole @ whole.T) * heads._step**2 + heads.error
    return highest


def test_the_pairs_are_those_of_float32_for_every_number_of_columns_and_tile() -> None:
    vectors = clustered(700, 48)
    expected = told(all_pairs(vectors, 0.8))
    assert len(expected) > 2_000
    for columns in (1, 8, 24, 48):
        heads = Int8Heads(vectors, 0.8, columns=columns)
        for tile in (None, (64, 100), (700, 33)):
            assert told(all_pairs(vectors, 0.8, proposer=heads, tile=tile)) == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 24), st.integers(0, 2**32 - 1), st.floats(0, 3), st.integers(1, 24))
def test_a_bound_is_never_too_low(n: int, d: int, seed: int, spread: float, columns: int) -> None:
    rng = np.random.default_rng(seed)
    # From even rows to such of which few numbers are all there is, and rows of zeros.
    vectors = unit(
        rng.standard_normal((n, d)) * np.exp(spread * rng.standard_normal((n, d))) * (rng.random((n, 1)) < 0.9)
    )
    exact = vectors.astype(np.float64) @ vectors.T
    assert (bounds(Int8Heads(vectors, 0.5, columns=columns)) >= exact).all()


def test_a_bound_is_worth_having() -> None:
    vectors = clustered(2_000, 96, seed=4)
    heads = Int8Heads(vectors, 0.7, columns=96)
    assert heads.error < 0.05
    # All columns are kept: what is left between bound and cosine is rounding, on both sides of it.
    slack = bounds(heads) - vectors.astype(np.float64) @ vectors.T
    assert slack.min() >= 0 and slack.max() < 2 * heads.error


def test_what_a_tile_is_filled_up_with_is_no_pair() -> None:
    vectors = clustered(70, 16, seed=6)
    heads = Int8Heads(vectors, 0.1, columns=4)
    # A level below zero, which the zeros of the filling reach.
    rows, columns = heads.candidates(slice(0, 5), slice(60, 70), -1.0)
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [(i, j) for i in range(5) for j in range(10)]


def test_a_part_has_the_bounds_of_its_rows() -> None:
    vectors = clustered(300, 32, seed=7)
    chosen = np.array([250, 3, 3, 17, 299])
    for heads in (Heads(vectors, 0.5, columns=8), Int8Heads(vectors, 0.5, columns=8)):
        whole = set(zip(*(side.tolist() for side in heads.candidates(slice(0, 300), slice(0, 300), 0.5)), strict=True))
        some = heads.part(chosen).candidates(slice(0, 5), slice(0, 5), 0.5)
        expected = [(i, j) for i in range(5) for j in range(5) if (chosen[i], chosen[j]) in whole]
        assert sorted(zip(*(side.tolist() for side in some), strict=True)) == expected


def test_int8_is_taken_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clustered(120, 8)
    assert best_proposer(vectors, 0.8).words.startswith("exact: float32")  # few rows
    monkeypatch.setattr(heads_int8, "MANY", 100)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for gain, chosen in ((heads_int8.GAIN, "exact: int8 on cpu"), (1.9, "exact: float32")):
        monkeypatch.setattr(heads_int8, "_gain", lambda gain=gain: gain)
        assert best_proposer(vectors, 0.8).words.startswith(chosen)


def test_without_torch_or_its_product_float32_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clustered(120, 8)
    monkeypatch.setattr(heads_int8, "MANY", 100)
    monkeypatch.setattr(heads_int8, "find_spec", lambda name: None)
    assert best_proposer(vectors, 0.8).words.startswith("exact: float32")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True)))
    monkeypatch.setattr(heads_int8, "find_spec", lambda name: object())
    assert heads_int8._device() == ""


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    assert heads_int8._gain() > 0
    all_pairs(clustered(100, 8), 0.8, workers=2)
    assert torch.get_num_threads() == before
