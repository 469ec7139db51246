"""A few calls that show what a run would give: its first tasks, kept and dropped samples, and its price.

They are calls that the run makes too, in the same words: the first moves of growing its tree, and the first attempts at
tasks that the tree holds whatever is added to it. So the run replays them from the ledger. No tree is written and no
row is published: the run comes out as if nobody had tried.
"""

from __future__ import annotations

import io
import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import InputError
from curate.generate.quotas import Quotas
from curate.pipeline.projection import Measured, Projection, project
from curate.pipeline.setup import DRAFT, Job, open_job, resolve, settle_encoder
from curate.pipeline.watch import Watch
from curate.run import Publication
from curate.types import STOPPED, Task

if TYPE_CHECKING:
    from datasets import Dataset

    from curate.generate.candidates import Call
    from curate.models import Engine, Stats
    from curate.pipeline.explore import Options
    from curate.tree import TaskTree

Row = dict[str, Any]

FEWEST = 5
"""Calls of a trial at least: a tree and a sample take as many."""

UNASKED = tuple(f"{what}_{cause}" for what in ("unverified", "unjudged") for cause in STOPPED)
"""Reasons of candidates whose check was not paid for: neither good nor bad."""

FILTERS = ("rules", "exact", "rouge", "dedup")
"""The stages whose drops take no vote and no grade."""


@dataclass
class Trial:
    """What a trial showed. `kept_rows` and `dropped_rows` are as they would lie on disk, `whole` is a tree grown to its
    end, `expected` the tasks that the run's tree will have at most.

    `asked` calls were made or replayed of the `calls` allowed; `certain` is the share of those that wrote samples which
    the run surely asks too. `stopped` is "budget" or "stopped" where the trial ended before its calls were used up.
    `drafted` is the domain file that was drafted now.
    """

    out: Path
    rows: int
    calls: int
    domain: str = ""
    teacher: str = ""
    tree: TaskTree | None = None
    whole: bool = False
    expected: int = 0
    kept_rows: list[Row] = field(default_factory=list)
    dropped_rows: list[Row] = field(default_factory=list)
    projection: Projection | None = None
    measured: Measured | None = None
    certain: float = 1.0
    asked: int = 0
    drafted: Path | None = None
    stopped: str = ""
    stats: Stats | None = None
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @cached_property
    def kept(self) -> Dataset:
        """The samples that would be accepted, with the columns of `curate.show`."""
        from curate.pipeline.show import as_dataset

        return as_dataset(self.kept_rows)

    @cached_property
    def dropped(self) -> Dataset:
        """The samples that were dropped, and the lost calls, with their reasons."""
        from curate.pipeline.show import as_dataset

        return as_dataset(self.dropped_rows)

    @property
    def exit_code(self) -> int:
        """The exit code of the command line: 0 where something is shown."""
        return 0 if self.kept_rows or self.dropped_rows or (self.tree is not None and len(self.tree) > 1) else 3

    def as_json(self) -> dict[str, Any]:
        """Return the trial as JSON values."""
        stats = self.stats
        return {
            "domain": self.domain,
            "out": str(self.out),
            "teacher": self.teacher,
            "calls": self.calls,
            "asked": self.asked,
            "replayed": stats.replayed if stats else 0,
            "cost_usd": stats.cost if stats else None,
            "stopped": self.stopped,
            "tree": {
                "whole": self.whole,
                "expected_tasks": self.expected,
                "tasks": [list(self.tree.path(task.id)) for task in self.tree.walk()] if self.tree else [],
            },
            "kept": self.kept_rows,
            "dropped": self.dropped_rows,
            "certain": round(self.certain, 4),
            "projection": self.projection.as_json() if self.projection else None,
            "drafted": str(self.drafted) if self.drafted else None,
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
        }


def try_run(
    options: Options,
    calls: int = 20,
    *,
    watch: Watch | None = None,
    started: Callable[[Engine], None] = lambda engine: None,
) -> Trial:
    """Make the first calls of the run that `options` ask for and return what they show.

    At most `calls` new calls are made, within the budgets of `options`. Half of them at most grow the tree, so far as
    whole moves fit; the others write samples and check them. Given again, it is replayed, and goes on where a call's
    repair or checks were cut off.

    Raises:
        InputError: as `explore_run`; or fewer than FEWEST calls.
        ModelError: a model stopped the trial (wrong key, unknown name, no server).
    """
    from curate.models.ledger_view import read_totals

    if calls < FEWEST:
        raise InputError(f"calls is {calls}; a tree and a few samples take {FEWEST} or more, 20 show both well")
    watch = watch or Watch()
    setup = resolve(options)
    spent = sum(total.calls for total in read_totals(setup.out / "calls.sqlite"))
    most = min(spent + calls, options.budget_calls if options.budget_calls is not None else spent + calls)
    with open_job(setup, replace(options, budget_calls=most), watch) as job:
        started(job.engine)
        trial = Trial(setup.out, options.rows, calls, setup.phrase, setup.model_names["teacher"])
        if setup.domain is None:
            from curate.pipeline.draft import draft_domain

            watch.phase = "draft"
            # The run is not settled on it yet: it can still be edited, its root too.
            setup.domain = draft_domain(job)
            if setup.domain is not None:
                settle_encoder(setup, options)
                trial.drafted = setup.out / DRAFT
        if setup.domain is not None:
            _Trying(job, trial).go(options)
        trial.stats = job.engine.stats()
        trial.asked = _asked(job)
        # That its own calls are used up is no reason to speak of a budget.
        ended = job.engine.stopped or ""
        trial.stopped = "" if ended == "budget" and trial.stats.calls >= calls else ended
        trial.notes = [*watch.notes]
        trial.seconds = time.monotonic() - watch.started
    return trial


def _asked(job: Job) -> int:
    """Return the calls of this trial so far, those too that the ledger answered."""
    stats = job.engine.stats()
    return stats.calls + stats.replayed


class _Trying:
    """The two halves of a trial: the head of the tree, and samples for what stands of it."""

    def __init__(self, job: Job, trial: Trial) -> None:
        self.job = job
        self.trial = trial
        self.per_call = job.domain.generate.per_call
        votes = job.domain.verify.votes if job.domain.verify.kind == "math" else 0
        computed = job.setup.specs["teacher"] == "procedural"
        self.checks = (0 if computed else votes) + (job.domain.judge is not None)

    def go(self, options: Options) -> None:
        """Grow what may be grown, write and check samples, and project what they say to the whole run."""
        from curate.pipeline.estimate import growing
        from curate.pipeline.grow import grow_tree

        trial, job, watch = self.trial, self.job, self.job.watch
        trial.domain = job.domain.name
        watch.phase = "explore"
        tree, growth = grow_tree(job, self._allowed, keep=False)
        trial.tree, trial.whole = tree, not growth.stopped
        trial.expected = len(tree) + (0 if trial.whole else growing(job.domain, tree).added)
        if growth.stopped in STOPPED:
            return
        watch.phase = "generate"
        watch.rows = max(1, (trial.calls - _asked(job)) // (1 + self.checks * self.per_call)) * self.per_call
        began, before = time.monotonic(), _asked(job)
        self._write(tree, options.rows)
        stats = job.engine.stats()
        trial.measured = measured(trial.kept_rows, trial.dropped_rows, self.per_call)
        each = (time.monotonic() - began) / max(1, _asked(job) - before)
        trial.projection = project(job.setup, options, trial.measured, at_a_time=stats.limit, seconds_each=each)

    def _allowed(self, calls: int) -> bool:
        """May the tree take so many calls more? What is left pays for samples, one call with its checks at least."""
        left = self.trial.calls - _asked(self.job) - calls
        return left >= max(self.trial.calls // 2, 1 + self.checks * self.per_call)

    def _write(self, tree: TaskTree, rows: int) -> None:
        from curate.pipeline.checks import open_checks
        from curate.pipeline.rounds import Rounds
        from curate.stages.dedup import Comparisons

        job, setup = self.job, self.job.setup
        rouge = job.domain.rouge
        comparisons = Comparisons(
            job.domain.language,
            rouge.threshold if rouge else None,
            rouge.field if rouge else "text",
            setup.compared_by,
            setup.threshold,
        )
        kept, dropped = io.StringIO(), io.StringIO()
        waiting, before = self._samples(tree, rows), _asked(job)
        with open_checks(job) as checks:
            out = Publication(kept, dropped)
            Rounds(job.engine, job.domain, tree, setup.seed, rows, comparisons, checks, out, job.watch).run(
                lambda: self._next(waiting, before)
            )
        self.trial.kept_rows = [json.loads(line) for line in kept.getvalue().splitlines()]
        self.trial.dropped_rows = [json.loads(line) for line in dropped.getvalue().splitlines()]

    def _samples(self, tree: TaskTree, rows: int) -> list[Call]:
        """Return calls of the run's first round, the branches in turn.

        Of a whole tree they are known. Else they are attempts at the tasks that stand already: they are in the whole
        tree too, and as many as each task is asked at least, if the tree becomes as large as it may.
        """
        seed = self.job.setup.seed
        if self.trial.whole:
            generate = self.job.domain.generate
            calls = Quotas(list(tree.walk()), rows, generate.per_call, generate.saturation).calls()
            return spread(calls, tree, seed)
        tasks = [task for task in tree.walk() if task.parent]
        sure = rows // self.trial.expected // self.per_call
        if not sure:
            # Only some tasks are asked at all.
            self.trial.certain = min(1.0, rows / self.per_call / self.trial.expected)
        attempts = range(max(1, sure))
        calls = spread([(task, attempt) for task in tasks for attempt in attempts], tree, seed)
        # The root has few of the run's samples: its calls come last.
        return [*calls, *((tree.root, attempt) for attempt in attempts)][: math.ceil(rows / self.per_call)]

    def _next(self, waiting: list[Call], before: int) -> list[Call]:
        """Return as many of the `waiting` calls as can be paid with their checks; `before` calls were made earlier.

        First half of them: what repairs and checks they really took says how many of the others can be paid.
        """
        left, written = self.trial.calls - _asked(self.job), self.job.watch.calls_planned
        if written:
            number = int(left / max(1.0, (_asked(self.job) - before) / written))
        else:
            number = math.ceil(left / (1 + self.checks * self.per_call) / 2) if left > self.checks else 0
        taken = waiting[:number]
        del waiting[:number]
        return taken


def spread(calls: Sequence[tuple[Task, int]], tree: TaskTree, seed: int) -> list[tuple[Task, int]]:
    """Return the calls in an order that takes each branch in turn; within a branch, an attempt of each task in turn."""
    branches: dict[tuple[str, ...], list[tuple[Task, int]]] = {}
    for call in calls:
        branches.setdefault(tree.path(call[0].id)[1:2], []).append(call)
    rng = random.Random(seed)
    for group in branches.values():
        rng.shuffle(group)
        group.sort(key=lambda call: call[1])
    turns = zip_longest(*branches.values())
    return [call for call in chain.from_iterable(turns) if call is not None]


def measured(kept: Iterable[Row], dropped: Iterable[Row], per_call: int) -> Measured:
    """Return what the calls gave that were asked for `per_call` samples each; what was never checked is left out."""
    good: Counter[Any] = Counter()
    unasked: Counter[Any] = Counter()
    candidates = free = 0
    for row in chain(kept, dropped):
        origin, verdict = row["meta"]["generate"], row.get("dropped", {"stage": "quota", "reason": ""})
        call = origin["task_id"], origin["attempt"]
        # What its task no longer needed was good all the same.
        good[call] += verdict["stage"] == "quota"
        unasked[call] += verdict["reason"] in UNASKED
        candidates += bool(row["messages"])
        free += verdict["stage"] in FILTERS
    tried = {call: max(good[call], per_call - unasked[call]) for call in good}
    calls = tuple((count, good[call]) for call, count in tried.items() if count > 0)
    return Measured(calls, 1 - free / candidates if candidates else 0.0)


def varied(rows: Sequence[Row], kind: Callable[[Row], Any], count: int) -> Iterator[Row]:
    """Yield at most `count` of the rows, one of each kind before a second of any."""
    kinds: dict[Any, list[Row]] = {}
    for row in rows:
        kinds.setdefault(kind(row), []).append(row)
    turns = chain.from_iterable(zip_longest(*kinds.values()))
    yield from [row for row in turns if row is not None][:count]
