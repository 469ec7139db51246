"""The set of pairs is the true one: against all dot products in float64, for every way of finding it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from near_vectors import clustered, told, unit

from curate.embed import cosine, open_encoder
from curate.embed.heads import Heads
from curate.embed.pairs import MILLION, all_pairs, check, scores
from curate.errors import ModelError
from curate.io import read_samples


def truth(vectors: np.ndarray, floor: int, since: int = 0) -> set[tuple[int, int, int]]:
    """Every pair one by one, by the function that the rest of the package decides with."""
    near = np.argwhere(np.triu(vectors.astype(np.float64) @ vectors.T, 1) > floor / MILLION - 1e-3)
    every = [(int(i), int(j), round(cosine(vectors[i], vectors[j]) * MILLION)) for i, j in near if j >= since]
    return {pair for pair in every if pair[2] >= floor}


def test_every_pair_and_no_other_is_found_whatever_the_way() -> None:
    vectors = clustered(700, 48)
    expected = sorted(truth(vectors, 800_000), key=lambda p: (p[1], p[0]))
    assert len(expected) > 2_000
    for columns in (1, 8, 24, 48):
        heads = Heads(vectors, 0.8, columns=columns)
        assert told(all_pairs(vectors, 0.8, proposer=heads, workers=1)) == expected
    for tile, workers in (((1, 1000), 3), ((700, 7), 2), ((64, 64), 1), ((333, 128), 2)):
        assert told(all_pairs(vectors, 0.8, tile=tile, workers=workers)) == expected


def test_the_pairs_of_real_texts(shared_data: Path) -> None:
    texts = [s.instruction for s in read_samples(shared_data / "gsm8k" / "test.jsonl")]
    vectors = open_encoder("static").encode(texts)
    found = all_pairs(vectors, 0.8)
    assert set(told(found)) == truth(vectors, 800_000)
    assert len(found) > 50 and found.floor == 800_000


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 40), st.integers(1, 12), st.integers(0, 2**32 - 1), st.floats(0.05, 1), st.integers(0, 40),
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 12),
)  # fmt: skip
def test_small_cases(n: int, d: int, seed: int, floor: float, since: int, high: int, wide: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit(rng.integers(-2, 3, (n, d)))  # few values: many equal rows, exact ones, and zeros
    floor, since = round(floor, 2), min(since, n)
    proposer = Heads(vectors, floor, columns=columns) if n else None
    found = all_pairs(vectors, floor, since=since, tile=(high, wide), proposer=proposer, workers=1)
    assert set(told(found)) == truth(vectors, round(floor * MILLION), since)
    assert (found.left < found.right).all()


def test_new_rows_are_compared_with_old_ones_and_each_other() -> None:
    vectors = clustered(400, 32, seed=3)
    whole, old, new = (all_pairs(vectors[:n], 0.75, since=since) for n, since in ((400, 0), (250, 0), (400, 250)))
    assert told(old) + told(new) == told(whole)
    assert len(new) > 100


def test_a_bound_is_never_too_low() -> None:
    for d, columns in ((64, 8), (192, 32), (192, 192)):
        vectors = clustered(300, d, seed=d)
        heads = Heads(vectors, 0.7, columns=columns)
        inner = (heads.heads @ heads.heads.T).astype(np.float64)
        exact = vectors.astype(np.float64) @ vectors.T
        assert (inner + heads.error >= exact).all()
        # And it is worth having: rounding is a hundred times smaller than what the columns left out leave open.
        assert heads.error < 1e-4


def test_where_there_are_too_many_pairs_the_floor_rises_to_the_lowest_that_fits() -> None:
    vectors = clustered(500, 32, seed=1)
    every = truth(vectors, 700_000)
    most = len(every) // 3
    for tile in ((32, 64), (500, 500), (64, 1)):
        found = all_pairs(vectors, 0.7, most=most, tile=tile)
        assert len(found) <= most
        assert set(told(found)) == {pair for pair in every if pair[2] >= found.floor}
        assert sum(pair[2] >= found.floor - 10_000 for pair in every) > most
    with pytest.raises(ValueError, match="pairs are known from"):
        found.above(0.7)


def test_copies_of_one_text_need_no_more_memory_than_is_given() -> None:
    vectors = unit(np.ones((3_000, 8)))
    found = all_pairs(vectors, 0.7, most=1_000)
    assert (len(found), found.floor) == (0, 1_010_000)


def test_thresholds_are_strict() -> None:
    vectors = unit([[1, 0], [1, 0], [0.8, 0.6], [0, 0]])
    found = all_pairs(vectors, 0.7)
    assert told(found) == [(0, 1, 1_000_000), (0, 2, 800_000), (1, 2, 800_000)]
    assert told(found.above(0.8)) == [(0, 1, 1_000_000)]
    assert len(found.above(1.0)) == 0
    assert len(found.above(0.799999)) == 3


def test_a_score_is_the_one_that_decides_elsewhere(shared_data: Path) -> None:
    vectors = clustered(200, 384)
    left, right = (part.ravel() for part in np.meshgrid(np.arange(200), np.arange(200)))
    given = [round(cosine(vectors[i], vectors[j]) * MILLION) for i, j in zip(left, right, strict=True)]
    assert scores(vectors, left, right).tolist() == given


def test_what_is_no_unit_vector_is_refused() -> None:
    good = clustered(10, 4)
    for value, said in ((np.nan, "length nan for text 4"), (np.inf, "length inf"), (3.0, "length 3")):
        bad = good.copy()
        bad[3] = 0
        bad[3, 1] = value
        with pytest.raises(ModelError, match=said):
            all_pairs(bad)
    with pytest.raises(ModelError, match="length 3 for the text 'the fourth of ten"):
        check(bad, ["", "", "", "the fourth of ten" + "x" * 500])
    check(good)


def test_the_work_done_is_told() -> None:
    seen: list[tuple[int, int]] = []
    all_pairs(clustered(100, 8), since=20, tile=(30, 30), tick=lambda *told: seen.append(told))
    total = 100 * 99 // 2 - 20 * 19 // 2
    assert [total for _, total in seen] == [total] * 3
    assert seen[-1] == (total, total)


def test_vectors_mapped_from_a_file(tmp_path: Path) -> None:
    vectors = clustered(300, 16)
    vectors.tofile(tmp_path / "rows")
    mapped = np.memmap(tmp_path / "rows", np.float32, "r", shape=(300, 16))
    assert told(all_pairs(mapped, 0.7)) == told(all_pairs(vectors, 0.7))
