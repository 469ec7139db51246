"""`curate dedup` from file to file: what is kept, what another threshold costs, and that nothing old is touched."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from curate.cli.dedup import dedup
from curate.embed import open_encoder
from curate.embed.heads import Heads
from curate.errors import InputError, ModelError, RunError
from curate.io import read_jsonl, read_samples, row_to_sample, write_jsonl
from curate.pipeline import dedup_find
from curate.pipeline.dataset import dropped_beside
from curate.pipeline.dedup import dedup_dataset
from curate.run import dropped_row
from curate.types import drop


def alpaca(*texts, **more):
    return [{"instruction": text, "input": "", "output": "Well.", **more} for text in texts]


POEMS = (
    "Write a short poem about the sea at night.",
    "Write a short poem about the sea at night.",
    "write a  SHORT poem about the sea at night",
    "Write a short poem about the sea at dawn.",
    "At night about the sea a short poem write.",
    "List seven kinds of cheese from Italy.",
)


@pytest.fixture
def poems(tmp_path):
    path = tmp_path / "data.jsonl"
    rows = alpaca(*POEMS)
    rows[1]["output"] = "Another answer."
    write_jsonl(path, [*rows, rows[0]])
    return path


@pytest.fixture
def problems(tmp_path, shared_data):
    """Real problems, some of them twice but for a word, in an order mixed by a seed."""
    rows = [json.loads(line) for line in (shared_data / "gsm8k" / "test.jsonl").read_text().splitlines()[:300]]
    rows += [row | {"question": row["question"].replace("the", "this", 1)} for row in rows[:60]]
    random.Random(0).shuffle(rows)
    path = tmp_path / "problems.jsonl"
    write_jsonl(path, rows)
    return path


def kept(report):
    return [row["id"] for row in read_jsonl(report.out)]


def dropped(report):
    return [row["dropped"] for row in read_jsonl(report.dropped_file)]


def no_reading(*_args, **_more):
    raise AssertionError("the rows were read again")


def test_by_each_comparison(poems, tmp_path):
    report = dedup_dataset(poems, keep="first", threshold=0.9)
    assert {name: value for name, value in report.settings.items() if value is not None} == {
        "keep": "first", "rouge": 0.7, "embedder": "static", "threshold": 0.9, "field": "text", "language": "en",
    }  # fmt: skip
    assert [(verdict["stage"], verdict["reason"]) for verdict in dropped(report)] == [
        ("exact", "normalised_duplicate"),
        ("exact", "normalised_duplicate"),
        ("rouge", "rouge"),
        ("dedup", "semantic_duplicate"),
        ("exact", "exact_duplicate"),
    ]
    assert {verdict["neighbour"] for verdict in dropped(report)} == {kept(report)[0]}
    assert (report.total, report.kept) == (7, 2)
    alone = dedup_dataset(poems, keep="first", rouge=None, embedder="none", out=tmp_path / "alone.jsonl")
    assert alone.reasons == {"exact: normalised_duplicate": 2, "exact: exact_duplicate": 1}
    again = dedup_dataset(report.out, threshold=0.9, out=tmp_path / "again.jsonl")
    assert again.dropped == 0


def test_dropped_rows_are_written_as_every_other_verb_writes_them(poems):
    report = dedup_dataset(poems, keep="first", threshold=0.9)
    for line in report.dropped_file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        verdict = row.pop("dropped")
        sample = row_to_sample(row)
        stage, reason, score = verdict.pop("stage"), verdict.pop("reason"), verdict.pop("score")
        assert json.dumps(dropped_row(sample, stage, drop(reason, score, **verdict)), ensure_ascii=False) == line


def test_another_threshold_reads_and_compares_nothing(problems, tmp_path, monkeypatch):
    first = dedup_dataset(problems, threshold=0.97, keep="longest", out=tmp_path / "clean.jsonl")
    assert not first.again
    monkeypatch.setattr(dedup_find, "read_samples", no_reading)
    monkeypatch.setattr(dedup_find, "open_encoder", no_reading)
    seen = {}
    for threshold in (0.7, 0.8, 0.9, 0.855, 0.97):
        report = dedup_dataset(problems, threshold=threshold, keep="longest", out=tmp_path / "clean.jsonl")
        assert report.again and report.kept == dict(report.curve)[threshold]
        assert report.kept + report.dropped == 360
        seen[threshold] = (report.out.read_bytes(), report.dropped_file.read_bytes())
    assert report.curve == first.curve and report.search == first.search
    monkeypatch.undo()
    for threshold, files in seen.items():
        fresh = dedup_dataset(problems, threshold=threshold, keep="longest", out=tmp_path / f"{threshold}.jsonl")
        assert not fresh.again
        assert (fresh.out.read_bytes(), fresh.dropped_file.read_bytes()) == files
    assert len({kept for _, kept in report.curve}) > 5


def test_who_stays_is_decided_again_as_well(problems, tmp_path, monkeypatch):
    out = tmp_path / "clean.jsonl"
    fresh = {}
    for keep in ("best", "first", "center", "facility"):
        fresh[keep] = dedup_dataset(problems, keep=keep, threshold=0.8, out=tmp_path / f"{keep}.jsonl")
    dedup_dataset(problems, threshold=0.9, out=out)
    monkeypatch.setattr(dedup_find, "read_samples", no_reading)
    for keep, report in fresh.items():
        again = dedup_dataset(problems, keep=keep, threshold=0.8, out=out)
        assert again.out.read_bytes() == report.out.read_bytes() and again.curve == report.curve
    assert len({tuple(kept(report)) for report in fresh.values()}) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"field": "instruction"}, {"rouge": 0.6}, {"rouge": None}, {"embedder": "chargrams"}, {"threshold": 0.5},
        {"embedder": "none", "threshold": None}, {"score": "page"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_compared_otherwise_is_compared_anew(tmp_path, change):
    path = tmp_path / "data.jsonl"
    write_jsonl(path, alpaca(*POEMS, page=3))
    settings = {"threshold": 0.9, "out": tmp_path / "clean.jsonl"}
    assert not dedup_dataset(path, **settings).again
    assert dedup_dataset(path, **settings).again
    assert not dedup_dataset(path, **settings | change).again


def test_pairs_of_another_encoder_are_replaced_and_that_is_said(poems, tmp_path):
    data, out = str(poems), str(tmp_path / "clean.jsonl")

    def lines(*more):
        done = CliRunner().invoke(dedup, [data, "--out", out, *more])
        assert done.exit_code == 0
        return [line.strip() for line in done.stdout.splitlines() if "in place of" in line]

    said = "in place of an earlier run's, which were of the embedder 'static'"
    assert lines() == lines("--no-rouge") == []
    assert lines("--embedder", "chargrams") == [said]
    assert lines("--embedder", "chargrams") == []
    assert lines("--embedder", "none") == [said.replace("static", "chargrams")]


def test_another_content_or_a_damaged_cache_is_compared_anew(poems, tmp_path):
    out = tmp_path / "clean.jsonl"
    dedup_dataset(poems, out=out)
    pairs = tmp_path / "clean.cache" / "pairs"
    whole = pairs.read_bytes()
    for damaged in (whole[:-1], b"", b"curate-arrays-1\nnot json\n", whole.replace(b'"version": 2', b'"version": 1')):
        pairs.write_bytes(damaged)
        assert not dedup_dataset(poems, out=out).again
        assert pairs.read_bytes() == whole
    with poems.open("a", encoding="utf-8") as file:
        file.write(json.dumps(alpaca("Name a river in France.")[0]) + "\n")
    report = dedup_dataset(poems, out=out)
    assert (report.again, report.total) == (False, 8)


def test_a_folder_is_known_by_what_rows_are_read_from(poems, tmp_path):
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "train.jsonl").write_bytes(poems.read_bytes())
    out = tmp_path / "clean.jsonl"
    assert not dedup_dataset(folder, out=out).again
    (folder / "calls.sqlite").write_text("new calls")
    assert dedup_dataset(folder, out=out).again
    write_jsonl(folder / "train.jsonl", alpaca("Name a river in France."))
    report = dedup_dataset(folder, out=out)
    assert (report.again, report.kept) == (False, 1)


def test_the_order_of_the_rows_changes_no_decision(problems, tmp_path):
    lines = problems.read_text(encoding="utf-8").splitlines(keepends=True)
    random.Random(5).shuffle(lines)
    other = tmp_path / "other.jsonl"
    other.write_text("".join(lines), encoding="utf-8")
    left, right = (dedup_dataset(path, threshold=0.8) for path in (problems, other))
    for name in ("out", "dropped_file"):
        rows = [sorted(getattr(report, name).read_text(encoding="utf-8").splitlines()) for report in (left, right)]
        assert rows[0] == rows[1]
    assert left.dropped > 50


def test_the_better_one_stays(tmp_path):
    path = tmp_path / "data.jsonl"
    ratings = [1, "4.5", None, 3]
    write_jsonl(path, [row | {"rating": rating} for row, rating in zip(alpaca(*POEMS[:4]), ratings, strict=True)])
    report = dedup_dataset(path, score="rating")
    assert [row["meta"]["source"]["rating"] for row in read_jsonl(report.out)] == ["4.5"]
    with pytest.raises(InputError, match=r"no row has a number in the column 'stars'; its columns are: .*rating"):
        dedup_dataset(path, score="stars", out=tmp_path / "x.jsonl")
    judged = tmp_path / "judged.jsonl"
    rows = [dict(row, meta={"judge": {"score": score}}) for row, score in zip(read_jsonl(report.out), [2], strict=True)]
    better = [dict(row, id="f" * 16, meta={"judge": {"score": 5}}) for row in rows]
    write_jsonl(judged, [*rows, *better])
    assert kept(dedup_dataset(judged)) == ["f" * 16]


def test_against_another_dataset(poems, tmp_path):
    other = tmp_path / "other.jsonl"
    write_jsonl(
        other, alpaca("Write a short poem about the sea at night!", "write a SHORT poem about the sea at night")
    )
    before = other.read_bytes()
    report = dedup_dataset(poems, against=other, threshold=0.9)
    assert (report.total, report.kept, report.old) == (7, 1, 2)
    assert [row["messages"][0]["content"] for row in read_jsonl(report.out)] == [POEMS[5]]
    ids = {sample.id for sample in read_samples(other)}
    assert {verdict["neighbour"] for verdict in dropped(report)} <= ids
    assert other.read_bytes() == before
    assert dedup_dataset(poems, against=other, threshold=0.8).again
    write_jsonl(other, alpaca("Name a river in France."))
    assert not dedup_dataset(poems, against=other, threshold=0.8).again
    with pytest.raises(InputError, match="give another one with --out"):
        dedup_dataset(poems, against=other, out=other)


def test_batch_by_batch_into_one_file(problems, tmp_path):
    lines = problems.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = tmp_path / "all.jsonl"
    before, total = b"", 0
    for number, part in enumerate((lines[:150], lines[150:300], lines[300:])):
        batch = tmp_path / f"batch{number}.jsonl"
        batch.write_text("".join(part), encoding="utf-8")
        report = dedup_dataset(batch, add_to=whole, threshold=0.8)
        assert whole.read_bytes().startswith(before)
        before, total = whole.read_bytes(), total + report.kept
        assert (report.out, report.total, report.again) == (whole, len(part), False)
    assert len(kept(report)) == total and total + len(dropped(report)) == 360
    assert {verdict["neighbour"] for verdict in dropped(report)} <= set(kept(report))
    texts = [row["messages"][0]["content"] for row in read_jsonl(whole)]
    vectors = open_encoder("static").encode(texts).astype(np.float64)
    assert np.triu(vectors @ vectors.T, 1).max() <= 0.8 + 1e-6
    same = dedup_dataset(tmp_path / "batch0.jsonl", add_to=whole, threshold=0.8)
    assert same.kept == 0 and whole.read_bytes() == before


def test_rows_are_added_only_to_rows_like_them(poems, tmp_path):
    other = tmp_path / "other.jsonl"
    write_jsonl(other, alpaca("Name a river in France."))
    before = other.read_bytes()
    with pytest.raises(InputError, match="one file holds one format; make it so with `curate dedup"):
        dedup_dataset(poems, add_to=other)
    with pytest.raises(InputError, match="leave out --out, or --add-to"):
        dedup_dataset(poems, add_to=tmp_path / "x.jsonl", out=tmp_path / "y.jsonl")
    with pytest.raises(InputError, match="leave out --against, or --add-to"):
        dedup_dataset(poems, add_to=tmp_path / "x.jsonl", against=other)
    with pytest.raises(InputError, match="the samples are read from this file"):
        dedup_dataset(poems, add_to=poems)
    assert other.read_bytes() == before
    unended = tmp_path / "unended.jsonl"
    unended.write_text(dedup_dataset(poems).out.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    assert dedup_dataset(other, add_to=unended).kept == 1
    assert len(list(read_jsonl(unended))) == 3


def test_a_stream_takes_the_kept_ones_and_nothing_lies_around(poems, tmp_path):
    stream = io.StringIO()
    report = dedup_dataset(poems, keep="first", threshold=0.9, stream=stream)
    texts = [json.loads(line)["messages"][0]["content"] for line in stream.getvalue().splitlines()]
    assert texts == [POEMS[0], POEMS[5]]
    assert (report.out, report.dropped_file) == (None, None)
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


def test_too_many_near_pairs_are_decided_one_by_one(problems, tmp_path, monkeypatch):
    held = dedup_dataset(problems, threshold=0.8, out=tmp_path / "held.jsonl")
    for most in (3, 20):
        monkeypatch.setattr(dedup_find, "MOST", most)
        report = dedup_dataset(problems, threshold=0.8, out=tmp_path / f"{most}.jsonl")
        assert report.search.startswith("exact, one by one") and report.curve == []
        assert report.out.read_bytes() == held.out.read_bytes()
        # Neighbours, scores and all: only the way was another.
        assert report.dropped_file.read_bytes() == held.dropped_file.read_bytes()
    with pytest.raises(InputError, match="keep 'center' needs all near pairs"):
        dedup_dataset(problems, keep="center", threshold=0.8, out=tmp_path / "x.jsonl")


def test_a_floor_that_rose_is_said_by_where_the_curve_begins(problems, tmp_path, monkeypatch):
    monkeypatch.setattr(dedup_find, "MOST", 90)
    report = dedup_dataset(problems, rouge=None, threshold=0.95, out=tmp_path / "x.jsonl")
    assert 0.7 < report.curve[0][0] < 0.95
    assert dedup_dataset(problems, rouge=None, threshold=0.95, out=tmp_path / "x.jsonl").again
    # Below it not all pairs are known, so that nothing is guessed.
    assert not dedup_dataset(problems, rouge=None, threshold=0.7, out=tmp_path / "x.jsonl").again


def test_many_texts_are_compared_within_cells_unless_all_pairs_are_asked_for(problems, tmp_path, monkeypatch):
    monkeypatch.setattr(Heads, "many", 100)
    report = dedup_dataset(problems, threshold=0.8, out=tmp_path / "x.jsonl")
    assert report.search.startswith("approximate: 48 cells, ") and "recall" in report.search
    exact = dedup_dataset(problems, threshold=0.8, exact=True, out=tmp_path / "x.jsonl")
    assert (exact.again, exact.search[:6]) == (False, "exact:")
    assert 0 <= report.kept - exact.kept <= 3


def test_the_field_that_is_named(tmp_path):
    path = tmp_path / "data.jsonl"
    task = "Translate the following sentence into French for a friend"
    inputs = ("A cat sat on the old mat in the warm kitchen.", "No war was ever just, whatever its victors wrote.")
    write_jsonl(path, [{"instruction": task, "input": text, "output": "."} for text in inputs])
    assert dedup_dataset(path, embedder="none").dropped == 0
    report = dedup_dataset(path, embedder="none", field="instruction", out=tmp_path / "x.jsonl")
    assert report.reasons == {"rouge: rouge": 1}


def test_chinese_is_compared_by_characters(tmp_path):
    path = tmp_path / "data.jsonl"
    write_jsonl(path, alpaca("请写一首关于大海的短诗。", "请写一首关于大海的长诗。", "列出七种意大利奶酪。"))
    report = dedup_dataset(path, language="zh")
    assert report.settings["embedder"] == "chargrams"
    assert report.reasons == {"rouge: rouge": 1}


def test_an_empty_file(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("")
    for settings in ({}, {"embedder": "none"}, {"rouge": None}):
        report = dedup_dataset(path, **settings)
        assert (report.total, report.kept, report.out.read_bytes()) == (0, 0, b"")


class Broken:
    name = "broken"
    default_threshold = 0.9
    dim = 2

    def encode(self, texts):
        return np.full((len(texts), 2), np.nan, dtype=np.float32)


def test_an_encoder_of_no_numbers_leaves_everything_as_it_was(poems, tmp_path, monkeypatch):
    monkeypatch.setattr(dedup_find, "open_encoder", lambda name: Broken())
    with pytest.raises(ModelError, match="the encoder gave a vector of length nan for the text '"):
        dedup_dataset(poems, embedder="minilm")
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


def test_a_full_disk_is_one_line_and_leaves_nothing(poems, tmp_path, monkeypatch):
    def full(**_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dedup_find.tempfile, "TemporaryFile", full)
    with pytest.raises(RunError, match="free space or name another --out"):
        dedup_dataset(poems)
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


def test_a_wrong_row_leaves_no_file(poems, tmp_path):
    with poems.open("a") as file:
        file.write("{oops\n")
    with pytest.raises(InputError, match=r"data\.jsonl:8: the last line is cut off"):
        dedup_dataset(poems, out=tmp_path / "new" / "x.jsonl")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rouge": 0.0}, "the ROUGE-L threshold is 0; it takes a number above 0 and up to 1"),
        ({"language": "fr"}, "the language is 'fr'; known are en"),
        ({"field": "output"}, "the field is 'output'; it takes 'text'"),
        ({"keep": "last"}, "keep is 'last'; it takes best, first, longest, center, facility"),
        ({"embedder": "none", "threshold": 0.9}, "the embedder 'none' gives no vectors"),
        ({"embedder": "none", "keep": "center"}, "keep 'center' goes by cosines"),
        ({"threshold": 2.0}, "the threshold is 2: give a number between 0 and 1"),
        ({"embedder": "statik"}, "did you mean 'static'"),
    ],
)
def test_what_cannot_be_used_is_named(poems, arguments, said):
    with pytest.raises(InputError, match=said):
        dedup_dataset(poems, **arguments)
    assert not dropped_beside(poems.with_name("data.deduped.jsonl")).exists()


def test_the_work_is_told(problems, tmp_path):
    said = []
    dedup_dataset(problems, out=Path(tmp_path) / "x.jsonl", tick=lambda *at: said.append(at), phase=said.append)
    assert [entry for entry in said if isinstance(entry, str)] == ["read", "compare", "write"]
    assert said[1] == (1, 360) and said[said.index("compare") - 1] == (360, 360)
    assert said[said.index("write") - 1] == (360, 360)
