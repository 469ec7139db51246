"""The rows of a file from any of them on, and how many there are."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from curate.errors import InputError
from curate.io.files import numbered_lines, open_text
from curate.io.read import Placed, read_rows

LINES = (".jsonl", ".ndjson")


def _kind(path: str) -> str:
    return next((suffix for suffix in reversed(Path(path).suffixes) if suffix not in (".gz", ".zst")), "")


def count_rows(path: str) -> int | None:
    """Return the number of rows of a file of JSON lines or Parquet, which takes no parsing; None for any other.

    Raises InputError for a damaged file.
    """
    if not Path(path).is_file():
        return None
    if _kind(path) in LINES:
        with open_text(Path(path)) as file:
            assert isinstance(file, io.TextIOWrapper)
            file.reconfigure(errors="replace")  # what is no UTF-8 is told, with its line, when it is read
            try:
                return sum(1 for line in file if line.strip())
            except (EOFError, OSError) as error:
                raise InputError(f"{path}: the file is cut off or damaged ({error})") from error
    return _parquet_rows(path) if _kind(path) == ".parquet" else None


def _parquet_rows(path: str) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: not a whole Parquet file ({error})") from error


def rows_from(path: str, skip: int, split: str = "train") -> Iterator[Placed]:
    """Yield the rows of a source after the first `skip`, which JSON lines and Parquet pass over without parsing."""
    if skip and Path(path).is_file() and _kind(path) in LINES:
        return ((f"{path}:{number}", row) for number, row in numbered_lines(Path(path), skip))
    if skip and Path(path).is_file() and _kind(path) == ".parquet":
        return _parquet_from(path, skip)
    return islice(read_rows(path, split), skip, None)


def _parquet_from(path: str, skip: int) -> Iterator[Placed]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        group = number = 0
        while group < file.num_row_groups and number + file.metadata.row_group(group).num_rows <= skip:
            number += file.metadata.row_group(group).num_rows
            group += 1
        for batch in file.iter_batches(batch_size=1_000, row_groups=list(range(group, file.num_row_groups))):
            for row in batch.to_pylist():
                number += 1
                if number > skip:
                    yield f"{path}: row {number}", row
