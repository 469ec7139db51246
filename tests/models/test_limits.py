"""The limits, on a clock of their own: what they let out, and when."""

from __future__ import annotations

import heapq
import math
import random

import pytest

from curate.models.limits import BURST, CEILING, START, Bucket, Concurrency, Gate, Patience


@pytest.mark.parametrize("per_minute", [3, 10, 60, 100, 999, 6000, 100_000])
def test_a_bucket_keeps_every_minute_below_the_allowance_and_uses_nearly_all_of_it(per_minute):
    bucket, now, taken = Bucket(per_minute, 0.0), 0.0, []
    while now < 300:
        wait = bucket.delay(1.0, now)
        if wait:
            now += wait
            continue
        bucket.take(1.0)
        taken.append(now)
    assert all(taken[n + int(per_minute)] - taken[n] > 60 for n in range(len(taken) - int(per_minute)))
    assert len(taken) >= 0.97 * per_minute * 5 - 1


def test_a_refund_lets_the_next_go_at_once_and_a_debt_makes_it_wait():
    bucket = Bucket(6000, 0.0)
    bucket.take(bucket.capacity)
    assert bucket.delay(10, 0.0) == pytest.approx(10 / bucket.rate)
    bucket.take(-10)
    assert bucket.delay(10, 0.0) == 0.0
    bucket.take(1000)
    assert bucket.delay(10, 0.0) == pytest.approx(1000 / bucket.rate)


def test_more_than_the_capacity_goes_when_the_bucket_is_full():
    bucket = Bucket(6000, 0.0)
    assert bucket.capacity == 6000 * BURST and bucket.delay(1000, 0.0) == 0.0


class Server:
    """A simulated server: at most `width` requests at a time are worked on, each takes `latency` seconds."""

    def __init__(self, concurrency: Concurrency, width: float, latency: float = 0.2, sigma: float = 0.0) -> None:
        self.concurrency, self.width, self.latency = concurrency, width, latency
        self.sigma, self.rng = sigma, random.Random(7)
        self.now, self.done = 0.0, 0
        self.events: list[tuple[float, float]] = []
        self.free = [0.0] * int(width) if width < math.inf else None

    def run(self, seconds: float) -> float:
        """Keep as many out as allowed for so many seconds; return replies per second."""
        end, before = self.now + seconds, self.done
        while self.now < end:
            while self.concurrency.out < int(self.concurrency.limit):
                begin = self.now if self.free is None else max(self.now, heapq.heappop(self.free))
                done = begin + self.latency * math.exp(self.sigma * self.rng.gauss(0, 1))
                if self.free is not None:
                    heapq.heappush(self.free, done)
                heapq.heappush(self.events, (done, self.now))
                self.concurrency.enter()
            self.now, sent = heapq.heappop(self.events)
            self.concurrency.leave()
            self.concurrency.succeeded(self.now - sent, self.now)
            self.done += 1
        return (self.done - before) / seconds


def test_concurrency_doubles_each_round_trip_until_its_ceiling():
    concurrency = Concurrency(None)
    server = Server(concurrency, math.inf)
    seen = []
    for _ in range(7):
        seen.append(int(concurrency.limit))
        server.run(0.2)
    assert seen[0] == START and seen[2] in range(2 * START - 4, 2 * START + 2)
    assert concurrency.limit == CEILING


def test_a_given_concurrency_is_start_and_ceiling():
    concurrency = Concurrency(100)
    assert concurrency.limit == 100
    Server(concurrency, math.inf).run(5)
    assert concurrency.limit == 100


@pytest.mark.parametrize("width, sigma", [(20, 0.0), (64, 0.0), (64, 0.5), (150, 1.0)])
def test_a_server_that_only_queues_is_not_flooded_and_is_kept_busy(width, sigma):
    concurrency = Concurrency(None)
    server = Server(concurrency, width, sigma=sigma)
    server.run(20)
    best = width / (0.2 * math.exp(sigma**2 / 2))
    assert server.run(30) > 0.9 * best
    assert concurrency.limit < 4 * max(width, START)


def test_noise_alone_does_not_hold_the_limit_down():
    concurrency = Concurrency(None)
    server = Server(concurrency, math.inf, sigma=1.0)
    server.run(15)
    assert concurrency.limit > 0.7 * CEILING


def test_a_burst_of_refusals_counts_once_and_growth_is_slow_afterwards():
    concurrency = Concurrency(100)
    for _ in range(100):
        concurrency.enter()
    for _ in range(50):
        concurrency.overloaded(1.0, 2.0)
    assert concurrency.limit == pytest.approx(70)
    concurrency.overloaded(2.5, 3.0)
    assert concurrency.limit == pytest.approx(49)
    for _ in range(50):
        concurrency.succeeded(0.1, 4.0)
    assert 49.9 < concurrency.limit < 51


def test_the_limit_never_falls_below_one():
    concurrency = Concurrency(2)
    for second in range(50):
        concurrency.overloaded(second + 0.5, second + 1.0)
    assert int(concurrency.limit) == 1


def gate(**limits) -> Gate:
    return Gate(0.0, **{"concurrency": 10, "rpm": None, "tpm": None, **limits})


def test_a_pause_the_server_asks_for_holds_for_all():
    one = gate()
    one.enter(0)
    one.refused(0, 0.0, 5.0, 1.0)
    assert one.delay(0, 2.0) == pytest.approx(4.0) and one.delay(0, 6.1) == 0.0


def test_tokens_are_estimated_from_what_was_used_and_corrected():
    one = gate(tpm=60_000)
    assert one.estimate(5000) == 5000
    for _ in range(30):
        tokens = one.estimate(5000)
        one.enter(tokens)
        one.answered(tokens, 100.0, 0.2, 0.0)
    assert one.estimate(5000) == pytest.approx(100) and one.estimate(50) == 50
    # 30 x 100 tokens were used of a burst of 600: the debt is what was used and not what was reserved.
    assert one.delay(100, 0.0) == pytest.approx((3000 - 600 + 100) / (60_000 * 0.98 / 60))


def test_an_endpoint_that_fails_in_a_row_is_rested_longer_each_time_and_forgiven_with_a_reply():
    one = gate()
    rests = []
    for _ in range(5):
        one.enter(0)
        one.failed(0, True, 10.0)
        rests.append(one.rest(10.0))
    assert rests == [0.0, 0.0, 1.0, 2.0, 4.0]
    for _ in range(2000):
        one.enter(0)
        one.failed(0, True, 10.0)
    assert one.rest(10.0) == 30.0
    one.enter(0)
    one.answered(0, None, 0.1, 20.0)
    one.enter(0)
    one.failed(0, True, 20.0)
    assert one.rest(20.0) == 0.0


def test_after_a_rest_one_request_at_a_time_finds_out_whether_an_endpoint_is_back():
    one = gate()
    for _ in range(Gate.RESTED_AFTER):
        one.enter(0)
        one.failed(0, True, 10.0)
    assert one.rest(11.5) == 0.0
    one.enter(0)
    assert one.rest(11.5) == math.inf
    one.answered(0, None, 0.1, 11.6)
    one.enter(0)
    assert one.rest(11.7) == 0.0


def test_patience_is_far_longer_than_any_reply_and_never_longer_than_the_timeout():
    patience = Patience(600.0)
    for _ in range(19):
        patience.replied(2.0, 100)
    assert patience.seconds(1000) == 600.0  # too few replies to judge by
    patience.replied(5.0, 100)
    assert patience.seconds(1000) == pytest.approx(3 * 0.05 * 1000)
    assert patience.seconds(10) == 60.0 and patience.seconds(100_000) == 600.0
    assert Patience(5.0).seconds(10) == 5.0


def test_patience_grows_while_nothing_comes_and_shrinks_with_replies():
    patience = Patience(600.0)
    for _ in range(20):
        patience.replied(0.2, 5)
    waited = []
    for _ in range(5):
        waited.append(patience.seconds(64))
        patience.ran_out()
    assert waited == [60.0, 120.0, 240.0, 480.0, 600.0]
    for _ in range(40):
        patience.replied(0.2, 5)
    assert patience.seconds(64) == 60.0
