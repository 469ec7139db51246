"""Runs replayed with teachers whose knowledge is known: what was forecast at a call against what then came.

A teacher is a distribution over what it can write, one for each task or one for all. A replay asks it through the real
planners of calls, `Sweeps` and `Quotas`, and decides by identity what is new, in place of texts and their comparison;
so thousands of forecasts take seconds. `scripts/bench_forecast.py` adds whole runs through the real loop.
"""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from curate.generate.quotas import Quotas
from curate.generate.sweeps import NO_LIMIT, Sweeps
from curate.measure.forecast import Forecast, forecast
from curate.measure.novelty import CallYield, Tally
from curate.types import Task

PER_CALL = 5
SATURATION = 3

Draw = Callable[[random.Random, int], Hashable]
"""Writes one sample for the task of this number; equal values are near-duplicates."""


def pool(size: float, spread: float = 0.0) -> Callable[[int], Draw]:
    """A store of equally likely samples for each task; sizes are log-normal with this spread."""

    def teacher(seed: int) -> Draw:
        sizes: dict[int, int] = {}

        def draw(rng: random.Random, task: int) -> Hashable:
            if task not in sizes:
                sizes[task] = max(3, int(size * math.exp(random.Random(f"{seed}/{task}").gauss(0, spread))))
            return task, rng.randrange(sizes[task])

        return draw

    return teacher


def zipf(size: int, power: float, *, shared: bool = False, head: int = 0) -> Callable[[int], Draw]:
    """Frequencies by a power law, for each task or shared by all; without its first `head` ranks."""
    weights = list(accumulate((rank + head) ** -power for rank in range(1, size + 1)))

    def teacher(seed: int) -> Draw:
        def draw(rng: random.Random, task: int) -> Hashable:
            place = bisect.bisect(weights, rng.random() * weights[-1])
            return (0 if shared else task), place

        return draw

    return teacher


def habits(share: float, stock: int, rest: Callable[[int], Draw] | None = None) -> Callable[[int], Draw]:
    """A share of samples from a small stock of each task; the others are new for ever, or those of another teacher."""

    def teacher(seed: int) -> Draw:
        other = rest(seed) if rest else None

        def draw(rng: random.Random, task: int) -> Hashable:
            if rng.random() < share:
                return task, -rng.randrange(1, stock + 1)
            return other(rng, task) if other else rng.random()

        return draw

    return teacher


def uneven(*teachers: Callable[[int], Draw]) -> Callable[[int], Draw]:
    """Tasks that are not alike: each teacher serves every so many-th one."""

    def teacher(seed: int) -> Draw:
        draws = [each(seed) for each in teachers]
        return lambda rng, task: draws[task % len(draws)](rng, task)

    return teacher


def cells(templates: int, steps: int) -> Callable[[int], Draw]:
    """Templates with two numbers: those whose numbers nearly agree are copies."""

    def draw(rng: random.Random, task: int) -> Hashable:
        return task, rng.randrange(templates), int(rng.random() * steps), int(rng.random() * steps)

    return lambda seed: draw


@dataclass(frozen=True)
class Regime:
    """A teacher, and how its calls go wrong: shares of calls lost or stuck on one sample, of samples that fail."""

    name: str
    teacher: Callable[[int], Draw]
    lost: float = 0.0
    stuck: float = 0.0
    fails: float = 0.0


REGIMES = (
    Regime("hardly a repeat", habits(0.02, 5)),
    Regime("habits in two of five", habits(0.4, 5)),
    Regime("habits, lost and stuck calls", habits(0.1, 5), lost=0.05, stuck=0.2),
    Regime("small stores", pool(60)),
    Regime("large stores", pool(400)),
    Regime("uneven stores", pool(120, 1.0)),
    Regime("uneven stores, failing checks", pool(120, 1.0), fails=0.3),
    Regime("deep and shallow tasks", uneven(pool(30), zipf(3000, 0.8))),
    Regime("Zipf 0.8 of all tasks", zipf(5000, 0.8, shared=True), lost=0.03),
    Regime("Zipf 1 of all tasks", zipf(50000, 1.0, shared=True)),
    Regime("Zipf 1", zipf(3000, 1.0)),
    Regime("Zipf 1.1, stuck calls", zipf(5000, 1.1), stuck=0.3),
    Regime("Zipf 1.3", zipf(10000, 1.3)),
    Regime("Zipf 1.6", zipf(10000, 1.6)),
    Regime("Zipf-Mandelbrot, failing checks", zipf(4000, 1.5, head=30), fails=0.25),
    Regime("habits beside Zipf 1.5", habits(0.3, 8, zipf(20000, 1.5, head=5))),
    Regime("templates with numbers", cells(6, 12)),
)


@dataclass
class Replay:
    """The calls of a run in their order, and after which of them each task was retired."""

    calls: list[CallYield] = field(default_factory=list)
    retired: dict[str, int] = field(default_factory=dict)


class _Asked:
    """One teacher under way: what it wrote so far, by everybody's order."""

    def __init__(self, regime: Regime, seed: int) -> None:
        self.regime = regime
        self.seed = seed
        self.draw = regime.teacher(seed)
        self.settled: set[Hashable] = set()
        self.fresh: set[Hashable] = set()

    def call(self, number: int, task: Task, attempt: int, round_number: int) -> CallYield:
        """Ask once; what the round under way accepted is compared after the checks, as in the loop."""
        regime, rng = self.regime, random.Random(f"{self.seed}/{number}/{attempt}")
        tally = Tally()
        done = CallYield(task.id, attempt, round_number, tally)
        if rng.random() < regime.lost:
            return done
        written = [self.draw(rng, number) for _ in range(PER_CALL)]
        if rng.random() < regime.stuck:
            written = written[:1] * PER_CALL
        # Drawn for every sample, so that a longer run finds the same ones wrong.
        wrong = [rng.random() < regime.fails for _ in written]
        for sample, fails in zip(written, wrong, strict=True):
            if sample in self.settled:
                tally.early += 1
            elif fails:
                tally.failed += 1
            elif sample in self.fresh:
                tally.late += 1
            else:
                self.fresh.add(sample)
                tally.new += 1
        return done


def replay(regime: Regime, tasks: int, seed: int, *, calls: int = 10**9, rows: int = 0) -> Replay:
    """Return a run of so many calls by sweeps, or, with `rows`, one to so many rows by quotas."""
    asked, made = _Asked(regime, seed), Replay()
    numbers = {f"t{number:03}": number for number in range(tasks)}
    of = [Task(name, name) for name in numbers]
    planner = Quotas(of, rows, PER_CALL, SATURATION) if rows else Sweeps(of, NO_LIMIT, PER_CALL, SATURATION)
    round_number = 0
    while len(made.calls) < calls and planner.accepted < planner.rows and (plan := planner.calls()):
        round_number += 1
        for task, attempt in plan:
            call = asked.call(numbers[task.id], task, attempt, round_number)
            made.calls.append(call)
            planner.accounts[task.id].accepted += call.tally.new
            planner.settle(task.id, call.tally.judged, call.tally.new)
        asked.settled |= asked.fresh
        asked.fresh.clear()
        made.retired |= dict.fromkeys(planner.retire(), len(made.calls))
    return made


@dataclass(frozen=True)
class Outcome:
    """A forecast and what came."""

    regime: str
    tasks: int
    cut: int
    forecast: Forecast
    rows: int

    @property
    def within(self) -> bool:
        """Did the interval hold it?"""
        return self.forecast.low <= self.rows <= self.forecast.high


CUTS = (30, 60, 120, 250, 500, 1000)


def outcomes_of(made: Replay, regime: str, tasks: int, cuts: Sequence[int] = CUTS) -> Iterator[Outcome]:
    """Yield what would have been forecast at each cut of a run, and what its next calls gave."""
    for cut in cuts:
        retired = {task for task, after in made.retired.items() if after <= cut}
        told = forecast(made.calls[:cut], retired=retired)
        if told and cut + told.calls <= len(made.calls):
            came = sum(call.tally.new for call in made.calls[cut : cut + told.calls])
            yield Outcome(regime, tasks, cut, told, came)


def swept(regime: Regime, tasks: int, seed: int, cuts: Sequence[int] = CUTS) -> Iterator[Outcome]:
    """Yield the outcomes of a run that ends by its novelty, cut at many of its calls."""
    most = {1: 500, 12: 800}.get(tasks, 2400)
    yield from outcomes_of(replay(regime, tasks, seed, calls=min(most, 2 * max(cuts))), regime.name, tasks, cuts)


def continued(regime: Regime, tasks: int, seed: int, rows: Sequence[int] = (250, 600, 1500)) -> Iterator[Outcome]:
    """Yield the outcomes of runs to so many rows, each continued to half as many more."""
    for number in rows:
        run = replay(regime, tasks, seed, rows=number)
        more = replay(regime, tasks, seed, rows=number * 3 // 2)
        extra = len(more.calls) - len(run.calls)
        told = forecast(run.calls, retired=run.retired, horizon=extra) if extra > 0 else None
        # Where tasks ran dry, the longer run may not have asked for what the shorter one did.
        if told and told.calls == extra:
            came = sum(call.tally.new for call in more.calls) - sum(call.tally.new for call in run.calls)
            yield Outcome(regime.name, tasks, len(run.calls), told, came)
