"""The ledger: a run's SQLite file of every billed call, and of verdicts that are slow to compute.

A call counts as completed once committed: write-ahead log, `synchronous=FULL`, one writer thread, commits in batches of
at most BATCH_SECONDS. Whatever kills the process, the file stays readable and holds every call that was handed out.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from curate.errors import LedgerError
from curate.models.keys import verdict_key
from curate.types import Completion, Failure

VERSION = 1
APPLICATION_ID = 0x63757261  # "cura"
BATCH_SECONDS = 0.02
COMPRESS_FROM = 400  # bytes; shorter texts rarely shrink
LOOKUP = 500  # keys in one SELECT; SQLite's oldest limit on variables is 999

SCHEMA = """
CREATE TABLE calls (
    key BLOB PRIMARY KEY, stage TEXT, role TEXT, model TEXT, text, reasoning, finish_reason TEXT,
    failure TEXT, message TEXT, input_tokens INTEGER, output_tokens INTEGER, cost REAL, latency REAL);
CREATE TABLE totals (
    stage TEXT, role TEXT, model TEXT, kind TEXT, calls INTEGER, input_tokens INTEGER, output_tokens INTEGER,
    cost REAL, unpriced INTEGER, PRIMARY KEY (stage, role, model, kind)) WITHOUT ROWID;
CREATE TABLE verdicts (key BLOB PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""
COLUMNS = "key, text, reasoning, finish_reason, failure, message, input_tokens, output_tokens, cost, latency, model"
INSERT_CALL = (
    "INSERT OR IGNORE INTO calls (key, stage, role, model, text, reasoning, finish_reason, failure, message,"
    " input_tokens, output_tokens, cost, latency) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
INSERT_VERDICT = "INSERT OR REPLACE INTO verdicts (key, value) VALUES (?,?)"
ADD_TOTAL = (
    "INSERT INTO totals VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET calls = calls + excluded.calls,"
    " input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens,"
    " cost = cost + excluded.cost, unpriced = unpriced + excluded.unpriced"
)

POSSIBLY_BILLED = "possibly_billed"
"""Kind of a total: requests that went out and brought no readable reply; their tokens are upper bounds."""


@dataclass(frozen=True, slots=True)
class Total:
    """What the ledger holds of one (stage, role, model, kind).

    `kind` is "" for usable replies, else the kind of failure or POSSIBLY_BILLED. `cost` is in US dollars and leaves out
    the `unpriced` calls, whose price is unknown.
    """

    stage: str
    role: str
    model: str
    kind: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost: float
    unpriced: int


@dataclass(frozen=True, slots=True)
class Record:
    """One billed call on its way to the disk."""

    key: bytes
    stage: str
    role: str
    completion: Completion


class Ledger:
    """A run's ledger at `path`, created where there is none; None or ":memory:" keeps it in memory.

    Thread-safe. Raises LedgerError where the file cannot be opened, is of another version, or is not a ledger. That
    only one process uses a run's ledger is the run directory's business.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None or str(path) == ":memory:" else Path(path)
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._unsaved: dict[bytes, str] = {}
        self.error: LedgerError | None = None
        try:
            self._writer = self._connect()
            self._prepare(self._writer)
            self._reader = self._connect() if self.path else self._writer
        except sqlite3.Error as error:
            raise self._explain(error) from error
        self._thread = threading.Thread(target=self._write_all, name="curate-ledger", daemon=True)
        self._thread.start()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Commit what is queued and close the file. Raises LedgerError where that could not be written."""
        if not self._thread.is_alive():
            return
        self._queue.put(None)
        self._thread.join()
        with contextlib.suppress(sqlite3.Error):  # a full disk cannot take a checkpoint; the log keeps the rows
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._reader.close()
        self._writer.close()
        if self.error is not None:
            raise self.error

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Completion]:
        """Return the stored completions of those keys that are in the ledger, marked as replayed."""
        found = {}
        for start in range(0, len(keys), LOOKUP):
            part = keys[start : start + LOOKUP]
            marks = ",".join("?" * len(part))
            for row in self._select(f"SELECT {COLUMNS} FROM calls WHERE key IN ({marks})", part):
                found[row[0]] = to_completion(row)
        return found

    def put(self, record: Record, done: Callable[[LedgerError | None], None]) -> None:
        """Queue a call; `done` is called in the writer thread, with an error or None, once it is on the disk."""
        self._queue.put((record, done))

    def account(self, total: Total) -> None:
        """Add to the totals what is no billed call of its own (POSSIBLY_BILLED)."""
        self._queue.put(total)

    def totals(self) -> list[Total]:
        """Return what all runs on this ledger have used so far, as committed."""
        return [Total(*row) for row in self._select("SELECT * FROM totals ORDER BY stage, role, model, kind", ())]

    def get_verdict(self, function: str, version: str, options: Any, text: str) -> Any | None:
        """Return the cached verdict, or None. `options` is any JSON value."""
        key = verdict_key(function, version, options, text)
        value = self._unsaved.get(key)
        if value is None:
            rows = self._select("SELECT value FROM verdicts WHERE key = ?", (key,))
            value = rows[0][0] if rows else None
        return None if value is None else json.loads(value)

    def put_verdict(self, function: str, version: str, options: Any, text: str, value: Any) -> None:
        """Cache a verdict, any JSON value but None; it is written with the next batch."""
        key = verdict_key(function, version, options, text)
        self._unsaved[key] = json.dumps(value)
        self._queue.put(key)

    def flush(self) -> None:
        """Wait until everything queued so far is on the disk. Raises LedgerError where that failed."""
        ready = threading.Event()
        self._queue.put(ready)
        ready.wait()
        if self.error is not None:
            raise self.error

    def _connect(self) -> sqlite3.Connection:
        # Python must not open transactions by itself (isolation_level=None): batches are ours.
        place = str(self.path or ":memory:")
        return sqlite3.connect(place, timeout=30, isolation_level=None, check_same_thread=False)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        empty = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not empty and application != APPLICATION_ID:
            raise LedgerError(f"{self.path}: an SQLite file that is no ledger of curate; name another run directory")
        if not empty and version != VERSION:
            age = "an older" if version < VERSION else "a newer"
            raise LedgerError(
                f"{self.path}: written by {age} curate (ledger version {version}, this one reads {VERSION}); go on with"
                " that version, or name another run directory; the file was not touched"
            )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        if empty:
            connection.executescript(
                f"BEGIN; PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION}; {SCHEMA} COMMIT;"
            )

    def _select(self, sql: str, values: Sequence[Any]) -> list[Any]:
        try:
            with self._lock:
                return self._reader.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _write_all(self) -> None:
        running = True
        while running:
            batch = [self._queue.get()]
            if self.path is not None and type(batch[0]) in (tuple, bytes):
                time.sleep(BATCH_SECONDS)  # one commit for all that comes in meanwhile
            with contextlib.suppress(Empty):
                while True:
                    batch.append(self._queue.get_nowait())
            if None in batch:
                running = False
            self._write(batch)

    def _write(self, batch: Iterable[Any]) -> None:
        calls: list[tuple[Record, Callable[[LedgerError | None], None]]] = []
        totals: list[Total] = []
        verdicts: list[bytes] = []
        events: list[threading.Event] = []
        for entry in batch:
            if type(entry) is tuple:
                calls.append(entry)
            elif type(entry) is bytes:
                verdicts.append(entry)
            elif type(entry) is Total:
                totals.append(entry)
            elif entry is not None:
                events.append(entry)
        error = None
        if calls or totals or verdicts:
            error = self._commit([record for record, _ in calls], totals, verdicts)
        for _, done in calls:
            done(error)
        for event in events:
            event.set()

    def _commit(self, records: list[Record], totals: list[Total], verdicts: list[bytes]) -> LedgerError | None:
        saved = [(key, self._unsaved[key]) for key in dict.fromkeys(verdicts) if key in self._unsaved]
        in_memory = self._lock if self.path is None else contextlib.nullcontext()
        with in_memory:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                self._writer.executemany(INSERT_CALL, [_row(record) for record in records])
                self._writer.executemany(ADD_TOTAL, _sum([*totals, *map(_total, records)]))
                self._writer.executemany(INSERT_VERDICT, saved)
                self._writer.execute("COMMIT")
            except Exception as error:  # whatever it is, the thread must live on to tell those who wait
                if self._writer.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        self._writer.execute("ROLLBACK")
                self.error = self._explain(error)
                return self.error
        for key, _ in saved:
            self._unsaved.pop(key, None)
        return None

    def _explain(self, error: Exception) -> LedgerError:
        code = getattr(error, "sqlite_errorname", "") or ""
        text = str(error)
        if code.startswith("SQLITE_FULL") or getattr(error, "errno", None) == errno.ENOSPC:
            hint = "the disk is full; make room and run the same command again, what is committed is kept"
        elif code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            hint = "the file is damaged; restore it from a copy, or move it away to pay for its calls again"
        elif code.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
            hint = "the file cannot be opened for writing; make its folder and give write permission"
        elif code.startswith("SQLITE_BUSY"):
            hint = "another process is using it; wait until that has ended"
        else:
            hint = "the ledger cannot be used; check the disk, what is committed is kept"
        return LedgerError(f"{self.path or ':memory:'}: {hint} ({text})")


def _pack(text: str) -> str | bytes:
    if len(text) < COMPRESS_FROM:
        # SQLite's TEXT must be valid UTF-8; a lone surrogate goes in as bytes.
        return text if text.isascii() or _encodable(text) else zlib.compress(text.encode("utf-8", "surrogatepass"), 1)
    raw = text.encode("utf-8", "surrogatepass")
    packed = zlib.compress(raw, 3)
    return packed if len(packed) < 0.9 * len(raw) or not _encodable(text) else text


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unpack(value: str | bytes) -> str:
    return value if isinstance(value, str) else zlib.decompress(value).decode("utf-8", "surrogatepass")


def _row(record: Record) -> tuple[Any, ...]:
    done = record.completion
    kind, message = (done.failure.kind, done.failure.message) if done.failure else ("", "")
    return (
        record.key, record.stage, record.role, done.model, _pack(done.text), _pack(done.reasoning), done.finish_reason,
        kind, message, done.input_tokens, done.output_tokens, done.cost, done.latency,
    )  # fmt: skip


def to_completion(row: tuple[Any, ...]) -> Completion:
    """Return the completion in a row of COLUMNS."""
    key, text, reasoning, finish_reason, kind, message, input_tokens, output_tokens, cost, latency, model = row
    failure = Failure(kind, message) if kind else None
    return Completion(
        key.hex(), _unpack(text), failure, finish_reason, _unpack(reasoning), input_tokens, output_tokens, cost,
        latency, model, replayed=True,
    )  # fmt: skip


def _total(record: Record) -> Total:
    done = record.completion
    kind = done.failure.kind if done.failure else ""
    return Total(
        record.stage, record.role, done.model, kind, 1, done.input_tokens, done.output_tokens, done.cost or 0.0,
        int(done.cost is None),
    )  # fmt: skip


def _sum(totals: Iterable[Total]) -> list[tuple[Any, ...]]:
    sums: dict[tuple[str, str, str, str], list[Any]] = {}
    for total in totals:
        entry = sums.setdefault((total.stage, total.role, total.model, total.kind), [0, 0, 0, 0.0, 0])
        values = (total.calls, total.input_tokens, total.output_tokens, total.cost, total.unpriced)
        for position, value in enumerate(values):
            entry[position] += value
    return [(*key, *values) for key, values in sums.items()]
