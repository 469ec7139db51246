"""One map: the caller's side pulls items and yields outcomes in order, the loop's side runs the work."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from curate.types import Ask

Item = TypeVar("Item")
Value = TypeVar("Value")

UNFINISHED = 4096
"""Items of one map that are worked on at a time."""

WINDOW = 4 * UNFINISHED
"""Items pulled and not yet yielded. More than UNFINISHED, so that what follows one slow call need not wait for it."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item, Value]):
    """An item of a map and what its work returned."""

    item: Item
    value: Value


class Job(Generic[Item, Value]):
    """A map under way between the caller's thread and the loop's. Items and outcomes cross in batches."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Callable[[Item, Ask], Awaitable[Value]],
        ask: Ask,
        window: int | None,
    ) -> None:
        self._loop = loop
        self._work = work
        self._ask = ask
        self._window = window or WINDOW
        self._unfinished = min(self._window, UNFINISHED)
        self._inbox: deque[tuple[int, Item]] = deque()
        self._taking = False
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._finished: list[tuple[int, Value]] = []
        self._outbox: SimpleQueue[list[tuple[int, Value]] | BaseException] = SimpleQueue()

    def outcomes(self, items: Iterable[Item]) -> Iterator[Outcome[Item, Value]]:
        """Yield the outcomes in input order. Runs in the caller's thread; only here are items pulled."""
        source = iter(items)
        pulled: deque[Item] = deque()  # of the items not yet yielded
        done: dict[int, Value] = {}
        first = count = finished = 0
        more = True
        try:
            while True:
                while more and len(pulled) < self._window and count - finished < self._unfinished:
                    try:
                        item = next(source)
                    except StopIteration:
                        more = False
                        break
                    pulled.append(item)
                    self._submit(count, item)
                    count += 1
                    if not self._outbox.empty():
                        break
                if not more and not pulled:
                    return
                full = not more or len(pulled) >= self._window or count - finished >= self._unfinished
                finished += self._receive(done, wait=full)
                while first in done:
                    yield Outcome(pulled.popleft(), done.pop(first))
                    first += 1
        finally:
            with contextlib.suppress(RuntimeError):  # the engine, and its loop, ended before the iterator did
                self._loop.call_soon_threadsafe(self.close)

    def fail(self, error: BaseException) -> None:
        """End the map with an error at once, whatever is still under way."""
        self._outbox.put(error)
        self.close()

    def close(self) -> None:
        """Cancel the work; calls that are out at a server are awaited by the engine, not by the map. In the loop."""
        self._closed = True
        self._inbox.clear()
        for task in list(self._tasks):
            task.cancel()

    def _submit(self, index: int, item: Item) -> None:
        self._inbox.append((index, item))
        if not self._taking:
            self._taking = True  # one wake-up for all items until the loop gets to take them
            self._loop.call_soon_threadsafe(self._take)

    def _receive(self, done: dict[int, Value], *, wait: bool) -> int:
        """Move what has come in to `done`, waiting for at least one batch if asked; return how many came."""
        count = 0
        try:
            while True:
                batch = self._outbox.get(wait)
                if isinstance(batch, BaseException):
                    raise batch
                done.update(batch)
                count += len(batch)
                wait = False
        except Empty:
            return count

    def _take(self) -> None:
        self._taking = False
        while self._inbox:
            index, item = self._inbox.popleft()
            if self._closed:
                continue
            task = self._loop.create_task(self._run(index, item))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, index: int, item: Item) -> None:
        try:
            value = await self._work(item, self._ask)
        except asyncio.CancelledError:
            if not self._closed:  # the work cancelled itself: the caller must not wait for ever
                self.fail(RuntimeError("a work function was cancelled from within"))
            raise
        except BaseException as error:
            if not isinstance(error, Exception):
                error = RuntimeError(f"a work function raised {type(error).__name__}")
            self.fail(error)
            return
        if not self._finished:
            self._loop.call_soon(self._hand_over)  # one hand-over for all that finish in this tick
        self._finished.append((index, value))

    def _hand_over(self) -> None:
        finished, self._finished = self._finished, []
        self._outbox.put(finished)
