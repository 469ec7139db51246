"""How many samples each task owes, and how many calls to make for them.

Everything here is a pure function of what was counted so far, so that a run recomputed from its ledger asks the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from curate.stages.select import largest_remainder
from curate.types import Task

FIRST_YIELD = 1.0
"""Share of candidates expected to be accepted of a task not asked yet; a round more costs less than a surplus."""

PATIENCE_CAP = 8
"""A round asks a task for at most this many times the calls that a full yield would need."""


@dataclass
class Account:
    """What a task was asked and gave. `barren` counts its latest calls in a row without a sample worth keeping."""

    calls: int = 0
    candidates: int = 0
    good: int = 0
    accepted: int = 0
    barren: int = 0
    retired: bool = False


@dataclass
class Quotas:
    """Deals `rows` over the tasks by largest remainder, and deals again what a retired task cannot give."""

    tasks: Sequence[Task]
    rows: int
    per_call: int
    saturation: int
    accounts: dict[str, Account] = field(init=False)

    def __post_init__(self) -> None:
        self.accounts = {task.id: Account() for task in self.tasks}

    def targets(self) -> dict[str, int]:
        """Return how many samples each task is to have in the end; a retired one keeps what it has."""
        alive = {name: 1.0 for name, account in self.accounts.items() if not account.retired}
        kept = {name: account.accepted for name, account in self.accounts.items() if account.retired}
        dealt = largest_remainder(alive, max(0, self.rows - sum(kept.values()))) if alive else {}
        return {**kept, **dealt}

    @property
    def accepted(self) -> int:
        """Samples accepted over all tasks."""
        return sum(account.accepted for account in self.accounts.values())

    def calls(self) -> list[tuple[Task, int]]:
        """Return the calls of the next round as (task, attempt number), one call of every task before a second.

        A call brings several samples, so a task that lacks less than half a call's yield is left out: what others have
        to spare fills such gaps, and no task is off its quota by more than that.
        """
        targets = self.targets()
        wanted: dict[str, int] = {}
        for name, account in self.accounts.items():
            deficit = targets[name] - account.accepted
            if deficit > 0 and not account.retired:
                number = math.floor(deficit / self._expected(account) + 0.5)
                wanted[name] = min(number, PATIENCE_CAP * math.ceil(deficit / self.per_call))
        plan = []
        for turn in range(max(wanted.values(), default=0)):
            plan += [
                (task, self.accounts[task.id].calls + turn) for task in self.tasks if wanted.get(task.id, 0) > turn
            ]
        return plan

    def last_calls(self) -> list[tuple[Task, int]]:
        """Return as few calls as the gaps left over need, the widest gap's task first: each fills others' gaps too."""
        targets = self.targets()
        gaps = {
            name: targets[name] - account.accepted for name, account in self.accounts.items() if not account.retired
        }
        missing = float(sum(gaps.values()))
        plan = []
        for task in sorted(self.tasks, key=lambda task: -gaps.get(task.id, 0)):
            if missing <= 0 or gaps.get(task.id, 0) <= 0:
                break
            plan.append((task, self.accounts[task.id].calls))
            missing -= self._expected(self.accounts[task.id])
        return plan

    def _expected(self, account: Account) -> float:
        """Return the samples that a task's next call is expected to bring."""
        return self.per_call * (account.good + FIRST_YIELD) / (account.candidates + 1)

    def settle(self, task_id: str, candidates: int, good: int) -> None:
        """Enter one call's outcome. `good` are the candidates that passed every filter, wanted or not."""
        account = self.accounts[task_id]
        account.calls += 1
        account.candidates += candidates
        account.good += good
        account.barren = 0 if good else account.barren + 1

    def retire(self) -> list[str]:
        """Retire the tasks whose latest `saturation` calls brought nothing; return their ids."""
        gone = [
            name for name, account in self.accounts.items() if account.barren >= self.saturation and not account.retired
        ]
        for name in gone:
            self.accounts[name].retired = True
        return gone
