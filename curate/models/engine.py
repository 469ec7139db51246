"""The engine: maps work that asks models over items, with one thread, one loop, and one limiter for each endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

from curate.errors import CurateError, InputError
from curate.models.accounts import Accounts, Stats
from curate.models.attempts import Attempts, Seat
from curate.models.base import Model, ModelOptions
from curate.models.budget import Budget, Purse
from curate.models.calls import Calls
from curate.models.jobs import Job, Outcome
from curate.models.ledger import Ledger
from curate.models.prices import FREE, Price
from curate.types import STOPPED, Ask, Completion, Request

Item = TypeVar("Item")
Value = TypeVar("Value")

YOUNG = 50_000
"""Allocations between garbage collections while an engine is open. Thousands of live tasks make Python's 700 a fifth
of the processor's time, spent on finding nothing."""

FAILED_GRACE = 5.0
"""Seconds that calls under way are given after an error; they are paid for."""


class Engine:
    """Asks the models of `models` (by role) through the ledger and within the budget. A context manager.

    Raises InputError where a budget in money meets a model whose price is unknown. Leaving the context waits for calls
    that are out, so that what is paid is kept: all of them normally, FAILED_GRACE after an error, none after Ctrl-C.
    """

    def __init__(
        self, models: Mapping[str, Model], ledger: Ledger, budget: Budget | None = None, *, seed: int = 0
    ) -> None:
        self.stopped: str | None = None
        self._seats = {role: _seat(role, model) for role, model in models.items()}
        self._ledger = ledger
        self._budget = budget
        self._seed = seed
        self._accounts = Accounts()
        self._error: CurateError | None = None
        self._jobs: set[Job[Any, Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        if budget is not None and budget.usd is not None:
            self._check_prices()

    def __enter__(self) -> Engine:
        self._collect = gc.get_threshold()
        if 0 < self._collect[0] < YOUNG:
            gc.set_threshold(YOUNG, *self._collect[1:])
        loop = asyncio.new_event_loop()
        self._loop = loop
        self._thread = threading.Thread(target=self._run_loop, args=(loop,), name="curate-engine", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None and self._error is None:
            grace = None
        else:
            grace = 0.0 if kind is not None and issubclass(kind, KeyboardInterrupt) else FAILED_GRACE
        assert self._loop is not None and self._thread is not None
        loop, self._loop = self._loop, None
        try:
            closing = asyncio.run_coroutine_threadsafe(self._close(grace), loop)
            try:
                closing.result()
            except KeyboardInterrupt:  # the user does not want to wait for what is out
                closing.cancel()
                asyncio.run_coroutine_threadsafe(self._close(0.0), loop).result()
                raise
        finally:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()
            gc.set_threshold(*self._collect)

    def map(
        self,
        items: Iterable[Item],
        work: Callable[[Item, Ask], Awaitable[Value]],
        *,
        window: int | None = None,
    ) -> Iterator[Outcome[Item, Value]]:
        """Yield `Outcome(item, await work(item, ask))` for every item, in input order.

        Items are pulled in the caller's thread only, and at most `window` of them are ahead of what was yielded. What
        `work` raises is raised here; so is ModelError or LedgerError where the run cannot go on. Closing the iterator
        drops what was not sent; what is out is kept in the ledger.
        """
        loop = self._running_loop()
        job: Job[Item, Value] = Job(loop, work, self._calls.ask, window)
        loop.call_soon_threadsafe(self._admit, job)
        try:
            yield from job.outcomes(items)
        finally:
            with contextlib.suppress(RuntimeError):  # the engine, and its loop, ended before the iterator did
                loop.call_soon_threadsafe(self._jobs.discard, job)

    def run(self, requests: Iterable[Request], *, window: int | None = None) -> Iterator[Completion]:
        """Yield the completion of every request, in input order."""
        for outcome in self.map(requests, _ask_once, window=window):
            yield outcome.value

    def stop(self, reason: str = "stopped") -> None:
        """Send no new calls: requests that were not sent end with failure "stopped" (or "budget").

        What is out is awaited and kept. May be called from any thread and from a signal handler.
        """
        self.stopped = self.stopped or (reason if reason in STOPPED else "stopped")
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._attempts.stop, self.stopped)

    def stats(self) -> Stats:
        """Return a snapshot of what was called, replayed and used, from any thread."""
        lanes = list(self._attempts.lanes.values())
        return self._accounts.stats(
            limit=sum(lane.limit for lane in lanes), waiting=sum(lane.waiting for lane in lanes)
        )

    def _run_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._error is not None:
            raise self._error
        if self._loop is None:
            raise RuntimeError("the engine is not open; use it as a context manager: with Engine(...) as engine")
        if threading.current_thread() is self._thread:
            raise RuntimeError("a work function must use its `ask`; map and run belong to the caller's thread")
        return self._loop

    async def _open(self) -> None:
        purse = Purse(self._budget, self._ledger.totals(), lambda: self._on_empty())
        self._attempts = Attempts(purse, self._accounts, self._ledger, self._fail, random.Random(self._seed))
        self._calls = Calls(self._seats, self._ledger, self._attempts)

    async def _close(self, grace: float | None) -> None:
        for job in list(self._jobs):
            job.close()
        await asyncio.sleep(0)  # the cancelled work lets go of its calls
        await self._calls.drain(grace)
        await self._attempts.close()

    def _admit(self, job: Job[Any, Any]) -> None:
        self._jobs.add(job)
        if self._error is not None:
            job.fail(self._error)

    def _on_empty(self) -> None:
        if self.stopped is None:
            self.stopped = "budget"
        self._attempts.stop(self.stopped)

    def _fail(self, error: CurateError) -> None:
        if self._error is not None:
            return
        self._error = error
        self._attempts.stop("stopped")
        for job in list(self._jobs):
            job.fail(error)

    def _check_prices(self) -> None:
        for role, seat in self._seats.items():
            if seat.price is None:
                raise InputError(
                    f"a budget in US dollars needs the price of {seat.model.name!r} ({role}), which is not known; give"
                    f" it in the domain file, models: {{{role}: {{spec: .., price_in: .., price_out: ..}}}}, in dollars"
                    " per million tokens (0 where it costs nothing), or use --budget-tokens"
                )


async def _ask_once(request: Request, ask: Ask) -> Completion:
    return await ask(request)


def _seat(role: str, model: Model) -> Seat:
    options: ModelOptions = getattr(model, "options", ModelOptions())
    price: Price | None = getattr(model, "price", None if model.limited else FREE)
    return Seat(role, model, options, price, getattr(model, "replays", True))
