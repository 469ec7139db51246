"""The forecast: how often its interval holds what came, and where there is none."""

from __future__ import annotations

import pytest
import replays

from curate.measure.forecast import Forecast, forecast
from curate.measure.novelty import CallYield, Tally


def calls(*yields, tasks=1):
    return [CallYield(f"t{number % tasks}", number // tasks, 1, Tally(*given)) for number, given in enumerate(yields)]


def test_nine_intervals_in_ten_hold_what_replayed_runs_then_gave():
    outcomes = []
    for regime in replays.REGIMES:
        outcomes += replays.swept(regime, 12, seed=7, cuts=(40, 90, 150, 240, 400))
        outcomes += replays.continued(regime, 12, seed=1, rows=(200, 450))
    assert len(outcomes) > 90
    assert 0.85 <= sum(outcome.within for outcome in outcomes) / len(outcomes) <= 0.95
    # They say something, too: half of them are narrower than two fifths of what came.
    widths = sorted((o.forecast.high - o.forecast.low) / max(1, o.rows) for o in outcomes)
    assert widths[len(widths) // 2] < 0.4


@pytest.mark.parametrize(("number", "ahead"), [(20, 20), (49, 20), (50, 50), (273, 200), (999, 500), (5000, 1000)])
def test_nothing_is_said_of_more_calls_than_were_made(number, ahead):
    told = forecast(calls(*[(5,)] * number))
    assert told.calls == ahead
    assert told.low > 4.5 * ahead and told.high == 5 * ahead


def test_too_few_calls_calls_that_brought_nothing_and_retired_tasks_give_no_forecast():
    assert forecast(calls(*[(5,)] * 19)) is None
    assert forecast(calls(*[()] * 50)) is None
    many = calls(*[(5,)] * 60, tasks=3)
    assert forecast(many, retired={"t0"}).calls == 20
    assert forecast(many, retired={"t0", "t1", "t2"}) is None


def test_equal_calls_give_an_equal_forecast_and_repeats_lower_it():
    given = [(5 - number // 20, number // 20) for number in range(100)]
    assert forecast(calls(*given)) == forecast(calls(*given))
    falling, even = forecast(calls(*given)), forecast(calls(*[(3, 2)] * 100))
    assert falling.high < even.low


def test_a_call_s_failed_samples_are_no_repeats():
    # Three of five fail; the two others are always new, and will be.
    told = forecast(calls(*[(2, 0, 0, 3)] * 100))
    assert (told.calls, told.high) == (100, 200) and told.low > 190


def test_what_it_says():
    assert str(Forecast(1000, 310, 380, 344)) == "the next 1,000 calls will add 310–380 rows"
    assert str(Forecast(20, 0, 0, 0)) == "the next 20 calls will add 0 rows"
    assert Forecast(1000, 310, 380, 344).as_json() == {"calls": 1000, "low": 310, "high": 380, "rows": 344}
