"""An encoder behind an OpenAI-compatible `/v1/embeddings` endpoint."""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from curate.errors import InputError, ModelError

if TYPE_CHECKING:
    import aiohttp

OPENAI_URL = "https://api.openai.com/v1"
KEYS = ("CURATE_API_KEY", "OPENAI_API_KEY")
BATCH = 128
IN_FLIGHT = 8
ATTEMPTS = 6
FIRST_WAIT = 0.5
SECONDS = 120.0


class ApiEncoder:
    """Asks `url`/embeddings for the vectors of the model `model`, in batches, several at a time.

    Rate limits, server errors and lost connections are asked again with growing waits. Raises ModelError where that
    does not help or the server refuses; the message names the server and never the key.
    """

    default_threshold: float | None = None

    def __init__(self, model: str, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        path = parts.path.rstrip("/").removesuffix("/embeddings")
        self.name = f"openai:{model}"
        self._model = model
        host = parts.netloc.rpartition("@")[2]
        self._target = parts._replace(netloc=host, path=(path or "/v1") + "/embeddings").geturl()
        self._place = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
        self._loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._secrets = [secret for secret in (key, unquote(parts.password or "")) if secret]
        if parts.username is not None:  # credentials in the URL are meant for this server
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers = {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
        self._dim = 0

    @classmethod
    def from_spec(cls, spec: str) -> ApiEncoder:
        """Open `openai:NAME@URL`, or `openai:NAME` at OPENAI_BASE_URL or api.openai.com; the key is the environment's.

        Raises InputError for anything else, and for api.openai.com without a key.
        """
        model, _, where = spec.removeprefix("openai:").partition("@http")
        url = f"http{where}" if where else os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
        host = urlsplit(url).hostname
        if not model or not host:
            raise InputError(
                f"the encoder '{spec.partition('@')[0]}' needs a name and a URL: openai:NAME@http://HOST/v1"
            )
        key = next((os.environ[variable] for variable in KEYS if os.environ.get(variable)), "")
        if not key and host == "api.openai.com":
            raise InputError("api.openai.com needs a key: set OPENAI_API_KEY, or name your own server, openai:NAME@URL")
        return cls(model, url, key)

    @property
    def dim(self) -> int:
        """The length of a vector; one short text is sent to learn it before anything else was."""
        if not self._dim:
            self.encode(["length"])
        return self._dim

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Return unit rows, [n, dim]; a text without anything but white space is a row of zeros and is not sent."""
        # Servers refuse an empty input, and one refused text would cost the whole batch.
        sent = [i for i, text in enumerate(texts) if text.strip()]
        if not sent:
            return np.zeros((len(texts), self.dim), dtype=np.float32)
        # A loop of its own in a thread of its own: the caller's may be running, as in a notebook.
        with ThreadPoolExecutor(1) as pool:
            rows = pool.submit(asyncio.run, self._all([texts[i] for i in sent])).result()
        self._dim = rows.shape[1]
        vectors = np.zeros((len(texts), self._dim), dtype=np.float32)
        vectors[sent] = rows
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(vectors, norms, out=vectors, where=norms > 0)
        return vectors

    async def _all(self, texts: list[str]) -> NDArray[np.float32]:
        import aiohttp

        gate = asyncio.Semaphore(IN_FLIGHT)
        async with aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=SECONDS),
            trust_env=not self._loopback,
        ) as session:

            async def one(batch: list[str]) -> NDArray[np.float32]:
                async with gate:
                    return await self._batch(session, batch)

            try:
                async with asyncio.TaskGroup() as group:
                    starts = range(0, len(texts), BATCH)
                    tasks = [group.create_task(one(texts[start : start + BATCH])) for start in starts]
            except ExceptionGroup as several:
                # The first that failed has cancelled the others.
                raise several.exceptions[0] from None
        rows = [task.result() for task in tasks]
        lengths = {row.shape[1] for row in rows} | ({self._dim} if self._dim else set())
        if len(lengths) != 1:
            raise ModelError(f"{self._place} answered with vectors of different lengths: {sorted(lengths)}")
        return np.concatenate(rows)

    async def _batch(self, session: aiohttp.ClientSession, texts: list[str]) -> NDArray[np.float32]:
        """Ask for one batch until it is answered, refused, or ATTEMPTS were made."""
        import aiohttp

        problem, wait = "", 0.0
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(wait)
            wait = FIRST_WAIT * 2**attempt
            try:
                async with session.post(self._target, json={"model": self._model, "input": texts}) as reply:
                    if reply.status == 200:
                        return self._rows(await reply.json(content_type=None), len(texts))
                    problem = f"HTTP {reply.status} {self._short(await reply.text())}"
                    if reply.status not in (408, 409, 425, 429) and reply.status < 500:
                        break
                    wait = max(wait, _retry_after(reply.headers.get("Retry-After", "")))
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                problem = self._short(f"{type(error).__name__} {error}")
        raise ModelError(f"the encoder '{self.name}' at {self._place} gave no vectors: {problem}")

    def _rows(self, body: Any, count: int) -> NDArray[np.float32]:
        """Read the vectors of a reply in the order of its texts. Raises ValueError where they are not all there."""
        try:
            items = sorted(body["data"], key=lambda item: item["index"])
            rows = np.array([item["embedding"] for item in items], dtype=np.float32)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no embeddings in the reply ({error!r})") from None
        if rows.ndim != 2 or [item["index"] for item in items] != list(range(count)) or not np.isfinite(rows).all():
            raise ValueError(f"{len(items)} vectors for {count} texts")
        return rows

    def _short(self, text: str) -> str:
        """Return one line of a server's text, without the key or the password should it echo them."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return "".join(c if c.isprintable() else " " for c in text)[:200].strip()


def _retry_after(value: str) -> float:
    """Return the seconds a server asks to wait, at most a minute; a date or nonsense counts as none."""
    try:
        return min(max(float(value), 0.0), 60.0)
    except ValueError:
        return 0.0
