"""How new what a run's calls bring still is: the curve of novelty, rows per million paid tokens, and a forecast.

A candidate is *judged for novelty* once the rules have let it through. It is a repeat where `exact`, `rouge` or `dedup`
dropped it, and new where it was accepted or was good and not needed (`quota`). What `verify` or `judge` dropped is
neither: nobody knows whether a wrong sample is new. So of n candidates that the rules let through, with

    early   repeats found before the checks that may ask models,
    late    repeats found after them,
    failed  candidates that verify or judge dropped,
    new     the others,

novelty = (1 - early / n) * new / (new + late): the chance of passing the first comparison times that of passing the
second one, as in the estimator of Kaplan and Meier (1958), where what leaves for another reason is censored. Without
failed ones it is new / (new + repeats); with them it does not count repeats that would have failed anyway against
what is new. It says which share of the next good candidates is no near-duplicate of what came before.

Tokens are those of the ledger: of the calls that wrote the candidates, repairs too, and of the votes and grades they
took. Those that grew the tree belong to no branch and are in the total alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.finished import FinishedRun, Row
    from curate.measure.forecast import Forecast

REPEATS = ("exact", "rouge", "dedup")
"""The stages that drop what is not new."""

CHECKS = ("verify", "judge")
"""The stages that may ask models."""

WINDOWS = 40
"""Windows that a curve has at most."""

ENOUGH = 50
"""Candidates that a window of the curve holds at least: its novelty is then known to within 12 points."""

LEAST = 100
"""Judged candidates over which the novelty of a run under way is told, and by which it may end, at least."""

Z90 = 1.6449
"""Of the normal distribution: nine tenths lie within so many standard deviations."""


@dataclass
class Tally:
    """Candidates that the rules let through, by what became of them; see the module."""

    new: int = 0
    early: int = 0
    late: int = 0
    failed: int = 0

    @property
    def judged(self) -> int:
        """All of them."""
        return self.new + self.early + self.late + self.failed

    @property
    def novelty(self) -> float | None:
        """The share of good candidates that were new, from 0 to 1; None where no candidate tells."""
        passed = self.judged - self.early
        if not self.judged or (passed and not self.new + self.late):
            return None
        return passed / self.judged * (self.new / (self.new + self.late)) if passed else 0.0

    def interval(self, z: float = Z90) -> tuple[float, float]:
        """Return the bounds of `novelty` at 90 % (Wilson 1927, equation for a share of `judged` draws)."""
        share, n = self.novelty or 0.0, self.judged
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.new + other.new, self.early + other.early, self.late + other.late, self.failed + other.failed)


def enough(until: float | None) -> int:
    """Return the candidates by which a novelty of about `until` is known well enough to end a run by it.

    By chance alone their novelty then differs from the true one by less than a third of it, 19 times in 20.
    """
    return LEAST if until is None else max(LEAST, ceil(40 * (1 - until) / until))


def recent(rounds: Sequence[Tally], candidates: int) -> Tally | None:
    """Return the sum of the fewest latest rounds that hold so many judged candidates; None where all hold fewer."""
    tally = Tally()
    for latest in reversed(rounds):
        tally += latest
        if tally.judged >= candidates:
            return tally
    return None


@dataclass
class CallYield:
    """One call that wrote samples: what its candidates came to, and the tokens that they and their checks took.

    `unmetered` of its calls have no tokens in the ledger: a model that bills none, or a server that does not count.
    """

    task_id: str
    attempt: int
    round: int
    tally: Tally = field(default_factory=Tally)
    accepted: int = 0
    tokens: int = 0
    unmetered: int = 0
    keys: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Window:
    """A stretch of calls: how new its candidates were, and what stood at its end since the run began.

    `tokens` are paid ones of samples and their checks, without those of the tree; 0 where none were counted.
    """

    calls: int
    tokens: int
    rows: int
    candidates: int
    novelty: float
    low: float
    high: float


@dataclass(frozen=True)
class Yield:
    """What a branch, or the whole run, gave for its tokens. `branch` is "" for the whole, and the root's own name."""

    branch: str
    calls: int
    accepted: int
    tokens: int
    unmetered: int = 0

    @property
    def per_million(self) -> float | None:
        """Accepted rows per million paid tokens; None where no token was billed."""
        return self.accepted * 1e6 / self.tokens if self.tokens else None

    def as_json(self) -> dict[str, Any]:
        """Return the yield as JSON values."""
        return {**asdict(self), "per_million": self.per_million}


@dataclass(frozen=True)
class Novelty:
    """The novelty of one run. `forecast` is None for too few calls, and where no task is left to ask."""

    windows: list[Window]
    whole: Yield
    branches: list[Yield]
    tree_tokens: int
    forecast: Forecast | None = None

    @property
    def latest(self) -> float | None:
        """The novelty of the last window; None where there is none."""
        return self.windows[-1].novelty if self.windows else None

    def as_json(self) -> dict[str, Any]:
        """Return the novelty as JSON values: windows, whole, branches, tree_tokens, latest, forecast."""
        return {
            "windows": [asdict(window) for window in self.windows],
            "whole": self.whole.as_json(),
            "branches": [branch.as_json() for branch in self.branches],
            "tree_tokens": self.tree_tokens,
            "latest": self.latest,
            "forecast": self.forecast.as_json() if self.forecast else None,
        }


def novelty_of(run: FinishedRun) -> Novelty:
    """Return the novelty of a finished run, from its rows and its ledger."""
    from curate.measure.forecast import forecast

    calls = call_yields(run)
    windows = list(_windows(calls, tasks=len({call.task_id for call in calls})))
    tree_tokens, tree_unmetered = _tree_tokens(run)
    whole = _yield("", calls)
    whole = Yield("", whole.calls, whole.accepted, whole.tokens + tree_tokens, whole.unmetered + tree_unmetered)
    exhausted = {tuple(path) for path in run.summary.get("exhausted", [])}
    tree = run.tree
    retired = {call.task_id for call in calls if call.task_id not in tree or tree.path(call.task_id) in exhausted}
    return Novelty(windows, whole, _branches(run, calls), tree_tokens, forecast(calls, retired=retired))


def call_yields(run: FinishedRun) -> list[CallYield]:
    """Return the calls of a run that wrote samples, in the order in which its rounds planned them."""
    calls: dict[tuple[str, int], CallYield] = {}
    for row in run.kept():
        _enter(calls, row).accepted += 1
    for row in run.dropped():
        _enter(calls, row)
    _count_tokens(run, calls.values())
    return planned(calls.values(), [task.id for task in run.tree.walk()])


def planned(calls: Iterable[CallYield], tasks: Sequence[str]) -> list[CallYield]:
    """Return calls by round, and within it one of each task in the order of `tasks` before a second of any."""
    first: dict[tuple[int, str], int] = {}
    calls = list(calls)
    for call in calls:
        key = call.round, call.task_id
        first[key] = min(first.get(key, call.attempt), call.attempt)
    places = {name: place for place, name in enumerate(tasks)}

    def place(call: CallYield) -> tuple[int, int, int, str]:
        turn = call.attempt - first[call.round, call.task_id]
        return call.round, turn, places.get(call.task_id, len(places)), call.task_id

    return sorted(calls, key=place)


def _enter(calls: dict[tuple[str, int], CallYield], row: Row) -> CallYield:
    """Count a kept or dropped row for the call that wrote it."""
    meta = row["meta"]
    origin = meta["generate"]
    key = origin["task_id"], origin["attempt"]
    call = calls.get(key)
    if call is None:
        call = calls[key] = CallYield(*key, origin["round"])
    checked = [meta[stage] for stage in CHECKS if stage in meta]
    call.keys.update(origin["calls"], *(check.get("calls", ()) for check in checked))
    stage = row["dropped"]["stage"] if "dropped" in row else "quota"
    if stage in REPEATS:
        call.tally += Tally(late=1) if checked else Tally(early=1)
    elif stage in CHECKS:
        call.tally += Tally(failed=1)
    elif stage in ("quota", "exam"):
        call.tally += Tally(new=1)
    return call


def _count_tokens(run: FinishedRun, calls: Iterable[CallYield]) -> None:
    from curate.models.ledger_view import read_tokens

    tokens = read_tokens(run.ledger)
    for call in calls:
        spent = [tokens[key] for key in call.keys if key in tokens]
        call.tokens = sum(used or 0 for used in spent)
        call.unmetered = sum(used is None for used in spent)


def _tree_tokens(run: FinishedRun) -> tuple[int, int]:
    """Return the tokens of the calls before the first sample was written, and how many of those have none."""
    used = [usage for usage in run.usage() if usage.stage in ("draft", "explore", "merge")]
    unmetered = sum(usage.calls for usage in used if not usage.input_tokens + usage.output_tokens)
    return sum(usage.input_tokens + usage.output_tokens for usage in used), unmetered


def _windows(calls: Sequence[CallYield], tasks: int) -> Iterator[Window]:
    """Yield the windows of the curve: whole calls, and where there are enough of them, one or more of each task.

    Tasks are asked in the order of the tree: a window of a few calls would show how branches differ, and no trend.
    """
    size = max(ceil(len(calls) / WINDOWS), min(tasks, ceil(len(calls) / 8)))
    tokens = rows = start = 0
    tally = Tally()
    for number, call in enumerate(calls, 1):
        tally += call.tally
        tokens += call.tokens
        rows += call.tally.new
        left = len(calls) - number
        if number - start < size or tally.judged < ENOUGH or 0 < left < size:
            continue
        if tally.novelty is not None:
            yield Window(number, tokens, rows, tally.judged, tally.novelty, *tally.interval())
        tally, start = Tally(), number


def _branches(run: FinishedRun, calls: Sequence[CallYield]) -> list[Yield]:
    """Return the yields of the first-level tasks in the order of the tree; the root's own calls bear its name."""
    tree = run.tree
    branch: dict[str, str] = {}
    of_branch: dict[str, list[CallYield]] = {}
    for task in tree.walk():
        # Parents come before their children. The root and each first-level task are branches of their own.
        branch[task.id] = task.id if task.parent in (None, tree.root.id) else branch[task.parent or ""]
        of_branch.setdefault(branch[task.id], [])
    for call in calls:
        if call.task_id in branch:  # not pruned by hand since
            of_branch[branch[call.task_id]].append(call)
    return [_yield(tree.get(ident).name, found) for ident, found in of_branch.items() if found]


def _yield(branch: str, calls: Sequence[CallYield]) -> Yield:
    return Yield(
        branch,
        len(calls),
        sum(call.accepted for call in calls),
        sum(call.tokens for call in calls),
        sum(call.unmetered for call in calls),
    )
