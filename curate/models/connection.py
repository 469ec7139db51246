"""The connection to an OpenAI-compatible server: its address, our credentials, one POST, and what may go wrong."""

from __future__ import annotations

import ipaddress
import re
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from curate.errors import InputError
from curate.models.base import Exchange
from curate.models.protocol import read_error
from curate.types import Completion, Failure

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, whatever the status; `latency` is in seconds."""

    status: int
    content: bytes
    headers: Mapping[str, str]
    latency: float


class Connection:
    """Posts to one path of one server on behalf of one model. `url` may end before `path` or with it.

    `place` is the URL as it is shown, without credentials; `target` is the one that is posted to.
    """

    def __init__(self, model: str, url: str, path: str, key: str) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self.place = f"{parts.scheme}://{host}{parts.path}"
        self._model = model
        base = parts.path.rstrip("/").removesuffix(path)
        self.target = parts._replace(netloc=host, path=(base or "/v1") + path).geturl()
        self._secrets = [secret for secret in (key, parts.password, unquote(parts.password or "")) if secret]
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        if parts.username is not None:  # credentials in the URL are meant for this server
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        self._proxy = proxy_of(parts.scheme, parts.hostname or "")
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the connection pool. Raises InputError where the URL is none."""
        import aiohttp
        from yarl import URL

        try:
            self._url = URL(self.target)
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

    async def post(self, body: bytes, seconds: float) -> Answer | Exchange:
        """Post JSON and return the answer; an exchange that failed where none came within so many seconds."""
        import aiohttp

        assert self._session is not None
        began = time.perf_counter()
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        try:
            data = aiohttp.BytesPayload(body, content_type="application/json")
            async with self._session.post(self._url, data=data, proxy=self._proxy, timeout=timeout) as response:
                content = await response.read()
        except TimeoutError as error:
            unsent = isinstance(error, aiohttp.ConnectionTimeoutError)
            waited = CONNECT_SECONDS if unsent else seconds
            return self._broken("timeout", f"no reply within {waited:g} s", unsent, began)
        except aiohttp.ClientConnectorError as error:
            reason = getattr(getattr(error, "os_error", None), "strerror", None) or str(error)
            return self._broken("connection", f"no connection: {reason}", True, began)
        except aiohttp.ClientPayloadError as error:
            return self._broken("invalid_body", f"the reply broke off: {error}", False, began)
        except (aiohttp.ClientError, OSError) as error:
            reason = str(error) or type(error).__name__
            return self._broken("connection", f"the connection broke: {reason}", False, began)
        return Answer(response.status, content, response.headers, time.perf_counter() - began)

    def refused(self, answer: Answer) -> Exchange:
        """Return the exchange of an answer with an error status."""
        return read_error(answer.status, answer.content, answer.headers, self._model, self.place, time.time())

    def redacted(self, exchange: Exchange) -> Exchange:
        """Return an exchange whose message holds no secret that a server repeated."""
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

    def _broken(self, kind: str, reason: str, unsent: bool, began: float) -> Exchange:
        failure = Failure(kind, f"{self.place}: {' '.join(reason.split())}")
        done = Completion(failure=failure, model=self._model, latency=time.perf_counter() - began)
        return Exchange(done, unreachable=unsent, possibly_billed=not unsent)


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
