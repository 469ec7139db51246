"""The attempts at one call: budget, turn, exchange, retry with backoff, and when to give up or to end the run."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from curate.errors import CurateError, ModelError
from curate.models.accounts import Accounts, possibly_billed
from curate.models.base import Exchange, LimitedModel, Model, ModelOptions
from curate.models.budget import Amount, Purse, upper_bound
from curate.models.lanes import Lane, Pass, Turnstile
from curate.models.ledger import Ledger
from curate.models.limits import Gate
from curate.models.prices import Price
from curate.types import FATAL, PERMANENT, STOPPED, TRANSIENT, Completion, Failure, Request

ATTEMPTS = 8
"""Attempts at one call while others succeed; 429 and 503 do not count."""

REFUSALS = 30
"""Times that one call is answered 429 or 503 before it is given up."""

BACKOFF = 0.5
BACKOFF_MOST = 8.0
"""Seconds before the second attempt, and the most before any; doubled each time, with jitter."""


@dataclass(slots=True)
class Seat:
    """A role's model with what the engine knows of it; `lane` exists once a limited model was started.

    Where it does not replay, the ledger counts its calls and keeps no reply.
    """

    role: str
    model: Model
    options: ModelOptions
    price: Price | None
    replays: bool = True
    lane: Lane | None = None


@dataclass(slots=True)
class Call:
    """A call under way: its task, who waits for it, and whether it is out at a server."""

    seat: Seat
    request: Request
    key: bytes
    task: asyncio.Task[None] | None = None
    waiters: list[asyncio.Future[Completion]] = field(default_factory=list)
    out: bool = False


@dataclass(slots=True)
class _Tries:
    """Failed attempts at one call."""

    failures: int = 0
    refusals: int = 0

    @property
    def total(self) -> int:
        return self.failures + self.refusals


@dataclass(slots=True)
class Attempts:
    """Makes calls of models happen. Lives in the engine's loop; `fail` is told of what ends the run."""

    purse: Purse
    accounts: Accounts
    ledger: Ledger
    fail: Callable[[CurateError], None]
    rng: random.Random
    stopped: str | None = None
    lanes: dict[tuple[str, ...], Lane] = field(default_factory=dict)
    _gates: dict[str, Gate] = field(default_factory=dict)
    _ready: dict[int, asyncio.Task[bool]] = field(default_factory=dict)
    _opened: list[Model] = field(default_factory=list)
    _turnstile: Turnstile = field(default_factory=Turnstile)
    _resting: set[asyncio.Future[None]] = field(default_factory=set)

    async def make(self, call: Call) -> Exchange:
        """Return the last exchange of a call: a reply, a failure that stands, or that it was not sent."""
        bound = upper_bound(call.request, call.seat.price)
        if not await self.purse.reserve(bound):
            return self._unsent(call)
        started = False
        try:
            started = await self._start(call.seat)
        finally:
            if not started:  # also where the caller gave up meanwhile
                self.purse.settle(bound)
        if not started:
            return self._unsent(call)
        if call.seat.lane is not None:
            return await self._try(call, call.seat.lane, bound)
        return await self._send(call, bound)

    def stop(self, reason: str) -> None:
        """Send nothing more: whoever waits gets a failure of the kind `reason`."""
        self.stopped = reason
        self.purse.close()
        self._turnstile.close()
        for lane in self.lanes.values():
            lane.close()
        for future in self._resting:
            _wake(future)
        # A server may take minutes to come up (a download), and nothing of what waits for it will be sent.
        for ready in self._ready.values():
            ready.cancel()

    async def _send(self, call: Call, bound: Amount) -> Exchange:
        """Make the one attempt at a model without limits."""
        spent = None
        try:
            if not await self._turnstile.enter():
                return self._unsent(call)
            call.out = True
            self.accounts.in_flight += 1
            try:
                exchange = Exchange(await call.seat.model.send(call.request))
            finally:
                self.accounts.in_flight -= 1
            spent = _spent(exchange, bound, call.seat.price)
            return exchange
        finally:
            self.purse.settle(bound, spent)

    async def close(self) -> None:
        """Close every model that was started, also one that is still starting."""
        for ready in self._ready.values():
            ready.cancel()
        await asyncio.gather(*self._ready.values(), return_exceptions=True)
        for model in self._opened:
            await model.close()

    async def _try(self, call: Call, lane: Lane, bound: Amount) -> Exchange:
        tries = _Tries()
        reserved = True
        try:
            while True:
                reserved = reserved or await self.purse.reserve(bound)
                turn = await lane.enter(bound.tokens, again=tries.total > 0) if reserved else None
                if turn is None:
                    return self._unsent(call)
                sent = lane.time()
                exchange = await self._exchange(call, turn)
                failure = exchange.completion.failure
                if failure is None or failure.kind not in TRANSIENT + FATAL:
                    lane.answered()
                    reserved = False
                    self.purse.settle(bound, _spent(exchange, bound, call.seat.price))
                    return exchange
                if exchange.possibly_billed:
                    reserved = False
                    self._forfeit(call, bound)
                if not self._goes_on(call, lane, tries, exchange, sent):
                    return exchange
                self.accounts.retried(failure.kind)
                await self._rest(tries, exchange)
        finally:
            if reserved:
                self.purse.settle(bound)

    async def _exchange(self, call: Call, turn: Pass) -> Exchange:
        """Make one attempt and tell the endpoint's limits how it went."""
        gate, lane = turn.gate, call.seat.lane
        assert lane is not None
        exchange = None
        sent = lane.time()
        call.out = True
        self.accounts.in_flight += 1
        try:
            exchange = await turn.endpoint.exchange(call.request)
        except asyncio.CancelledError:  # the run ends without waiting for the reply, which will be billed all the same
            self._note_possibly_billed(call)
            raise
        finally:
            call.out = False
            self.accounts.in_flight -= 1
            now = lane.time()
            failure = exchange.completion.failure if exchange else None
            if exchange is None or (failure and failure.kind in TRANSIENT + FATAL and not exchange.overloaded):
                gate.failed(turn.tokens, exchange is not None and not exchange.possibly_billed, now)
            elif exchange.overloaded:
                gate.refused(turn.tokens, sent, exchange.retry_after, now)
            else:
                done = exchange.completion
                metered = exchange.metered and (failure is None or failure.kind not in PERMANENT)
                gate.answered(turn.tokens, done.input_tokens + done.output_tokens if metered else None, now - sent, now)
            for other in self.lanes.values():
                other.pump()
        return exchange

    def _goes_on(self, call: Call, lane: Lane, tries: _Tries, exchange: Exchange, sent: float) -> bool:
        """Decide whether a call that failed is tried again; what no attempt can mend ends the run."""
        failure = exchange.completion.failure
        assert failure is not None
        if failure.kind in FATAL:
            self.fail(ModelError(f"{call.seat.role}: {failure.message}"))
            return False
        gone = lane.failed(failure.kind, sent, call.key, exchange.unreachable)
        if gone:
            self.fail(ModelError(f"{call.seat.role}: {failure.message} ({gone})"))
            return False
        if exchange.overloaded:
            tries.refusals += 1
        else:
            tries.failures += 1
        enough = tries.refusals >= REFUSALS or (tries.failures >= ATTEMPTS and lane.may_give_up(exchange.unreachable))
        return self.stopped is None and not enough

    def _forfeit(self, call: Call, bound: Amount) -> None:
        """Count a request that went out and brought no readable reply as if it had used its upper bound."""
        self.purse.settle(bound, bound)
        self._note_possibly_billed(call)

    def _note_possibly_billed(self, call: Call) -> None:
        bound = upper_bound(call.request, call.seat.price)
        usd = bound.usd if call.seat.price else None
        self.accounts.possibly_billed()
        self.ledger.account(
            possibly_billed(call.request, call.seat.model.name, bound.input_tokens, bound.output_tokens, usd)
        )

    async def _rest(self, tries: _Tries, exchange: Exchange) -> None:
        seconds = min(BACKOFF_MOST, BACKOFF * 2.0 ** min(tries.total - 1, 10)) * self.rng.uniform(0.5, 1.0)
        if exchange.retry_after is not None:
            if exchange.overloaded and exchange.retry_after >= seconds:
                return  # the endpoint itself is paused for so long
            seconds = max(seconds, exchange.retry_after)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _wake, future)
        self._resting.add(future)
        try:
            await future
        finally:
            timer.cancel()
            self._resting.discard(future)

    async def _start(self, seat: Seat) -> bool:
        """Start a model before its first call; False where the run has ended over it."""
        if seat.lane is not None:
            return True
        ready = self._ready.get(id(seat.model))
        if ready is None:
            ready = self._ready[id(seat.model)] = asyncio.get_running_loop().create_task(self._open(seat.model))
            self._opened.append(seat.model)
        if not ready.done():
            await asyncio.wait([ready])
        if ready.cancelled() or not ready.result() or self.stopped is not None:
            return False
        if seat.model.limited:
            assert isinstance(seat.model, LimitedModel)
            seat.lane = self._lane(seat.model, seat.options)
        return True

    async def _open(self, model: Model) -> bool:
        try:
            await model.start()
        except CurateError as error:
            self.fail(error)
            return False
        return True

    def _lane(self, model: LimitedModel, options: ModelOptions) -> Lane:
        """Return the lane of a model's endpoints; equal addresses share their limits, whichever role asks."""
        addresses = tuple(sorted(endpoint.address for endpoint in model.endpoints))
        lane = self.lanes.get(addresses)
        if lane is None:
            now = asyncio.get_running_loop().time()
            pairs = []
            for endpoint in model.endpoints:
                gate = self._gates.get(endpoint.address)
                if gate is None:
                    gate = Gate(now, concurrency=options.concurrency, rpm=options.rpm, tpm=options.tpm)
                    self._gates[endpoint.address] = gate
                pairs.append((endpoint, gate))
            lane = self.lanes[addresses] = Lane(pairs)
        return lane

    def _unsent(self, call: Call) -> Exchange:
        return Exchange(unsent(call.seat, call.key, self.stopped))


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def unsent(seat: Seat, key: bytes, stopped: str | None) -> Completion:
    """Return the outcome of a request that was not sent."""
    kind = stopped if stopped in STOPPED else "stopped"
    message = "not sent: the budget is spent" if kind == "budget" else "not sent: the run was stopped"
    return Completion(key.hex(), failure=Failure(kind, message), model=seat.model.name)


def _spent(exchange: Exchange, bound: Amount, price: Price | None) -> Amount:
    """Return what a reply used; without a count of its tokens the upper bound stands."""
    done = exchange.completion
    if done.failure is not None and done.failure.kind in PERMANENT + TRANSIENT:
        return Amount(1)
    if not exchange.metered:
        return bound
    usd = price.cost(done.input_tokens, done.output_tokens) if price else 0.0
    return Amount(1, done.input_tokens, done.output_tokens, usd)
