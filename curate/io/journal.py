"""Append-only journals of JSON lines, which several processes may add to: what stands in one is never written again."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from curate.errors import InputError, RunError

Check = Callable[[Any], str]
"""Returns what is wrong with a line's value, or ""."""

BLOCK = 1 << 16
"""Bytes read at a time to find the beginning of the last line."""


def read_journal(path: Path, what: str, check: Check) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the lines of a journal and warnings. No file is no lines; a last one that a crash cut off is ignored.

    `what` is what a line holds, with its article: "an edit".

    Raises:
        InputError: any other line that does not hold that; the message names file and line.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    rows: list[dict[str, Any]] = []
    lines = text.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row, problem = _parse(line, check)
        if not problem:
            rows.append(row)
        elif number == len(lines):
            noun = what.rpartition(" ")[2]
            return rows, [
                f"{path}:{number}: the last {noun} was cut off while it was written and is ignored; repeat it"
            ]
        else:
            raise InputError(f"{path}:{number}: not {what} ({problem}); correct or delete the line")
    return rows, []


def _parse(line: bytes, check: Check) -> tuple[Any, str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return None, str(error)
    return row, check(row)


def append_journal(path: Path, row: Mapping[str, Any], what: str, check: Check) -> None:
    """Add a line to a journal, on the disk when this returns. A last line that a crash cut off makes room for it.

    Raises:
        InputError: `row` is not `what` ("an edit").
        RunError: the journal cannot be written.
    """
    problem = check(row)
    if problem:
        raise InputError(f"{path}: not {what} ({problem})")
    line = json.dumps(row, ensure_ascii=True).encode() + b"\n"
    try:
        with path.open("a+b") as file, _locked(file):
            begin, tail = _last_line(file)
            if tail and _parse(tail, check)[1]:
                file.truncate(begin)
            elif tail:
                line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); free space or change its permissions") from error


def _last_line(file: IO[bytes]) -> tuple[int, bytes]:
    """Return where what follows the last line's end begins, and that: nothing in a journal that is whole."""
    begin = file.seek(0, os.SEEK_END)
    tail = b""
    while begin:
        size = min(BLOCK, begin)
        file.seek(begin - size)
        block, end, rest = file.read(size).rpartition(b"\n")
        tail = rest + tail
        if end:
            return begin - size + len(block) + 1, tail
        begin -= size
    return 0, tail


@contextlib.contextmanager
def _locked(file: IO[bytes]) -> Iterator[None]:
    """Keep other processes from appending meanwhile; released when the file is closed."""
    with contextlib.suppress(ImportError):  # not on Windows
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
    yield
