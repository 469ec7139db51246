"""Students: models that take an exam, in process or behind a server, by log-probabilities or by votes."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from curate.errors import InputError, ModelError
from curate.models.base import ModelOptions
from curate.models.budget import Budget
from curate.models.engine import Engine
from curate.models.ledger import Ledger
from curate.models.specs import SCHEMES, open_model
from curate.models.students.student import CONTEXT, PRECISIONS, UNANSWERED, Item, Mark, Student
from curate.types import STOPPED

__all__ = ["CONTEXT", "PRECISIONS", "UNANSWERED", "Item", "Mark", "Student", "is_served", "open_student"]

WAYS = (
    "the name or folder of a causal model (in process), openai:NAME@URL (any OpenAI-compatible server), vllm:NAME (a"
    " server started here)"
)

WITHOUT_LETTERS = ("procedural",)


def is_served(spec: str) -> bool:
    """Whether a student is asked through an engine, in which its role has `open_model(role, spec)`."""
    scheme = spec.partition(":")[0]
    return scheme in SCHEMES and scheme != "hf" and ":" in spec


def open_student(
    spec: str,
    *,
    engine: Engine | None = None,
    role: str = "student",
    options: ModelOptions | None = None,
    ledger: Path | None = None,
    budget: Budget | None = None,
    precision: str | None = None,
) -> Student:
    """Return the student that a spec names.

    `hf:NAME`, or a name or folder alone, is a causal model in process, in `precision`. `openai:NAME@URL` and
    `vllm:NAME` are asked through `engine`, in which `role` has that model; without an engine one is opened for this
    student, on the ledger file `ledger` (in memory without) and within `budget`. A server is asked once for
    log-probabilities; where it has none, it votes. `notes` says which.

    Raises:
        InputError: no such model, or nothing that can take an exam.
        MissingExtraError: a model in process, without torch and transformers.
        ModelError: the server cannot be asked at all.
    """
    if spec in WITHOUT_LETTERS:
        raise InputError(f"student: {spec!r} is no language model and takes no exam; give {WAYS}")
    if not is_served(spec):
        from curate.models.students.local import open_local

        return open_local(spec.removeprefix("hf:"), precision=precision)
    from curate.models.students.served import EchoStudent, VoteStudent, probe

    model = open_model(role, spec, options)
    with ExitStack() as opened:
        if engine is None:
            store = opened.enter_context(Ledger(ledger) if ledger is not None else Ledger())
            engine = opened.enter_context(Engine({role: model}, store, budget))
        why = probe(engine, role) if model.limited else None
        if why is not None and (why.kind in STOPPED or why.kind not in ("bad_request", "empty_choice")):
            raise ModelError(f"the student {model.name!r} cannot be asked: {why.message}")
        if why is None and model.limited:
            return EchoStudent(engine, role, model.name, opened.pop_all())
        reason = why.message if why is not None else "it has no server"
        return VoteStudent(engine, role, model.name, reason, opened.pop_all())
