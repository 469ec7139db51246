"""Cells find nearly all pairs, say how many, and never a wrong one."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from near_vectors import clustered, told

from curate.embed import cells, heads
from curate.embed.cells import cell_pairs
from curate.embed.heads import Heads, let_go
from curate.embed.pairs import MILLION, Pairs, TooManyPairs, all_pairs


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return clustered(6_000, 24, seed=2)


def search(vectors: np.ndarray, floor: float, **options: Any) -> tuple[Pairs, str]:
    return cell_pairs(vectors, floor, Heads(vectors, floor), **{"needed": None, "most": 10_000_000, **options})


def test_pairs_are_true_ones_and_the_recall_is_told(vectors: np.ndarray) -> None:
    exact = set(told(all_pairs(vectors, 0.95)))
    found, words = search(vectors, 0.95)
    pairs = told(found)
    assert len(pairs) == len(set(pairs)) and set(pairs) <= exact
    assert [(right, left) for left, right, _ in pairs] == sorted((right, left) for left, right, _ in pairs)
    recall = len(pairs) / len(exact)
    claimed = float(words.split("recall ")[1].split()[0])
    assert recall > 0.995 and abs(recall - claimed) < 0.005
    assert "from 0.95 up, measured on" in words
    assert words.startswith("approximate: 160 cells, ")
    assert words.endswith("of 3,000 texts")


def test_what_is_kept_begins_where_the_recall_is_reached(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "PROBES", (4,))
    found, words = search(vectors, 0.8, needed=0.99)
    assert 800_000 < found.floor <= 990_000
    exact = all_pairs(vectors, found.floor / MILLION)
    assert len(found) / len(exact) > 0.99
    above, kept = (float(words.split(key)[1].split()[0]) for key in ("recall ", "and "))
    assert above >= 0.995 and kept >= 0.99
    assert f"above 0.99 and {kept:.4f} from {found.floor / MILLION:g} up" in words
    # One hundredth lower the sample shows less than was wanted, or the floor would be there.
    lower = set(told(all_pairs(vectors, 0.8)))
    met = {pair for pair in told(search(vectors, 0.8)[0]) if pair[2] >= found.floor - 20_000}
    assert len(met) / sum(pair[2] >= found.floor - 20_000 for pair in lower) < 0.999


def test_with_every_cell_searched_every_pair_is_found(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    some = vectors[:900]
    monkeypatch.setattr(cells, "PROBES", (60,))
    for scanned in (cells.SCANNED, 100):
        monkeypatch.setattr(cells, "SCANNED", scanned)
        found, words = search(some, 0.8, workers=3)
        assert told(found) == told(all_pairs(some, 0.8))
        assert "recall 1.0000" in words


def test_too_few_probes_are_seen_in_the_recall(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = len(all_pairs(vectors, 0.9))
    monkeypatch.setattr(cells, "PROBES", (1,))
    found, words = search(vectors, 0.9)
    claimed = float(words.split("recall ")[1].split()[0])
    assert claimed < 0.97 and abs(len(found) / exact - claimed) < 0.03


def test_old_rows_are_not_compared_with_each_other(vectors: np.ndarray) -> None:
    found, _ = search(vectors, 0.95, since=5_000)
    whole, _ = search(vectors, 0.95)
    assert told(found) == [pair for pair in told(whole) if pair[1] >= 5_000]


def test_bounds_in_eight_bits_find_the_same(vectors: np.ndarray) -> None:
    pytest.importorskip("torch")
    from curate.embed.heads_int8 import Int8Heads

    found, words = cell_pairs(vectors, 0.95, Int8Heads(vectors, 0.95, columns=16), needed=None, most=10_000_000)
    expected, said = search(vectors, 0.95)
    assert (told(found), words) == (told(expected), said)


def test_the_floor_rises_and_what_is_needed_is_not_given_up(vectors: np.ndarray) -> None:
    found, _ = search(vectors, 0.7, most=5_000)
    assert len(found) <= 5_000 and found.floor > 0.7 * MILLION
    with pytest.raises(TooManyPairs):
        search(vectors, 0.7, needed=0.71, most=5_000)


def test_vectors_mapped_from_a_large_file_are_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = clustered(3_000, 64, seed=9)
    some.tofile(tmp_path / "rows")
    mapped = np.memmap(tmp_path / "rows", np.float32, "r", shape=some.shape)
    monkeypatch.setattr(heads, "LARGE", 1)
    assert told(search(mapped, 0.9)[0]) == told(search(some, 0.9)[0])
    assert mapped.any()
    let_go(mapped[100:])
    kept = Path("/proc/self/smaps")
    if kept.exists():
        part = kept.read_text().split(str(tmp_path / "rows"))[1]
        assert int(part.split("Rss:")[1].split()[0]) == 0


def test_the_highest_columns_of_each_row() -> None:
    inner = np.random.default_rng(3).standard_normal((50, 160)).astype(np.float32)
    for most in (1, 7, 32, 160):
        assert cells._highest(inner, most).tolist() == np.argsort(-inner, axis=1)[:, :most].tolist()


FRAGMENTS = """
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from curate.embed.heads import give_back

def resident():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

def work(_):
    np.ones(16 << 20, np.uint8)  # from here on the allocator takes large arrays from a thread's heap, too
    both = [(np.ones(1 << 20, np.uint8), np.ones(3_000, np.uint8)) for _ in range(24)]
    return [small for _, small in both]

before = resident()
with ThreadPoolExecutor(4) as pool:
    kept = list(pool.map(work, range(8)))
held = resident()
give_back()
print(held - before, resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what threads freed")
def test_memory_that_was_freed_among_small_arrays_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", FRAGMENTS], capture_output=True, text=True, check=True)
    held, left = map(int, done.stdout.split())
    assert held > 100_000 and left < 0.7 * held  # kB
