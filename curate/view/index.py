"""The index of a source: one SQLite file with its rows, what they are sorted and filtered by, and their words (FTS5).

It is built once and kept: in the run's folder, else in the user's cache. Nothing in it is the only copy of anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from curate.errors import InputError, RunError
from curate.finished import Row
from curate.io import read_jsonl, row_to_sample, whole, write_jsonl
from curate.view.source import Source

VERSION = 1
"""Raised when an older index no longer fits."""

KEPT = 5
"""Indexes in the user's cache; the oldest make room."""

BATCH = 2_000

DRAFT = ".tmp"

ABANDONED = 3600
"""Seconds after its last change from which on nobody builds a draft any more."""

Tick = Callable[[int, int | None], None]

Values = tuple[Any, ...]

Place = tuple[str, tuple[str, ...]]
"""A task of samples: its id where that is known, and the path of names to it."""

CJK = re.compile(
    "[\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Characters of scripts written without spaces: each is a word of its own here, so that any part of a text is found."""

SCHEMA = """
CREATE TABLE about(version INTEGER, stamp TEXT);
CREATE TABLE places(place INTEGER PRIMARY KEY, task TEXT, path TEXT);
CREATE TABLE samples(row INTEGER PRIMARY KEY, id TEXT, place INTEGER, kept INTEGER, stage TEXT, reason TEXT,
                     near REAL, neighbour TEXT, judge REAL, length INTEGER, begin INTEGER, size INTEGER);
CREATE VIRTUAL TABLE words USING fts5(text, content='', columnsize=0, tokenize='unicode61 remove_diacritics 2');
"""
"""`begin` and `size` say where a row's line lies in the file of kept or dropped rows, which is not copied."""


def spaced(text: str) -> str:
    """Return text in which a tokenizer that splits at spaces finds the words."""
    return text if text.isascii() else CJK.sub(r" \g<0> ", text)


class Index:
    """An open index: `connection` to its tables, and the rows themselves from the files that they lie in.

    The files stay open, so that a run that publishes something else meanwhile takes nothing away.
    """

    def __init__(self, connection: sqlite3.Connection, files: tuple[Path, Path]) -> None:
        self.connection = connection
        self._files = [path.open("rb") if path.is_file() else None for path in files]

    def close(self) -> None:
        """Close the index and its files."""
        self.connection.close()
        for file in self._files:
            if file is not None:
                file.close()

    def row(self, number: int) -> Row | None:
        """Return a row by its number, None where there is none.

        Raises:
            InputError: it no longer lies where it lay.
        """
        query = "SELECT id, kept, begin, size FROM samples WHERE row = ?"
        found = self.connection.execute(query, (number,)).fetchone()
        file = found and self._files[not found[1]]
        if not file:
            return None
        file.seek(found[2])
        try:
            row: Row = json.loads(file.read(found[3]))
            if row["id"] == found[0]:
                return row
        except (ValueError, LookupError, TypeError):  # somebody wrote into the file in its place
            pass
        raise InputError(f"{file.name}: it has been changed since this list was made; reload the page")


def find_index(source: Source, stamp: str) -> Index | None:
    """Return the index of `source` where one of these very files, as `Source.stamp` names them, lies there whole."""
    for path in _places(source, stamp) if stamp else ():
        if (known := _opened(path, stamp)) is not None:
            return Index(known, source.lines or _copies(path))
    return None


def build_index(source: Source, stamp: str, tick: Tick) -> Index:
    """Build the index of `source` and keep it; what `tick` raises ends it, and nothing is left.

    Raises:
        RunError: it can be written nowhere.
        InputError: a row that cannot be read, or files that are no longer those of the stamp.
    """
    problem = ""
    for path in _places(source, stamp):
        try:
            _build(source, stamp, path, tick)
        except (OSError, RunError, sqlite3.OperationalError) as error:  # a full disk, or a read-only folder
            problem = f"{path}: cannot be written ({error})"
            continue
        opened = _opened(path, stamp)
        if opened is not None:
            _make_room(path)
            return Index(opened, source.lines or _copies(path))
    raise RunError(f"{problem}; free space, or set XDG_CACHE_HOME to a folder that can be written")


def first_index(files: tuple[Path, Path], most: int) -> Index:
    """Return an index in memory of the first rows of `files`, numbered as in that of all.

    Raises:
        InputError: a row that cannot be read.
    """
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        _fill(connection, files, lambda done: None, most)
    except BaseException:
        connection.close()
        raise
    return Index(connection, files)


def _copies(path: Path) -> tuple[Path, Path]:
    """Return where the rows of somebody's dataset lie as JSON lines, beside their index."""
    return path.with_suffix(".kept.jsonl"), path.with_suffix(".dropped.jsonl")


def _places(source: Source, stamp: str) -> list[Path]:
    """Return where an index may lie, the best first."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curate" / "view"
    name = stamp or f"{os.getpid()}-{id(source):x}"
    own = [source.folder / ".view.sqlite"] if source.folder is not None else []
    return [*own, cache / f"{name}.sqlite"]


def _opened(path: Path, stamp: str) -> sqlite3.Connection | None:
    """Return a connection to the index at `path` if it is whole and of these files."""
    try:
        if not path.is_file():
            return None
    except OSError:  # a cache that may not be entered
        return None
    # Whoever builds another one renames it into place, so what is open here never changes.
    address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
    try:
        known = connection.execute("SELECT version, stamp FROM about").fetchone()
    except sqlite3.DatabaseError:
        known = None
    if known == (VERSION, stamp):
        return connection
    connection.close()
    return None


def _make_room(path: Path) -> None:
    """Delete drafts of builders that were killed, and the oldest indexes of the cache."""
    for draft in path.parent.glob(f"{path.stem}*{DRAFT}"):
        with contextlib.suppress(FileNotFoundError):  # another builder ends
            if time.time() - draft.stat().st_mtime > ABANDONED:
                draft.unlink()
    if path.name == ".view.sqlite":
        return
    known = sorted(path.parent.glob("*.sqlite"), key=lambda each: each.stat().st_mtime)
    for old in known[:-KEPT]:
        for file in (old, *_copies(old)):
            file.unlink(missing_ok=True)


def _build(source: Source, stamp: str, path: Path, tick: Tick) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if source.lines is None:
        for copy, rows in zip(_copies(path), (source.kept(), source.dropped()), strict=True):
            write_jsonl(copy, rows)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}{DRAFT}")
    connection = sqlite3.connect(draft, check_same_thread=False)
    try:
        # Nothing is lost with a draft that a crash leaves behind.
        connection.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-100000;")
        _fill(connection, source.lines or _copies(path), lambda done: tick(done, source.total))
        connection.execute("INSERT INTO about VALUES(?, ?)", (VERSION, stamp))
        connection.commit()
        connection.close()
        if source.stamp() != stamp:
            raise InputError(f"{source.path}: it has been changed while it was read; open it again")
        draft.chmod(0o600)
        draft.replace(path)
    finally:
        connection.close()
        draft.unlink(missing_ok=True)


def _name_wrong_row(files: tuple[Path, Path]) -> None:
    """Raise InputError for the first row that is none of a run's; it names the file, and line or row."""
    for path in files:
        if path.is_file():
            for row in read_jsonl(path):
                row_to_sample(row)
                if not isinstance(row.get("dropped", {}), dict):
                    raise InputError(f"{path}: the row {row['id']!r} has no cause of its drop")
                try:
                    hash(_place(row)), _figures(row), row["id"].encode()
                except (ValueError, TypeError) as error:
                    raise InputError(f"{path}: the row {row['id']!r} is no sample of a run ({error})") from error


def _fill(
    connection: sqlite3.Connection, files: tuple[Path, Path], done: Callable[[int], None], most: int | None = None
) -> None:
    """Write what is known of every row, or of the first ones, into the tables of an index."""
    connection.executescript(SCHEMA)
    places: dict[Place, int] = {}
    try:
        # SQLite cuts texts into words without holding Python up, so the next rows are read meanwhile.
        with ThreadPoolExecutor(1) as writer:
            written: Future[None] | None = None
            for samples, words in _batches(files, places, most):
                if written is not None:
                    written.result()
                written = writer.submit(_insert, connection, samples, words)
                done(samples[-1][0])
            if written is not None:
                written.result()
    except (ValueError, LookupError, TypeError, AttributeError):
        _name_wrong_row(files)
        raise
    numbered = ((number, task, json.dumps(path)) for (task, path), number in places.items())
    connection.executemany("INSERT INTO places VALUES(?,?,?)", numbered)
    connection.execute("CREATE INDEX by_id ON samples(id)")


def _insert(connection: sqlite3.Connection, samples: list[Values], words: list[Values]) -> None:
    connection.executemany("INSERT INTO samples VALUES(?,?,?,?,?,?,?,?,?,?,?,?)", samples)
    connection.executemany("INSERT INTO words(rowid, text) VALUES(?,?)", words)


def _batches(
    files: tuple[Path, Path], places: dict[Place, int], most: int | None
) -> Iterator[tuple[list[Values], list[Values]]]:
    """Yield rows of `samples` and of `words`, some thousands at a time; new places are added to `places`."""
    rows = islice(enumerate(chain(_lines(files[0], True), _lines(files[1], False)), 1), most)
    while batch := list(islice(rows, BATCH)):
        samples: list[Values] = []
        words: list[Values] = []
        for number, (line, kept, begin) in batch:
            row = _parsed(line)
            place = places.setdefault(_place(row), len(places))
            samples.append((number, row["id"], place, kept, *_figures(row), begin, len(line)))
            words.append((number, "\n".join(spaced(whole(turn["content"])) for turn in row["messages"])))
        yield samples, words


def _parsed(line: bytes) -> Row:
    """Return the row of a line, in half the time that `json` takes."""
    try:
        row: Row = from_json(line, cache_strings="keys")
    except ValueError:  # it knows no half surrogate pairs, and says less of what is wrong
        row = json.loads(line.decode())
    return row


def _lines(path: Path, kept: bool) -> Iterator[tuple[bytes, bool, int]]:
    """Yield (line, kept, where it begins) of a file of rows; none where there is no file."""
    if not path.is_file():
        return
    begin = 0
    with path.open("rb") as file:
        for line in file:
            yield line, kept, begin
            begin += len(line)


def _place(row: Row) -> Place:
    """Return where in the tree a row belongs."""
    task = row["meta"].get("generate", {})
    ident = task.get("task_id") if isinstance(task, dict) else None
    return (_text(ident) or "", tuple(row["task"]))


def _figures(row: Row) -> tuple[Any, ...]:
    """Return stage and reason of the drop, the nearest kept sample's likeness and id, the grade, and the length."""
    verdict: Row = row.get("dropped") or {}
    dedup = _noted(row, "dedup")
    near, neighbour = dedup.get("score"), dedup.get("nearest")
    if verdict.get("neighbour"):
        near, neighbour = verdict.get("score"), verdict["neighbour"]
    stage, reason = _text(verdict.get("stage")), _text(verdict.get("reason"))
    length = sum(len(turn["content"]) for turn in row["messages"])
    grade = _number(_noted(row, "judge").get("score"))
    return stage, reason, _number(near), _text(neighbour), grade, length


def _noted(row: Row, stage: str) -> Row:
    """Return what a stage noted; somebody else's row may hold anything under its name."""
    note = row["meta"].get(stage)
    return note if isinstance(note, dict) else {}


def _number(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    except OverflowError:  # JSON knows no largest integer
        return None


def _text(value: Any) -> str | None:
    return whole(value) if isinstance(value, str) else None
