from __future__ import annotations

import gzip
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.io import write_jsonl
from curate.train.data.shards import count_rows, rows_from
from curate.train.data.sources import Source
from curate.train.data.stream import START, Position, Stream, ahead
from curate.train.data.templates import find_template
from curate.train.data.tokens import Coder, Encoded


@pytest.fixture(scope="module")
def coder(make_tokenizer: Callable[..., Any]) -> Coder:
    tokenizer = make_tokenizer()
    return Coder(tokenizer, find_template("chatml", tokenizer), 60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of JSON lines with 30 rows, and one of 10 in Parquet."""
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("shards")
    for name, start, end in (("a0", 0, 12), ("a1", 12, 17), ("a2", 17, 30)):
        rows = [{"instruction": f"a{n}", "output": "one " * (n % 7 + 1)} for n in range(start, end)]
        write_jsonl(folder / f"{name}.jsonl", rows)
    table = pyarrow.table({"instruction": [f"b{n}" for n in range(10)], "output": ["two"] * 10})
    pq.write_table(table, folder / "b.parquet", row_group_size=3)
    return folder


def name(coder: Coder, document: Encoded) -> str:
    return coder.tokenizer.decode(document.input_ids).split("user\n")[1].split("<|im_end|>")[0]


def sources(folder: Path, *weights: float) -> list[Source]:
    first, second = weights or (None, None)
    return [Source(f"{folder}/a*.jsonl", first), Source(f"{folder}/b.parquet", second)]


def test_every_row_once_in_each_epoch(coder: Coder, folder: Path) -> None:
    stream = Stream(sources(folder), coder, window=16)
    assert (stream.rows, stream.counts, stream.windows) == (40, [30, 10], 3)
    found = [name(coder, document) for _, document in stream.documents(2)]
    wanted = sorted([f"a{n}" for n in range(30)] + [f"b{n}" for n in range(10)])
    assert sorted(found[:40]) == sorted(found[40:]) == wanted
    assert found[:40] != found[40:]
    again = [name(coder, document) for _, document in Stream(sources(folder), coder, window=16).documents(2)]
    assert again == found
    other = [name(coder, document) for _, document in Stream(sources(folder), coder, window=16, seed=1).documents(2)]
    assert other != found


def test_it_is_what_lies_on_disk(coder: Coder, folder: Path) -> None:
    from curate.train.data.cache import samples_of

    stream = Stream(sources(folder), coder, window=16)
    streamed = sorted((document.input_ids, document.labels) for _, document in stream.documents(1))
    coded = [coder.encode(list(samples_of(source)), "")[:] for source in sources(folder)]
    assert streamed == sorted((d.input_ids, d.labels) for part in coded for one in part for d in one.documents)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 50), st.integers(0, 79), st.booleans())
def test_it_goes_on_from_any_position(coder: Coder, folder: Path, window: int, stop: int, packed: bool) -> None:
    def items(start: Position = START) -> Iterator[tuple[Position, Any]]:
        stream = Stream(sources(folder, 1, 2), coder, window=window)
        return stream.packs(2, 100, start) if packed else stream.documents(2, start)

    whole = list(items())
    stop = min(stop, len(whole) - 1)
    assert list(items(whole[stop][0])) == whole[stop + 1 :]


def test_weights(coder: Coder, folder: Path) -> None:
    stream = Stream(sources(folder, 1, 3), coder, window=16)
    assert stream.counts == [10, 30]
    found = [name(coder, document) for _, document in stream.documents(3)]
    assert len(found) == 120
    counts = Counter(found)
    assert {counts[f"a{n}"] for n in range(30)} == {1}
    assert {counts[f"b{n}"] for n in range(10)} == {9}


def test_packs(coder: Coder, folder: Path) -> None:
    stream = Stream(sources(folder), coder, window=16)
    packs = [pack for _, pack in stream.packs(1, 100)]
    assert sorted(name(coder, one) for pack in packs for one in pack) == sorted(
        name(coder, one) for _, one in stream.documents(1)
    )
    assert all(sum(len(one.input_ids) for one in pack) <= 100 for pack in packs)
    assert max(map(len, packs)) > 1
    with pytest.raises(InputError, match="a pack of 50 tokens cannot hold a document of 60; raise the one or lower"):
        stream.packs(1, 50)


def test_updates_in_any_order(coder: Coder, folder: Path) -> None:
    stream = Stream(sources(folder), coder, window=16)
    assert stream.in_epoch(5) == 9  # three windows of 13 or 14 rows, three updates each
    updates = [stream.update(number, 5) for number in range(18)]
    assert {len(documents) for documents in updates} == {4, 5}
    streamed = [document for _, document in stream.documents(2)]
    assert [document for documents in updates for document in documents] == streamed
    for number in (17, 0, 9, 8):
        assert Stream(sources(folder), coder, window=16).update(number, 5) == updates[number]


def test_windows_of_which_hardly_a_row_can_be_learnt(coder: Coder, tmp_path: Path) -> None:
    rows = [{"instruction": "q", "output": "A." if n == 0 else ""} for n in range(8)]
    write_jsonl(tmp_path / "data.jsonl", rows)
    stream = Stream([Source(str(tmp_path / "data.jsonl"))], coder, window=8)
    assert len(stream.update(0, 8)) == 1
    with pytest.raises(InputError, match=r"only 1 documents come of the rows of window 1 of 1, which are to make 2"):
        stream.update(0, 4)


def test_held_out_rows_are_not_streamed(coder: Coder, folder: Path) -> None:
    stream = Stream(sources(folder), coder, window=16, held_out=0.25)
    streamed = {name(coder, document) for _, document in stream.documents(1)}
    apart = [name(coder, document) for document in stream.held_out_documents(100)]
    assert len(streamed) + len(apart) == 40 and not streamed & set(apart) and apart
    assert [name(coder, document) for document in stream.held_out_documents(1)] == [
        next(one for one in apart if one.startswith(letter)) for letter in "ab"
    ]


def test_dropped_samples_are_told_once(coder: Coder, tmp_path: Path) -> None:
    rows = [{"instruction": f"q{n}", "output": "" if n % 3 else "A."} for n in range(9)]
    write_jsonl(tmp_path / "data.jsonl", rows)
    told: list[str] = []
    source = Source(str(tmp_path / "data.jsonl"))
    stream = Stream([source], coder, window=4, on_drop=lambda one: told.append(one.sample.instruction))
    found = [name(coder, document) for _, document in stream.documents(2)]
    assert sorted(found) == sorted(["q0", "q3", "q6"] * 2)
    assert sorted(told) == [f"q{n}" for n in range(9) if n % 3]
    assert stream.dropped == {"empty_response": 12}


def test_what_cannot_be_streamed(coder: Coder, tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text("[]")
    (tmp_path / "data.jsonl").write_text("\n \n")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n' * 100)[:20])
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    for file, complaint in (
        ("data.json", "data.json: only files of JSON lines and of Parquet can be streamed; convert it first"),
        ("data.jsonl", "data.jsonl: the dataset is empty"),
        ("cut.jsonl.gz", "cut.jsonl.gz: the file is cut off or damaged"),
        ("cut.parquet", "cut.parquet: not a whole Parquet file"),
    ):
        with pytest.raises(InputError) as error:
            Stream([Source(str(tmp_path / file))], coder)
        assert complaint in str(error.value)


def test_a_wrong_row_is_named(coder: Coder, tmp_path: Path) -> None:
    lines = [json.dumps({"instruction": "Q", "output": "A"})] * 5
    (tmp_path / "data.jsonl").write_text("\n".join([*lines, "{oops", *lines]))
    with pytest.raises(InputError, match=r"data\.jsonl:6: not JSON"):
        list(Stream([Source(str(tmp_path / "data.jsonl"))], coder, window=2).documents(1))


def test_rows_from_any_place(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "gaps.jsonl").write_text('\n{"n": 0}\n\n{"n": 1}\n{"n": 2}\n')
    with gzip.open(tmp_path / "packed.jsonl.gz", "wt") as file:
        file.write('{"n": 0}\n{"n": 1}\n{"n": 2}\n')
    (tmp_path / "list.json").write_text('[{"n": 0}, {"n": 1}, {"n": 2}]')
    for file in ("gaps.jsonl", "packed.jsonl.gz", "list.json"):
        path = str(tmp_path / file)
        whole = list(rows_from(path, 0))
        assert [row["n"] for _, row in whole] == [0, 1, 2]
        assert [list(rows_from(path, skip)) for skip in range(4)] == [whole[skip:] for skip in range(4)]
    assert next(rows_from(str(tmp_path / "gaps.jsonl"), 1))[0].endswith("gaps.jsonl:4")
    whole = list(rows_from(f"{folder}/b.parquet", 0))
    assert [list(rows_from(f"{folder}/b.parquet", skip)) for skip in range(11)] == [whole[skip:] for skip in range(11)]


def test_counting_rows(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "gaps.jsonl").write_bytes(b'\n{"n": 0}\n\n{"n": "\xff"}\n{"n": 2}')
    assert count_rows(str(tmp_path / "gaps.jsonl")) == 3
    assert count_rows(f"{folder}/b.parquet") == 10
    (tmp_path / "list.json").write_text("[]")
    assert count_rows(str(tmp_path / "list.json")) is None
    assert count_rows("user/name") is None


def test_made_ahead() -> None:
    assert list(ahead(iter(range(5)))) == [0, 1, 2, 3, 4]

    def failing() -> Iterator[int]:
        yield 1
        raise InputError("no more")

    items = ahead(failing(), 3)
    assert next(items) == 1
    with pytest.raises(InputError, match="no more"):
        next(items)
    # Whoever stops reading stops the making.
    made: list[int] = []
    endless = ahead((made.append(n) or n for n in range(10**9)), 2)
    assert list(islice(endless, 3)) == [0, 1, 2]
    endless.close()  # type: ignore[attr-defined]
    assert len(made) <= 3 + 2 + 1  # read, waiting, and the one for which there was no room
    assert not [thread for thread in threading.enumerate() if thread.name == "curate-ahead"]
