"""How many samples each task owes, and how many calls to make for them.

Everything here is a pure function of what was counted so far, so that a run recomputed from its ledger asks the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from itertools import islice

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
    _branch: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.accounts = {task.id: Account() for task in self.tasks}
        self._branch = _branches(self.tasks)

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

    def calls(self, spare: int = 0) -> list[tuple[Task, int]]:
        """Return the calls of the next round as (task, attempt number), one call of every task before a second.

        A call brings several samples. Each task is asked as often as its gap holds whole calls; of the parts that are
        left, in sum less what `spare` samples of other tasks fill, the widest get one more, dealt over the branches. So
        hardly more is asked than is missing, no task is off its quota by more than a call's yield, and a branch that is
        to have rows is not left without any.
        """
        targets = self.targets()
        wanted: dict[str, int] = {}
        parts: dict[str, float] = {}
        for task in self.tasks:
            account = self.accounts[task.id]
            deficit = targets[task.id] - account.accepted
            if deficit > 0 and not account.retired:
                number, parts[task.id] = divmod(deficit / self._expected(account), 1)
                wanted[task.id] = min(int(number), PATIENCE_CAP * math.ceil(deficit / self.per_call))
        # What a task has above its quota fills another's gap too, as it did when spare samples were used.
        above = sum(max(0, account.accepted - targets[name]) for name, account in self.accounts.items())
        # Rounded, since the last bits of a float would ask for one call too many.
        more = max(0, math.ceil(round(sum(parts.values()) - (spare + above) / self.per_call, 6)))
        for name in islice(self._dealt(parts), more):
            wanted[name] += 1
        plan = []
        for turn in range(max(wanted.values(), default=0)):
            plan += [
                (task, self.accounts[task.id].calls + turn) for task in self.tasks if wanted.get(task.id, 0) > turn
            ]
        return plan

    def _dealt(self, parts: Mapping[str, float]) -> Iterator[str]:
        """Yield the tasks of `parts` (calls, each below one), the next always of the branch that lacks most in sum."""
        branches: dict[str, list[str]] = {}
        for name in parts:
            branches.setdefault(self._branch[name], []).append(name)
        heap = []
        for place, names in enumerate(branches.values()):
            lack = sum(parts[name] for name in names)
            # Among equals the one that is owed a row more first: what few rows ask for, more rows ask for too.
            heap.append((-lack, place, iter(sorted(names, key=lambda name: (-parts[name], name)))))
        heapify(heap)
        while heap:
            lack, place, left = heap[0]
            if (widest := next(left, None)) is None:
                heappop(heap)
            else:
                heapreplace(heap, (lack + 1, place, left))
                yield widest

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


def _branches(tasks: Sequence[Task]) -> dict[str, str]:
    """Return each task's branch: the first-level task that it lies below or is; parents come before their children."""
    known = {task.id: task for task in tasks}
    branch: dict[str, str] = {}
    for task in tasks:
        parent = known.get(task.parent or "")
        branch[task.id] = branch[parent.id] if parent is not None and parent.parent is not None else task.id
    return branch
