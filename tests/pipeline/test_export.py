"""Exporting a run or a file, and what a push asks for before anything is done."""

import json

import pytest

from curate.errors import InputError
from curate.export import Splits
from curate.io import read_jsonl, write_jsonl
from curate.pipeline.export import export_dataset
from curate.run import RunDirectory, write_summary
from curate.tree import TaskTree
from curate.types import Sample, drop


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.jsonl"
    texts = ("Count to three.", "Name a river.", "Sing a song.", "Say good night.")
    write_jsonl(path, ({"instruction": text, "input": "", "output": "Well."} for text in texts))
    return path


@pytest.fixture
def law(tmp_path):
    """A run of one kept sample, which has reasoning, and two dropped ones."""
    folder = tmp_path / "law"
    turns = ({"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."})
    sample = Sample("0123456789abcdef", turns, ("Law",), {"generate": {"reasoning": "Because."}})
    with RunDirectory(folder) as run:
        seeds = [{"instruction": "Why?", "output": "So."}]
        domain = {"name": "law", "root": {"name": "Law"}, "seeds": seeds, "verify": {"kind": "none", "votes": 3}}
        made = {"models": {"teacher": "gpt-x"}, "encoder": None, "domain": domain, "versions": {"curate-llm": "1"}}
        run.settle({"domain": "law", "language": "en", "seed": 7}, made)
        TaskTree("Law").save(run.tree)
        with run.publish("accepted", "k") as out:
            out.keep(sample)
            out.drop(sample, "rules", drop("too_short"))
            out.drop(sample, "rules", drop("too_short"))
    summary = {"accepted": 1, "candidates": 3, "dropped": {"rules: too_short": 2}, "calls": 1}
    write_summary(folder, "accepted", "k", summary)
    return folder


def test_export_of_a_file(data, tmp_path):
    report = export_dataset(data, tmp_path / "x", format="sharegpt", licence="MIT")
    assert (report.rows, report.format, report.out, report.licence) == (4, "sharegpt", tmp_path / "x", "mit")
    assert report.files == ("train.jsonl", "train.parquet", "README.md") and report.pushed is None
    assert next(read_jsonl(tmp_path / "x" / "train.jsonl"))["conversations"][1] == {"from": "gpt", "value": "Well."}
    assert "license: mit\n" in (tmp_path / "x" / "README.md").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="no export format is called 'csv'"):
        export_dataset(data, tmp_path / "y", format="csv")


def test_export_with_splits(data, tmp_path):
    report = export_dataset(data, tmp_path / "x", splits=Splits({"test": 0.5}))
    assert report.splits == {"train": report.rows - report.splits["test"], "test": report.splits["test"]}
    assert json.loads(json.dumps(report.as_json()))["splits"] == dict(report.splits)
    assert report.files == ("train.jsonl", "train.parquet", "test.jsonl", "test.parquet", "README.md")


def test_export_of_a_run_has_its_reasoning_and_card(law, tmp_path):
    told = []
    export_dataset(law, tmp_path / "x", reasoning=True, tick=lambda *a: told.append(a))
    assert told == [(1, 1)]
    assert next(read_jsonl(tmp_path / "x" / "train.jsonl"))["messages"][1]["reasoning_content"] == "Because."
    card = (tmp_path / "x" / "README.md").read_text(encoding="utf-8")
    assert "# law\n" in card and "| teacher | gpt-x |" in card
    assert "| candidates | 3 | 3 |\n| rules | 3 | 1 |\n" in card
    assert "| seed | 7 |" in card
    next(law.glob("*.dropped.jsonl")).write_text("")
    with pytest.raises(InputError, match="what it published last is not whole; the same `curate explore` again"):
        export_dataset(law, tmp_path / "y")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "where to? Name a folder with --out, or a dataset on the Hub with --push USER/NAME"),
        ({"push": "me/x"}, "a dataset on the Hub needs a licence: add --licence apache-2.0"),
        ({"push": "me/x", "licence": "apache"}, "the Hub knows no licence 'apache'; did you mean apache-2.0"),
        ({"push": "x", "licence": "mit"}, "'x' names no owner"),
        ({"out": "x", "public": True}, "--public is for --push USER/NAME"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_done(data, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        export_dataset(data, **options)
    assert said in str(caught.value) and not (tmp_path / "x").exists()
