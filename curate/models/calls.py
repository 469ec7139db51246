"""One ask from the ledger look-up to the commit: replay, equal calls under way, and what is handed out."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from curate.errors import InputError, LedgerError
from curate.models.attempts import Attempts, Call, Seat, unsent
from curate.models.keys import call_key
from curate.models.ledger import Ledger, Record
from curate.types import BILLED, PERMANENT, Completion, Request


class Calls:
    """All calls of an engine; lives in its loop."""

    def __init__(self, seats: Mapping[str, Seat], ledger: Ledger, attempts: Attempts) -> None:
        self._seats = seats
        self._ledger = ledger
        self._attempts = attempts
        self._accounts = attempts.accounts
        self._loop = asyncio.get_running_loop()
        self._running: dict[bytes, Call] = {}
        self._finding: list[tuple[bytes, asyncio.Future[Completion | None]]] = []
        self._committed: deque[tuple[asyncio.Future[LedgerError | None], LedgerError | None]] = deque()
        self._delivering = False

    async def ask(self, request: Request) -> Completion:
        """Answer one request: from the ledger, from an equal call under way, or from the model."""
        seat = self._seats.get(request.role)
        if seat is None:
            raise InputError(f"no model for the role {request.role!r}; there are: {', '.join(sorted(self._seats))}")
        request = seat.options.settle(request)
        key = call_key(seat.model.name, request)
        call = self._running.get(key)
        if call is None:
            stored = await self._find(key) if seat.replays else None
            if stored is not None:
                self._accounts.replayed(request, stored)
                return _shown(stored, seat)
            call = self._running.get(key)
        first = call is None
        if call is None:
            if self._attempts.stopped is not None:
                self._accounts.failed(self._attempts.stopped)
                return unsent(seat, key, self._attempts.stopped)
            call = self._running[key] = Call(seat, request, key)
            call.task = self._loop.create_task(self._perform(call))
        completion = await self._join(call)
        if not first:
            if _kept(completion):
                completion = replace(completion, replayed=True)
                self._accounts.replayed(request, completion)
            elif completion.failure:
                self._accounts.failed(completion.failure.kind)
        return _shown(completion, seat)

    async def drain(self, seconds: float | None) -> None:
        """Wait for the calls that are out, at most so many seconds (None: as long as they take); drop the others."""
        tasks = {call.task: call.out for call in self._running.values() if call.task is not None}
        for task, out in tasks.items():
            if not out:
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _join(self, call: Call) -> Completion:
        waiter: asyncio.Future[Completion] = self._loop.create_future()
        call.waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            # Nobody wants it any more: what is not sent is dropped, what is out is awaited and kept.
            call.waiters.remove(waiter)
            if not call.waiters and not call.out and call.task is not None:
                call.task.cancel()
            raise

    async def _perform(self, call: Call) -> None:
        try:
            completion = await self._obtain(call)
        except BaseException as error:
            for waiter in call.waiters:
                if not waiter.done():
                    if isinstance(error, Exception):
                        waiter.set_exception(error)
                    else:
                        waiter.cancel()
            if not isinstance(error, Exception):
                raise
        else:
            for waiter in call.waiters:
                if not waiter.done():
                    waiter.set_result(completion)
        finally:
            del self._running[call.key]

    async def _obtain(self, call: Call) -> Completion:
        exchange = await self._attempts.make(call)
        done, seat = exchange.completion, call.seat
        if not _kept(done):
            assert done.failure is not None
            self._accounts.failed(done.failure.kind)
            return replace(done, key=call.key.hex(), model=seat.model.name)
        cost = done.cost
        if cost is None and seat.price is not None:
            cost = seat.price.cost(done.input_tokens, done.output_tokens)
        completion = replace(done, key=call.key.hex(), model=seat.model.name, cost=cost)
        call.out = True  # paid for: it must reach the ledger
        committed: asyncio.Future[LedgerError | None] = self._loop.create_future()
        kept = completion if seat.replays else replace(completion, text="")
        record = Record(call.key, call.request.stage, call.request.role, kept)
        self._ledger.put(record, partial(self._on_commit, committed))
        error = await committed
        if error is not None:
            self._attempts.fail(error)
            raise error
        self._accounts.called(call.request, completion)
        return completion

    def _on_commit(self, committed: asyncio.Future[LedgerError | None], error: LedgerError | None) -> None:
        """In the ledger's thread: wake the loop once for a whole batch."""
        self._committed.append((committed, error))
        if not self._delivering:
            self._delivering = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: the user left without waiting
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._delivering = False
        while self._committed:
            committed, error = self._committed.popleft()
            if not committed.done():
                committed.set_result(error)

    def _find(self, key: bytes) -> asyncio.Future[Completion | None]:
        future: asyncio.Future[Completion | None] = self._loop.create_future()
        if not self._finding:
            self._loop.call_soon(self._find_all)  # one look-up for all asks of this tick
        self._finding.append((key, future))
        return future

    def _find_all(self) -> None:
        asked, self._finding = self._finding, []
        try:
            found = self._ledger.get_many([key for key, _ in asked])
        except LedgerError as error:
            self._attempts.fail(error)
            found = {}
        for key, future in asked:
            if not future.done():
                future.set_result(found.get(key))


def _kept(completion: Completion) -> bool:
    """Whether an outcome belongs in the ledger: it was billed, or asking again cannot change it."""
    return completion.failure is None or completion.failure.kind in PERMANENT + BILLED


def _shown(completion: Completion, seat: Seat) -> Completion:
    """Return the completion as handed out; the ledger keeps reasoning even where it is not wanted."""
    if seat.options.reasoning == "drop" and completion.reasoning:
        return replace(completion, reasoning="")
    return completion
