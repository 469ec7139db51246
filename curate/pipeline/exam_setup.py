"""What an examination works with, all of it checked before a call is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import InputError, without_credentials
from curate.pipeline.dataset import Fields, known_language
from curate.pipeline.exam_run import Terms, labelled, open_documents
from curate.pipeline.exam_sit import READ_BOTH, Paper
from curate.stages.exam.files import read_questions
from curate.stages.exam.paper import DEFAULT_ORDERS, DEFAULT_SHOTS, LETTERS
from curate.stages.exam.score import HALF, MOST, RULES, TWO_THIRDS
from curate.stages.exam.sheet import Settings
from curate.stages.exam.treat import TREATMENTS, Refusals, load_refusals

if TYPE_CHECKING:
    from curate.models import Model
    from curate.stages.exam.documents import Documents
    from curate.types import Question

BY = ("letter", "text", READ_BOTH)

MOST_SHOTS = 100
"""Demonstrations at most; no model gains by more, and every question would pay for them."""

THRESHOLD = {"mean": HALF, "votes": TWO_THIRDS}
"""The threshold of each rule unless given."""

TEACHERS = """who writes the exam? Name a language model in one of these ways:
  --teacher openai:NAME@URL        any OpenAI-compatible server (key in OPENAI_API_KEY), e.g. openai:gpt-5-mini
  --teacher vllm:NAME              a local model, served for the time of the exam (or hf:NAME)"""


@dataclass(frozen=True)
class Options:
    """What one invocation of `exam` asks for; None takes the default of `resolve`.

    Budgets count everything that the examination's folder has ever spent. `treat` may be empty: then the dataset is
    examined and nothing is written of it. `fields` names the columns of a dataset in no known format.
    """

    students: tuple[str, ...]
    fields: Fields = None
    treat: tuple[str, ...] = ()
    out: Path | None = None
    teacher: str | None = None
    judge: str | None = None
    documents: Path | None = None
    questions_per_sample: int = 3
    orders: int = DEFAULT_ORDERS
    shots: Path | None = None
    demonstrations: int = DEFAULT_SHOTS
    precision: str | None = None
    rule: str = "mean"
    threshold: float | None = None
    by: str = READ_BOTH
    language: str = "en"
    refusals: Path | None = None
    seed: int = 0
    budget_calls: int | None = None
    budget_tokens: int | None = None
    budget_usd: float | None = None


@dataclass(frozen=True)
class Resolved:
    """The options with everything that they name loaded, but for the models, which are opened by name only."""

    options: Options
    terms: Terms
    treat: tuple[str, ...]
    refusals: Refusals
    models: Mapping[str, Model]
    documents: Documents | None

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON values; credentials that a URL may hold stay out of it."""
        options, terms = self.options, self.terms
        return {
            "students": [without_credentials(spec) for spec in terms.students],
            "teacher": self.models["teacher"].name,
            "judge": self.models[terms.settings.judge].name,
            "treat": list(self.treat),
            "rule": terms.rule,
            "threshold": terms.threshold,
            "by": terms.by,
            "questions": terms.settings.questions,
            "orders": terms.paper.orders,
            "fields": dict(options.fields) if options.fields else None,
            "shots": str(options.shots) if options.shots else None,
            "demonstrations": terms.paper.count,
            "precision": options.precision,
            "documents": str(options.documents) if options.documents else None,
            "passages": len(self.documents) if self.documents else 0,
            "language": terms.settings.language,
            "seed": options.seed,
        }


def resolve(options: Options) -> Resolved:
    """Check the options and load what they name.

    Raises:
        InputError: a value, a file or a model's spec cannot be used; the message names it and what would work.
    """
    from curate.models import open_model

    check_values(options)
    if options.teacher in (None, "procedural"):
        raise InputError(TEACHERS)
    terms = terms_of(options, "judge" if options.judge else "teacher")
    refusals = load_refusals(options.refusals, seed=options.seed, language=options.language)
    models = {"teacher": open_model("teacher", options.teacher)}
    if options.judge:
        models["judge"] = open_model("judge", options.judge)
    models |= {role: open_model(role, spec) for spec, role in roles_of(options.students).items()}
    return Resolved(options, terms, options.treat, refusals, models, documents_of(options))


def roles_of(students: Sequence[str]) -> dict[str, str]:
    """Return the engine's role of each student that is asked through it, by spec."""
    from curate.models.students import is_served

    names = labelled(students)
    return {
        spec: "student" if len(names) == 1 else f"student {label}" for label, spec in names.items() if is_served(spec)
    }


def check_values(options: Options) -> None:
    """Raise InputError for a value that is off the menu."""
    if not options.students or not all(spec.strip() for spec in options.students):
        raise InputError(
            "which student? Give --student MODEL: the model that is to be trained (hf:NAME, openai:NAME@URL)"
        )
    for name, values in (("student", options.students), ("treat", options.treat)):
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise InputError(f"--{name} {twice} is given twice")
    for name, value, known in (("rule", options.rule, RULES), ("by", options.by, BY)):
        if value not in known:
            raise InputError(f"{name} is {value!r}; it takes {', '.join(known)}")
    if wrong := [name for name in options.treat if name not in TREATMENTS]:
        raise InputError(f"treat is {wrong[0]!r}; it takes {', '.join(TREATMENTS)}")
    if not 1 <= options.questions_per_sample <= MOST:
        raise InputError(f"questions per sample is {options.questions_per_sample}; it takes 1 to {MOST}")
    check_form(options.students, options.demonstrations, options.orders, options.precision)
    if options.threshold is not None and not 0 < options.threshold <= 1:
        raise InputError(
            f"the threshold is {options.threshold:g}; it takes a number above 0 and up to 1: the right option's "
            "probability (rule mean), or the share of right answers (rule votes)"
        )


def check_form(students: Sequence[str], demonstrations: int, orders: int, precision: str | None) -> None:
    """Raise InputError for a number of demonstrations or orders that cannot be had, or a precision for nobody."""
    from curate.models.students import PRECISIONS, is_served

    if not 0 <= demonstrations <= MOST_SHOTS:
        raise InputError(f"{demonstrations} demonstrations; give 0 to {MOST_SHOTS}")
    if not 1 <= orders <= len(LETTERS):
        raise InputError(f"{orders} orders of the options; give 1 to {len(LETTERS)}: 4 for questions with four options")
    if precision is not None and precision not in PRECISIONS:
        raise InputError(f"the precision is {precision!r}; it takes {', '.join(PRECISIONS)}")
    if precision is not None and all(is_served(spec) for spec in students):
        raise InputError(
            "a precision is for a student in process (a name or folder); a server has chosen its own, so leave it out"
        )


def demonstrations_of(path: str | Path | None) -> tuple[Question, ...] | None:
    """Read a file of demonstrations; None for those that ship. Raises InputError, also where it has none."""
    if path is None:
        return None
    if shots := tuple(read_questions(path)):
        return shots
    raise InputError(f"{path}: there are no questions in it; a demonstration is a question with its answer")


def threshold_of(options: Options) -> float:
    """Return the threshold of the rule."""
    return THRESHOLD[options.rule] if options.threshold is None else options.threshold


def terms_of(options: Options, judge: str) -> Terms:
    """Return how the examination is held and decided; `judge` is the role that checks. Raises InputError."""
    settings = Settings(options.questions_per_sample, known_language(options.language), options.seed, judge)
    shots = demonstrations_of(options.shots)
    paper = Paper(shots, options.orders, options.seed, options.by != "letter", options.demonstrations)
    return Terms(options.students, paper, settings, options.by, options.rule, threshold_of(options))


def documents_of(options: Options) -> Documents | None:
    """Read the user's documents. Raises InputError naming the file that cannot be read."""
    from curate.embed import default_encoder, open_encoder

    if options.documents is None:
        return None
    return open_documents(options.documents, open_encoder(default_encoder(options.language)))
