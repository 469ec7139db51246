"""What the next calls of a run will add: a 90 % interval, from the yields of the calls it has made.

A teacher draws from what it knows, and the more of that stands, the more often a draw meets what stands. The chance
that a good candidate is new, after n of them of which k were new, is modelled as

    p(n, k) = f + (1 - f) * (theta + sigma * k') / (theta + n'),    n' = (1 - f) n,    k' = k - f n

that is, a share f of the draws never repeats, and the others follow the two-parameter urn of Pitman and Yor (1997,
"The two-parameter Poisson-Dirichlet distribution", equation 11; for the forecast of new species by it see Lijoi, Mena
and Prünster 2007). sigma from 0 to 1 is a teacher whose favourites follow a power law (Zipf), 0 one with logarithmic
growth, and below 0 one with a finite store of theta / -sigma samples: the lower, the more equal their chances.

Two clocks are tried, since nobody knows what repeats what: in one a candidate meets all candidates before it, in the
other those of its own task only. The posterior over clocks and parameters is taken on a grid, from blocks of calls with
their counts' dispersion; each draw from it is played on, call by call, with as many good candidates in a call as recent
calls had. No model of this kind is exact: the log-odds of p get a common error of `DISCREPANCY`, which is set so that
intervals cover nine tenths of what replayed runs then added (scripts/bench_forecast.py).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from curate.measure.novelty import CallYield

Floats = NDArray[np.float64]

HORIZON = 1000
"""Calls that a forecast looks ahead at most; never more than have been made: nothing is known of what lies beyond."""

LEAST = 20
"""Calls below which nothing is forecast."""

SIGMAS = {-300.0: 5.0, -8.0: 2.0, -2.0: 1.0, -0.7: 1.0, -0.2: 1.0, 0.0: 1.0, 0.15: 1.0, 0.3: 1.0, 0.45: 1.0, 0.6: 1.0,
          0.75: 1.0, 0.87: 1.0, 0.95: 1.0, 0.99: 1.0}  # fmt: skip
"""The grid of sigma with its prior weights. A store of equal chances is an end of the family, and needs weight."""

FLOORS = {0.0: 16.0, 0.05: 1.0, 0.1: 1.0, 0.2: 1.0, 0.35: 1.0, 0.5: 1.0, 0.7: 1.0, 0.85: 1.0, 0.95: 1.0}
"""The grid of f with its prior weights."""

THETAS = 16
"""Values of theta tried with each sigma, or of the store's size; evenly spaced in their logarithm."""

BLOCKS = 40
"""Blocks of calls whose counts are fitted."""

DRAWS = 1000
"""Futures that are played."""

STEPS = 30
"""Steps in which one is played at most."""

RECENT = 50
"""Calls of which the number of good candidates in a call is taken at least; else the later half of all."""

DISCREPANCY = 0.12
"""Standard deviation of the model's own error, in log-odds of p."""


@dataclass(frozen=True)
class Forecast:
    """The next `calls` calls will add from `low` to `high` rows nine times in ten, and `rows` at the median.

    Rows are samples that every filter lets through; a run that wants fewer keeps fewer.
    """

    calls: int
    low: int
    high: int
    rows: int

    def as_json(self) -> dict[str, Any]:
        """Return the forecast as JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        span = f"{self.low:,}–{self.high:,}" if self.low < self.high else f"{self.low:,}"
        return f"the next {self.calls:,} calls will add {span} rows"


def forecast(
    calls: Sequence[CallYield], *, retired: Collection[str] = (), horizon: int | None = None, seed: int = 0
) -> Forecast | None:
    """Return the forecast after `calls`, in their order; None where they are too few or every task is `retired`.

    `horizon` is HORIZON unless given; it is cut to the calls that the living tasks have had, to a round number.
    """
    living = [call for call in calls if call.task_id not in retired]
    if len(living) < LEAST:
        return None
    good, new = _counts(living)
    if not good.any():
        return None
    ahead = min(horizon or HORIZON, _rounded(len(living)))
    rng = np.random.default_rng(seed)
    tasks = {name: number for number, name in enumerate(dict.fromkeys(call.task_id for call in living))}
    clocks = [_Clock(np.arange(len(living)), good, new, 1)]
    if len(tasks) > 1:
        turns = _turns([tasks[call.task_id] for call in living])
        clocks.append(_Clock(turns, good, new, len(tasks)))
    phi = max(clocks, key=lambda clock: float(clock.likelihood.max())).dispersion()
    added = _played(clocks, phi, good[-max(RECENT, len(good) // 2) :], ahead, rng)
    low, middle, high = np.quantile(added, [0.05, 0.5, 0.95])
    return Forecast(ahead, int(np.floor(low)), int(np.ceil(high)), round(float(middle)))


def _counts(calls: Sequence[CallYield]) -> tuple[Floats, Floats]:
    """Return each call's good candidates, and how many of them were new.

    Of the repeats found before the checks, as many count as good as pass the checks among the others.
    """
    new = np.array([call.tally.new for call in calls], dtype=np.float64)
    late = np.array([call.tally.late for call in calls], dtype=np.float64)
    early = np.array([call.tally.early for call in calls], dtype=np.float64)
    failed = sum(call.tally.failed for call in calls)
    passed = float((new + late).sum())
    return new + late + early * (passed / (passed + failed) if passed else 1.0), new


def _turns(tasks: Sequence[int]) -> NDArray[np.int64]:
    """Return of each call how many calls its task had before it."""
    seen: dict[int, int] = {}
    turns = []
    for task in tasks:
        turns.append(seen.get(task, 0))
        seen[task] = turns[-1] + 1
    return np.array(turns)


def _rounded(number: int) -> int:
    """Return the largest of 10, 20, 50, 100, 200, ... that is not above `number`."""
    power = int(10 ** (len(str(number)) - 1))
    return max(step * power for step in (1, 2, 5) if step * power <= number)


def _chance(grid: Floats, n: Floats, k: Floats) -> Floats:
    """Return p(n, k) for each row (sigma, theta, f) of `grid`, shape (3, ...)."""
    sigma, theta, floor = grid
    rest = 1 - floor
    share = np.maximum(theta + sigma * np.maximum(k - floor * n, 0), 0) / (theta + rest * n)
    chance: Floats = np.clip(floor + rest * share, 1e-6, 1 - 1e-6)
    return chance


class _Clock:
    """The urn on one clock: calls of equal `places` happen at the same time, to `stores` stores side by side."""

    def __init__(self, places: NDArray[np.int64], good: Floats, new: Floats, stores: int) -> None:
        self.stores = stores
        self.n, self.k = float(good.sum()) / stores, float(new.sum()) / stores
        moments = int(places.max()) + 1
        width = np.bincount(places, minlength=moments)
        all_good, all_new = np.bincount(places, good, moments), np.bincount(places, new, moments)
        # What one store met in each moment, in the mean over those that were asked.
        each_good, each_new = all_good / width, all_new / width
        starts = np.unique(np.linspace(0, moments, min(BLOCKS, moments) + 1).astype(int))[:-1]
        block_good, block_new = np.add.reduceat(each_good, starts), np.add.reduceat(each_new, starts)
        self.n_then = (np.cumsum(each_good) - each_good)[starts] + block_good / 2
        self.k_then = (np.cumsum(each_new) - each_new)[starts] + block_new / 2
        self.good, self.new = np.add.reduceat(all_good, starts), np.add.reduceat(all_new, starts)
        self.grid, self.prior = self._grid()
        chance = _chance(self.grid[:, :, None], self.n_then[None], self.k_then[None])
        self.likelihood = (self.new * np.log(chance) + (self.good - self.new) * np.log1p(-chance)).sum(axis=1)

    def _grid(self) -> tuple[Floats, Floats]:
        """Return the grid, shape (3, points), and the logarithm of each point's prior weight."""
        points, weights = [], []
        sizes = np.geomspace(0.5, max(10.0, 30 * self.n), THETAS)
        stores = self.k + np.geomspace(max(0.5, 0.005 * self.k), max(10.0, 30 * self.n), THETAS)
        for sigma, weight in SIGMAS.items():
            for theta in sizes if sigma >= 0 else -sigma * stores:
                points += [(sigma, theta, floor) for floor in FLOORS]
                weights += [weight * more for more in FLOORS.values()]
        return np.array(points).T, np.log(np.array(weights))

    def dispersion(self) -> float:
        """Return Pearson's chi-square of the blocks per degree of freedom at the best fit; 1 at least."""
        best = self.grid[:, int(self.likelihood.argmax())]
        chance = _chance(best[:, None], self.n_then, self.k_then)
        expected = self.good * chance
        squares = (self.new - expected) ** 2 / (expected * (1 - chance) + 0.1)
        return max(1.0, float(squares.sum()) / max(1, len(self.good) - len(best)))


def _played(clocks: Sequence[_Clock], phi: float, recent: Floats, ahead: int, rng: np.random.Generator) -> Floats:
    """Return what `ahead` calls add in each of DRAWS futures, with as many good candidates in a call as `recent`."""
    weights = np.concatenate([clock.likelihood / phi + clock.prior for clock in clocks])
    weights = np.exp(weights - weights.max())
    picks = rng.choice(len(weights), size=DRAWS, p=weights / weights.sum())
    grid = np.concatenate([clock.grid for clock in clocks], axis=1)[:, picks]
    of = np.repeat(np.arange(len(clocks)), [len(clock.prior) for clock in clocks])[picks]
    n = np.array([clock.n for clock in clocks])[of]
    k = np.array([clock.k for clock in clocks])[of]
    stores = np.array([clock.stores for clock in clocks])[of]
    error = rng.normal(0, DISCREPANCY, DRAWS)
    sizes, seen = np.unique(recent, return_counts=True)
    added = np.zeros(DRAWS)
    for step in np.diff(np.linspace(0, ahead, min(ahead, STEPS) + 1).astype(int)):
        good = np.rint(rng.multinomial(step, seen / len(recent), size=DRAWS) @ sizes).astype(int)
        # The chance falls while a step goes on: the one in its middle is taken.
        chance = _chance(grid, n, k)
        chance = _chance(grid, n + good / stores / 2, k + good * chance / stores / 2)
        chance = 1 / (1 + (1 - chance) / chance * np.exp(-error))
        if phi > 1:
            chance = _overdispersed(chance, phi, good, rng)
        brought = rng.binomial(good, chance)
        added += brought
        n, k = n + good / stores, k + brought / stores
    return added


def _overdispersed(chance: Floats, phi: float, good: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Return chances from the beta distribution that makes a count of `good` vary `phi` times as a binomial one."""
    inner = np.clip((phi - 1) / np.maximum(good - 1, 1), 1e-6, 0.9)
    size = 1 / inner - 1
    return np.asarray(rng.beta(np.maximum(chance * size, 1e-3), np.maximum((1 - chance) * size, 1e-3)))
