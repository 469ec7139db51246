"""One row among all that a run or a stage wrote: by the beginning of its id, or by its line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import InputError, RunError
from curate.finished import FinishedRun, is_run, open_run
from curate.pipeline.dataset import dropped_beside
from curate.pipeline.setup import RUNS
from curate.pipeline.show import own

Row = dict[str, Any]

LISTED = 5
"""Ids that an error names."""


@dataclass(frozen=True)
class Source:
    """Where rows lie: the files of kept and of dropped ones, and the run they belong to, if they are a run's."""

    path: Path
    kept_file: Path
    dropped_file: Path
    run: FinishedRun | None = None

    def rows(self, wanted: Callable[[str], bool]) -> Iterator[Row]:
        """Read the rows whose line, as it stands on the disk, is `wanted`: kept ones, then dropped ones."""
        for path in (self.kept_file, self.dropped_file):
            if path.is_file():
                yield from (own(_row(line, path), path) for line in _lines(path) if wanted(line))


def _row(line: str, path: Path) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: a row is damaged ({error}): {line[:60]!r}") from error
    if not isinstance(row, dict) or "id" not in row:
        raise InputError(f"{path}: this row has no id, so no run wrote it; `curate view` shows anybody's dataset")
    return row


def open_source(path: Path) -> Source:
    """Open a run's folder, or a .jsonl file of kept or of dropped samples.

    Raises:
        InputError: neither is there.
        RunError: the run has published nothing yet.
    """
    if path.is_dir():
        run = open_run(path)
        return Source(path, run.kept_file, run.dropped_file, run)
    if not (path.suffix == ".jsonl" and path.is_file()):
        there = "neither a run's folder nor a .jsonl file" if path.exists() else "there is no such file or folder"
        raise InputError(f"{path}: {there}; give what `curate explore`, `filter` or `dedup` wrote")
    kept = path
    if path.name.endswith(".dropped.jsonl"):
        kept = path.with_name(path.name.removesuffix(".dropped.jsonl") + ".jsonl")
    if is_run(path.parent) and path.name.startswith(("accepted.", "02-exam.")):
        run = open_run(path.parent)
        return Source(path, kept, dropped_beside(kept), run if run.kept_file == kept else None)
    return Source(path, kept, dropped_beside(kept))


def latest_run() -> Path:
    """Return the run below runs/ that has published last.

    Raises:
        InputError: there is none.
    """
    published = [(path.stat().st_mtime, path.parent) for path in RUNS.glob("*/latest.json")]
    if not published:
        raise InputError(f"which run? There is none in {RUNS}/ here; name its folder, or the file that holds the row")
    return max(published)[1]


def find_row(row: str, where: str | Path | None = None) -> tuple[Source, Row, list[Row]]:
    """Return where a row lies, the row, and the other rows of the same id: copies of it that were dropped.

    `row` is an id or its beginning, or PATH:N for the N-th row of a run's accepted samples or of a .jsonl file, an
    exported one too. `where` is a run's folder or a file, the run that published last unless given.

    Raises:
        InputError: no such row, or an id that several begin with.
    """
    place, colon, number = row.rpartition(":")
    # What looks like a path is one, there or not: no id of a run has a slash.
    if colon and number.isdecimal() and (Path(place).exists() or (where is None and "/" in place)):
        source = _of_export(Path(place)) or open_source(Path(place))
        ident = _at(Path(place) if Path(place).is_file() else source.kept_file, int(number))
    else:
        source = open_source(Path(where) if where is not None else latest_run())
        ident = _named(source, row)
    same = list(source.rows(lambda line: line.startswith(_head(ident) + '"')))
    if not same:
        raise InputError(f"{source.path}: no row has the id {ident!r} of line {number} any more")
    return source, same[0], same[1:]


def _of_export(path: Path) -> Source | None:
    """Return the run whose rows an exported file holds, if it lies in that run's folder."""
    folder = path.parent.parent
    return open_source(folder) if path.parent.name == "dataset" and is_run(folder) else None


def _at(path: Path, number: int) -> str:
    """Return the id of the N-th row of a file."""
    count = 0
    for count, line in enumerate(_lines(path), 1):
        if count == number:
            return str(_row(line, path)["id"])
    raise InputError(f"{path}: there is no row {number}; it has {count:,}, counted from 1")


def _named(source: Source, beginning: str) -> str:
    """Return the one id that begins so."""
    if not beginning:
        raise InputError("which row? Give its id or the beginning of it, or RUN:N for the N-th row")
    found: dict[str, None] = {}
    head = _head(beginning)
    for row in source.rows(lambda line: line.startswith(head)):
        found[row["id"]] = None
    if beginning in found:
        return beginning
    if not found:
        raise InputError(
            f"{source.path}: no row has an id that begins with {beginning!r}; `curate show {source.path}` shows ids "
            "(with --dropped those of dropped ones), and RUN:N takes the N-th row"
        )
    if len(found) > 1:
        some = ", ".join(list(found)[:LISTED]) + (", ..." if len(found) > LISTED else "")
        raise InputError(f"{source.path}: {len(found):,} ids begin with {beginning!r} ({some}); give more of it")
    return next(iter(found))


def _head(ident: str) -> str:
    """Return how the line of a row with this id begins, without the closing quote; ids are written first."""
    return '{"id": ' + json.dumps(ident, ensure_ascii=False)[:-1]


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read ({error}); restore it, or make the run again") from error
