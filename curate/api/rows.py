"""What the verbs return: files as a `datasets.Dataset`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from curate.pipeline.dataset import StageReport


def kept(report: StageReport) -> Dataset:
    """Return the samples that a stage kept."""
    from curate.io import read_jsonl
    from curate.pipeline.show import as_dataset

    assert report.out is not None
    columns = ["id", "task", "messages", "meta"]
    return as_dataset(read_jsonl(report.out)).select_columns(columns)


def exported(folder: Path | None) -> Dataset:
    """Return the rows of an exported folder; none where a run ended before its first row."""
    import pyarrow.parquet as pq
    from datasets import Dataset

    if folder is None:
        return Dataset.from_dict({"id": [], "task": [], "messages": []})
    # Not load_dataset: its cache would keep a second copy of every run on the disk.
    return Dataset(pq.read_table(folder / "train.parquet"))


def split_rows(folder: Path, splits: Iterable[str]) -> Dataset | DatasetDict:
    """Return the rows of an exported folder: of `train` alone, or of each split by its name where there are more."""
    import pyarrow.parquet as pq
    from datasets import Dataset, DatasetDict

    parts = {name: Dataset(pq.read_table(folder / f"{name}.parquet")) for name in splits}
    return DatasetDict(parts) if len(parts) > 1 else parts["train"]
