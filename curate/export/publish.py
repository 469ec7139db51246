"""Write the files of a dataset, in one pass over its samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import InputError, RunError
from curate.export.card import Card, render
from curate.export.formats import FORMATS, Row
from curate.io import atomic
from curate.io.files import to_line
from curate.types import Sample

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 1_000
"""Rows of a Parquet row group: what is held in memory at a time."""


def export(
    samples: Iterable[Sample],
    out_dir: str | Path,
    *,
    format: str = "messages",
    reasoning: bool = False,
    card: Card | None = None,
) -> Path:
    """Write `train.jsonl`, `train.parquet` (the same rows) and `README.md` to `out_dir` and return it.

    `format` is a key of FORMATS. `datasets.load_dataset(str(out_dir))` reads the rows once, and either file alone gives
    the same. The files take the place of older ones only when all is written: a sample that the format cannot hold
    (InputError, with its id) or a full disk (RunError) leaves `out_dir` as it was.
    """
    if format not in FORMATS:
        raise InputError(f"no export format is called {format!r}; known are {', '.join(FORMATS)}")
    folder = Path(out_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); name another place with --out") from error
    tasks: Counter[tuple[str, ...]] = Counter()
    # The blank's text gives the types, so that a dataset without rows has its columns all the same.
    blank = Sample("", ({"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}))
    columns = FORMATS[format](blank, reasoning)

    def rows() -> Iterator[Row]:
        for sample in samples:
            tasks[sample.task] += 1
            yield FORMATS[format](sample, reasoning)

    # Blocks end innermost first and each renames its file: the card comes last, when what it points to is there.
    with (
        atomic(folder / "README.md") as readme,
        atomic(folder / "train.jsonl") as lines,
        atomic(folder / "train.parquet", binary=True) as table,
    ):
        _write(rows(), columns, lines, table)
        readme.write(render(card or Card(folder.resolve().name), format, list(columns), tasks))
        # A full disk is to be noticed before the first of the three takes its place.
        lines.flush()
        readme.flush()
    return folder


def _write(rows: Iterable[Row], columns: Row, lines: Any, table: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, _type_of(value)) for name, value in columns.items()])
    with pq.ParquetWriter(table, schema, compression="zstd") as writer:
        batch: list[Row] = []
        for row in rows:
            lines.write(to_line(row))
            batch.append(row)
            if len(batch) == BATCH:
                writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
                batch.clear()
        if batch:
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))


def _type_of(value: Any) -> pa.DataType:
    """Return the column type of a format's value: text, names, or messages."""
    import pyarrow as pa

    if isinstance(value, str):
        return pa.string()
    fields = dict.fromkeys(key for turn in value for key in turn)
    return pa.list_(pa.struct([(key, pa.string()) for key in fields]) if fields else pa.string())
