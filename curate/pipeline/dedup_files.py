"""The files of `curate dedup`: rows as they are read, kept and dropped ones as they are written, and what is cached."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import InputError
from curate.io import atomic, sample_to_row
from curate.io.files import to_line
from curate.pipeline.dataset import dropped_beside, make_folder
from curate.stages.dedup import STAGE_OF
from curate.stages.greedy import KEPT, REASONS, Decisions
from curate.types import Sample

if TYPE_CHECKING:
    from curate.pipeline.dedup_find import Found, Job

READ = 1 << 20

ROWS = (".jsonl", ".json", ".parquet", ".arrow")
"""The files of a folder that rows are read from."""

Write = Callable[[bytes | memoryview], int]


class Rows:
    """The rows that were read, as lines of JSON one after the other; `ends` says where each ends."""

    def __init__(self, text: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self.text = text
        self.ends = ends

    def line(self, place: int) -> bytes:
        """Return one line."""
        start = int(self.ends[place - 1]) if place else 0
        return self.text[start : int(self.ends[place])].tobytes()


class Files:
    """Where a job writes. With a stream, nothing is written to the disk."""

    def __init__(self, job: Job, out: Path | None, stream: IO[str] | None) -> None:
        self.out = out
        self.stream = stream
        self._adds = bool(job.add_to)
        self.cache = None if out is None else out.with_name(f"{out.name.removesuffix('.jsonl')}.cache")

    @property
    def pairs(self) -> Path | None:
        """The file of what was found, for deciding again; samples that are added decide once and for all."""
        return None if self.cache is None or self._adds else self.cache / "pairs"

    def folder(self) -> Path | None:
        """Make the folder that is written to, and return it; None with a stream."""
        if self.out is not None:
            make_folder(self.out.parent)
            return self.out.parent
        return None

    def write(self, found: Found, decided: Decisions) -> Counter[str]:
        """Write every new row to its file and count the dropped ones; both files take their names when all is done."""
        reasons: Counter[str] = Counter()
        first = found.relations.fixed
        ends, text, names = found.rows.ends.tolist(), found.rows.text.data, found.relations.ids
        begin = ends[first - 1] if first else 0
        with ExitStack() as stack:
            keep, drop = self._open(stack)
            for place in (np.flatnonzero(decided.reason[first:] != KEPT) + first).tolist():
                start = ends[place - 1] if place else 0
                # All kept rows up to here lie side by side.
                keep(text[begin:start])
                begin = ends[place]
                reason = REASONS[decided.reason[place]]
                reasons[f"{STAGE_OF[reason]}: {reason}"] += 1
                neighbour = f"{int(names[decided.neighbour[place]]):016x}"
                drop(_dropped(bytes(text[start:begin]), reason, float(decided.score[place]), neighbour))
            keep(text[begin : ends[-1] if ends else 0])
        return reasons

    def _open(self, stack: ExitStack) -> tuple[Write, Write]:
        """Open where kept and dropped rows go, and return how they are written."""
        if self.out is None:
            stream = self.stream
            assert stream is not None
            return lambda rows: stream.write(bytes(rows).decode()), lambda row: 0
        # The one opened last is published first, so that a kept file is never without its dropped ones.
        kept = stack.enter_context(atomic(self.out, binary=True))
        dropped = stack.enter_context(atomic(dropped_beside(self.out), binary=True))
        if self._adds:
            _copy(self.out, kept)
            _copy(dropped_beside(self.out), dropped)
        return kept.write, dropped.write


def _dropped(line: bytes, reason: str, score: float, neighbour: str) -> bytes:
    """Return the line of a dropped row: what `dropped_row` gives, without reading the row again."""
    said = f'"stage": "{STAGE_OF[reason]}", "reason": "{reason}", "score": {score!r}, "neighbour": "{neighbour}"'
    return line[:-2] + f', "dropped": {{{said}}}}}\n'.encode()


def _copy(path: Path, to: IO[bytes]) -> None:
    """Begin a file with what is in it already, byte by byte."""
    if not path.exists():
        return
    last = b"\n"
    with path.open("rb") as file:
        while block := file.read(READ):
            to.write(block)
            last = block
    if not last.endswith(b"\n"):
        to.write(b"\n")


def row_line(sample: Sample) -> bytes:
    """Return the line that a kept sample is written as."""
    return to_line(sample_to_row(sample)).encode()


def fingerprint(source: str) -> str:
    """Return what changes when a dataset's files change; the empty string for what is not here, as on the Hub."""
    path = Path(source)
    if path.is_file():
        with path.open("rb") as file:
            return file_digest(file, "blake2b").hexdigest()[:32]
    if path.is_dir():
        digest = blake2b(digest_size=16)
        # What rows are read from; a run's folder holds its calls besides, which may be many times as large.
        for part in sorted(p for p in path.rglob("*") if p.suffix in ROWS and p.is_file()):
            with part.open("rb") as file:
                digest.update(f"{part.relative_to(path)}".encode() + file_digest(file, "blake2b").digest())
        return digest.hexdigest()
    return ""


def check_own(path: str) -> None:
    """Raise InputError unless rows like those of this package can be added to the file: it is absent, or has them."""
    file = Path(path)
    if not file.exists():
        return
    with file.open("rb") as lines:
        first: Any = next((line for line in lines if line.strip()), b"")
    try:
        row = json.loads(first) if first else {"id": "", "task": [], "messages": [], "meta": {}}
    except ValueError:
        row = None
    if not isinstance(row, dict) or not {"id", "task", "messages"} <= row.keys():
        raise InputError(
            f"{file}: its rows are not those that `curate dedup` writes (id, task, messages, meta), and one file holds "
            f"one format; make it so with `curate dedup {file} --out NEW.jsonl`, and add to that"
        )
