"""How the server of a source is asked, and whether it gives what a capture needs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from curate.errors import ModelError
from curate.models import Budget, Engine, Ledger, ModelOptions, open_model
from curate.models.reading import reading_request
from curate.types import STOPPED

ROLE, STAGE = "source", "capture"

VLLM_LISTS = 20
"""Tokens that vLLM lists of a place unless it is started with --max-logprobs."""


@dataclass(frozen=True)
class Asking:
    """The limits and prices of a server, the ledger in which its calls are counted, and what these may come to."""

    options: ModelOptions = field(default_factory=ModelOptions)
    ledger: Path | None = None
    budget: Budget | None = None


def refusal(spec: str, k: int, asking: Asking) -> str:
    """Return why a server does not list the `k` most probable tokens at the places of a prompt, "" where it does.

    It is asked one prompt of two tokens, which is counted nowhere. A vLLM that is started for its model is not started
    for that.

    Raises:
        InputError: a spec that cannot be used, or a budget in money and no price.
    """
    if spec.startswith("vllm:"):
        known = k <= VLLM_LISTS or "--max-logprobs" in os.environ.get("CURATE_VLLM_ARGS", "")
        return "" if known else f"vLLM lists {VLLM_LISTS} tokens of a place; set CURATE_VLLM_ARGS='--max-logprobs {k}'"
    model = open_model(ROLE, spec, asking.options)
    with Ledger() as ledger:
        try:
            with Engine({ROLE: model}, ledger, asking.budget) as engine:
                (done,) = engine.run([reading_request(ROLE, (0, 1), k, STAGE)])
        except ModelError as error:
            return str(error).removeprefix(f"{ROLE}: ")
    if done.failure is None or done.failure.kind in STOPPED:
        return ""
    return f"{done.failure.message}; vLLM gives them, with --max-logprobs {k} or more"
