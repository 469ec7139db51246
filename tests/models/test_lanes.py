"""How a lane shares calls over several servers, on a clock that jumps from one event to the next."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from curate.models.lanes import Lane
from curate.models.limits import Gate


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes only while nothing is ready, and then at once."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__()

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0].when())
        super()._run_once()


class Endpoint:
    """A server that takes `latency` seconds for each request, more or less by `sigma`, and any number at a time."""

    def __init__(self, latency: float, sigma: float = 0.0) -> None:
        self.address = str(id(self))
        self.latency, self.sigma = latency, sigma
        self.rng = random.Random(3)
        self.served = 0

    async def serve(self) -> float:
        self.served += 1
        seconds = self.latency * math.exp(self.sigma * self.rng.gauss(0, 1))
        await asyncio.sleep(seconds)
        return seconds


async def call(lane: Lane) -> None:
    turn = await lane.enter(1)
    seconds = await turn.endpoint.serve()
    turn.gate.answered(turn.tokens, None, seconds, lane.time())
    lane.pump()


def simulate(work, *endpoints: Endpoint, concurrency: int | None = None) -> float:
    """Run `work(lane)` and return the seconds it took."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        lane = Lane([(e, Gate(loop.time(), concurrency=concurrency, rpm=None, tpm=None)) for e in endpoints])
        await work(lane)
        return loop.time()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main())


def waves(count: int, width: int):
    """Waves of calls, each of which begins when the one before is whole, as a tree grows."""

    async def work(lane: Lane) -> None:
        for _ in range(count):
            await asyncio.gather(*(call(lane) for _ in range(width)))

    return work


def many(count: int):
    async def work(lane: Lane) -> None:
        await asyncio.gather(*(call(lane) for _ in range(count)))

    return work


@pytest.mark.parametrize("concurrency", [None, 8])
def test_a_slow_second_server_does_not_slow_waves(concurrency):
    fast, slow = Endpoint(0.2), Endpoint(2.0)
    seconds = simulate(waves(20, 16), fast, slow, concurrency=concurrency)
    # The first wave finds out; in the others two rounds of eight at the fast one are sooner than one at the slow one.
    each = 0.2 if concurrency is None else 0.4
    assert seconds == pytest.approx(2.0 + 19 * each, abs=0.01)
    assert slow.served == 8


def test_while_many_wait_the_slow_server_has_its_share():
    fast, slow = Endpoint(0.2), Endpoint(2.0)
    seconds = simulate(many(2000), fast, slow, concurrency=8)
    assert seconds < 1.04 * 2000 / (8 / 0.2 + 8 / 2.0)
    assert slow.served == pytest.approx(2000 / 11, rel=0.1)


def test_equal_servers_share_alike_whatever_their_latencies_do():
    one, two = Endpoint(0.2, sigma=1.0), Endpoint(0.2, sigma=1.0)
    two.rng.seed(4)
    simulate(waves(200, 10), one, two)
    assert 0.35 < one.served / 2000 < 0.65


def test_a_server_that_became_fast_is_found_again():
    first, second = Endpoint(0.5), Endpoint(5.0)

    async def work(lane: Lane) -> None:
        await waves(20, 8)(lane)
        before = second.served
        await asyncio.sleep(61)
        second.latency = 0.1
        await waves(20, 8)(lane)
        assert second.served - before > 140

    simulate(work, first, second)


def test_a_full_server_that_fails_keeps_nobody_waiting():
    """Who waits for the faster one goes to the slower one as soon as the faster one brings no more replies."""
    fast, slow = Endpoint(0.1), Endpoint(1.0)

    async def work(lane: Lane) -> None:
        await waves(5, 4)(lane)
        turns = [await lane.enter(1) for _ in range(2)]
        assert {turn.endpoint for turn in turns} == {fast}
        waiting = asyncio.ensure_future(lane.enter(1))
        await asyncio.sleep(0)
        assert not waiting.done()
        for turn in turns:
            turn.gate.failed(turn.tokens, False, lane.time())
            turn.gate.enter(0)  # and is full again
        lane.pump()
        assert (await waiting).endpoint is slow

    simulate(work, fast, slow, concurrency=2)


@pytest.mark.parametrize("answered, unreachable, gone", [(True, False, 80.0), (True, True, 20.0), (False, False, 20.0)])
def test_servers_that_answered_before_have_longer_until_they_count_as_gone(answered, unreachable, gone):
    async def work(lane: Lane) -> None:
        if answered:
            lane.answered()
        while lane.failed("server", 0.0, lane.time().hex().encode(), unreachable) is None:
            await asyncio.sleep(1)

    assert simulate(work, Endpoint(1)) == gone
