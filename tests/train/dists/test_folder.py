"""What is written is what is read: sums of 1, small errors, few bytes, and clear words for what is no such folder."""

from __future__ import annotations

import json

import numpy as np
import pytest

from curate.errors import InputError
from curate.train.dists import Dist, Header, Record, open_dists, turn_key, write_dists
from curate.train.dists.codec import decode_ids, encode_ids

HEADER = Header("tiny", "1", "aa", "bb", k=10, vocab_size=151_936)


def rows_of(kind, rows, size, k, generator):
    """Return exact (ids, logprobs, tail) of `rows` rows over `size` tokens."""
    logits = {
        "real": lambda: generator.normal(0, 4, (rows, size)),
        "flat": lambda: generator.normal(0, 1e-3, (rows, size)),
        "peaked": lambda: np.where(np.arange(size) == 7, 60.0, generator.normal(0, 6, (rows, size))),
        "two": lambda: np.where(np.arange(size) < 2, 50.0, generator.normal(0, 3, (rows, size))),
        "steps": lambda: -np.arange(size)[None] * np.linspace(0.05, 9, rows)[:, None],
        "plateau": lambda: -np.linspace(0, 9, rows)[:, None] * (np.arange(size) > 0) - 40.0 * (np.arange(size) >= k),
    }[kind]()
    logits -= np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True)) + logits.max(1, keepdims=True)
    ids = np.argsort(-logits, 1, kind="stable")[:, :k]
    logprobs = np.take_along_axis(logits, ids, 1)
    rest = np.put_along_axis
    others = logits.copy()
    rest(others, ids, -np.inf, 1)
    with np.errstate(divide="ignore"):
        tail = np.log(np.exp(others).sum(1))
    return ids.astype(np.uint32), logprobs, tail


def dist_of(ids, logprobs, tail, text=b"abc"):
    rows = len(ids)
    return Dist(
        np.arange(rows, dtype=np.uint32), ids, logprobs.astype(np.float32), tail.astype(np.float32), 0.5,
        np.zeros(rows, np.uint8), ids[:, 0].copy(), -logprobs[:, 0].astype(np.float32), text,
    )  # fmt: skip


def divergence(logprobs, tail, other_logprobs, other_tail):
    """Return KL(exact || decoded) of each row over its k + 1 parts."""
    exact = np.concatenate([logprobs, tail[:, None]], 1)
    other = np.concatenate([other_logprobs, other_tail[:, None]], 1).astype(np.float64)
    with np.errstate(invalid="ignore"):
        terms = np.exp(exact) * (exact - other)
    return np.where(np.exp(exact) > 0, terms, 0).sum(1)


@pytest.mark.parametrize("k", [10, 50])
@pytest.mark.parametrize("kind", ["real", "flat", "peaked", "two", "steps", "plateau"])
def test_what_is_read_is_near_what_was_written(tmp_path, kind, k):
    size = 1_000
    ids, logprobs, tail = rows_of(kind, 150, size, k, np.random.default_rng(3))
    header = Header("tiny", "1", "aa", "bb", k=k, vocab_size=size)
    write_dists(tmp_path, header, [Record("00000000000000ab", 2, dist_of(ids, logprobs, tail))])
    read = open_dists(tmp_path).get("00000000000000ab", 2)
    assert read is not None
    assert np.array_equal(read.ids, ids)
    assert np.abs(np.exp(read.logprobs).sum(1) + np.exp(read.tail) - 1).max() < 1e-6
    assert divergence(logprobs, tail, read.logprobs, read.tail).max() < 5e-4


def test_a_row_of_the_whole_vocabulary_has_no_tail(tmp_path):
    logprobs = np.log(np.array([[0.5, 0.25, 0.25]]))
    dist = dist_of(np.array([[2, 0, 1]], np.uint32), logprobs, np.array([-np.inf]))
    write_dists(tmp_path, Header("tiny", "1", "aa", "bb", k=3, vocab_size=3), [Record("0" * 16, 0, dist)])
    read = open_dists(tmp_path).get("0" * 16, 0)
    assert np.isneginf(read.tail).all()
    assert np.allclose(np.exp(read.logprobs), [[0.5, 0.25, 0.25]], atol=2e-3)


def test_places_that_are_not_used_stay_so(tmp_path):
    logprobs = np.array([[np.log(0.75), -np.inf, -np.inf]])
    dist = dist_of(np.array([[5, 0, 0]], np.uint32), logprobs, np.log(np.array([0.25])))
    write_dists(tmp_path, Header("tiny", "1", "aa", "bb", k=3, vocab_size=9), [Record("0" * 16, 0, dist)])
    read = open_dists(tmp_path).get("0" * 16, 0)
    assert np.array_equal(np.isneginf(read.logprobs), [[False, True, True]])
    assert np.allclose([np.exp(read.logprobs[0, 0]), np.exp(read.tail[0])], [0.75, 0.25], atol=1e-4)


@pytest.mark.parametrize("size", [100, 65_536, 65_537, 131_072, 151_936, 262_144])
def test_ids_of_any_vocabulary(size):
    ids = np.random.default_rng(0).integers(0, size, 1_003).astype(np.uint32)
    ids[:2] = 0, size - 1
    low, high = encode_ids(ids, size)
    for part in (slice(0, 1_003), slice(0, 0), slice(7, 8), slice(13, 995), slice(1_000, 1_003)):
        assert np.array_equal(decode_ids(low, high, size, part), ids[part])


def test_every_record_is_found_by_its_key(tmp_path):
    generator = np.random.default_rng(1)
    records = []
    for number in range(40):
        ids, logprobs, tail = rows_of("real", 1 + number % 5, 400, 10, generator)
        records.append(Record(f"{number * 7919 % 11:016x}", number, dist_of(ids, logprobs, tail, b"x" * number)))
    write_dists(tmp_path, Header("tiny", "1", "aa", "bb", k=10, vocab_size=400), records, rows=16)
    dists = open_dists(tmp_path)
    assert len(dists) == 40
    assert len(dists.shards) > 5
    for record in records:
        read = dists.get(record.sample, record.turn)
        assert np.array_equal(read.ids, record.dist.ids)
        assert read.text == record.dist.text
    assert dists.get("ffffffffffffffff", 0) is None
    assert dists.get(records[3].sample, 39) is None
    assert [(one.sample, one.turn) for one in dists] == [(one.sample, one.turn) for one in records]


def test_at_most_forty_bytes_for_a_row(tmp_path):
    ids, logprobs, tail = rows_of("real", 2_000, 40, 10, np.random.default_rng(1))
    write_dists(tmp_path, HEADER, [Record("0" * 16, 0, dist_of(ids, logprobs, tail))])
    columns = open_dists(tmp_path).shards[0].columns
    assert sum(columns[name].nbytes for name in ("ids_low", "ids_high", "codes", "tails")) <= 34.5 * 2_000 + 2


def test_a_key_is_of_the_messages_alone():
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert turn_key(turns) == turn_key(tuple(turns))
    assert turn_key(turns) != turn_key(turns[:1])


def test_what_is_no_such_folder_is_said(tmp_path):
    with pytest.raises(InputError, match="it holds no distributions; curate fuse capture makes one"):
        open_dists(tmp_path)
    ids, logprobs, tail = rows_of("real", 3, 100, 10, np.random.default_rng(1))
    write_dists(tmp_path, HEADER, [Record("0" * 16, 0, dist_of(ids, logprobs, tail))])
    shard = tmp_path / "shard-00000.dists"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=r"shard-00000\.dists: the file is missing or damaged"):
        open_dists(tmp_path)
    shard.write_bytes(whole)
    index = json.loads((tmp_path / "dists.json").read_text())
    (tmp_path / "dists.json").write_text(json.dumps({**index, "model": "other"}))
    with pytest.raises(InputError, match="belongs to another folder"):
        open_dists(tmp_path)
    (tmp_path / "dists.json").unlink()
    with pytest.raises(InputError, match="unfinished distributions; the same command finishes it"):
        open_dists(tmp_path)
