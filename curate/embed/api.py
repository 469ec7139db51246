"""An encoder behind an OpenAI-compatible `/v1/embeddings` endpoint, asked through the engine like any other model."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.embed.encoder import Unsent, Vectors
from curate.errors import ModelError
from curate.models.base import Exchange, ModelOptions
from curate.models.connection import Answer, Connection
from curate.models.engine import Engine
from curate.models.http import HttpModel
from curate.models.ledger import Ledger
from curate.models.limits import Patience
from curate.models.protocol import clean
from curate.models.specs import check_key, environment_key, price_at, servers_of
from curate.types import STOPPED, Ask, Completion, Failure, Request

ROLE = "embedder"
STAGE = "embed"

BATCH = 64
"""Texts in one call: enough that no server idles between calls, few enough to reserve little of a budget at a time."""

Keep = Callable[[Sequence[str], Vectors], None]
"""Told of the rows of some texts as soon as they are paid for; called in any thread."""


class EmbeddingServer:
    """One server asked for the embeddings of one model. A reply's text is the base64 of its float32 rows."""

    def __init__(self, model: str, url: str, key: str, options: ModelOptions) -> None:
        self.address = f"{url} {model}"
        self.connection = Connection(model, url, "/embeddings", key)
        self._model = model
        self._patience = Patience(options.timeout)

    async def start(self) -> None:
        """Open the connection pool."""
        await self.connection.start()

    async def close(self) -> None:
        """Close the connection pool."""
        await self.connection.close()

    async def exchange(self, request: Request) -> Exchange:
        """Make one attempt at the vectors of a request's messages, in their order."""
        texts = [message["content"] for message in request.messages]
        body = json.dumps({"model": self._model, "input": texts}).encode()
        # A call's length is that of its batch, so its seconds count as those of one token.
        answer = await self.connection.post(body, self._patience.seconds(1))
        if isinstance(answer, Exchange):
            failure = answer.completion.failure
            if failure is not None and failure.kind == "timeout" and not answer.unreachable:
                self._patience.ran_out()
            return self.connection.redacted(answer)
        if answer.status != 200:
            return self.connection.redacted(self.connection.refused(answer))
        self._patience.replied(answer.latency, 1)
        return self.connection.redacted(self._read(answer, len(texts)))

    def _read(self, answer: Answer, count: int) -> Exchange:
        try:
            body = json.loads(answer.content)
            rows = _rows(body, count)
        except (ValueError, RecursionError) as error:
            shown = clean(answer.content[:80].decode("utf-8", "replace"))
            reason = f"{self.connection.place}: the reply holds no vectors: {error}: {shown!r}"
            return Exchange(
                Completion(failure=Failure("invalid_body", reason), model=self._model), possibly_billed=True
            )
        tokens = _tokens(body)
        text = b64encode(rows.tobytes()).decode()
        done = Completion(text=text, input_tokens=tokens or 0, latency=answer.latency, model=self._model)
        return Exchange(done, metered=tokens is not None)


class ApiEncoder:
    """Asks a server for vectors, BATCH texts in a call, within the limits, retries, budget and accounts of an engine.

    The spec is `openai:NAME@URL[,URL]`, or `openai:NAME` at OPENAI_BASE_URL or api.openai.com; `options` gives limits
    and the price, and the key is the environment's. `engine` is that of a run, where it has `model` in the role
    "embedder"; without one, each `encode` opens its own. Nothing here keeps a vector: `VectorStore` does, so that none
    is paid for twice. Raises InputError for another spec.
    """

    default_threshold: float | None = None

    def __init__(self, spec: str, options: ModelOptions | None = None) -> None:
        given = options or ModelOptions()
        # Vectors are no tokens: a price for what is written means nothing here and need not be given.
        options = replace(given, price_out=given.price_out or 0.0)
        model, self._urls = servers_of(spec.removeprefix("openai:"))
        servers = [EmbeddingServer(model, url, environment_key(), options) for url in self._urls]
        price = price_at(model, self._urls, options)
        self.model = HttpModel(model, servers, options=options, price=price, replays=False)
        self.name = self.identity = f"openai:{model}"
        self.engine: Engine | None = None
        self._dim = 0

    def check_key(self) -> None:
        """Raise InputError where the server is known to need a key and the environment holds none."""
        check_key(self._urls)

    @property
    def dim(self) -> int:
        """The length of a vector; one short text is sent to learn it before anything else was."""
        if not self._dim:
            self.encode(["length"])
        return self._dim

    def encode(self, texts: list[str], keep: Keep | None = None) -> Vectors:
        """Return unit rows, [n, dim]; a text without anything but white space is a row of zeros and is not sent.

        Raises:
            Unsent: the budget is spent or the run was stopped; `keep` was told of everything that came.
            ModelError: the server refuses, or gives no vectors; its message names the server and never the key.
        """
        # Servers refuse an empty input, and one refused text would cost the whole batch.
        sent = [i for i, text in enumerate(texts) if text.strip()]
        parts = [sent[start : start + BATCH] for start in range(0, len(sent), BATCH)]
        came: list[tuple[list[int], Vectors]] = []
        failure: Failure | None = None
        for part, got in self._ask(texts, parts, keep):
            if isinstance(got, Failure):
                failure = failure or got
            else:
                came.append((part, got))
        if failure is not None:
            raise self._error(failure)
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for part, rows in came:
            vectors[part] = rows
        if keep is not None and len(sent) < len(texts):
            keep([text for text in texts if not text.strip()], np.zeros((len(texts) - len(sent), self.dim), np.float32))
        return vectors

    def _ask(
        self, texts: list[str], parts: list[list[int]], keep: Keep | None
    ) -> Iterator[tuple[list[int], Vectors | Failure]]:
        """Yield the rows of every part, or why there are none; all parts are asked for at the same time."""

        async def work(part: list[int], ask: Ask) -> Vectors | Failure:
            messages = tuple({"role": "user", "content": texts[i]} for i in part)
            done = await ask(Request(ROLE, messages, max_tokens=0, stage=STAGE))
            if done.failure is not None:
                return done.failure
            rows = self._unit(done.text, len(part))
            if keep is not None:
                # Here and not when its turn comes: what waits behind a slower part is paid for, too.
                await asyncio.to_thread(keep, [texts[i] for i in part], rows)
            return rows

        if self.engine is not None:
            yield from ((outcome.item, outcome.value) for outcome in self.engine.map(parts, work))
        elif parts:
            self.check_key()
            with Ledger() as ledger, Engine({ROLE: self.model}, ledger) as engine:
                yield from ((outcome.item, outcome.value) for outcome in engine.map(parts, work))

    def _unit(self, text: str, count: int) -> Vectors:
        """Return a reply's rows, [count, dim], of unit length."""
        rows = np.frombuffer(b64decode(text), dtype=np.float32).reshape(count, -1).copy()
        self._dim = self._dim or rows.shape[1]
        if rows.shape[1] != self._dim:
            lengths = sorted({self._dim, rows.shape[1]})
            raise ModelError(f"the encoder '{self.name}' gave vectors of different lengths: {lengths}")
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        np.divide(rows, norms, out=rows, where=norms > 0)
        return rows

    def _error(self, failure: Failure) -> Unsent | ModelError:
        if failure.kind in STOPPED:
            return Unsent(failure.kind)
        return ModelError(f"the encoder '{self.name}' gave no vectors: {failure.message}")


def _rows(body: Any, count: int) -> NDArray[np.float32]:
    """Read the vectors of a reply in the order of its texts. Raises ValueError where they are not all there."""
    try:
        items = sorted(body["data"], key=lambda item: item["index"])
        rows = np.array([item["embedding"] for item in items], dtype=np.float32)
    except (KeyError, TypeError) as error:
        raise ValueError(f"no embeddings ({error!r})") from None
    if rows.ndim != 2 or [item["index"] for item in items] != list(range(count)):
        raise ValueError(f"{len(items)} vectors for {count} texts")
    if not rows.shape[1] or not np.isfinite(rows).all():
        raise ValueError("vectors without numbers")
    return rows


def _tokens(body: dict[str, Any]) -> int | None:
    """Return the tokens that a reply says were read, None where it does not say."""
    usage = body.get("usage")
    value = (usage.get("prompt_tokens") or usage.get("total_tokens")) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and 0 <= value < 1 << 40 else None
