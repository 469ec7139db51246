"""Where rows come from: files, run directories, saved datasets and the Hub."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.io.files import numbered_lines, open_text
from curate.io.shapes import FIELDS, Row, WrongRowError, expanded, mixed, renamed, shape_of, to_sample
from curate.types import Sample

Placed = tuple[str, Row]
"""A row and where it stands, for messages: `file:line` or `file: row n`."""

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def read_samples(
    source: str | Path, *, fields: Mapping[str, str] | None = None, split: str = "train", documents: bool = False
) -> Iterator[Sample]:
    """Yield the samples of anybody's dataset, one row at a time.

    `source` is a file (.jsonl, .json, .parquet, .csv; text also packed as .gz or .zst), a run directory, a folder saved
    by `datasets`, a folder of Explore-Instruct's tree, or the name of a dataset on the Hub, of which `split` is
    streamed. The format (messages, preference, ShareGPT, prompt and completion, alpaca, seed tasks, question and
    answer) is recognised from the first row and holds for all; `fields` names the columns of any other, with the keys
    instruction, input, response, system or messages. With `documents`, rows of text are read too: each is a sample that
    has one message, the assistant's.

    Raises InputError, which names the file, the line and what was expected, at the first row that is not so.
    """
    if wrong := set(fields or ()) - set(FIELDS):
        raise InputError(f"no field is called {sorted(wrong)[0]!r}; a column can be named for {', '.join(FIELDS)}")
    yield from as_samples(read_rows(str(source), split), fields, documents)


def as_samples(
    rows: Iterable[Placed], fields: Mapping[str, str] | None = None, documents: bool = False
) -> Iterator[Sample]:
    """Yield the samples of rows of one dataset; parameters and errors are those of `read_samples`."""
    shape = ""
    for place, row in rows:
        try:
            for part in expanded(renamed(row, fields, place) if fields else row):
                shape = shape or shape_of(part, place, documents)
                yield to_sample(part, shape)
        except WrongRowError as error:
            hint = mixed(row, shape) if shape and not fields else ""
            raise InputError(f"{place}: {error} (the file's format is {shape or 'seed_tasks'}{hint})") from error


def read_rows(source: str, split: str = "train") -> Iterator[Placed]:
    """Return the rows of a source of `read_samples` as they are, whatever their columns, each with its place.

    Raises InputError where there is no such source; what is wrong in a row is told when it is met.
    """
    path = Path(source)
    if path.is_dir():
        return _folder(path, split)
    if path.is_file():
        suffix = next((s for s in reversed(path.suffixes) if s not in (".gz", ".zst")), "")
        if suffix not in READERS:
            raise InputError(f"{path}: files of the kind '{suffix}' cannot be read; known are {', '.join(READERS)}")
        return READERS[suffix](path)
    # runs/maht is a mistyped path where runs/ is a folder, and no dataset of a user called runs.
    if HUB_NAME.fullmatch(source) and path.suffix not in READERS and not ("/" in source and path.parent.is_dir()):
        return _hub(source, split)
    raise InputError(f"{source}: there is no such file or folder")


def _jsonl(path: Path) -> Iterator[Placed]:
    return ((f"{path}:{number}", row) for number, row in numbered_lines(path))


def _json(path: Path) -> Iterator[Placed]:
    """Read a JSON list of rows, an object that holds one, or JSON lines under the name .json."""
    with open_text(path) as file:
        try:
            whole = json.load(file)
        except json.JSONDecodeError as error:
            if error.msg == "Extra data":
                yield from _jsonl(path)
                return
            raise InputError(f"{path}:{error.lineno}: not JSON ({error.msg} at column {error.colno})") from error
        except RecursionError as error:
            raise InputError(f"{path}: lists or objects too deep in each other") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8 text ({error.reason}); save the file as UTF-8") from error
    rows = whole
    if isinstance(whole, dict):
        # A node of Explore-Instruct's tree keeps its rows under "examples", other exports under "data".
        rows = next((whole[key] for key in ("examples", "data", "rows") if isinstance(whole.get(key), list)), [whole])
    if not isinstance(rows, list):
        raise InputError(f"{path}: expected a list of rows, found {type(rows).__name__}")
    for number, row in enumerate(rows, 1):
        place = f"{path}: row {number}"
        if not isinstance(row, dict):
            raise InputError(f"{place}: expected an object {{...}}, found {type(row).__name__}: {str(row)[:60]!r}")
        yield place, row


def _parquet(path: Path) -> Iterator[Placed]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1_000):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: not a whole Parquet file ({error})") from error


def _csv(path: Path) -> Iterator[Placed]:
    # One long text in a cell is no error.
    csv.field_size_limit(sys.maxsize)
    with open_text(path) as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                if None in row:
                    raise InputError(f"{path}:{reader.line_num}: more cells than the header has columns")
                yield f"{path}:{reader.line_num}", dict(row)
        except csv.Error as error:
            raise InputError(f"{path}:{reader.reader.line_num}: not CSV ({error})") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8 text ({error.reason}); save the file as UTF-8") from error


READERS: dict[str, Callable[[Path], Iterator[Placed]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".parquet": _parquet,
    ".csv": _csv,
}


def _folder(path: Path, split: str) -> Iterator[Placed]:
    for rows in (path / "dataset" / f"{split}.jsonl", path / f"{split}.jsonl", path / f"{split}.parquet"):
        if rows.is_file():
            return READERS[rows.suffix](rows)
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return _saved(path, split)
    if (path / "tree_meta_info.json").is_file():
        nodes = (node for node in sorted(path.glob("*.json")) if node.name != "tree_meta_info.json")
        return chain.from_iterable(map(_json, nodes))
    raise InputError(
        f"{path}: this folder is no run directory (dataset/{split}.jsonl), no export ({split}.jsonl), "
        "nothing saved by `datasets` and no Explore-Instruct tree"
    )


def _saved(path: Path, split: str) -> Iterator[Placed]:
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a whole folder saved by `datasets` ({error})") from error
    if isinstance(loaded, datasets.DatasetDict):
        if split not in loaded:
            raise InputError(f"{path}: there is no split '{split}'; there are {', '.join(loaded)}")
        loaded = loaded[split]
    return ((f"{path}: row {number}", row) for number, row in enumerate(loaded, 1))


def _hub(name: str, split: str) -> Iterator[Placed]:
    import datasets

    try:
        stream: Any = datasets.load_dataset(name, split=split, streaming=True)
        for number, row in enumerate(stream, 1):
            yield f"{name} ({split}): row {number}", row
    # Whatever the Hub's client raises (a dozen classes of three packages) means that the dataset cannot be had.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{name}: no file or folder of that name, and the Hub does not give such a dataset with a split '{split}': "
            f"{type(error).__name__}: {reason}; check the name, the split and the network, or give a file"
        ) from error
