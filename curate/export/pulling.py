"""Bring a dataset from the Hub to a folder: the card as it is, and the rows of each split as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from curate.errors import InputError, RunError
from curate.export.hub import FIXED, README, Remote, download, reading
from curate.export.publish import data_files
from curate.io import write_jsonl

PULLED = ".pulled.json"
"""Which dataset a folder holds: its name, its commit, and the files that were brought."""

Tick = Callable[[int, int | None], None]


def fetch(of: Remote, folder: Path, quiet: bool, tick: Tick) -> dict[str, int]:
    """Bring the dataset to `folder` and return the rows of each split.

    Raises:
        InputError: the folder holds something else, or a row that no line of JSON can hold.
        RunError: the folder cannot be written.
        HubError: the Hub does not give it.
    """
    before = _before(of, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); name another place with --out") from error
    # From the first file on it is known whose folder this is, so that an interrupted pull can go on.
    _note(of, folder, before)
    ours = {path: split for path, split in data_files(of.metadata).items() if path in of.files}
    files = [name for name in (README, *FIXED, *ours) if name in of.files]
    download(of, files, folder, quiet)
    tables = _ours(folder, ours) if ours else _theirs(of, quiet)
    splits: dict[str, int] = {}
    done = 0
    for name, rows in tables:
        path = folder / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        splits[name] = write_jsonl(path, _counted(rows, path, tick, done))
        done += splits[name]
        files.append(f"{name}.jsonl")
    for stale in set(before) - set(files):
        (folder / stale).unlink(missing_ok=True)
    _note(of, folder, files)
    return splits


def _before(of: Remote, folder: Path) -> list[str]:
    """Return the files of an earlier pull of the same dataset into the folder; none into a new or an empty one."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return []
    try:
        known = json.loads((folder / PULLED).read_text(encoding="utf-8"))
        repo, files = str(known["repo"]), [str(name) for name in known["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{folder}: there are files that no pull brought; name another folder with --out") from None
    if repo != of.repo:
        raise InputError(f"{folder}: this folder holds {repo}; name another one for {of.repo} with --out")
    inside = folder.resolve()
    return [name for name in files if (folder / name).resolve().is_relative_to(inside)]


def _note(of: Remote, folder: Path, files: Iterable[str]) -> None:
    from curate.io import atomic

    with atomic(folder / PULLED) as out:
        json.dump({"repo": of.repo, "commit": of.commit, "files": list(files)}, out, indent=1)


def _ours(folder: Path, files: Mapping[str, str]) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """Yield the rows of each split of a dataset of ours, as `export` wrote them beside the Parquet file."""
    for path, split in files.items():
        yield split, map(_without_nulls, _parquet(folder / path))


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1_000):
                yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a whole Parquet file ({error}); pull it again") from error


def _without_nulls(value: Any) -> Any:
    """Return a row without the fields that only the column's type gives some of its messages."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _theirs(of: Remote, quiet: bool) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """Yield the rows of each split of anybody's dataset, read by `datasets`, below its configuration if it has many."""
    import datasets

    with reading(of.repo, quiet):
        names = datasets.get_dataset_config_names(of.repo, revision=of.commit)
    for config in names:
        with reading(of.repo, quiet):
            parts = datasets.load_dataset(of.repo, config, revision=of.commit, streaming=True)
        for split, rows in parts.items():
            yield f"{_word(config)}/{_word(split)}" if len(names) > 1 else _word(split), _read(of.repo, rows, quiet)


def _read(repo: str, rows: Iterable[dict[str, Any]], quiet: bool) -> Iterator[dict[str, Any]]:
    with reading(repo, quiet):
        yield from rows


def _word(name: str) -> str:
    """Return a name of the Hub's as the name of a file here."""
    from curate.text import slug

    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else slug(name)


def _counted(rows: Iterable[dict[str, Any]], path: Path, tick: Tick, done: int) -> Iterator[dict[str, Any]]:
    for place, row in enumerate(rows, 1):
        try:
            json.dumps(row, allow_nan=False)
        except (TypeError, ValueError):
            said = f"{path.name}: row {place} holds what is no text or number, such as pictures or sound"
            raise InputError(f"{said}; curate works on text") from None
        tick(done + place, None)
        yield row
