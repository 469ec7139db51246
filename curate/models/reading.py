"""What a server finds probable at every token of a prompt: `/v1/completions` with the prompt's log-probabilities.

vLLM answers `prompt_logprobs` with the most probable tokens of each place by their ids. Others that name tokens by ids
in their echo (`return_tokens_as_token_ids`) are read too. Servers that name tokens by their text are not: several
tokens look alike, and parts of a character all do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from curate.models.base import Exchange, ModelOptions
from curate.models.connection import Answer, Connection
from curate.models.limits import Patience
from curate.models.protocol import clean
from curate.types import Completion, Failure, Request

TOKENS = "tokens"
"""The role of a request's one message that holds the ids of a prompt."""

PREFIX = "token_id:"

Place = tuple[float, list[tuple[int, float]]]
"""The log-probability of the token that stands there, and the ids and log-probabilities of the most probable ones."""


def reading_request(role: str, ids: Sequence[int], k: int, stage: str) -> Request:
    """Return a request for the `k` most probable tokens at every place of a prompt of these ids.

    Its completion's text is what `read_places` reads.
    """
    content = json.dumps({"ids": list(ids), "k": k})
    return Request(role, ({"role": TOKENS, "content": content},), max_tokens=1, stage=stage)


def read_places(text: str) -> list[Place]:
    """Return the places of a prompt from its second token on, each with its tokens by falling log-probability."""
    return [(own, [(int(number), float(value)) for number, value in most]) for own, most in json.loads(text)]


class TokenReader:
    """The completions of one model at one server."""

    def __init__(self, model: str, url: str, key: str, options: ModelOptions) -> None:
        self.connection = Connection(model, url.rstrip("/").removesuffix("/chat/completions"), "/completions", key)
        self._model = model
        self._patience = Patience(options.timeout)
        self._echoes = False

    async def exchange(self, request: Request) -> Exchange:
        """Make one attempt; a server that does not know `prompt_logprobs` is asked for its echo at once."""
        given = json.loads(request.messages[0]["content"])
        echoes = self._echoes
        exchange, unknown = await self._try(given["ids"], given["k"], echoes)
        if unknown and not echoes:
            other, unknown = await self._try(given["ids"], given["k"], True)
            if not unknown:
                exchange, self._echoes = other, True
        return self.connection.redacted(exchange)

    async def _try(self, ids: list[int], k: int, echoes: bool) -> tuple[Exchange, bool]:
        """Return the exchange, and whether the server seems not to know what it was asked."""
        body: dict[str, Any] = {"model": self._model, "prompt": ids, "max_tokens": 1, "temperature": 0}
        body |= {"echo": True, "logprobs": k, "return_tokens_as_token_ids": True} if echoes else {"prompt_logprobs": k}
        answer = await self.connection.post(json.dumps(body).encode(), self._patience.seconds(1))
        if isinstance(answer, Exchange):
            failure = answer.completion.failure
            if failure is not None and failure.kind == "timeout" and not answer.unreachable:
                self._patience.ran_out()
            return answer, False
        if answer.status != 200:
            refused = self.connection.refused(answer)
            kind = refused.completion.failure.kind if refused.completion.failure else ""
            return refused, kind == "bad_request"
        self._patience.replied(answer.latency, 1)
        return self._read(answer, ids, k, echoes)

    def _read(self, answer: Answer, ids: list[int], k: int, echoes: bool) -> tuple[Exchange, bool]:
        used = (0, 0)
        try:
            body = json.loads(answer.content)
        except (ValueError, RecursionError) as error:
            reason = f"{self.connection.place}: the reply is no JSON ({clean(str(error))})"
            failed = Completion(failure=Failure("invalid_body", reason), model=self._model)
            return Exchange(failed, possibly_billed=True), False
        try:
            usage = body.get("usage") or {}
            used = tuple(int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens"))  # type: ignore[assignment]
            choice = body["choices"][0]
            places = _echoed(choice, ids) if echoes else _listed(choice, body, ids)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            reason = (
                f"{self.connection.place}: no log-probabilities of a prompt's tokens come back ({clean(str(error))})"
            )
            failed = Completion(failure=Failure("empty_choice", reason), model=self._model, latency=answer.latency)
            return Exchange(failed, metered=bool(used[0])), True
        text = json.dumps([(own, sorted(most, key=lambda one: (-one[1], one[0]))[:k]) for own, most in places])
        done = Completion(
            text=text, finish_reason="stop", input_tokens=used[0], output_tokens=used[1], latency=answer.latency,
            model=self._model,
        )  # fmt: skip
        return Exchange(done, metered=bool(used[0])), False


def _listed(choice: Any, body: Any, ids: list[int]) -> list[Place]:
    """Return the places of vLLM's `prompt_logprobs`: a list of {id: {logprob}}, whose first is None."""
    rows = choice.get("prompt_logprobs") or body.get("prompt_logprobs")
    if len(rows) != len(ids):
        raise ValueError(f"{len(rows)} places for {len(ids)} tokens")
    places = []
    for number, row in zip(ids[1:], rows[1:], strict=True):
        found = {int(token): _finite(entry["logprob"]) for token, entry in row.items()}
        places.append((found[number], list(found.items())))
    return places


def _echoed(choice: Any, ids: list[int]) -> list[Place]:
    """Return the places of an echo whose tokens are named by their ids."""
    part = choice["logprobs"]
    tokens, values, most = part["tokens"], part["token_logprobs"], part["top_logprobs"]
    if [_number(token) for token in tokens[: len(ids)]] != ids:
        raise ValueError("the echo does not name the prompt's tokens by their ids")
    rows = zip(ids[1:], values[1 : len(ids)], most[1 : len(ids)], strict=True)
    return [
        (
            _finite(value),
            list(({_number(token): _finite(one) for token, one in row.items()} | {own: _finite(value)}).items()),
        )
        for own, value, row in rows
    ]


def _number(token: str) -> int:
    if not token.startswith(PREFIX):
        raise ValueError(f"a token is named by its text, {token[:20]!r}")
    return int(token.removeprefix(PREFIX))


def _finite(value: Any) -> float:
    # vLLM writes the log-probability of what is impossible as -9999, others as null.
    number = -9999.0 if value is None else float(value)
    if math.isnan(number):
        raise ValueError("a log-probability is no number")
    return number
