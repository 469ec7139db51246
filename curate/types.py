"""The words of the project as types: Task, Sample, Question, Verdict, Request, Completion. Standard library only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Message = dict[str, str]
"""One chat message: `{"role": "system" | "user" | "assistant", "content": text}`."""


@dataclass(frozen=True, slots=True)
class Task:
    """A node of the domain tree.

    `description` is the reason it exists. `examples` are ids into the tree's example table. The root has no parent.
    """

    id: str
    name: str
    description: str = ""
    parent: str | None = None
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One instruction with its response.

    `task` is the path of task names from the root. `messages` holds role and content; `meta[stage]` is what each stage
    noted, and `meta["source"]` keeps the fields the row came with. A stage changes nothing but its own `meta[stage]`.
    """

    id: str
    messages: tuple[Message, ...]
    task: tuple[str, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def instruction(self) -> str:
        """The first user message (an `input` is part of it): the text that text filters compare."""
        return next((m["content"] for m in self.messages if m["role"] == "user"), "")

    @property
    def response(self) -> str:
        """The last assistant message, or the empty string."""
        return next((m["content"] for m in reversed(self.messages) if m["role"] == "assistant"), "")

    def tag(self, stage: str, **values: Any) -> Sample:
        """Return a copy with `values` added to `meta[stage]`."""
        return replace(self, meta={**self.meta, stage: {**self.meta.get(stage, {}), **values}})


@dataclass(frozen=True, slots=True)
class Question:
    """An exam question of which `options[answer]` alone is right.

    `subject` groups questions where accuracy is shown (the task's path, or the subject a question file names).
    `knowledge` is the text the question was made from; the competence control puts it into the prompt.
    """

    id: str
    text: str
    options: tuple[str, ...]
    answer: int
    subject: str = ""
    knowledge: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a filter says of a sample. A dropped one has a reason; `detail` names e.g. the kept neighbour."""

    keep: bool
    reason: str = ""
    score: float | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


KEEP = Verdict(True)


def drop(reason: str, score: float | None = None, **detail: Any) -> Verdict:
    """Return a dropping verdict."""
    return Verdict(False, reason, score, detail)


@dataclass(frozen=True, slots=True)
class Request:
    """One choice asked of a model.

    `role` names the model (teacher, judge, student). `max_tokens` is always given, so that a budget can reserve an
    upper bound; `temperature=None` leaves the model's own default. `sampling` holds further parameters as servers name
    them (`top_p`, `repetition_penalty`). `schema` is the JSON schema of the reply, if it has one. `attempt` tells apart
    calls that are otherwise equal (the generation loop puts seed, task id and attempt number here). `prompt` and
    `variables` say where `messages` came from; `stage` is for accounts. None of these three enters the ledger key.
    """

    role: str
    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float | None = None
    schema: Mapping[str, Any] | None = None
    attempt: str = ""
    prompt: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    stage: str = ""
    sampling: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call gave no usable text. `kind` is one of FAILURES; `message` names the place and the value."""

    kind: str
    message: str


FATAL = ("auth", "unknown_model")
"""Kinds that stop the run at once."""

PERMANENT = ("context_length", "bad_request")
"""4xx kinds that asking again cannot change: kept in the ledger and replayed."""

BILLED = ("empty_choice", "refusal")
"""Kinds for which the server did answer: kept in the ledger and replayed."""

TRANSIENT = ("rate_limit", "server", "connection", "timeout", "invalid_body")
"""Kinds that are asked again, now with backoff and on the next run; never in the ledger."""

STOPPED = ("budget", "stopped")
"""The engine did not send the request: the budget is spent, or the user asked to stop."""

FAILURES = FATAL + PERMANENT + BILLED + TRANSIENT + STOPPED


@dataclass(frozen=True, slots=True)
class Completion:
    """The outcome of one Request: text or failure, tokens, cost, latency, finish reason.

    `key` is the ledger key (hex). `cost` is in US dollars, None where the price is unknown. `latency` is in seconds.
    `replayed` is true when it came from the ledger. `reasoning` is the model's reasoning text where it gives one.
    """

    key: str = ""
    text: str = ""
    failure: Failure | None = None
    finish_reason: str = ""
    reasoning: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    latency: float = 0.0
    model: str = ""
    replayed: bool = False


Ask = Callable[[Request], Awaitable[Completion]]
"""What the engine hands to a `work` function."""
