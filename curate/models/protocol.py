"""The OpenAI chat protocol as pure functions: the body of a request, and what a reply or an error means."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from curate.models.base import Exchange
from curate.types import Completion, Failure, Request

MESSAGE_LENGTH = 300
"""Characters of a server's own words that an error shows."""

REASONING_NAMES = re.compile(r"^(o[1-9]|gpt-[5-9])(\b|[-.])")
"""Models known to want `max_completion_tokens` and no temperature; others are learned from their refusals."""

CONTEXT_LENGTH = re.compile(
    r"context[ _-]?(length|window|size)|maximum (input|sequence|prompt) length|max_model_len|prompt is too long"
    r"|too many (input )?tokens|input (is )?too long|reduce the length|exceeds? the (model|maximum|available) context",
    re.IGNORECASE,
)
UNKNOWN_MODEL = re.compile(
    r"model_not_found|(unknown|invalid|unsupported|no such) model\b|model\b.{0,200}\b(not found|not exist|not supported"
    r"|is not available|not loaded|unknown)|not a valid model",
    re.IGNORECASE | re.DOTALL,
)
SCHEMA_REFUSED = re.compile(
    r"response_format|json_schema|json_object|structured[ _]output|guided|grammar|outlines|schema"
    r"|type refused",
    re.IGNORECASE,
)
THINK = re.compile(r"\A\s*<think(?:ing)?>(.*?)</think(?:ing)?>\s*", re.DOTALL)
THINK_END = re.compile(r"\A(.*?)</think(?:ing)?>\s*", re.DOTALL)
"""Some chat templates put the opening tag into the prompt, so that the reply holds only the closing one."""

TEMPERATURE_REFUSED = re.compile(
    r"(unsupported|not support|only the default|not allowed|not permitted|deprecated).{0,120}temperature"
    r"|temperature.{0,120}(unsupported|not support|only the default|not allowed|not permitted|deprecated)",
    re.IGNORECASE | re.DOTALL,
)
"""Not any word on temperature: a value out of range is the user's to mend."""

TOKENS_FIELD_REFUSED = re.compile(
    r"max_completion_tokens.{0,80}(extra|unrecogni|unknown|unsupported|not permitted)", re.IGNORECASE | re.DOTALL
)

DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

RETRY_AFTER_MOST = 600.0
"""Seconds; a server that asks for a longer pause is asked again after this."""

SCHEMA_MODES = ("json_schema", "json_object", "none")


@dataclass(slots=True)
class Dialect:
    """What an endpoint was found to take: which field bounds the tokens, whether a temperature, which reply format."""

    completion_tokens: bool = False
    temperature: bool = True
    schema_mode: str = "json_schema"

    def body(self, model: str, request: Request) -> bytes:
        """Return the body of a chat completion request as JSON."""
        body: dict[str, Any] = {"model": model, "messages": request.messages}
        body["max_completion_tokens" if self.completion_tokens else "max_tokens"] = request.max_tokens
        if request.temperature is not None and self.temperature:
            body["temperature"] = request.temperature
        if self.temperature:  # who takes none takes no top_p either
            body |= request.sampling
        if request.schema is not None:
            if self.schema_mode == "json_schema":
                schema = {"name": "reply", "schema": request.schema}
                body["response_format"] = {"type": "json_schema", "json_schema": schema}
            elif self.schema_mode == "json_object":
                body["response_format"] = {"type": "json_object"}
        return json.dumps(body).encode()

    def key(self) -> tuple[bool, bool, str]:
        """Return the dialect as a value, to see whether it changed meanwhile."""
        return self.completion_tokens, self.temperature, self.schema_mode

    def learn(self, status: int, error: str, request: Request) -> bool:
        """Adapt to a refusal; true if the same request may now be taken."""
        if status not in (400, 404, 415, 422, 500, 501) or CONTEXT_LENGTH.search(error):
            return False
        if status in (400, 422):
            if not self.completion_tokens and "max_completion_tokens" in error:
                self.completion_tokens = True
                return True
            if self.completion_tokens and TOKENS_FIELD_REFUSED.search(error):
                self.completion_tokens = False
                return True
            if self.temperature and request.temperature is not None and TEMPERATURE_REFUSED.search(error):
                self.temperature = False
                return True
        if request.schema is not None and self.schema_mode != "none" and SCHEMA_REFUSED.search(error):
            self.schema_mode = SCHEMA_MODES[SCHEMA_MODES.index(self.schema_mode) + 1]
            return True
        return False


def read_reply(content: bytes, name: str, place: str, latency: float) -> Exchange:
    """Return the exchange of a body that came with status 200. `place` is the URL as shown in messages."""
    try:
        body = json.loads(content)
        choices = body["choices"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        shown = clean(content[:120].decode("utf-8", "replace"))
        reason = f"{place}: the reply is no chat completion ({type(error).__name__}): {shown!r}"
        return Exchange(Completion(failure=Failure("invalid_body", reason), model=name), possibly_billed=True)
    usage = body.get("usage") or {}
    input_tokens, output_tokens = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    metered = input_tokens is not None and output_tokens is not None
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    text, reasoning = _texts(message)
    finish = clean(str(choice.get("finish_reason") or ""))
    refusal = message.get("refusal")
    failure = None
    if isinstance(refusal, str) and refusal:
        failure = Failure("refusal", f"the model refused: {clean(refusal)}")
    elif finish == "content_filter":
        failure = Failure("refusal", f"{place}: the reply was withheld by the server's content filter")
    elif not text.strip() and finish != "length":
        failure = Failure("empty_choice", f"{place}: the reply holds no text (finish_reason {finish!r})")
    elif not text:
        failure = Failure("empty_choice", f"{place}: no text within max_tokens (finish_reason 'length')")
    done = Completion(
        text=text, failure=failure, finish_reason=finish, reasoning=reasoning, input_tokens=input_tokens or 0,
        output_tokens=output_tokens or 0, latency=latency, model=name,
    )  # fmt: skip
    return Exchange(done, metered=metered)


def read_error(status: int, content: bytes, headers: Mapping[str, str], name: str, place: str, now: float) -> Exchange:
    """Return the exchange of an error status. `now` is the time of day, against which a Retry-After date is read."""
    said, code = error_text(content)
    words = f"{code} {said}"
    kind = _kind(status, words)
    hint = {
        "auth": "; set OPENAI_API_KEY or CURATE_API_KEY to a key of this server" if status == 401 else "",
        "unknown_model": f"; the server does not know {name!r}, or the URL is wrong (it usually ends in /v1)",
    }.get(kind, "")
    failure = Failure(kind, f"{place}: HTTP {status} {said}".rstrip() + hint)
    overloaded = status in (429, 503, 529)
    pause = retry_after(headers, now) if overloaded or kind in ("rate_limit", "server") else None
    return Exchange(Completion(failure=failure, model=name), retry_after=pause, overloaded=overloaded)


def error_text(content: bytes) -> tuple[str, str]:
    """Return what a server says of an error, in one clean line, and its own code for it."""
    text = content[:20_000].decode("utf-8", "replace")
    code = ""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return clean(re.sub(r"<[^>]*>", " ", text)), code
    if isinstance(body, dict):
        error = body.get("error", body)
        if isinstance(error, dict):
            code = f"{error.get('code') or ''} {error.get('param') or ''}".strip()
            text = str(error.get("message") or error.get("detail") or error)
        else:
            text = str(error)
    return clean(text), code


def clean(text: str) -> str:
    """Return a server's words as one short line without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MESSAGE_LENGTH else line[: MESSAGE_LENGTH - 1] + "…"


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the pause in seconds that a server asks for (`retry-after-ms`, `Retry-After` as seconds or date)."""
    for header, unit in (("retry-after-ms", 0.001), ("Retry-After", 1.0)):
        value = headers.get(header)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - now
            except (ValueError, TypeError, OverflowError):
                continue
        if seconds == seconds:  # not NaN
            return min(max(seconds, 0.0), RETRY_AFTER_MOST)
    # OpenAI's own headers: how long until the spent one of two allowances is full again.
    resets = [
        _duration(headers.get(f"x-ratelimit-reset-{unit}", ""))
        for unit in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{unit}") == "0"
    ]
    return min(max(resets), RETRY_AFTER_MOST) if any(resets) else None


def _duration(text: str) -> float:
    """Return the seconds of a text like 1h2m3.5s or 120ms; 0 where it is none."""
    parts = DURATION.findall(text)
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def _kind(status: int, words: str) -> str:
    if status == 429:
        # A spent account answers 429 for ever: more calls cannot help.
        return "auth" if "insufficient_quota" in words or "billing" in words.lower() else "rate_limit"
    if status in (401, 402, 403):
        return "auth"
    if status in (408, 409, 425) or status >= 500:
        return "server"
    if status == 413 or CONTEXT_LENGTH.search(words):
        return "context_length"
    if status in (404, 405) or (status == 400 and UNKNOWN_MODEL.search(words)):
        return "unknown_model"
    return "bad_request"


def _count(usage: Any, field: str) -> int | None:
    value = usage.get(field) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and 0 <= value < 1 << 40 else None


def _texts(message: Mapping[str, Any]) -> tuple[str, str]:
    """Return text and reasoning of a message; a leading <think> block is reasoning."""
    content = message.get("content")
    if isinstance(content, list):  # content in parts
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(text for text in texts if isinstance(text, str))
    text = content if isinstance(content, str) else ""
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    reasoning = reasoning if isinstance(reasoning, str) else ""
    if "</think" in text and not reasoning:
        match = THINK.match(text) or THINK_END.match(text)
        if match:
            reasoning, text = match[1].strip(), text[match.end() :]
    return text, reasoning
