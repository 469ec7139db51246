"""Asking a prompt's question: the reply parsed, and one repair where it cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from curate.errors import ParseError
from curate.prompt.template import Prompt, load_prompt, to_json
from curate.types import PERMANENT, Ask, Completion, Failure, Request


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a question: a value or a failure, and every completion it took.

    A failure's kind is one of `types.FAILURES`, or "unreadable" (not repaired by a second call), or "truncated".
    """

    value: Any
    failure: Failure | None
    completions: tuple[Completion, ...]


async def ask_for(ask: Ask, prompt: Prompt, request: Request) -> Reply:
    """Ask, parse, and on an unreadable reply ask once more with the reply and the error shown (`prompts/repair.j2`).

    A reply that was cut at max_tokens is not repaired: a second one would be cut as well.
    """
    first = await ask(request)
    if first.failure:
        return Reply(None, first.failure, (first,))
    try:
        return Reply(prompt.parse(first.text), None, (first,))
    except ParseError as error:
        problem = str(error)
    if first.finish_reason == "length":
        message = f"{prompt.name}: the reply was cut at max_tokens={request.max_tokens}; {problem}"
        return Reply(None, Failure("truncated", message), (first,))
    repair = _repair(prompt.language).request(
        request.role,
        attempt=request.attempt,
        stage=request.stage,
        max_tokens=request.max_tokens,
        problem=problem,
        reply=first.text,
        schema="" if request.schema is None else to_json(request.schema),
    )
    second = await ask(replace(repair, messages=request.messages + repair.messages, schema=request.schema))
    both = (first, second)
    # A second call that can never work leaves the first one's reply unreadable; any other failure may go away.
    if second.failure and second.failure.kind not in PERMANENT:
        return Reply(None, second.failure, both)
    try:
        return Reply(prompt.parse(second.text), None, both)
    except ParseError as error:
        again = "the repair failed" if second.failure else f"after one repair: {error}"
    return Reply(None, Failure("unreadable", f"{prompt.name}: {problem}; {again}"), both)


@cache
def _repair(language: str) -> Prompt:
    return load_prompt("repair", language)
