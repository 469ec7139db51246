"""Vectors on the disk: the encoder's own, each encoded once, whatever was killed, torn or damaged meanwhile."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.embed.chargrams import CharGramEncoder
from curate.embed.encoder import Vectors
from curate.embed.store import HEADER, KEY, VectorStore, free, run_encoder, stored
from curate.errors import ModelError, RunError

DIM = 6
TEXTS = st.lists(st.text(st.characters(), max_size=4), max_size=8)


class Hashed:
    """An encoder whose vectors are hashes; `asked` holds every text that it was given."""

    default_threshold: float | None = 0.9

    def __init__(self, name: str = "org/model", identity: str = "", dim: int = DIM) -> None:
        self.name = name
        self.identity = identity or name
        self.dim = dim
        self.asked: list[str] = []

    def encode(self, texts: list[str]) -> Vectors:
        self.asked += texts
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for i, text in enumerate(texts):
            digest = hashlib.sha256((self.identity + text).encode("utf-8", "surrogatepass")).digest()
            rows[i] = np.frombuffer(digest, dtype=np.uint8)[: self.dim]
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def files(folder: Path) -> tuple[Path, Path]:
    (keys,), (rows,) = list(folder.glob("*.keys")), list(folder.glob("*.rows"))
    return keys, rows


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@settings(max_examples=30, deadline=None)
@given(batches=st.lists(st.tuples(TEXTS, st.booleans()), max_size=6))
def test_what_it_gives_is_the_encoders_and_no_text_is_encoded_twice(batches):
    encoder, truth = Hashed(), Hashed()
    with tempfile.TemporaryDirectory() as folder:
        store = VectorStore(Path(folder), encoder)
        for texts, again in batches:
            if again:
                store = VectorStore(Path(folder), encoder)
            rows = store.encode(texts)
            assert rows.dtype == np.float32 and rows.tobytes() == truth.encode(texts).tobytes()
            assert store.known(texts).all()
        distinct = {text for texts, _ in batches for text in texts}
        assert sorted(encoder.asked) == sorted(distinct) and store.size == len(distinct)
        assert VectorStore(Path(folder), encoder).size == len(distinct)


def test_it_is_an_encoder(folder):
    store = VectorStore(folder, Hashed())
    assert bool(store) and (store.name, store.dim, store.default_threshold) == ("org/model", DIM, 0.9)
    assert store.encode([]).shape[0] == 0 and not list(folder.iterdir())
    store.encode(["a"])
    keys, rows = files(folder)
    assert keys.stat().st_size == HEADER.size + KEY.itemsize and rows.stat().st_size == 4 * DIM


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_torn_tail_is_cut_and_the_rest_stays(data):
    """Rows are on the disk before their keys: a kill leaves whole rows, then a part of either file."""
    with tempfile.TemporaryDirectory() as name:
        folder, encoder = Path(name), Hashed()
        VectorStore(folder, encoder).encode(["a", "b", "c"])
        keys, rows = files(folder)
        row_size = data.draw(st.integers(0, rows.stat().st_size))
        key_room = HEADER.size + KEY.itemsize * (row_size // (4 * DIM))
        key_size = data.draw(st.integers(0, min(keys.stat().st_size, key_room + KEY.itemsize - 1)))
        os.truncate(rows, row_size)
        os.truncate(keys, key_size)
        whole = max(0, min((key_size - HEADER.size) // KEY.itemsize, row_size // (4 * DIM)))
        again = Hashed()
        store = VectorStore(folder, again)
        assert store.size == whole and store.known(["a", "b", "c"]).tolist() == [i < whole for i in range(3)]
        assert (store.encode(["d", "c", "b", "a"]) == encoder.encode(["d", "c", "b", "a"])).all()
        assert again.asked == ["d", *["c", "b", "a"][: 3 - whole]]
        fresh = VectorStore(folder, Hashed())
        assert (fresh.encode(["d", "c", "b", "a"]) == encoder.encode(["d", "c", "b", "a"])).all()
        assert fresh.size == 4 and rows.stat().st_size == 4 * 4 * DIM


@pytest.mark.parametrize("what", ["row", "checksum", "key"])
def test_a_damaged_row_is_made_anew(folder, what):
    VectorStore(folder, Hashed()).encode(["a", "b"])
    keys, rows = files(folder)
    path, place = {"row": (rows, 5), "checksum": (keys, HEADER.size + 17), "key": (keys, HEADER.size + 3)}[what]
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    encoder = Hashed()
    store = VectorStore(folder, encoder)
    assert store.known(["a", "b"]).tolist() == [False, True]
    assert (store.encode(["a", "b"]) == Hashed().encode(["a", "b"])).all() and encoder.asked == ["a"]
    again = VectorStore(folder, encoder)
    assert again.known(["a", "b"]).all() and (again.encode(["a"]) == Hashed().encode(["a"])).all()
    assert encoder.asked == ["a"]


def test_encoders_lie_side_by_side_and_other_weights_are_another_encoder(folder):
    one, other, retrained = Hashed("a/b"), Hashed("a/c"), Hashed("a/b", "a/b trained on")
    for encoder in (one, other, retrained):
        assert (VectorStore(folder, encoder).encode(["x"]) == encoder.encode(["x"])).all()
    assert len(list(folder.glob("*.keys"))) == 3
    assert (VectorStore(folder, Hashed("a/b")).encode(["x"]) == one.encode(["x"])).all()


def test_vectors_of_another_length_are_refused(folder):
    VectorStore(folder, Hashed()).encode(["a"])
    with pytest.raises(ModelError, match=r"gives vectors of length 3, those in .*\.keys have 6: it is another model"):
        VectorStore(folder, Hashed(dim=3)).encode(["b"])
    assert VectorStore(folder, Hashed()).size == 1


def test_a_file_that_is_no_store_is_named_and_left_alone(folder):
    VectorStore(folder, Hashed()).encode(["a"])
    keys, _ = files(folder)
    keys.write_bytes(b"something else of somebody else, long enough")
    with pytest.raises(RunError, match=rf"{keys.name}: no vectors that this curate reads; move it and"):
        VectorStore(folder, Hashed())
    assert keys.read_bytes().startswith(b"something else")


def test_where_nothing_can_be_written_everything_works_and_nothing_is_kept(folder, monkeypatch):
    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied")

    encoder = Hashed()
    store = VectorStore(folder / "vectors", encoder)
    monkeypatch.setattr(Path, "mkdir", refuse)
    for _ in range(2):
        assert (store.encode(["a"]) == Hashed().encode(["a"])).all()
    assert encoder.asked == ["a", "a"] and not (folder / "vectors").exists()


def test_a_full_disk_is_one_clear_line_and_what_is_stored_stays(folder, monkeypatch):
    store = VectorStore(folder, Hashed())
    store.encode(["a"])

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match="the disk is full; make room and run the same command again"):
            store.encode(["b"])
    again = VectorStore(folder, Hashed())
    assert again.known(["a", "b"]).tolist() == [True, False]
    assert (again.encode(["b", "a"]) == Hashed().encode(["b", "a"])).all()


def test_many_threads_append_and_read_at_the_same_time(folder):
    store, truth = VectorStore(folder, Hashed()), Hashed()

    def work(seed):
        for first in range(0, 40, 4):
            texts = [f"{(seed * 7 + first + i) % 60}" for i in range(6)]
            assert (store.encode(texts) == truth.encode(texts)).all()
        return True

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))
    again = VectorStore(folder, Hashed())
    texts = [str(i) for i in range(60)]
    assert again.known(texts).all() and (again.encode(texts) == truth.encode(texts)).all()


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_store import Hashed
from curate.embed.store import VectorStore
store = VectorStore(Path(sys.argv[2]), Hashed())
number = 0
while True:
    store.encode([f"{number} {i}" for i in range(50)])
    number += 1
    print(number, flush=True)
"""


def appending(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("batches", [1, 7])
def test_killed_while_it_appends_everything_that_was_handed_out_is_there(folder, batches):
    process = appending(folder)
    done = [int(process.stdout.readline()) for _ in range(batches)][-1]
    process.kill()
    done = max([done, *map(int, process.stdout.read().split())])
    process.wait()
    process.stdout.close()
    encoder = Hashed()
    store = VectorStore(folder, encoder)
    texts = [f"{number} {i}" for number in range(done) for i in range(50)]
    assert store.known(texts).all() and len(texts) <= store.size <= len(texts) + 50
    texts += [f"{done} {i}" for i in range(50)]
    assert (store.encode(texts) == Hashed().encode(texts)).all()
    assert (VectorStore(folder, encoder).encode(texts) == Hashed().encode(texts)).all()
    assert len(encoder.asked) <= 50


def test_readers_see_whole_rows_only_while_another_process_appends(folder):
    process = appending(folder)
    try:
        process.stdout.readline()
        sizes = []
        for _ in range(10):
            for store in (VectorStore(folder, Hashed()), VectorStore(folder, Hashed())):
                texts = [f"{number} {i}" for number in range(store.size // 50) for i in range(50)]
                assert store.known(texts).all()
                assert (store.encode(texts) == Hashed().encode(texts)).all()
                sizes.append(store.size)
            process.stdout.readline()
        assert sizes == sorted(sizes) and sizes[-1] > sizes[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_encoders_that_are_as_fast_as_the_disk_are_not_stored(folder):
    encoder = CharGramEncoder()
    assert stored(folder, encoder) is encoder and run_encoder(folder, "chargrams").name == "chargrams"
    assert free(encoder, ["a", "b"]).tolist() == [True, True]
    kept = stored(folder, Hashed())
    assert isinstance(kept, VectorStore) and free(kept, ["a"]).tolist() == [True]


def test_outside_of_a_run_an_encoder_by_api_gives_what_is_stored_and_is_never_asked(folder):
    paid = VectorStore(folder / "vectors", Hashed("openai:tiny"))
    rows = paid.encode(["a", "b"])
    reader = run_encoder(folder, "openai:tiny")
    assert free(reader, ["c", "b", "a"]).tolist() == [False, True, True]
    assert (reader.encode(["b", "a"]) == rows[::-1]).all() and reader.dim == DIM
    with pytest.raises(ModelError, match=r"^1 texts have no stored vector of the encoder 'openai:tiny'"):
        reader.encode(["a", "c"])
    with pytest.raises(ModelError, match="no vectors of the encoder 'openai:other' are stored here"):
        _ = run_encoder(folder, "openai:other").dim


def test_adding_batch_by_batch_sorts_each_hash_a_few_times_only(folder):
    store = VectorStore(folder, Hashed())
    for batch in range(64):
        store.encode([f"{batch} {number}" for number in range(4)])
        lengths = [len(run.halves) for run in store._runs]
        assert sum(lengths) == store.size == 4 * (batch + 1)
        assert all(one >= 2 * other for one, other in pairwise(lengths))
    texts = [f"{batch} {number}" for batch in range(64) for number in range(4)]
    assert store.known([*texts, "64 0"]).tolist() == [True] * 256 + [False]
    assert (store.encode(texts) == Hashed().encode(texts)).all()
