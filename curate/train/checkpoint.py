"""Folders that are there whole or not at all: checkpoints, and the model that comes out."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from curate.errors import RunError
from curate.io.files import DISK

NAME = re.compile(r"checkpoint-(\d+)")
DRAFT = ".draft"


def checkpoints(folder: Path) -> list[Path]:
    """Return the whole checkpoints in `folder`, the oldest first."""
    if not folder.is_dir():
        return []
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def step_of(checkpoint: Path) -> int:
    """Return the number of updates that a checkpoint has behind it."""
    match = NAME.fullmatch(checkpoint.name)
    assert match is not None
    return int(match[1])


def publish(draft: Path, final: Path) -> None:
    """Bring everything in `draft` to the disk, then let it take the name `final` in one step."""
    for path in sorted(draft.rglob("*")):
        if path.is_file():
            _sync(path)
    for path in [*(path for path in draft.rglob("*") if path.is_dir()), draft]:
        _sync(path)
    draft.rename(final)
    _sync(final.parent)


def rotate(folder: Path, keep: int) -> None:
    """Remove all but the `keep` newest checkpoints; call it when the newest is whole."""
    for path in checkpoints(folder)[:-keep]:
        # Renamed first: a removal that is cut short must not leave half a checkpoint under a whole one's name.
        gone = path.with_name(f"{DRAFT}-{path.name}")
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def clear_drafts(folder: Path) -> None:
    """Remove what a killed process left half written or half removed."""
    for path in folder.glob(f"{DRAFT}*") if folder.is_dir() else ():
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def written(draft: Path, what: str, last: str) -> Iterator[None]:
    """Write `draft` in the block; where the disk fails, remove it and say what is left to go on from.

    Raises:
        RunError: the disk is full, or cannot be written.
    """
    try:
        yield
    # safetensors and torch.save report a failed write by errors of their own.
    except (OSError, RuntimeError, _safetensor_error()) as error:
        if not _of_the_disk(error):
            raise
        shutil.rmtree(draft, ignore_errors=True)
        free = shutil.disk_usage(draft.parent).free / 1e6
        raise RunError(
            f"{what} cannot be written ({_reason(error)}; {free:,.1f} MB are free); {last}: "
            "free space, then the same command goes on from there"
        ) from error


def _safetensor_error() -> type[Exception]:
    from safetensors import SafetensorError

    return SafetensorError


_SIGNS = ("No space left", "File too large", "Disk quota exceeded", "Input/output error", "PytorchStreamWriter",
          "unexpected pos", "os error 28", "os error 27", "os error 122")  # fmt: skip


def _of_the_disk(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno in (*DISK, errno.EACCES, errno.EROFS):
        return True
    return any(sign in str(error) for sign in _SIGNS)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    known = next((sign for sign in _SIGNS[:4] if sign in str(error)), None)
    return known or "the disk took only part of a file"


def _sync(path: Path) -> None:
    with contextlib.suppress(PermissionError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
