"""The chain of calls that one sample takes: its prompts, its keys, and what to do where a reply is not to be had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from curate.prompt import Prompt, ask_for, load_prompt
from curate.prompt.reply import Validator
from curate.types import BILLED, PERMANENT, Ask, Failure

STAGE = "exam"

NAMES = ("need", "knowledge", "sound", "questions", "review", "blind")
"""The prompts of the folder `prompts/exam`, in the order in which a sample meets them."""

Check = Callable[[Any], None]
"""A look at a decoded reply beyond its schema; raises ParseError, upon which the reply is repaired."""


class Unanswered(Exception):
    """A call gave nothing to go on with. `lasting` is true where the same call, asked again, would give the same."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.lasting = failure.kind in (*PERMANENT, *BILLED, "unreadable", "truncated")


def load_prompts(language: str) -> dict[str, Prompt]:
    """Return the exam's prompts by name. Raises ConfigError where one is wrong."""
    return {name: load_prompt(f"exam/{name}", language) for name in NAMES}


class Chain:
    """Asks one sample's questions, each under its own attempt, and remembers the ledger keys in `calls`.

    The attempt is made of the seed, the sample's id and the step. So a chain that is run again finds its calls in the
    ledger, and no two samples share one.
    """

    def __init__(self, ask: Ask, prompts: Mapping[str, Prompt], seed: int, sample: str, judge: str) -> None:
        self.calls: list[str] = []
        self.judge = judge
        self._ask = ask
        self._prompts = prompts
        self._attempt = f"{seed}/{sample}"

    async def put(self, name: str, role: str, step: str = "", check: Check | None = None, **variables: Any) -> Any:
        """Return the reply to prompt `name`; `step` tells apart two questions by the same prompt.

        A reply that fails its schema or `check` is repaired once. Raises Unanswered.
        """
        prompt = self._prompts[name]
        if check is not None:
            prompt = replace(prompt, validate=_both(prompt, check))
        attempt = f"{self._attempt}/{name}{step and '/'}{step}"
        request = prompt.request(role, attempt=attempt, stage=STAGE, **variables)
        reply = await ask_for(self._ask, prompt, request)
        self.calls += [completion.key for completion in reply.completions if completion.key]
        if reply.failure is not None:
            raise Unanswered(reply.failure)
        return reply.value


def _both(prompt: Prompt, check: Check) -> Validator:
    """Return the validation of a reply by the prompt's schema and by `check`."""

    def validate(value: Any) -> Any:
        assert prompt.validate is not None
        value = prompt.validate(value)
        check(value)
        return value

    return validate
