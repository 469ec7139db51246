from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from curate.errors import InputError, RunError
from curate.export import FORMATS, Card, export
from curate.export.card import LONGEST_TABLE, escape, render
from curate.text import content_id
from curate.types import Sample

GOLDEN_CARD = Path(__file__).parent / "golden_card.md"


def make(count: int) -> list[Sample]:
    samples = []
    for i in range(count):
        turns = ({"role": "user", "content": f"½ · {i}?\n"}, {"role": "assistant", "content": f"\\frac{{{i}}}{{2}} 是"})
        path = ("math", "algebra") if i % 3 else ()
        meta = {"generate": {"reasoning": "Halve it."}} if i % 2 else {}
        samples.append(Sample(content_id(turns), turns, path, meta))
    return samples


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


@pytest.mark.parametrize("reasoning", [False, True])
@pytest.mark.parametrize("format", FORMATS)
def test_datasets_reads_the_folder_once_and_each_file_alone(tmp_path, format, reasoning):
    import datasets

    samples = make(7)
    folder = export(samples, tmp_path / "new" / "dataset", format=format, reasoning=reasoning)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "train.jsonl", "train.parquet"]
    rows = [FORMATS[format](sample, reasoning) for sample in samples]
    assert [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()] == rows
    loaded = datasets.load_dataset(str(folder))
    assert list(loaded) == ["train"]
    parquet = datasets.load_dataset("parquet", data_files=str(folder / "train.parquet"), split="train")
    lines = datasets.load_dataset("json", data_files=str(folder / "train.jsonl"), split="train")
    assert list(loaded["train"]) == list(parquet)
    assert [without_nulls(row) for row in parquet] == [without_nulls(row) for row in lines] == rows


def without_nulls(value):
    """In Parquet all messages have one type, so that a question has a `reasoning_content` too, which is null."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def test_row_groups_are_bounded_and_nothing_is_lost_between_them(tmp_path):
    samples = make(2_500)
    export(iter(samples), tmp_path, format="alpaca")
    file = pq.ParquetFile(tmp_path / "train.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [1_000, 1_000, 500]
    assert file.read(["id"])["id"].to_pylist() == [sample.id for sample in samples]


def test_no_row_is_a_file_with_columns(tmp_path):
    # `load_dataset` itself refuses a split without rows.
    export([], tmp_path, format="sharegpt")
    assert pq.read_table(tmp_path / "train.parquet").column_names == ["id", "task", "conversations"]
    assert (tmp_path / "train.jsonl").read_bytes() == b""
    assert "\n0 rows of instructions" in (tmp_path / "README.md").read_text()


def test_the_same_samples_give_the_same_bytes(tmp_path):
    card = Card("math", models={"teacher": "m"}, seed=1)
    for name in "ab":
        export(make(20), tmp_path / name, card=card)
    for file in ("README.md", "train.jsonl", "train.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_sample_that_cannot_be_held_leaves_the_folder_as_it_was(tmp_path):
    export(make(2), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    bad = Sample("bad", ({"role": "user", "content": "x"},))
    with pytest.raises(InputError, match="sample bad: the format 'messages' needs an answer"):
        export([*make(5), bad], tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_cannot_be(tmp_path):
    with pytest.raises(InputError, match="no export format is called 'csv'; known are messages, alpaca"):
        export(make(1), tmp_path, format="csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/dataset: cannot be made \(Not a directory\)"):
        export(make(1), tmp_path / "file" / "dataset")


CARD = Card(
    domain="tenancy law | *bold*",
    language="en-GB",
    description="Disputes <script>alert(1)</script>\n# over deposits (https://evil.example, [here](javascript:x)).",
    models={"teacher": "procedural-1", "judge": "org/judge_1"},
    stages=[("generate", 1200, 1200), ("rouge", 1200, 900)],
    drops={"rouge": 250, "too_short": 50, "exact_duplicate": 50},
    settings={"rows": 900, "threshold": "auto", "width": [8, 6]},
    seed=7,
)
TASKS = {("tenancy law", "deposits `x`"): 500, ("tenancy law",): 399, (): 1}


def test_golden_card():
    text = render(CARD, "alpaca", ["id", "task", "instruction", "input", "output"], TASKS)
    if os.environ.get("WRITE_GOLDENS"):
        GOLDEN_CARD.write_text(text, encoding="utf-8")
    assert text == GOLDEN_CARD.read_text(encoding="utf-8")


def test_front_matter_is_yaml_whatever_the_domain_is_called():
    text = render(Card("a: b\n---\nlicense: mit", language="zh"), "messages", ["id"], {("x",): 5_000})
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["pretty_name"] == "a: b --- license: mit"
    assert (head["language"], head["license"], head["size_categories"]) == (["zh"], "other", ["1K<n<10K"])
    assert head["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "train.parquet"}]}]


def test_a_long_list_of_tasks_is_summed_up():
    text = render(Card("d"), "messages", ["id"], {("d", f"{i:04}"): 2 for i in range(LONGEST_TABLE + 30)})
    assert text.count("| d \\> ") == LONGEST_TABLE
    assert "and 30 more tasks with 60 rows." in text


def test_a_licence_that_was_given_stands_in_both_places():
    text = render(Card("d", licence="cc-by-4.0"), "messages", ["id"], {(): 1})
    assert "license: cc-by-4.0\n" in text
    assert text.endswith("## Licence\n\ncc-by-4.0\n")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b*c", r"a\_b\*c"),
        ("x\ny\t|z", r"x y \|z"),
        ("![i](http://a)", r"\!\[i\](http\://a)"),
        ("WWW.a.b", r"WWW\.a.b"),
        ("<b>&amp;", r"\<b\>\&amp;"),
        ("\x1b[31mred\u202e", r"\[31mred"),
        ("x" * 400, "x" * 299 + "…"),
    ],
)
def test_escape(text, escaped):
    assert escape(text) == escaped
