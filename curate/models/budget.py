"""The budget of a run, in calls, tokens and money: never exceeded, because each request reserves an upper bound."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from curate.models.keys import schema_text
from curate.models.ledger import Total
from curate.models.prices import Price
from curate.types import Request

REQUEST_OVERHEAD = 100
"""Tokens that a chat template or a server's own system text may add to a prompt."""

MESSAGE_OVERHEAD = 8
"""Tokens that a chat template adds for each message."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most a run may use, over all runs on its ledger; None is no bound. `usd` is in US dollars."""

    calls: int | None = None
    tokens: int | None = None
    usd: float | None = None


@dataclass(slots=True)
class Amount:
    """Calls, tokens and US dollars, of a reservation or of what was used."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def add(self, other: Amount, sign: int = 1) -> None:
        """Add another amount, or take it away with sign -1."""
        self.calls += sign * other.calls
        self.input_tokens += sign * other.input_tokens
        self.output_tokens += sign * other.output_tokens
        self.usd += sign * other.usd


def prompt_bound(request: Request) -> int:
    """Return an upper bound of a request's prompt tokens: its UTF-8 bytes, since no token is shorter than a byte."""
    size = REQUEST_OVERHEAD + MESSAGE_OVERHEAD * len(request.messages)
    for message in request.messages:
        content = message["content"]
        size += len(content) if content.isascii() else len(content.encode("utf-8", "surrogatepass"))
    if request.schema:
        size += len(schema_text(request.schema))  # some servers put the schema into the prompt
    return size


def upper_bound(request: Request, price: Price | None) -> Amount:
    """Return the most that one attempt at a request can use."""
    prompt = prompt_bound(request)
    usd = price.cost(prompt, request.max_tokens) if price else 0.0
    return Amount(1, prompt, request.max_tokens, usd)


class Purse:
    """What is spent, what is reserved, and who waits for reservations to be refunded. Lives in the engine's loop."""

    def __init__(self, budget: Budget | None, spent: Iterable[Total], on_empty: Callable[[], None]) -> None:
        self._budget = budget or Budget()
        self._spent = Amount()
        for total in spent:
            self._spent.add(Amount(total.calls, total.input_tokens, total.output_tokens, total.cost))
        self._reserved = Amount()
        self._waiting: deque[tuple[Amount, asyncio.Future[bool]]] = deque()
        self._on_empty = on_empty
        self._closed = False

    async def reserve(self, amount: Amount) -> bool:
        """Reserve an amount, waiting for refunds where they could make room; False once the budget admits no more."""
        if self._closed:
            return False
        if not self._waiting and self._fits(amount):
            self._reserved.add(amount)
            return True
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, future))
        self._admit()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.result():  # its turn came and nobody takes it
                self.settle(amount)
            raise

    def settle(self, reserved: Amount, spent: Amount | None = None) -> None:
        """Give a reservation back, and note what was spent of it."""
        self._reserved.add(reserved, -1)
        if spent is not None:
            self._spent.add(spent)
        if self._waiting:
            self._admit()

    def close(self) -> None:
        """Answer everyone who waits, and all who come, with False."""
        self._closed = True
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_result(False)

    def _admit(self) -> None:
        while self._waiting:
            amount, future = self._waiting[0]
            if future.done():  # its caller was cancelled
                self._waiting.popleft()
            elif self._fits(amount):
                self._waiting.popleft()
                self._reserved.add(amount)
                future.set_result(True)
            elif self._reserved.calls:
                return  # what is out may be refunded in part
            else:
                self.close()
                self._on_empty()

    def _fits(self, amount: Amount) -> bool:
        limit, spent, reserved = self._budget, self._spent, self._reserved
        return (
            (limit.calls is None or spent.calls + reserved.calls + amount.calls <= limit.calls)
            and (limit.tokens is None or spent.tokens + reserved.tokens + amount.tokens <= limit.tokens)
            and (limit.usd is None or spent.usd + reserved.usd + amount.usd <= limit.usd + 1e-12)
        )
