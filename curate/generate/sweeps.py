"""Which calls a run makes that has no number of rows to reach: every task is asked equally often, again and again."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from itertools import islice

from curate.generate.quotas import Quotas
from curate.types import Task

GROWTH = 4
"""A round asks each task for its number of calls so far, divided by this: a quarter is the most that can be wasted."""

NO_LIMIT = sys.maxsize
"""Rows of a run that takes whatever is new."""


@dataclass
class Sweeps(Quotas):
    """Deals calls where Quotas deals rows, so that no task is asked more often because it gives less.

    A run that ends where samples stop being new must ask all tasks alike: quotas would fill it with the calls of the
    tasks that have run dry. `rows` is the most it takes, NO_LIMIT for as many as are new. A round asks for `least`
    samples or more where that can be, and no more than `most_calls` calls are made over all rounds.
    """

    least: int = 1
    most_calls: int | None = None

    def targets(self) -> dict[str, int]:
        """Return how many samples each task may have: as many as the run."""
        return dict.fromkeys(self.accounts, self.rows)

    def calls(self, spare: int = 0) -> list[tuple[Task, int]]:
        """Return the calls of the next round as (task, attempt number), one call of every task before a second."""
        living = [task for task in self.tasks if not self.accounts[task.id].retired]
        if not living:
            return []
        asked = max(self.accounts[task.id].calls for task in living)
        each = max(1, asked // GROWTH, math.ceil(self.least / self.per_call / len(living)))
        number = min(each * len(living), self._left(spare))
        turns, rest = divmod(number, len(living))
        # Where the last calls do not go round, every branch gets some.
        extra = set(islice(self._dealt({task.id: 1.0 for task in living}), rest))
        return [
            (task, self.accounts[task.id].calls + turn)
            for turn in range(turns + 1)
            for task in living
            if turn < turns or task.id in extra
        ]

    def _left(self, spare: int) -> int:
        """Return the calls that may still be made, by the rows that are missing and by their number."""
        good = sum(account.good for account in self.accounts.values())
        candidates = sum(account.candidates for account in self.accounts.values())
        # The first yield is expected to be full, as with quotas.
        expected = self.per_call * (good + 1) / (candidates + 1)
        left = math.ceil(max(0, self.rows - self.accepted - spare) / expected)
        if self.most_calls is not None:
            left = min(left, self.most_calls - sum(account.calls for account in self.accounts.values()))
        return left
