"""What a display can see of a run while it goes on. The pipeline writes it, a display reads it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Watch:
    """The state of a run: its phase, and what was asked, accepted, dropped and lost so far.

    `rows` is 0 where there is no number to reach. `novelty` is that of the latest rounds, None while nobody knows it;
    the run ends below `until`.
    """

    rows: int = 0
    until: float | None = None
    novelty: float | None = None
    phase: str = "start"
    tasks: int = 0
    round: int = 0
    calls_planned: int = 0
    calls_done: int = 0
    candidates: int = 0
    accepted: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)
    first_row: float | None = None
    notes: list[str] = field(default_factory=list)

    def begin(self, phase: str) -> None:
        """Begin with other samples: nothing is asked or accepted of them yet, and no number is to be reached."""
        self.phase, self.rows, self.until, self.novelty = phase, 0, None, None
        self.round = self.calls_planned = self.calls_done = self.candidates = self.accepted = 0
        self.dropped.clear()
        self.lost.clear()

    def accept(self) -> None:
        """Count an accepted sample; the first one's time is kept (seconds since the start)."""
        self.accepted += 1
        if self.first_row is None:
            self.first_row = time.monotonic() - self.started

    def note(self, text: str) -> None:
        """Say something once that a reader of the log should know."""
        self.notes.append(text)
