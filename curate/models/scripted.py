"""A model whose replies are written down: for tests, for examples, and for replies that a program can give."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from curate.errors import InputError, ModelError
from curate.models.base import ModelOptions
from curate.models.prices import FREE
from curate.types import Completion, Failure, Request

Reply = str | Failure | Completion


class ScriptedModel:
    """Answers from a function of the request, plain or async, or from a list of replies used up in order.

    A reply is a text, a Failure or a Completion. A list that is used up gives a `bad_request` failure.
    """

    limited = False
    price = FREE

    def __init__(
        self,
        reply: Callable[[Request], Any] | Iterable[Reply],
        *,
        name: str = "scripted",
        options: ModelOptions | None = None,
    ) -> None:
        self.name = name
        self.options = options or ModelOptions()
        self._reply = reply if callable(reply) else _in_order(list(reply))

    async def start(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def send(self, request: Request) -> Completion:
        """Return the scripted reply; tokens are counted as words where the reply does not say."""
        reply = self._reply(request)
        if inspect.isawaitable(reply):
            reply = await reply
        if isinstance(reply, Completion):
            return reply
        if isinstance(reply, Failure):
            return Completion(failure=reply, model=self.name)
        words = sum(len(message["content"].split()) for message in request.messages)
        return Completion(
            text=reply, finish_reason="stop", input_tokens=words, output_tokens=len(reply.split()), model=self.name
        )


def scripted_file(path: Path, options: ModelOptions) -> ScriptedModel:
    """Return the model of a Python file that defines `reply(request) -> str | Failure | Completion`, plain or async."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; scripted:FILE.py names a Python file that defines reply(request)")
    spec = importlib.util.spec_from_file_location(f"scripted_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: not a Python file; scripted:FILE.py names one that defines reply(request)")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's own code: whatever it raises is shown as theirs
        raise InputError(f"{path}: {type(error).__name__}: {error}") from error
    reply = getattr(module, "reply", None)
    if not callable(reply):
        raise InputError(f"{path}: defines no function reply(request); it returns a text, a Failure or a Completion")
    return ScriptedModel(_theirs(reply, path), name=f"scripted:{path.name}", options=options)


def _theirs(reply: Callable[[Request], Any], path: Path) -> Callable[[Request], Any]:
    """Return a user's function, of which any error is told as theirs."""

    async def told(request: Request) -> Any:
        try:
            found = reply(request)
            return await found if inspect.isawaitable(found) else found
        except Exception as error:  # whatever it raises
            raise ModelError(f"{path}: reply(request) raised {type(error).__name__}: {error}") from error

    return told


def _in_order(replies: list[Reply]) -> Callable[[Request], Reply]:
    left = iter(replies)

    def reply(request: Request) -> Reply:
        return next(left, Failure("bad_request", f"the script has no more than {len(replies)} replies"))

    return reply
