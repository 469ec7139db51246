"""A ledger that is only looked at: what calls said and cost, without touching the file or those who write it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from curate.errors import LedgerError
from curate.models.ledger import APPLICATION_ID, COLUMNS, LOOKUP, POSSIBLY_BILLED, VERSION, Total, to_completion
from curate.types import Completion


@dataclass(frozen=True, slots=True)
class Usage:
    """What one stage has asked of one model. `cost` is in US dollars, None where a call's price is unknown.

    `failed` of the `calls` gave no usable text. `possibly` counts requests that went out and brought no readable reply:
    they are not among the calls, but their tokens, upper bounds, are among the tokens. `seconds` is the sum of the
    latencies, so calls side by side add up to more than the clock shows.
    """

    stage: str
    role: str
    model: str
    calls: int
    failed: int
    possibly: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the ledger: its stage and role, and what came back."""

    stage: str
    role: str
    completion: Completion


def read_totals(path: Path) -> list[Total]:
    """Return what each stage has asked of each model by kind of outcome; [] without a ledger.

    Raises LedgerError where the file is no ledger of this version.
    """
    with _opened(path) as ledger:
        rows = ledger.execute("SELECT * FROM totals ORDER BY stage, role, model, kind") if ledger else ()
        return [Total(*row) for row in rows]


def read_usage(path: Path) -> list[Usage]:
    """Return what each stage has asked of each model, the most expensive in tokens first; [] without a ledger.

    Raises LedgerError where the file is no ledger of this version.
    """
    with _opened(path) as ledger:
        if ledger is None:
            return []
        seconds = {
            row[:3]: row[3]
            for row in ledger.execute("SELECT stage, role, model, sum(latency) FROM calls GROUP BY stage, role, model")
        }
        rows = ledger.execute(
            "SELECT stage, role, model, sum(iif(kind = ?1, 0, calls)), sum(iif(kind IN ('', ?1), 0, calls)),"
            " sum(iif(kind = ?1, calls, 0)), sum(input_tokens), sum(output_tokens), sum(cost), sum(unpriced)"
            " FROM totals GROUP BY stage, role, model ORDER BY sum(input_tokens + output_tokens) DESC, stage, role",
            (POSSIBLY_BILLED,),
        )
        usages = []
        for stage, role, model, calls, failed, possibly, tokens_in, tokens_out, cost, unpriced in rows:
            known = None if unpriced else cost
            spent = seconds.get((stage, role, model), 0.0)
            usages.append(Usage(stage, role, model, calls, failed, possibly, tokens_in, tokens_out, known, spent))
        return usages


def read_calls(path: Path, keys: Iterable[str]) -> dict[str, Call]:
    """Return those of the calls (keys in hex) that the ledger holds.

    Raises LedgerError where the file is no ledger of this version.
    """
    wanted = [bytes.fromhex(key) for key in keys]
    found: dict[str, Call] = {}
    with _opened(path) as ledger:
        for start in range(0, len(wanted) if ledger else 0, LOOKUP):
            part = wanted[start : start + LOOKUP]
            marks = ",".join("?" * len(part))
            assert ledger is not None
            for row in ledger.execute(f"SELECT {COLUMNS}, stage, role FROM calls WHERE key IN ({marks})", part):
                completion = to_completion(row[:-2])
                found[completion.key] = Call(row[-2], row[-1], completion)
    return found


def read_tokens(path: Path) -> dict[str, int | None]:
    """Return the tokens, in and out, of every call by its key; None for a reply that came without a count.

    Raises LedgerError where the file is no ledger of this version.
    """
    with _opened(path) as ledger:
        if ledger is None:
            return {}
        rows = ledger.execute("SELECT key, input_tokens + output_tokens, coalesce(failure, '') FROM calls")
        return {key.hex(): tokens or (0 if failure else None) for key, tokens, failure in rows}


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection | None]:
    if not path.is_file():
        yield None
        return
    # Who writes has a log beside the file, whose readers share an index with them. Without one nobody writes, and a
    # reader would make both files and leave them there; nor can anybody write where no file can be made.
    written = path.with_name(f"{path.name}-wal").exists() and os.access(path.parent, os.W_OK)
    how = "mode=ro" if written else "immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=30)) as ledger:
            ours = ledger.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
            version = ledger.execute("PRAGMA user_version").fetchone()[0]
            if not ours or version != VERSION:
                raise LedgerError(f"{path}: no ledger that this curate reads (version {version}, not {VERSION})")
            yield ledger
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: the ledger cannot be read ({error}); restore it from a copy") from error
