from __future__ import annotations

import gzip
import json
import queue
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.io import write_jsonl
from curate.train.data.cache import samples_of, tokenised
from curate.train.data.shards import count_rows, rows_from
from curate.train.data.sources import Source
from curate.train.data.stream import Stream
from curate.train.data.tally import Tally
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


def names(coder: Coder, folder: Path, epochs: int, *weights: float, **options: Any) -> list[str]:
    stream = Stream(sources(folder, *weights), coder, 5, epochs=epochs, window=16, **options)
    return [name(coder, document) for number in range(epochs * stream.in_epoch) for document in stream.update(number)]


def test_every_row_once_in_each_epoch(coder: Coder, folder: Path) -> None:
    stream = Stream(sources(folder), coder, 5, window=16)
    assert (stream.rows, stream.counts, stream.windows) == (40, [30, 10], 3)
    assert stream.in_epoch == 9  # three windows of 13 or 14 rows, three updates each
    found = names(coder, folder, 2)
    wanted = sorted([f"a{n}" for n in range(30)] + [f"b{n}" for n in range(10)])
    assert sorted(found[:40]) == sorted(found[40:]) == wanted
    assert found[:40] != found[40:]
    assert names(coder, folder, 2) == found
    assert names(coder, folder, 2, seed=1) != found


def test_it_is_what_lies_on_disk(coder: Coder, folder: Path) -> None:
    stream = Stream(sources(folder), coder, 40, window=40)
    streamed = sorted((document.input_ids, document.labels) for document in stream.update(0))
    coded = [coder.encode(list(samples_of(source)), "")[:] for source in sources(folder)]
    assert streamed == sorted((d.input_ids, d.labels) for part in coded for one in part for d in one.documents)


@settings(max_examples=20, deadline=None)
@given(st.integers(8, 50), st.integers(2, 7), st.integers(0, 1_000))
def test_any_update_is_had_without_those_before_it(
    coder: Coder, folder: Path, window: int, batch: int, at: int
) -> None:
    def stream() -> Stream:
        return Stream(sources(folder, 1, 2), coder, batch, epochs=2, window=window)

    whole = stream()
    updates = [whole.update(number) for number in range(2 * whole.in_epoch)]
    assert sum(map(len, updates)) == 80
    assert max(map(len, updates)) <= batch + 1
    start = at % len(updates)
    later = stream()
    assert [later.update(number) for number in range(start, len(updates))] == updates[start:]
    assert later.update(at // 2 % len(updates)) == updates[at // 2 % len(updates)]


def test_weights(coder: Coder, folder: Path) -> None:
    assert Stream(sources(folder, 1, 3), coder, 5, window=16).counts == [10, 30]
    counts = Counter(names(coder, folder, 3, 1, 3))
    assert counts.total() == 120
    assert {counts[f"a{n}"] for n in range(30)} == {1}
    assert {counts[f"b{n}"] for n in range(10)} == {9}


def test_windows_of_which_hardly_a_row_can_be_learnt(coder: Coder, tmp_path: Path) -> None:
    rows = [{"instruction": "q", "output": f"A {n}." if n < 2 else ""} for n in range(8)]
    write_jsonl(tmp_path / "data.jsonl", rows)
    source = Source(str(tmp_path / "data.jsonl"))
    assert len(Stream([source], coder, 8, window=8).update(0)) == 2
    few = Stream([source], coder, 2, window=8)
    first, again, second, last = [few.update(number)[0].input_ids for number in range(4)]
    assert first == again != second == last
    with pytest.raises(InputError, match=r"only 2 documents come of the rows of window 1 of 1, which are to make 8"):
        Stream([source], coder, 1, window=8).update(0)


def test_held_out_rows_are_not_streamed(coder: Coder, folder: Path) -> None:
    stream = Stream(sources(folder), coder, 5, window=16, held_out=0.25)
    streamed = set(names(coder, folder, 1, held_out=0.25))
    apart = [name(coder, document) for document in stream.held_out_documents(100)]
    assert len(streamed) + len(apart) == 40 and not streamed & set(apart) and apart
    assert [name(coder, document) for document in stream.held_out_documents(1)] == [
        next(one for one in apart if one.startswith(letter)) for letter in "ab"
    ]


def test_the_next_window_is_made_meanwhile(coder: Coder, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: queue.Queue[int] = queue.Queue()
    window = Stream._window

    def watched(self: Stream, number: int) -> Any:
        try:
            return window(self, number)
        finally:
            made.put(number)

    monkeypatch.setattr(Stream, "_window", watched)
    stream = Stream(sources(folder), coder, 5, window=16)
    stream.update(0)
    assert [made.get(timeout=30), made.get(timeout=30)] == [0, 1]
    for number in range(stream.in_epoch):
        stream.update(number)
    assert made.get(timeout=30) == 2 and made.empty()  # and none after the last


def test_what_became_of_the_rows_is_counted_once(coder: Coder, tmp_path: Path) -> None:
    rows = [{"instruction": f"q{n}", "output": "" if n % 3 else "A. " * (1 + 9 * n)} for n in range(9)]
    write_jsonl(tmp_path / "data.jsonl", rows)
    source, out = Source(str(tmp_path / "data.jsonl")), tmp_path / "tally"

    def stream(tally: Tally) -> Stream:
        return Stream([source], coder, 3, epochs=2, window=3, tell=tally.add)

    tally = Tally(out, coder)
    whole = stream(tally)
    for number in range(2 * whole.in_epoch):
        whole.update(number)
    on_disk = tokenised(source, coder, tmp_path / "cache").summary
    assert tally.summary == on_disk
    assert (on_disk.dropped, on_disk.cut) == ({"empty_response": 6}, 2)
    left = {path.name: path.read_bytes() for path in out.iterdir()}
    assert [json.loads(line)["reason"] for line in left["dropped.jsonl"].splitlines()] == ["empty_response"] * 6
    # A process that was killed while it wrote the second window goes on from its middle.
    lines = left["windows.jsonl"].splitlines(keepends=True)
    (out / "windows.jsonl").write_bytes(lines[0] + lines[1][:9])
    again = Tally(out, coder)
    assert len(again.windows) == 1
    later = stream(again)
    for number in (1, 0, 2, 3):
        later.update(number)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == left
    assert Tally(tmp_path / "other", coder, writes=False).summary.samples == 0
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_streamed(coder: Coder, tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text("[]")
    (tmp_path / "data.jsonl").write_text("\n \n")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n' * 100)[:20])
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    for file, complaint in (
        (
            "data.json",
            "data.json: only files of JSON lines and of Parquet can be streamed; leave --stream out, or convert it",
        ),
        ("data.jsonl", "data.jsonl: the dataset is empty"),
        ("cut.jsonl.gz", "cut.jsonl.gz: the file is cut off or damaged"),
        ("cut.parquet", "cut.parquet: not a whole Parquet file"),
    ):
        with pytest.raises(InputError) as error:
            Stream([Source(str(tmp_path / file))], coder, 1)
        assert complaint in str(error.value)


def test_a_wrong_row_is_named(coder: Coder, tmp_path: Path) -> None:
    lines = [json.dumps({"instruction": "Q", "output": "A"})] * 5
    (tmp_path / "data.jsonl").write_text("\n".join([*lines, "{oops", *lines]))
    with pytest.raises(InputError, match=r"data\.jsonl:6: not JSON"):
        Stream([Source(str(tmp_path / "data.jsonl"))], coder, 11, window=11).update(0)


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
