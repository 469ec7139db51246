"""How probable a server finds texts that it is given: `/v1/completions` with `echo` and `logprobs`.

A list of the most probable next tokens need not hold the letters of an exam; the echo of a prompt that ends in a letter
holds that letter's own log-probability. vLLM and others have it, most chat services do not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from curate.models.base import Exchange, ModelOptions
from curate.models.connection import Answer, Connection
from curate.models.limits import Patience
from curate.models.protocol import clean
from curate.types import Completion, Failure, Request

ECHO = "prompt"
"""The role of a request's messages that are texts to be echoed: a prompt, then that prompt with each of its endings."""

BUSY = (401, 402, 403, 408, 409, 425, 429, 503, 529)
"""Statuses that say nothing on whether the server echoes."""

AS_IDS = "return_tokens_as_token_ids"
"""vLLM then names tokens by their ids; parts of a character all look alike as text."""


def echo_request(role: str, prompt: str, endings: Sequence[str], stage: str) -> Request:
    """Return a request for the log-probabilities of endings after a prompt; `read_echo` reads its completion's text."""
    texts = [prompt, *(prompt + ending for ending in endings)]
    messages = tuple({"role": ECHO, "content": text} for text in texts)
    # Servers that take no 0 for the tokens to be written write one for each text.
    return Request(role, messages, max_tokens=len(texts), stage=stage)


def read_echo(text: str) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return the log-probability of each ending, in nat, and how many tokens it has."""
    row = json.loads(text)
    return tuple(row["logprobs"]), tuple(row["tokens"])


class Echo:
    """The completions of one model at one server."""

    def __init__(self, model: str, url: str, key: str, options: ModelOptions) -> None:
        self.connection = Connection(model, url.rstrip("/").removesuffix("/chat/completions"), "/completions", key)
        self._model = model
        self._patience = Patience(options.timeout)
        self._as_ids = True
        self._worked = False

    async def exchange(self, request: Request) -> Exchange:
        """Make one attempt."""
        texts = [message["content"] for message in request.messages]
        answer = await self._post(texts)
        if isinstance(answer, Answer) and answer.status in (400, 422) and self._as_ids and not self._worked:
            self._as_ids = False
            answer = await self._post(texts)
        if isinstance(answer, Exchange):
            failure = answer.completion.failure
            if failure is not None and failure.kind == "timeout" and not answer.unreachable:
                self._patience.ran_out()
            return self.connection.redacted(answer)
        if answer.status != 200:
            return self.connection.redacted(self._refused(answer))
        self._patience.replied(answer.latency, 1)
        return self.connection.redacted(self._read(answer, texts))

    async def _post(self, texts: list[str]) -> Answer | Exchange:
        body: dict[str, Any] = {
            "model": self._model, "prompt": texts, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1,
        }  # fmt: skip
        if self._as_ids:
            body[AS_IDS] = True
        return await self.connection.post(json.dumps(body).encode(), self._patience.seconds(1))

    def _refused(self, answer: Answer) -> Exchange:
        """Return the exchange of an error; from a server that has never echoed, it means that it does not."""
        exchange = self.connection.refused(answer)
        failure = exchange.completion.failure
        assert failure is not None
        if self._worked or answer.status in BUSY or failure.kind == "context_length":
            return exchange
        return Exchange(Completion(failure=Failure("bad_request", failure.message), model=self._model))

    def _read(self, answer: Answer, texts: list[str]) -> Exchange:
        tokens = (0, 0)
        try:
            body = json.loads(answer.content)
        except (ValueError, RecursionError) as error:
            reason = f"{self.connection.place}: the reply is no JSON ({clean(str(error))})"
            return Exchange(
                Completion(failure=Failure("invalid_body", reason), model=self._model), possibly_billed=True
            )
        try:
            tokens = _usage(body)
            logprobs, counts = _endings(body, texts, tokens[1])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{self.connection.place}: no log-probabilities of the prompt come back ({clean(str(error))})"
            done = Completion(
                failure=Failure("empty_choice", reason), input_tokens=tokens[0], output_tokens=tokens[1],
                latency=answer.latency, model=self._model,
            )  # fmt: skip
            return Exchange(done, metered=bool(tokens[0]))
        self._worked = True
        done = Completion(
            text=json.dumps({"logprobs": logprobs, "tokens": counts}), finish_reason="stop", input_tokens=tokens[0],
            output_tokens=tokens[1], latency=answer.latency, model=self._model,
        )  # fmt: skip
        return Exchange(done, metered=bool(tokens[0]))


def _endings(body: Any, texts: list[str], written: int) -> tuple[list[float], list[int]]:
    """Return sums of log-probabilities and counts of tokens of all texts but the first, beyond what all begin with."""
    choices = sorted(body["choices"], key=lambda choice: choice["index"])
    if len(choices) != len(texts):
        raise ValueError(f"{len(choices)} choices for {len(texts)} prompts")
    rows = []
    for choice, text in zip(choices, texts, strict=True):
        if not choice["text"].startswith(text):
            raise ValueError("the prompt is not echoed")
        tokens, values = choice["logprobs"]["tokens"], choice["logprobs"]["token_logprobs"]
        if len(tokens) != len(values):
            raise ValueError(f"{len(values)} log-probabilities of {len(tokens)} tokens")
        end = len(tokens) - (1 if written == len(texts) or (written and choice.get("finish_reason") == "length") else 0)
        rows.append((tokens[:end], values[:end]))
    # What follows the first place where two of the texts differ is scored in all of them.
    least, most = min(tokens for tokens, _ in rows), max(tokens for tokens, _ in rows)
    begin = next((i for i, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), min(len(least), len(most)))
    begin = max(begin, 1)
    sums, counts = [], []
    for text, (tokens, values) in zip(texts[1:], rows[1:], strict=True):
        if len(tokens) <= begin:
            raise ValueError(f"the tokenizer leaves nothing of the ending of {text[-20:]!r}")
        sums.append(sum(float(value) for value in values[begin:]))
        counts.append(len(tokens) - begin)
    return sums, counts


def _usage(body: Any) -> tuple[int, int]:
    usage = body.get("usage") or {}
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (read if isinstance(read, int) else 0), (written if isinstance(written, int) else 0)
