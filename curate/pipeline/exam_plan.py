"""What an examination will take, before anything is spent: calls, tokens, money, and the students' prompts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.pipeline.estimate import CHARS_PER_TOKEN
from curate.pipeline.exam_sit import CONTROL
from curate.stages.exam.sheet import NEED_SHARE, Settings, expected_calls
from curate.types import Sample

if TYPE_CHECKING:
    from curate.models import Model
    from curate.models.prices import Price


@dataclass(frozen=True)
class Survey:
    """A dataset before it is examined: its rows, those without instruction or response, the others' mean length."""

    rows: int
    empty: int
    characters: float


def survey(samples: Iterable[Sample], tick: Callable[[int, int | None], None]) -> Survey:
    """Read a dataset once. What is wrong in it is found here, before anything is paid. Raises InputError."""
    rows = empty = length = 0
    for rows, sample in enumerate(samples, 1):
        if sample.instruction.strip() and sample.response.strip():
            length += sum(len(turn["content"]) for turn in sample.messages)
        else:
            empty += 1
        tick(rows, None)
    return Survey(rows, empty, length / max(1, rows - empty))


@dataclass(frozen=True)
class ExamStep:
    """Calls of one prompt, expected, with their tokens."""

    name: str
    role: str
    calls: int
    input_tokens: int
    output_tokens: int


@dataclass
class ExamPlan:
    """An estimate. `cost` is in US dollars, None where a price is unknown. `paid` calls are in the ledger already.

    `questions` are put to each of the `students`, each in `prompts` prompts: one for every order of the options, and
    one for the options' texts where they are read; `control` of them again with the knowledge.
    """

    rows: int
    examined: int
    steps: list[ExamStep]
    models: Mapping[str, str]
    cost: float | None
    free: bool
    paid: int
    questions: int
    prompts: int
    control: int
    students: list[str] = field(default_factory=list)
    served: bool = False

    @property
    def calls(self) -> int:
        """Calls of all steps, paid ones too."""
        return sum(step.calls for step in self.steps)

    @property
    def tokens(self) -> tuple[int, int]:
        """Input and output tokens of all calls."""
        return sum(step.input_tokens for step in self.steps), sum(step.output_tokens for step in self.steps)

    @property
    def passes(self) -> int:
        """Prompts that each student reads."""
        return (self.questions + self.control) * self.prompts

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        given, written = self.tokens
        more = {"calls": self.calls, "input_tokens": given, "output_tokens": written, "student_prompts": self.passes}
        return {**asdict(self), **more}


def plan_exam(
    found: Survey,
    settings: Settings,
    models: Mapping[str, Model],
    ledger: Path,
    *,
    students: list[str],
    prompts: int,
    documents: bool = False,
) -> ExamPlan:
    """Return what the examination of so many samples takes; calls in the `ledger` count as paid.

    Tokens are characters divided by CHARS_PER_TOKEN, a third off either way.
    """
    from curate.models.ledger_view import read_totals
    from curate.stages.exam.asking import STAGE

    examined = found.rows - found.empty
    rate = CHARS_PER_TOKEN.get(settings.language, 4.0)
    expected = expected_calls(settings, sample_characters=round(found.characters), documents=documents)
    steps = []
    for one in expected:
        calls = math.ceil(examined * one.calls)
        given, written = (calls * math.ceil(size / rate) for size in (one.input_characters, one.output_characters))
        steps.append(ExamStep(one.prompt, one.role, calls, given, written))
    spent = sum(total.calls for total in read_totals(ledger) if total.stage == STAGE and total.role != "student")
    paid = min(spent, sum(step.calls for step in steps))
    questions = math.ceil(examined * NEED_SHARE * settings.questions)
    free = not any(model.limited for model in models.values())
    left = 1 - paid / max(1, sum(step.calls for step in steps))
    return ExamPlan(
        found.rows,
        examined,
        steps,
        {role: model.name for role, model in models.items()},
        0.0 if free else _cost(steps, models, left),
        free,
        paid,
        questions,
        prompts,
        min(CONTROL, questions),
        students,
        any(role.startswith("student") for role in models),
    )


def _cost(steps: Iterable[ExamStep], models: Mapping[str, Model], left: float) -> float | None:
    """Return US dollars for the share `left` of all calls, or None where a model's price is unknown."""
    total = 0.0
    for step in steps:
        price: Price | None = getattr(models[step.role], "price", None)
        if price is None:
            return None
        total += price.cost(step.input_tokens, step.output_tokens)
    return total * left
