"""Write the files of a dataset, in one pass over its samples."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from curate.errors import InputError, RunError
from curate.export.card import MARK, Card, Written, render
from curate.export.formats import FORMATS, Row
from curate.export.splits import Splits
from curate.io import atomic
from curate.io.files import to_line
from curate.types import Sample

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 1_000
"""Rows of a Parquet row group: what is held in memory at a time."""

EXAMPLES = 3
"""Rows that the card shows, of as many branches."""

README = "README.md"


def export(
    samples: Iterable[Sample],
    out_dir: str | Path,
    *,
    format: str = "messages",
    reasoning: bool = False,
    card: Card | None = None,
    splits: Splits | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Written:
    """Write `train.jsonl`, `train.parquet` (the same rows) and `README.md` to `out_dir`, and say what was written.

    `format` is a key of FORMATS; each of `splits` has two files of its own; `files` (path in the folder and content,
    such as images/tree.png) are written too. `datasets.load_dataset(str(out_dir))` reads the rows once, and either file
    alone gives the same. The files take the place of older ones only when all is written: a sample that the format
    cannot hold, a split that gets no row (InputError) or a full disk (RunError) leaves `out_dir` as it was.
    """
    if format not in FORMATS:
        raise InputError(f"no export format is called {format!r}; known are {', '.join(FORMATS)}")
    folder = Path(out_dir)
    _make(folder)
    # The blank's text gives the types, so that a dataset without rows has its columns all the same.
    blank = Sample("", ({"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}))
    columns = FORMATS[format](blank, reasoning)
    splits = splits or Splits()
    written = Written(format, tuple(columns), dict.fromkeys(splits.names, 0))
    before = _names_of(folder)
    # Files take their names in the reverse order of their opening: the card last, when what it points to is there.
    with contextlib.ExitStack() as stack:
        readme = stack.enter_context(atomic(folder / README))
        for name, content in (files or {}).items():
            _make((folder / name).parent)
            stack.enter_context(atomic(folder / name, binary=True)).write(content)
        tables = {name: stack.enter_context(_Table(folder, name, columns)) for name in splits.names}
        for sample in samples:
            split = splits.of(sample)
            tables[split].add(FORMATS[format](sample, reasoning))
            written.splits[split] += 1
            written.tasks[sample.task] += 1
            _note(written, sample)
        _check(written)
        for shown in tables.values():
            shown.finish()
        readme.write(render(card or Card(folder.resolve().name, language=""), written))
        # A full disk is to be noticed before the first file takes its place.
        readme.flush()
    for stale in before - {f"{name}.{suffix}" for name in splits.names for suffix in ("jsonl", "parquet")}:
        (folder / stale).unlink(missing_ok=True)
    return written


class _Table:
    """The two files of a split: JSON lines and Parquet."""

    def __init__(self, folder: Path, name: str, columns: Row) -> None:
        self.folder, self.name, self.columns = folder, name, columns
        self.batch: list[Row] = []

    def __enter__(self) -> _Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with contextlib.ExitStack() as stack:
            self.lines: IO[str] = stack.enter_context(atomic(self.folder / f"{self.name}.jsonl"))
            table = stack.enter_context(atomic(self.folder / f"{self.name}.parquet", binary=True))
            self.schema = pa.schema([(name, _type_of(value)) for name, value in self.columns.items()])
            self.writer = stack.enter_context(pq.ParquetWriter(table, self.schema, compression="zstd"))
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.__exit__(*error)

    def add(self, row: Row) -> None:
        """Write a row."""
        self.lines.write(to_line(row))
        self.batch.append(row)
        if len(self.batch) == BATCH:
            self._write()

    def finish(self) -> None:
        """Write what is left, and the end of the file."""
        if self.batch:
            self._write()
        self.writer.close()
        self.lines.flush()

    def _write(self) -> None:
        import pyarrow as pa

        self.writer.write_batch(pa.RecordBatch.from_pylist(self.batch, self.schema))
        self.batch.clear()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); name another place with --out") from error


def _check(written: Written) -> None:
    """Refuse a split without rows, which `datasets` cannot load; a dataset without any is another matter."""
    for name, rows in written.splits.items():
        if not rows and written.rows:
            raise InputError(f"the split {name!r} gets none of {written.rows:,} rows; give it a larger share, or none")


def _note(written: Written, sample: Sample) -> None:
    """Keep the first row of a branch that has none yet as an example."""
    shown = sample.task and any(path[:2] == sample.task[:2] for path, _ in written.examples)
    if len(written.examples) < EXAMPLES and not shown:
        turns = tuple((turn["role"], turn["content"]) for turn in sample.messages)
        written.examples.append((sample.task, turns))


def _names_of(folder: Path) -> set[str]:
    """Return the files of rows that an older card of ours in the folder names: those of splits that are no more."""
    try:
        text = (folder / README).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return set()
    paths = data_files(front_matter_of(text))
    return {f"{path.removesuffix('.parquet')}.{suffix}" for path in paths for suffix in ("jsonl", "parquet")}


def front_matter_of(text: str) -> Any:
    """Return the metadata of a card; None where it has none that can be read."""
    import yaml

    if not text.startswith("---\n"):
        return None
    try:
        return yaml.safe_load(text[4:].partition("\n---")[0])
    except yaml.YAMLError:
        return None


def is_ours(metadata: Any) -> bool:
    """Is this the metadata of a card that this package wrote?"""
    return isinstance(metadata, dict) and isinstance(metadata.get("tags"), list) and MARK in metadata["tags"]


def data_files(metadata: Any) -> dict[str, str]:
    """Return the files of rows that a card of ours names, each with its split; none of any other card."""
    if not is_ours(metadata):
        return {}
    try:
        (config,) = metadata["configs"]
        files = {str(entry["path"]): str(entry["split"]) for entry in config["data_files"]}
    except (KeyError, TypeError, ValueError):
        return {}
    # Ours lie in the folder itself and are called after their split; whatever else a card names is not ours to touch.
    return files if all(path == f"{split}.parquet" and "/" not in path for path, split in files.items()) else {}


def _type_of(value: Any) -> pa.DataType:
    """Return the column type of a format's value: text, names, or messages."""
    import pyarrow as pa

    if isinstance(value, str):
        return pa.string()
    fields = dict.fromkeys(key for turn in value for key in turn)
    return pa.list_(pa.struct([(key, pa.string()) for key in fields]) if fields else pa.string())
