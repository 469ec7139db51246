"""What a run tells while it goes on: one row of figures after each update, to whoever watches and to metrics.jsonl."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from curate.errors import RunError
from curate.io import write_jsonl
from curate.io.journal import read_journal
from curate.train.flops import Work


@dataclass(frozen=True)
class Progress:
    """Where a run is after an update.

    `loss` is the mean over the update's targets. `tokens` are all real ones so far, `tokens_per_second` and `mfu` (a
    share of the device's peak) are over the last updates; `padding` is a share of what was computed. `memory` is the
    peak in bytes, `seconds` what this process has taken, `left` an estimate of what it will yet. `more` are figures
    that one kind of training has of its own.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    lr: float
    grad_norm: float
    tokens: int
    tokens_per_second: float
    mfu: float
    padding: float
    memory: int
    seconds: float
    left: float
    held_out_loss: float | None = None
    more: Mapping[str, float] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Return the figures as JSON values, rounded to what they mean."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        values |= values.pop("more")
        return {name: _rounded(value) for name, value in values.items()}


def _rounded(value: Any) -> Any:
    # JSON has no infinity; a loss that has become none is still to be told.
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if abs(value) < float("inf") else str(value)


def _nothing(*_: Any) -> None:
    """Take whatever is told and do nothing."""


@dataclass(frozen=True)
class Listener:
    """Who is told of a run: `doing` what begins, `reading` samples read (of how many), `watch` updates, `say` notes."""

    watch: Callable[[Progress], None] = _nothing
    say: Callable[[str], None] = _nothing
    doing: Callable[[str], None] = _nothing
    reading: Callable[[int, int | None], object] = _nothing


RECENT = 20
"""Updates over which speed is averaged."""


class Speed:
    """Counts tokens and operations, and how fast they went of late; `before` are the tokens of earlier processes."""

    def __init__(self, work: Work, peak: float, before: int = 0) -> None:
        self.work, self.peak, self.before = work, peak, before
        self.began = time.perf_counter()
        self.marks: list[tuple[float, int, float]] = [(self.began, 0, 0.0)]
        self.tokens, self.operations, self.padding = 0, 0.0, 0

    def add(self, tokens: int, targets: int, squares: int, padding: int) -> None:
        """Count one update that has just ended."""
        self.tokens += tokens
        self.padding += padding
        self.operations += self.work.of(tokens, targets, squares)
        self.marks = [*self.marks[-RECENT:], (time.perf_counter(), self.tokens, self.operations)]

    def recent(self) -> tuple[float, float]:
        """Return real tokens a second and the share of the peak over the last updates."""
        (began, tokens, operations), (now, all_tokens, all_operations) = self.marks[0], self.marks[-1]
        spent = max(now - began, 1e-9)
        return (all_tokens - tokens) / spent, (all_operations - operations) / spent / self.peak

    def seconds_left(self, steps: int) -> float:
        """Return how long so many more updates take at the speed of the last ones."""
        done = len(self.marks) - 1
        return steps * (self.marks[-1][0] - self.marks[0][0]) / done if done else 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self.began

    @property
    def padding_share(self) -> float:
        """Share of all computed tokens that were padding."""
        return self.padding / max(self.padding + self.tokens, 1)


class Metrics:
    """metrics.jsonl: a row for each update; those after the checkpoint that a run goes on from are taken back.

    Of several processes each keeps the rows, and one `writes` them.
    """

    def __init__(self, path: Path, step: int, writes: bool = True) -> None:
        self.path = path
        rows, _ = read_journal(path, "a row of figures", lambda row: "" if isinstance(row, dict) else "no object")
        self.rows = [row for row in rows if row["step"] <= step]
        if writes:
            write_jsonl(path, self.rows)
        self.file = path.open("a", encoding="utf-8") if writes else None

    def add(self, progress: Progress) -> None:
        """Write one row at once."""
        self.rows.append(progress.row())
        if not self.file:
            return
        try:
            self.file.write(json.dumps(self.rows[-1]) + "\n")
            self.file.flush()
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written ({error.strerror}); free space") from error

    def close(self) -> None:
        """Write no more."""
        if self.file:
            # A row that the disk did not take was told when it failed, and a file tries it again when it closes.
            with contextlib.suppress(OSError):
                self.file.close()
