from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from curate.errors import InputError, RunError
from curate.export import FORMATS, Card, Splits, export
from curate.export.publish import data_files
from curate.text import content_id
from curate.types import Sample


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
    folder = tmp_path / "new" / "dataset"
    assert export(samples, folder, format=format, reasoning=reasoning).splits == {"train": 7}
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


def test_splits_have_files_of_their_own_and_share_no_instruction(tmp_path):
    import datasets

    rows = make(60)
    twice = [*rows, *(Sample(f"again-{s.id}", s.messages, s.task) for s in rows)]
    written = export(twice, tmp_path, splits=Splits({"test": 0.3, "validation": 0.2}))
    loaded = datasets.load_dataset(str(tmp_path))
    assert {name: part.num_rows for name, part in loaded.items()} == written.splits
    assert list(written.splits) == ["train", "test", "validation"] and written.rows == 120
    asked = [{row["messages"][0]["content"] for row in part} for part in loaded.values()]
    assert sum(map(len, asked)) == len(set.union(*asked)) == 60


def test_a_split_without_rows_leaves_the_folder_as_it_was(tmp_path):
    export(make(2), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match="the split 'test' gets none of 3 rows; give it a larger share, or none"):
        export(make(3), tmp_path, splits=Splits({"test": 0.0001}), files={"domain.yaml": b"x"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_files_of_splits_that_are_no_more_go_and_nothing_else_does(tmp_path):
    export(make(40), tmp_path, splits=Splits({"test": 0.5}), files={"images/tree.png": b"\x89PNG"})
    (tmp_path / "mine.parquet").write_bytes(b"mine")
    assert (tmp_path / "test.jsonl").exists() and (tmp_path / "images" / "tree.png").read_bytes() == b"\x89PNG"
    export(make(40), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md", "images", "mine.parquet", "train.jsonl", "train.parquet"
    ]  # fmt: skip


def test_a_card_that_is_not_ours_names_no_file_to_touch(tmp_path):
    (tmp_path / "README.md").write_text("---\nconfigs: [{data_files: [{split: test, path: test.parquet}]}]\n---\n")
    (tmp_path / "test.parquet").write_bytes(b"mine")
    export(make(4), tmp_path)
    assert (tmp_path / "test.parquet").read_bytes() == b"mine"
    stolen = {"tags": ["curate"], "configs": [{"data_files": [{"split": "../x", "path": "../x.parquet"}]}]}
    assert data_files(stolen) == {} == data_files("nothing") == data_files({"tags": ["curate"]})
