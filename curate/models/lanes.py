"""Who may send when: the lane of a model behind servers, and the turnstile of a model without limits."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass

from curate.models.base import Endpoint
from curate.models.limits import Gate

DEAD_AFTER = 20.0
"""Seconds without any reply, and DEAD_FAILURES failures, after which a model's servers count as gone."""

DEAD_FAILURES = 8

REACHED = 4
"""Times as long where servers that gave replies before still answer, if nothing usable: the last calls of a run may be
those that no server digests, and their attempts take half a minute until they are given up."""

REFUSING_AFTER = 600.0
"""Seconds of nothing but 429 after which a model counts as unusable."""


@dataclass(slots=True)
class Pass:
    """The right to make one attempt at one endpoint; `tokens` is what was taken from its tokens per minute."""

    endpoint: Endpoint
    gate: Gate
    tokens: float


class Lane:
    """All calls to one model, first come first served and shared over its endpoints by latency. In the engine's loop.

    It also decides that the servers are gone.
    """

    def __init__(self, endpoints: list[tuple[Endpoint, Gate]]) -> None:
        self._endpoints = endpoints
        self._gates = [gate for _, gate in endpoints]
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[int, asyncio.Future[Pass | None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._streak = 0
        self._streak_began = 0.0
        self._failing: set[bytes] = set()
        self._ever = False
        self._refusing_since: float | None = None
        self._closed = False

    @property
    def limit(self) -> int:
        """How many requests may be out now, over all endpoints."""
        return sum(int(gate.concurrency.limit) for gate in self._gates)

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._waiting)

    def time(self) -> float:
        """Return the time on the clock that all limits use, in seconds."""
        return self._loop.time()

    async def enter(self, bound: int, *, again: bool = False) -> Pass | None:
        """Wait for a turn; None once the lane is closed.

        `bound` is the most tokens the request can use; one that is tried `again` goes first.
        """
        if self._closed:
            return None
        if not self._waiting or again:
            turn = self._admit(bound, self._loop.time())
            if isinstance(turn, Pass):
                return turn
        future: asyncio.Future[Pass | None] = self._loop.create_future()
        if again:
            self._waiting.appendleft((bound, future))
        else:
            self._waiting.append((bound, future))
        self.pump()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # the turn came and nobody takes it
                given = future.result()
                if given is not None:
                    given.gate.returned(given.tokens)
                    self.pump()
            raise

    def pump(self) -> None:
        """Let out everyone whose turn it is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting = self._waiting
        now = self._loop.time()
        while waiting:
            bound, future = waiting[0]
            if future.done():
                waiting.popleft()
                continue
            turn = self._admit(bound, now)
            if not isinstance(turn, Pass):
                if turn < math.inf:
                    self._timer = self._loop.call_later(max(turn, 0.001), self.pump)
                return
            waiting.popleft()
            future.set_result(turn)

    def close(self) -> None:
        """Let nobody out any more."""
        self._closed = True
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)

    def answered(self) -> None:
        """Note a reply: the servers are alive."""
        self._streak = 0
        self._failing.clear()
        self._refusing_since = None
        self._ever = True

    def failed(self, kind: str, sent: float, call: bytes, unreachable: bool) -> str | None:
        """Note a failed attempt made at `sent`; why the model counts as gone, or None while it does not."""
        now = self._loop.time()
        if kind == "rate_limit":
            if self._refusing_since is None:
                self._refusing_since = now
            refusing = now - self._refusing_since
            return f"nothing but 429 for {refusing:.0f} s" if refusing > REFUSING_AFTER else None
        if not self._streak:
            self._streak_began = sent
        self._streak += 1
        if len(self._failing) < 2:
            self._failing.add(call)
        lasted = now - self._streak_began
        # One request that a server cannot digest is no dead server, unless nothing else was ever answered.
        several = len(self._failing) > 1 or not self._ever
        patience = DEAD_AFTER * (1 if unreachable or not self._ever else REACHED)
        if self._streak >= DEAD_FAILURES and lasted >= patience and several:
            return f"{self._streak} failures in a row over {lasted:.0f} s and no usable reply"
        return None

    def may_give_up(self, unreachable: bool) -> bool:
        """Whether a call may end as failed. While nothing succeeds, that would hide that the servers are gone."""
        return not self._streak or (self._ever and not unreachable)

    def _admit(self, bound: int, now: float) -> Pass | float:
        """Return the right to send now, or the seconds until there may be one (infinity: until a reply comes).

        Of several endpoints it is for the one that is expected to answer first: a server gives its latency to each
        request, however many it works on, until it is full, and is a little slower the fuller it gets.
        """
        best: tuple[Endpoint, Gate] | None = None
        least = (math.inf, math.inf, 0)
        soonest = math.inf
        alone = len(self._endpoints) == 1
        for pair in self._endpoints:
            gate = pair[1]
            wait = gate.delay(gate.estimate(bound) if gate.tokens_known else 0.0, now)
            if not alone:
                wait = max(wait, gate.rest(now))
            if wait > 0:
                soonest = min(soonest, wait)
                continue
            expected = (gate.latency(now) * (1 + gate.load), gate.load, gate.failures)
            if expected < least:
                best, least = pair, expected
        if best is None or (not alone and self._pays_to_wait(best[1], now)):
            return soonest
        endpoint, gate = best
        tokens = gate.estimate(bound) if gate.tokens_known else 0.0
        gate.enter(tokens)
        return Pass(endpoint, gate, tokens)

    def _pays_to_wait(self, free: Gate, now: float) -> bool:
        """Whether all who wait would have their replies from a faster endpoint that is full before `free` gave one.

        While many wait, every endpoint has its share. The last of a wave are not sent where they would hold it up.
        """
        waiting = len(self._waiting) + 1
        return any(
            gate.full
            and not gate.failures
            and 0 < gate.latency(now) * (1 + waiting / gate.concurrency.limit) < free.latency(now)
            for gate in self._gates
        )


class Turnstile:
    """Lets a few sends begin in each turn of the loop, for models without limits.

    Such a model may compute and never pause. If thousands of its calls were ready in one turn, nothing else in the loop
    would move, and no outcome be handed over, before the last of them was done.
    """

    WIDTH = 4

    def __init__(self) -> None:
        self._left = self.WIDTH
        self._turning = False
        self._closed = False
        self._waiting: deque[asyncio.Future[bool]] = deque()

    async def enter(self) -> bool:
        """Wait for a place; False once closed."""
        if self._closed:
            return False
        loop = asyncio.get_running_loop()
        if not self._turning:
            self._turning = True
            loop.call_soon(self._turn)
        if self._left:
            self._left -= 1
            return True
        future: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(future)
        return await future

    def close(self) -> None:
        """Answer everyone who waits with False."""
        self._closed = True
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(False)

    def _turn(self) -> None:
        self._left = self.WIDTH
        while self._waiting and self._left:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(True)
                self._left -= 1
        self._turning = self._left < self.WIDTH
        if self._turning:
            asyncio.get_running_loop().call_soon(self._turn)
