"""What a collection will take, before anything is spent: calls, tokens and money."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.fuse.sample import STAGE
from curate.fuse.sources import Source
from curate.stages.judge import STAGE as GRADE

if TYPE_CHECKING:
    from curate.models import Model
    from curate.models.prices import Price

CHARACTERS = 4.0
"""Of text to a token, a third off either way."""

RESPONSE = 400
"""Tokens of a response, a guess; max_tokens where that is less."""

GRADING = (450, 150)
"""Tokens of the judge's prompt besides what it grades, and of its grade with the reasons."""


@dataclass(frozen=True)
class Survey:
    """The prompts before they are asked: rows, those left out by reason, the others by their check, and their size.

    `calls` are those of each model.
    """

    rows: int
    dropped: Counter[str]
    checks: Counter[str]
    characters: float
    calls: Mapping[Source, int]

    @property
    def prompts(self) -> int:
        """Prompts that are asked."""
        return sum(self.checks.values())


@dataclass(frozen=True)
class Step:
    """Calls of one model, `paid` of them in the ledger already; tokens and `cost` (US dollars) are of all of them."""

    role: str
    model: str
    calls: int
    paid: int
    input_tokens: int
    output_tokens: int
    cost: float | None


@dataclass(frozen=True)
class Plan:
    """An estimate of a collection. `cost` is in US dollars for what is not paid, None where a price is unknown."""

    prompts: int
    dropped: dict[str, int]
    checks: dict[str, int]
    steps: list[Step]

    @property
    def cost(self) -> float | None:
        """US dollars for what is not paid yet."""
        parts = [None if step.cost is None else step.cost * (1 - step.paid / max(1, step.calls)) for step in self.steps]
        return None if None in parts else math.fsum(part for part in parts if part is not None)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {**asdict(self), "cost": self.cost}


def plan(found: Survey, models: Mapping[Source, Model], judge: Model | None, ledger: Path) -> Plan:
    """Return what the collection takes; calls in the `ledger` count as paid, however they were asked."""
    from curate.models.ledger import POSSIBLY_BILLED
    from curate.models.ledger_view import read_totals

    spent: Counter[tuple[str, str]] = Counter()
    for total in read_totals(ledger):
        if total.kind == POSSIBLY_BILLED:
            continue  # requests without a reply, which are asked again
        spent[total.stage, total.role if total.stage == STAGE else ""] += total.calls
    asked = math.ceil(found.characters / CHARACTERS)
    steps, texts, written = [], 0, 0
    for source, model in models.items():
        calls, size = found.calls[source], min(RESPONSE, source.sampling.max_tokens)
        paid = spent[STAGE, f"{source.role} {source.spec}"]
        steps.append(_step(source.role, model, calls, paid, asked, size))
        texts, written = texts + calls, written + calls * size
    if judge is not None:
        shown = math.ceil(written / max(1, texts))
        steps.append(_step("judge", judge, texts, spent[GRADE, ""], asked + shown + GRADING[0], GRADING[1]))
    return Plan(found.prompts, dict(found.dropped), dict(found.checks), steps)


def _step(role: str, model: Model, calls: int, paid: int, given: int, written: int) -> Step:
    price: Price | None = getattr(model, "price", None)
    cost = None if price is None else price.cost(calls * given, calls * written)
    return Step(role, model.name, calls, min(paid, calls), calls * given, calls * written, cost)
