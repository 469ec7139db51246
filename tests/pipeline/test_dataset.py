"""One stage on anybody's dataset: what is kept, what is dropped and why, and that nothing is lost."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from curate.errors import ConfigError, InputError
from curate.export import export
from curate.io import read_jsonl, read_samples, write_jsonl
from curate.pipeline.dataset import (
    count_rows,
    dedup_dataset,
    default_out,
    dropped_beside,
    filter_dataset,
)

RULES = "instruction: {min_words: 3, forbidden_words: [image]}\nresponse: {min_words: 1}\n"


def alpaca(*texts):
    return [{"instruction": text, "input": "", "output": "Well."} for text in texts]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.jsonl"
    write_jsonl(path, alpaca("Describe the image here.", "Name a river in France.", "Rest.", "Name a river in France."))
    return path


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(RULES, encoding="utf-8")
    return path


def test_filter_keeps_drops_and_counts(data, rules, tmp_path):
    told = []
    report = filter_dataset(data, rules=rules, tick=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (report.total, report.kept, report.dropped) == (4, 2, 2)
    assert report.reasons == {"rules: forbidden_word": 1, "rules: too_short": 1}
    assert report.out == tmp_path / "data.filtered.jsonl"
    kept, dropped = list(read_jsonl(report.out)), list(read_jsonl(report.dropped_file))
    assert [row["messages"][0]["content"] for row in kept] == ["Name a river in France."] * 2
    assert set(kept[0]) == {"id", "task", "messages", "meta"}
    assert [row["dropped"] for row in dropped] == [
        {"stage": "rules", "reason": "forbidden_word", "score": None, "field": "instruction", "value": "image"},
        {"stage": "rules", "reason": "too_short", "score": 1.0, "field": "instruction", "value": "1 words, at least 3"},
    ]
    again = filter_dataset(report.out, rules=rules)
    assert (again.kept, again.dropped) == (2, 0)
    assert again.out.read_bytes() == report.out.read_bytes()


def test_domain_gives_rules_and_language(tmp_path):
    path = tmp_path / "zh.json"
    path.write_text(json.dumps(alpaca("求方程的根。", "看图片。")), encoding="utf-8")
    report = filter_dataset(path, domain="math-zh")
    assert report.settings == {"domain": "math-zh", "language": "zh"}
    assert report.reasons == {"rules: forbidden_word": 1}
    assert report.out == tmp_path / "zh.filtered.jsonl"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "which rules? Give --domain"),
        ({"domain": "math", "rules": "r.yaml"}, "one of the two"),
        ({"rules": "nope.yaml"}, "nope.yaml: the rules cannot be read"),
        ({"domain": "maths"}, "did you mean 'math'?"),
        ({"domain": "math", "language": "xx"}, "the language is 'xx'; known are en"),
        ({"domain": "math", "out": "x.parquet"}, "x.parquet: samples are written as JSON lines; name a .jsonl file"),
    ],
)
def test_filter_names_what_cannot_be_used(data, arguments, said):
    with pytest.raises(InputError, match="^.*" + said.replace("?", r"\?")):
        filter_dataset(data, **arguments)


def test_rules_file_is_checked_line_by_line(data, rules):
    rules.write_text("instruction:\n  min_word: 3\nanswer: {}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        filter_dataset(data, rules=rules)
    lines = str(error.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{rules}:2: rules.instruction.min_word is not a key here; did you mean 'min_words'?")
    assert lines[1].startswith(f"{rules}:3: rules.answer is not a key here")
    rules.write_text("just words", encoding="utf-8")
    with pytest.raises(ConfigError, match="a rules file has the keys instruction, input, response"):
        filter_dataset(data, rules=rules)


def test_source_is_never_overwritten(data, rules):
    before = data.read_bytes()
    for out in (data, data.parent / "." / "data.jsonl"):
        with pytest.raises(InputError, match="the samples are read from this file"):
            filter_dataset(data, rules=rules, out=out)
    clash = data.rename(data.with_name("clean.dropped.jsonl"))
    with pytest.raises(InputError, match="the samples are read from this file"):
        filter_dataset(clash, rules=rules, out=data.with_name("clean.jsonl"))
    assert clash.read_bytes() == before


def test_stream_takes_the_kept_ones_and_nothing_lies_around(data, rules, tmp_path):
    stream = io.StringIO()
    report = filter_dataset(data, rules=rules, stream=stream)
    assert [json.loads(line)["messages"][0]["content"] for line in stream.getvalue().splitlines()] == [
        "Name a river in France."
    ] * 2
    assert (report.out, report.dropped_file, report.kept, report.dropped) == (None, None, 2, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.jsonl", "rules.yaml"]


def test_wrong_row_leaves_no_file(data, rules, tmp_path):
    with data.open("a") as file:
        file.write("{oops\n")
    with pytest.raises(InputError, match=r"data\.jsonl:5: the last line is cut off"):
        filter_dataset(data, rules=rules, out=tmp_path / "new" / "x.jsonl")
    assert list((tmp_path / "new").iterdir()) == []


def test_dedup_by_each_comparison(tmp_path):
    path = tmp_path / "data.jsonl"
    rows = alpaca(
        "Write a short poem about the sea at night.",
        "Write a short poem about the sea at night.",
        "write a  SHORT poem about the sea at night",
        "Write a short poem about the sea at dawn.",
        "At night about the sea a short poem write.",
        "List seven kinds of cheese from Italy.",
    )
    rows[1]["output"] = "Another answer."
    write_jsonl(path, [*rows, rows[0]])
    report = dedup_dataset(path, threshold=0.9)
    assert report.settings == {
        "rouge": 0.7, "embedder": "static", "threshold": 0.9, "field": "text", "language": "en",
    }  # fmt: skip
    dropped = [row["dropped"] for row in read_jsonl(report.dropped_file)]
    assert [(verdict["stage"], verdict["reason"]) for verdict in dropped] == [
        ("exact", "normalised_duplicate"),
        ("exact", "normalised_duplicate"),
        ("rouge", "rouge"),
        ("dedup", "semantic_duplicate"),
        ("exact", "exact_duplicate"),
    ]
    first = next(read_jsonl(report.out))["id"]
    assert {verdict["neighbour"] for verdict in dropped} == {first}
    assert (report.total, report.kept) == (7, 2)
    alone = dedup_dataset(path, rouge=None, embedder="none", out=tmp_path / "alone.jsonl")
    assert alone.reasons == {"exact: normalised_duplicate": 2, "exact: exact_duplicate": 1}
    again = dedup_dataset(report.out, threshold=0.9, out=tmp_path / "again.jsonl")
    assert again.dropped == 0


def test_dedup_compares_the_field_that_is_named(tmp_path):
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rouge": 0.0}, "the ROUGE-L threshold is 0; it takes a number above 0 and up to 1"),
        ({"language": "fr"}, "the language is 'fr'; known are en"),
        ({"field": "output"}, "the field is 'output'; it takes 'text'"),
        ({"embedder": "none", "threshold": 0.9}, "the embedder 'none' gives no vectors"),
        ({"threshold": 2.0}, "the threshold is 2: give a number between 0 and 1"),
    ],
)
def test_dedup_names_what_cannot_be_used(data, arguments, said):
    with pytest.raises(InputError, match=said):
        dedup_dataset(data, **arguments)


def test_names_of_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "v1.5").mkdir(parents=True)
    assert default_out("data.jsonl.gz", "filter") == Path("data.filtered.jsonl")
    assert default_out("someone/alpaca", "dedup") == Path("alpaca.deduped.jsonl")
    assert default_out("runs/v1.5", "dedup") == Path("runs/v1.5.deduped.jsonl")
    assert dropped_beside(Path("a/clean.jsonl")) == Path("a/clean.dropped.jsonl")


def test_rows_are_counted_where_that_is_quick(data, tmp_path):
    export(read_samples(data), tmp_path / "x")
    assert count_rows(str(data)) == 4
    assert count_rows(str(tmp_path / "x")) == 4
    assert count_rows(str(tmp_path / "x" / "train.parquet")) == 4
    (tmp_path / "data.json").write_text("[]")
    assert count_rows(str(tmp_path / "data.json")) is None
    assert count_rows("someone/alpaca") is None
