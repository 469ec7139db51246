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
    (tmp_path / "broken.parquet").write_text("PAR1")
    assert count_rows(str(tmp_path / "broken.parquet")) is None


def test_columns_of_an_unknown_format_can_be_named(tmp_path, capsys):
    from curate.cli import main

    rows = [{"q": f"How many are {n} and {n}?", "a": str(2 * n), "messages": 3} for n in (1, 2, 2)]
    file = tmp_path / "d.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    named = ["--fields", "instruction=q, response=a", "--quiet"]
    for verb, options in (
        ("dedup", ["--embedder", "none", "--rouge", "1"]),
        ("filter", ["--domain", "brainstorming"]),
        ("decontaminate", ["--against", str(tmp_path / "bench.jsonl"), "--embedder", "none"]),
    ):
        (tmp_path / "bench.jsonl").write_text('{"question": "one two three four five six seven eight nine"}\n')
        out = tmp_path / f"{verb}.jsonl"
        with pytest.raises(SystemExit) as end:
            main([verb, str(file), *named, *options, "--out", str(out)])
        assert end.value.code == 0, capsys.readouterr().err
        kept, dropped = (list(read_jsonl(path)) for path in (out, out.with_name(f"{verb}.dropped.jsonl")))
        assert len(kept) + len(dropped) == 3
        first = (kept + dropped)[0]
        assert [turn["content"] for turn in first["messages"]] == ["How many are 1 and 1?", "2"]
        assert first["meta"]["source"] == {"original_messages": 3}
    for wrong, message in (
        ("instruction=question,response=a", "d.jsonl:1: there is no field 'question'; there are a, messages, q"),
        ("task=q", "no field is called 'task'; a column can be named for instruction, input, response"),
        ("instruction", "is no list like instruction=question,response=answer"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["dedup", str(file), "--fields", wrong])
        assert end.value.code == 2 and message in capsys.readouterr().err
    file.write_text('{"q": "How many?", "a": "2"}\n')
    with pytest.raises(SystemExit):
        main(["dedup", str(file)])
    assert "--fields instruction=COLUMN,response=COLUMN" in capsys.readouterr().err
