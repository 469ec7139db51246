"""Models behind OpenAI-compatible servers, over our own aiohttp transport."""

from __future__ import annotations

import ipaddress
import re
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from curate.errors import InputError
from curate.models.base import Exchange, ModelOptions
from curate.models.limits import Patience
from curate.models.prices import Price
from curate.models.protocol import REASONING_NAMES, Dialect, error_text, read_error, read_reply
from curate.types import Completion, Failure, Request

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS = 10.0
ADAPTATIONS = 5
"""Times that one attempt is repeated at once because the endpoint was found to speak another dialect."""


class Server:
    """One OpenAI-compatible server asked for one model. `url` ends before /chat/completions."""

    def __init__(self, model: str, url: str, key: str, options: ModelOptions) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self.place = f"{parts.scheme}://{host}{parts.path}"
        self.address = f"{url} {model}"
        self._model = model
        path = parts.path.rstrip("/").removesuffix("/chat/completions")
        self._target = parts._replace(netloc=host, path=(path or "/v1") + "/chat/completions").geturl()
        self._secrets = [secret for secret in (key, parts.password, unquote(parts.password or "")) if secret]
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        if parts.username is not None:  # credentials in the URL are meant for this server
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        self._proxy = proxy_of(parts.scheme, parts.hostname or "")
        self._patience = Patience(options.timeout)
        self._reasons = bool(REASONING_NAMES.match(model))
        self.dialect = Dialect(completion_tokens=self._reasons, temperature=not self._reasons)
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the connection pool."""
        import aiohttp
        from yarl import URL

        try:
            self._url = URL(self._target)
        except ValueError as error:
            raise InputError(f"{self.place}: no URL of a server: {error}") from error
        self._session = aiohttp.ClientSession(
            # Shorter than uvicorn's five seconds: a connection the server is about to close is not used again.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()

    async def exchange(self, request: Request) -> Exchange:
        """Make one attempt; a refusal that only asks for another dialect is answered at once."""
        exchange = None
        for _ in range(ADAPTATIONS):
            spoken = self.dialect.key()
            exchange, status, content = await self._post(request)
            if exchange.completion.failure is None or not status:
                break
            # Another request may have learned the same thing while this one was out.
            if self.dialect.key() == spoken:
                said, code = error_text(content)
                if not self.dialect.learn(status, f"{code} {said}", request):
                    break
            elif exchange.completion.failure.kind not in ("bad_request", "server"):
                break
        assert exchange is not None
        return self._redacted(exchange)

    async def _post(self, request: Request) -> tuple[Exchange, int, bytes]:
        """Return the exchange, and status and body where the server answered with an error."""
        import aiohttp

        assert self._session is not None
        began = time.perf_counter()
        seconds = self._patience.seconds(request.max_tokens)
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        try:
            body = aiohttp.BytesPayload(self.dialect.body(self._model, request), content_type="application/json")
            async with self._session.post(self._url, data=body, proxy=self._proxy, timeout=timeout) as response:
                content = await response.read()
        except TimeoutError as error:
            unsent = isinstance(error, aiohttp.ConnectionTimeoutError)
            if unsent:
                seconds = CONNECT_SECONDS
            else:
                self._patience.ran_out()
            return self._broken("timeout", f"no reply within {seconds:g} s", unsent, began), 0, b""
        except aiohttp.ClientConnectorError as error:
            reason = getattr(getattr(error, "os_error", None), "strerror", None) or str(error)
            return self._broken("connection", f"no connection: {reason}", True, began), 0, b""
        except aiohttp.ClientPayloadError as error:
            return self._broken("invalid_body", f"the reply broke off: {error}", False, began), 0, b""
        except (aiohttp.ClientError, OSError) as error:
            reason = str(error) or type(error).__name__
            return self._broken("connection", f"the connection broke: {reason}", False, began), 0, b""
        latency = time.perf_counter() - began
        if response.status == 200:
            exchange = read_reply(content, self._model, self.place, latency)
            self._patience.replied(latency, exchange.completion.output_tokens)
            return exchange, 0, b""
        exchange = read_error(response.status, content, response.headers, self._model, self.place, time.time())
        return exchange, response.status, content

    def _broken(self, kind: str, reason: str, unsent: bool, began: float) -> Exchange:
        failure = Failure(kind, f"{self.place}: {' '.join(reason.split())}")
        done = Completion(failure=failure, model=self._model, latency=time.perf_counter() - began)
        return Exchange(done, unreachable=unsent, possibly_billed=not unsent)

    def _redacted(self, exchange: Exchange) -> Exchange:
        failure = exchange.completion.failure
        if failure is None:
            return exchange
        message = failure.message
        for secret in self._secrets:
            message = message.replace(secret, "***")
        message = re.sub(r"\b(sk|pk|hf|gsk|xai)[-_][\w*.-]{6,}", "***", message)
        if message == failure.message:
            return exchange
        return replace(exchange, completion=replace(exchange.completion, failure=Failure(failure.kind, message)))


class HttpModel:
    """One model at one or more OpenAI-compatible servers."""

    limited = True

    def __init__(
        self, name: str, urls: Sequence[str], *, key: str = "", options: ModelOptions, price: Price | None = None
    ) -> None:
        self.name = name
        self.options = options
        self.price = price
        self.endpoints = [Server(name, url, key, options) for url in urls]

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


def proxy_of(scheme: str, host: str) -> str | None:
    """Return the proxy that the environment names for a host; never one for this machine itself.

    aiohttp's own `trust_env` would read ~/.netrc before every request.
    """
    if is_loopback(host) or proxy_bypass(host):
        return None
    return getproxies().get(scheme)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
