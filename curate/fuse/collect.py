"""`curate fuse collect`: several responses of each model to every prompt, checked by rule and scored.

The folder holds the ledger of all calls; its other files (see `folder.py`) are made from that and from the prompts.
Running again asks only what was not asked; another model, more samples or another scorer are added the same way.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import InputError, without_credentials
from curate.fuse.folder import COLLECTED, DROPPED, PROMPTS, SCORES, VERDICTS, read_prompts_of, with_prompts
from curate.fuse.plan import Plan, Survey, plan
from curate.fuse.prompts import read_prompts
from curate.fuse.sample import Stopped, Tick, open_sources, sample
from curate.fuse.scores import Checked, by_judge, by_reward
from curate.fuse.sources import Source, check_sampling, check_sources
from curate.fuse.tally import ModelTally, count
from curate.fuse.verdicts import check_sandbox, verdicts
from curate.io import atomic, read_jsonl, write_jsonl
from curate.io.files import to_line
from curate.run import RunDirectory

if TYPE_CHECKING:
    from curate.models import Budget, Engine, Ledger, Model
    from curate.pipeline.watch import Watch

Phase = Callable[[str, str], None]
"""Told which part begins, and what is counted in it."""


@dataclass(frozen=True)
class Options:
    """What one invocation asks for. `reward` and `judge` are specs, at most one of them; budgets count all that the
    folder's ledger has ever spent."""

    sources: tuple[Source, ...]
    out: Path
    reward: str | None = None
    judge: str | None = None
    math_suffix: str = ""
    seed: int = 0
    budget_calls: int | None = None
    budget_tokens: int | None = None
    budget_usd: float | None = None


@dataclass
class Collected:
    """What a collection has come to. `stopped` is "" where it is whole, else "budget" or "stopped".

    `models` holds the counts of each model in the order they were given; `transient` counts calls and grades that
    failed and that the same command asks for again.
    """

    source: str
    out: Path
    plan: Plan
    rows: int
    models: list[ModelTally] = field(default_factory=list)
    scorer: str | None = None
    transient: int = 0
    stopped: str = ""
    calls: int = 0
    cost: float | None = 0.0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """3 where the same command would bring more, else 0."""
        return 3 if self.stopped or self.transient else 0

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "source": self.source,
            "out": str(self.out),
            "in": self.rows,
            "prompts": self.plan.prompts,
            "dropped": self.plan.dropped,
            "models": [one.as_json() for one in self.models],
            "scorer": self.scorer,
            "failed_may_come": self.transient,
            "stopped": self.stopped,
            "plan": self.plan.as_json(),
            "calls": self.calls,
            "cost_usd": self.cost,
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
        }


def collect(
    source: str | Path,
    options: Options,
    *,
    tick: Tick = lambda done, total: None,
    phase: Phase = lambda name, unit: None,
    planned: Callable[[Plan], None] = lambda plan: None,
) -> Collected:
    """Collect responses to the prompts of `source` into the folder `options.out`.

    `planned` is shown what it will take before anything is asked.

    Raises:
        InputError: a value, a file or a model that cannot be used; nothing was asked of a model yet.
        ModelError: a model stopped the collection; what was paid for is kept.
    """
    from curate.pipeline.watch import Watch

    began = time.monotonic()
    models, judge, found = _opened(source, options, tick, phase)
    job = _Job(options, models, judge, found, tick, phase, Watch())
    made = Collected(str(source), options.out, plan(found, models, judge, options.out / "calls.sqlite"), found.rows)
    planned(made.plan)
    with _reward(options.reward, phase) as reward, RunDirectory(options.out) as run:
        (run.path / COLLECTED).unlink(missing_ok=True)
        _write_prompts(source, options)
        try:
            job.run(run, reward, made)
        except Stopped as stop:
            made.stopped = str(stop)
    made.notes += job.watch.notes
    made.seconds = time.monotonic() - began
    return made


def estimate(source: str | Path, options: Options) -> Plan:
    """Return what `collect` would take. Raises InputError for what can be known before anything is asked."""
    models, judge, found = _opened(source, options, lambda done, total: None, lambda name, unit: None)
    return plan(found, models, judge, options.out / "calls.sqlite")


def _opened(
    source: str | Path, options: Options, tick: Tick, phase: Phase
) -> tuple[dict[Source, Model], Model | None, Survey]:
    from curate.models import open_model

    _check(options)
    models = open_sources(options.sources)
    judge = open_model("judge", options.judge) if options.judge else None
    phase("reading", "prompts")
    return models, judge, _survey(source, options, tick)


def _check(options: Options) -> None:
    check_sources(options.sources)
    for source in options.sources:
        check_sampling(source.sampling, f"--{source.role} {without_credentials(source.spec)}")
    if options.reward and options.judge:
        raise InputError("--reward and --judge both score the responses; give one of the two")


def _survey(source: str | Path, options: Options, tick: Tick) -> Survey:
    """Read all prompts once. What is wrong with them is found here, before anything is paid."""
    dropped: Counter[str] = Counter()
    checks: Counter[str] = Counter()
    calls = dict.fromkeys(options.sources, 0)
    rows = characters = 0
    for rows, (prompt, reason) in enumerate(read_prompts(source, options.math_suffix), 1):
        if reason:
            dropped[reason] += 1
        else:
            checks[prompt.check.kind] += 1
            characters += sum(len(turn["content"]) for turn in prompt.messages)
            for model in calls:
                calls[model] += model.calls(prompt.id)
        tick(rows, None)
    if not checks:
        raise InputError(f"{source}: there are no prompts in it")
    if checks["code"]:
        check_sandbox()
    return Survey(rows, dropped, checks, characters / sum(checks.values()), calls)


def _write_prompts(source: str | Path, options: Options) -> None:
    with atomic(options.out / PROMPTS) as kept, atomic(options.out / DROPPED) as dropped:
        for prompt, reason in read_prompts(source, options.math_suffix):
            if reason:
                dropped.write(to_line({**prompt.as_json(), "dropped": {"stage": "prompts", "reason": reason}}))
            else:
                kept.write(to_line(prompt.as_json()))


@contextmanager
def _reward(spec: str | None, phase: Phase) -> Iterator[Any]:
    """Load the reward model, if there is one: what is wrong with it is said before anything is paid."""
    if spec is None:
        yield None
        return
    from curate.fuse.rewards import open_reward

    phase("loading the reward model", "")
    model = open_reward(spec)
    try:
        yield model
    finally:
        model.close()


@dataclass
class _Job:
    """The steps of one invocation."""

    options: Options
    models: Mapping[Source, Model]
    judge: Model | None
    found: Survey
    tick: Tick
    phase: Phase
    watch: Watch

    def run(self, run: RunDirectory, reward: Any, made: Collected) -> None:
        """Sample, check, score and count. Raises Stopped."""
        from curate.models import Ledger

        folder, options = run.path, self.options
        with Ledger(run.ledger) as ledger:
            engines: list[Engine] = []
            try:
                self.phase("sampling", "responses")
                made.transient = sample(
                    lambda: read_prompts_of(folder), self.total, self.models, folder,
                    lambda models: self._engine(models, ledger, engines), seed=options.seed, tick=self.tick,
                )  # fmt: skip
                self.phase("checking", "responses")
                write_jsonl(folder / VERDICTS, self._ticked(verdicts(with_prompts(folder), ledger)))
                made.scorer = self._score(folder, ledger, reward, engines)
            finally:
                stats = [engine.stats() for engine in engines]
                made.calls = sum(one.calls for one in stats)
                costs = [one.cost for one in stats]
                made.cost = None if None in costs else sum(cost for cost in costs if cost is not None)
        made.models = count(folder, made.scorer is not None)
        made.transient += sum(one.unscored_for_now for one in made.models)
        self._close(folder, made)

    @property
    def total(self) -> int:
        """Responses of all models."""
        return sum(self.found.calls.values())

    def _ticked(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for done, row in enumerate(rows, 1):
            self.tick(done, self.total)
            yield row

    @contextmanager
    def _engine(self, models: Mapping[str, Model], ledger: Ledger, opened: list[Engine]) -> Iterator[Engine]:
        from curate.models import Engine
        from curate.pipeline.interrupt import stop_on_interrupt

        with Engine(models, ledger, self._budget(), seed=self.options.seed) as engine:
            opened.append(engine)
            with stop_on_interrupt(engine, self.watch):
                yield engine

    def _budget(self) -> Budget:
        from curate.models import Budget

        return Budget(self.options.budget_calls, self.options.budget_tokens, self.options.budget_usd)

    def _score(self, folder: Path, ledger: Ledger, reward: Any, engines: list[Engine]) -> str | None:
        """Write scores.jsonl and return who scored, or None where nobody does. Raises Stopped."""
        if reward is None and self.judge is None:
            (folder / SCORES).unlink(missing_ok=True)
            return None
        self.phase("scoring", "responses")
        if reward is not None:
            write_jsonl(folder / SCORES, by_reward(_checked(folder), reward, ledger, self.tick, self.total))
            return str(reward.name)
        assert self.judge is not None
        stopped = None
        with self._engine({"judge": self.judge}, ledger, engines) as engine:
            try:
                rows = by_judge(_checked(folder), engine, self.judge.name, self.tick, self.total)
                write_jsonl(folder / SCORES, rows)
            except Stopped as stop:  # kept from the engine, which would not wait for what is out
                stopped = stop
        if stopped is not None:
            raise stopped
        return self.judge.name

    def _close(self, folder: Path, made: Collected) -> None:
        """Write down that the collection is whole; of nothing that differs from one invocation to the next.

        Raises:
            InputError: no response has a score.
        """
        useful = sum(one.useful for one in made.models)
        if made.scorer and useful and not sum(one.scored for one in made.models):
            why = next(row["why"] for row in read_jsonl(folder / SCORES) if row["why"] not in ("error", "timeout"))
            raise InputError(
                f"{made.scorer}: none of {useful:,} responses got a score ({why}); give another --reward or --judge"
            )
        settings = {
            "source": made.source,
            "models": [source.as_json() for source in self.models],
            "scorer": made.scorer,
            "math_suffix": self.options.math_suffix,
            "seed": self.options.seed,
        }
        with atomic(folder / COLLECTED) as file:
            value = {
                "settings": settings,
                "in": made.rows,
                "prompts": self.found.prompts,
                "dropped": dict(self.found.dropped),
                "checks": dict(self.found.checks),
                "models": [one.as_json() for one in made.models],
            }
            json.dump(value, file, ensure_ascii=False, indent=1)


def _checked(folder: Path) -> Iterator[Checked]:
    """Yield every response with its prompt and the status of its verdict."""
    for (prompt, row), verdict in zip(with_prompts(folder), read_jsonl(folder / VERDICTS), strict=True):
        yield prompt, row, verdict["status"]
