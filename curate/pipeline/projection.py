"""What a run will take by what a few of its calls gave: yield, calls, tokens, money and time, with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.pipeline.plan import LEAST_GOOD, Past, Plan, estimated, named_models

if TYPE_CHECKING:
    from curate.pipeline.explore import Options
    from curate.pipeline.setup import Setup

QUANTILE = 1.6449
"""Of the normal distribution, for an interval that is to hold the truth nine times of ten."""

ENOUGH = 3
"""Calls of a stage from which their mean number of tokens is better than the rule of thumb."""


class Interval(NamedTuple):
    """A value and its 90 % interval."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """Return value, low and high."""
        return self._asdict()


@dataclass(frozen=True)
class Measured:
    """What calls that write samples gave: of each one, how many it was asked for and how many of them are good.

    A lost call was asked too. `passing` is the share of candidates that the free filters let through to paid checks.
    """

    calls: tuple[tuple[int, int], ...]
    passing: float

    @property
    def asked(self) -> int:
        """The samples that all calls were asked for."""
        return sum(asked for asked, _ in self.calls)

    @property
    def good(self) -> int:
        """The samples that every filter let through."""
        return sum(good for _, good in self.calls)


@dataclass
class Projection:
    """What is still to be made of a run, from its latest calls on. Intervals are of 90 %.

    `rate` is the share of a call's asked samples that is accepted. `calls`, `tokens` (in and out), `cost` (US dollars,
    None where a price is unknown) and `seconds` are of what is left to ask; `at_a_time` requests are out, 0 for a model
    that has no limit. The intervals are those of the yield, nothing else.
    """

    rows: int
    tasks: int
    per_call: Interval
    rate: Interval
    calls: Interval
    tokens: Interval
    cost: Interval | None
    seconds: Interval
    at_a_time: int
    free: bool = False
    plan: Plan | None = None
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the projection as JSON values."""
        return {
            "rows": self.rows,
            "tasks": self.tasks,
            "rows_per_call": self.per_call.as_json(),
            "yield": self.rate.as_json(),
            "calls": self.calls.as_json(),
            "tokens": self.tokens.as_json(),
            "cost_usd": self.cost.as_json() if self.cost else None,
            "seconds": self.seconds.as_json(),
            "at_a_time": self.at_a_time,
            "notes": self.notes,
        }


def share_of(calls: Sequence[tuple[int, int]]) -> Interval:
    """Return the share of samples that are good, by how many each call was asked for and how many of them are good.

    Wilson's score interval (1927) of a share, for as many independent samples as the calls are worth: the samples of a
    call have prompt and task in common, so their number is divided by the design effect (Kish 1965), the variance
    between calls over that of independent samples. One call alone says nothing of it, and counts as one sample.
    """
    total = sum(asked for asked, _ in calls)
    share = sum(good for _, good in calls) / total
    size = total / len(calls)
    effect = size
    if len(calls) > 1:
        apart = sum((good - share * asked) ** 2 for asked, good in calls) / (len(calls) - 1)
        usual = size * share * (1 - share)
        effect = min(size, max(1.0, apart / usual)) if usual else 1.0
    n, z2 = total / effect, QUANTILE**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = QUANTILE * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Interval(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))


def project(
    setup: Setup, options: Options, measured: Measured, *, at_a_time: int = 0, seconds_each: float = 0.0
) -> Projection | None:
    """Return what is left of the run that `options` ask for, if its calls go on as the measured ones did.

    `at_a_time` is how many requests are out at a time; where it is 0, each call takes `seconds_each`. None where
    nothing good was measured.
    """
    from curate.models.ledger_view import read_totals, read_usage

    if not measured.good or setup.domain is None:
        return None
    asked = setup.domain.generate.per_call
    rate = share_of(measured.calls)
    ledger = setup.out / "calls.sqlite"
    models = named_models(setup)
    basis = f"the {len(measured.calls):,} calls that wrote samples"
    past = Past(basis, read_totals(ledger), passing=measured.passing, enough=ENOUGH)
    # The fewest calls belong to the highest yield.
    value, most, least = (
        estimated(setup, options, models, replace(past, good=max(share * asked, LEAST_GOOD), notes=[]))
        for share in (rate.value, rate.low, rate.high)
    )
    plans = (value, least, most)
    latency: dict[str, float] = {}
    for usage in read_usage(ledger):
        latency[usage.stage] = usage.seconds / usage.calls if usage.calls else 0.0

    def seconds(plan: Plan) -> float:
        if not at_a_time:
            return plan.left * seconds_each
        usual = max(latency.values(), default=0.0)
        return sum(step.left * latency.get(step.stage, usual) for step in plan.steps) / at_a_time

    costs = [plan.cost for plan in plans if plan.cost is not None]
    return Projection(
        rows=options.rows,
        tasks=value.tasks,
        per_call=Interval(*(share * asked for share in rate)),
        rate=rate,
        calls=Interval(*(plan.left for plan in plans)),
        tokens=Interval(*(sum(plan.tokens) for plan in plans)),
        cost=Interval(*costs) if len(costs) == len(plans) else None,
        seconds=Interval(*(seconds(plan) for plan in plans)),
        at_a_time=at_a_time,
        free=value.free,
        plan=value,
        notes=value.notes,
    )
