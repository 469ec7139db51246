"""What a model is to the engine: the protocols, its options, and the result of one exchange with a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from curate.types import Completion, Request


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What the domain file says of one model.

    `temperature` fills in where a request leaves it open; `max_tokens` replaces the request's, since only the user
    knows how much room a reasoning model needs. `rpm` and `tpm` are requests and tokens per minute for each endpoint.
    `concurrency` is where an endpoint starts and what it never exceeds; without it the limit is found. `timeout` is in
    seconds for one attempt. `reasoning` is "keep" or "drop". Prices are US dollars per million tokens.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    rpm: float | None = None
    tpm: float | None = None
    concurrency: int | None = None
    timeout: float = 600.0
    reasoning: str = "keep"
    price_in: float | None = None
    price_out: float | None = None

    def settle(self, request: Request) -> Request:
        """Return the request as this model will be asked it."""
        temperature = self.temperature if request.temperature is None else request.temperature
        max_tokens = request.max_tokens if self.max_tokens is None else self.max_tokens
        if temperature == request.temperature and max_tokens == request.max_tokens:
            return request
        return replace(request, temperature=temperature, max_tokens=max_tokens)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one attempt gave.

    `retry_after` is the pause in seconds that the server asked for. `overloaded` is true where it said that it has too
    much to do (429, 503), `unreachable` where no connection was made. `possibly_billed` is true where the request went
    out and no readable reply came back. `metered` is false where a reply came without a count of its tokens.
    """

    completion: Completion
    retry_after: float | None = None
    overloaded: bool = False
    unreachable: bool = False
    possibly_billed: bool = False
    metered: bool = True


@runtime_checkable
class Model(Protocol):
    """Something that answers requests. `limited` models have endpoints, limits and retries; others just `send`.

    `name` enters the ledger key. `send` is one attempt and never raises for what a server can do: it returns a Failure.
    """

    name: str
    limited: bool

    async def start(self) -> None:
        """Get ready in the engine's loop, before the first request that the ledger cannot answer."""

    async def close(self) -> None:
        """Let go of sockets and processes."""

    async def send(self, request: Request) -> Completion:
        """Make one attempt."""


class Endpoint(Protocol):
    """One server of a limited model. `address` says which limits it shares: equal addresses, one limiter."""

    address: str

    async def exchange(self, request: Request) -> Exchange:
        """Make one attempt at this server."""


@runtime_checkable
class LimitedModel(Model, Protocol):
    """A model behind one or more servers; `endpoints` is complete once `start` has returned."""

    options: ModelOptions
    endpoints: Sequence[Endpoint]
