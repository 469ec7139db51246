"""Models behind OpenAI-compatible servers, over our own aiohttp transport."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from curate.models.base import Exchange, ModelOptions
from curate.models.connection import Answer, Connection
from curate.models.echo import ECHO, Echo
from curate.models.limits import Patience
from curate.models.prices import Price
from curate.models.protocol import REASONING_NAMES, Dialect, error_text, read_reply
from curate.models.reading import TOKENS, TokenReader
from curate.types import Completion, Request

ADAPTATIONS = 5
"""Times that one attempt is repeated at once because the endpoint was found to speak another dialect."""


class Server:
    """One OpenAI-compatible server asked for the chats of one model, for echoes of texts and readings of tokens."""

    def __init__(self, model: str, url: str, key: str, options: ModelOptions) -> None:
        self.address = f"{url} {model}"
        self._model = model
        self.connection = Connection(model, url, "/chat/completions", key)
        self._echo = Echo(model, url, key, options)
        self._reader = TokenReader(model, url, key, options)
        self._patience = Patience(options.timeout)
        reasons = bool(REASONING_NAMES.match(model))
        self.dialect = Dialect(completion_tokens=reasons, temperature=not reasons)

    async def start(self) -> None:
        """Open the connection pools."""
        await self.connection.start()
        await self._echo.connection.start()
        await self._reader.connection.start()

    async def close(self) -> None:
        """Close the connection pools."""
        await self.connection.close()
        await self._echo.connection.close()
        await self._reader.connection.close()

    async def exchange(self, request: Request) -> Exchange:
        """Make one attempt; a refusal that only asks for another dialect is answered at once."""
        kind = request.messages[0]["role"] if request.messages else ""
        if kind == ECHO:
            return await self._echo.exchange(request)
        if kind == TOKENS:
            return await self._reader.exchange(request)
        exchange = None
        for _ in range(ADAPTATIONS):
            spoken = self.dialect.key()
            exchange, refusal = await self._post(request)
            if refusal is None:
                break
            # Another request may have learned the same thing while this one was out.
            if self.dialect.key() == spoken:
                said, code = error_text(refusal.content)
                if not self.dialect.learn(refusal.status, f"{code} {said}", request):
                    break
            elif exchange.completion.failure and exchange.completion.failure.kind not in ("bad_request", "server"):
                break
        assert exchange is not None
        return self.connection.redacted(exchange)

    async def _post(self, request: Request) -> tuple[Exchange, Answer | None]:
        """Return the exchange, and the server's answer where that is an error."""
        body = self.dialect.body(self._model, request)
        answer = await self.connection.post(body, self._patience.seconds(request.max_tokens))
        if isinstance(answer, Exchange):
            failure = answer.completion.failure
            if failure is not None and failure.kind == "timeout" and not answer.unreachable:
                self._patience.ran_out()
            return answer, None
        if answer.status != 200:
            return self.connection.refused(answer), answer
        exchange = read_reply(answer.content, self._model, self.connection.place, answer.latency)
        self._patience.replied(answer.latency, exchange.completion.output_tokens)
        return exchange, None


class Served(Protocol):
    """An endpoint with a connection pool of its own."""

    address: str

    async def start(self) -> None:
        """Open the connection pool."""

    async def close(self) -> None:
        """Close the connection pool."""

    async def exchange(self, request: Request) -> Exchange:
        """Make one attempt at this server."""


class HttpModel:
    """One model at one or more OpenAI-compatible servers.

    Without `replays` the ledger counts its calls and keeps no reply: whoever asks keeps what was said.
    """

    limited = True

    def __init__(
        self,
        name: str,
        servers: Sequence[Served],
        *,
        options: ModelOptions,
        price: Price | None = None,
        replays: bool = True,
    ) -> None:
        self.name = name
        self.options = options
        self.price = price
        self.replays = replays
        self.endpoints = list(servers)

    async def start(self) -> None:
        """Open the connection pools."""
        for server in self.endpoints:
            await server.start()

    async def close(self) -> None:
        """Close the connection pools."""
        for server in self.endpoints:
            await server.close()

    async def send(self, request: Request) -> Completion:
        """Make one attempt at the first server."""
        return (await self.endpoints[0].exchange(request)).completion
