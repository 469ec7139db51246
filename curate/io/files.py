"""Files written whole or not at all, JSON lines, and the folders that ship with the package."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal, overload

from curate.errors import CurateError, InputError, RunError

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What the disk says while something is being written."""


@overload
def atomic(path: Path, binary: Literal[False] = False) -> contextlib.AbstractContextManager[IO[str]]: ...
@overload
def atomic(path: Path, binary: Literal[True]) -> contextlib.AbstractContextManager[IO[bytes]]: ...
@contextlib.contextmanager
def atomic(path: Path, binary: bool = False) -> Iterator[IO[Any]]:
    """Open a file that takes the place of `path` when the block ends without an error, and leaves no trace otherwise.

    It is written beside `path`, brought to the disk and renamed, so that a reader, a crash or a power cut finds the old
    file or the new one. Text is UTF-8 with "\\n" ends. Raises RunError, which names `path`, where the folder cannot be
    written or the disk is full.
    """
    # Two threads or processes that publish the same path must not write into one file.
    draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        file = draft.open("wb") if binary else draft.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        # Other errors of the system come from what the block reads: they are not about `path`.
        if error.errno in DISK or error.filename in (str(draft), draft):
            raise _unwritable(path, error) from error
        raise
    finally:
        draft.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(f"{path}: cannot be written ({error.strerror}); free space or name another place with --out")


def _sync_folder(folder: Path) -> None:
    """Bring the renaming to the disk; a system that cannot open folders keeps its own order."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def to_line(row: Mapping[str, Any]) -> str:
    """Return `row` as one line of JSON, readable (not \\u-escaped) wherever UTF-8 can hold the text."""
    line = json.dumps(row, ensure_ascii=False, allow_nan=False)
    try:
        line.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can spell
        line = json.dumps(row, allow_nan=False)
    return line + "\n"


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Publish `rows` as JSON lines in one step and return their number. Raises RunError as `atomic` does."""
    count = 0
    with atomic(path) as file:
        for row in rows:
            file.write(to_line(row))
            count += 1
    return count


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of JSON lines. Raises InputError, which names file and line, for a wrong one."""
    for _, row in numbered_lines(path):
        yield row


def numbered_lines(path: Path, skip: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, row) of the rows after the first `skip`; empty lines are passed over."""
    with open_text(path) as file:
        number = 0
        try:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                if skip:
                    skip -= 1
                else:
                    yield number, _parse(line, f"{path}:{number}", file)
        except UnicodeDecodeError as error:
            place = f"{path}:{_wrong_line(path)}"
            raise InputError(f"{place}: not UTF-8 text ({error.reason}); save the file as UTF-8") from error
        except (EOFError, gzip.BadGzipFile) as error:
            raise InputError(f"{path}:{number + 1}: the compressed file is cut off or damaged ({error})") from error


def _wrong_line(path: Path) -> int:
    """Return the number of the first line that is no UTF-8; text is decoded in blocks, so the error does not tell."""
    with open_text(path) as file:
        assert isinstance(file, io.TextIOWrapper)
        file.reconfigure(errors="surrogateescape")  # every byte that cannot be becomes a lone surrogate
        return next(number for number, line in enumerate(file, 1) if whole(line) != line)


def _parse(line: str, place: str, file: IO[str]) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        if not any(rest.strip() for rest in file):
            raise InputError(
                f"{place}: the last line is cut off or not JSON ({error.msg} at column {error.colno}); "
                "delete that line to use the rows before it"
            ) from error
        raise InputError(f"{place}: not JSON ({error.msg} at column {error.colno}): {line.strip()[:60]!r}") from error
    except RecursionError as error:
        raise InputError(f"{place}: lists or objects too deep in each other: {line.strip()[:60]!r}") from error
    if not isinstance(row, dict):
        raise InputError(f"{place}: expected an object {{...}}, found {type(row).__name__}: {line.strip()[:60]!r}")
    return row


def open_text(path: Path) -> IO[str]:
    """Open a text file for reading; `.gz` and `.zst` are unpacked on the way. Raises InputError naming `path`."""
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
        if path.suffix == ".zst":
            import pyarrow as pa

            packed = pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
            return io.TextIOWrapper(packed, encoding="utf-8-sig", newline="")
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def whole(text: str) -> str:
    """Return `text` with U+FFFD for half a surrogate pair: JSON can spell it, no UTF-8 file or column can hold it."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def open_alone(path: Path, out: Path, does: str) -> IO[str]:
    """Make a file and its folder, or open them, for this process alone; closing the file lets go.

    `out` is what a user named, and `does` says what others do with it. Raises RunError where another process has the
    file, or it cannot be made.
    """
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise RunError(f"--out {out}: cannot be written ({error.strerror})") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise RunError(f"{out}: another process {does} this folder; wait for it, or name another --out") from None
    return file


def resource(name: str) -> Path:
    """Return the shipped folder `name` ("prompts" or "domains"): inside the installed package, else the checkout's."""
    package = Path(__file__).parents[1]
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise CurateError(f"the folder '{name}' that ships with the package is missing from {package}; install it again")
