"""What one sample's examination rests on: does it need knowledge, which, and the questions that were found valid."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from curate.errors import InputError
from curate.stages.exam.asking import NAMES, Chain, Unanswered, load_prompts
from curate.stages.exam.documents import PASSAGE, Documents, Span
from curate.stages.exam.knowledge import Knowledge, doubt, find_passages, write_knowledge
from curate.stages.exam.need import find_need
from curate.stages.exam.questions import Asked, Rejected, make_questions
from curate.stages.judge import asked
from curate.text import by_character
from curate.types import Ask, Question, Sample

__all__ = ["OUTCOMES", "ExpectedCalls", "Rejected", "Settings", "Sheet", "Span", "expected_calls", "prepare"]

OUTCOMES = ("ready", "no_need", "unknown", "no_knowledge", "doubtful", "no_questions", "empty", "failed")
"""How the making of a sheet can end.

    ready         there is at least one question that passed every check
    no_need       the teacher says that the sample needs no factual knowledge
    unknown       whether it does is not known: the teacher's reply could not be read, nor could its repair
    no_knowledge  the reference knowledge could not be read
    doubtful      the judge holds the knowledge or the response to be wrong, or its reply could not be read
    no_questions  no question passed the checks (`rejected` says why), or the drafts could not be read
    empty         the sample has no instruction or no response, so nothing was asked
    failed        a call failed that may yet come (`failure` is its kind): the same command, run again, asks it again

A sample that ends as neither `ready` nor `no_need` was not examined, and belongs into no arm of a comparison.
"""

MOST = 8
"""Questions for a sample: more do not fit into a reply, and a short text seldom has more facts."""

PASSAGES = 4
"""Passages of the user's documents that the teacher is shown."""

NEED_SHARE = 0.385
"""Samples that need knowledge, as planned: 38.5 % of WizardLM's in KCA's own figures."""

FAILED_SHARE = 0.25
"""Questions that are planned to fail a check the first time."""

WRITTEN = {"need": 400, "knowledge": 1_400, "sound": 300, "questions": 350, "review": 250, "blind": 80}
"""Letters of a usual reply; for `questions`, `review` and `blind` of each question in it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How sheets are made: so many `questions` for each sample, in `language`; `seed` orders options.

    `judge` is the role that checks: "judge", or "teacher" where no other model is named. Raises InputError for a number
    of questions that one reply does not hold.
    """

    questions: int = 3
    language: str = "en"
    seed: int = 0
    judge: str = "judge"

    def __post_init__(self) -> None:
        if not 1 <= self.questions <= MOST:
            raise InputError(f"questions for each sample: {self.questions}; give a whole number from 1 to {MOST}")


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sample's examination before anyone has taken it.

    `need` is None where it is unknown; `reason` and `queries` are the teacher's. `knowledge` is the reference text,
    `sources` the passages that it cites. `questions` are ready to be taken, their options in seeded order. A question
    that two samples share has one id and one order in both, so that taking each id once examines both. `guessed` counts
    the judge's guesses from options alone, right and wrong ones (`validity.Cue`). `calls` are ledger keys. `failure`
    is a kind of types.FAILURES, "unreadable" or "truncated", and `detail` a sentence, where something went wrong.
    """

    sample: str
    outcome: str
    need: bool | None = None
    reason: str = ""
    queries: tuple[str, ...] = ()
    knowledge: str = ""
    sources: tuple[Span, ...] = ()
    questions: tuple[Question, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    guessed: tuple[int, int] = (0, 0)
    calls: tuple[str, ...] = ()
    failure: str = ""
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the sheet as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Sheet:
        """Return the sheet that `to_dict` gave, also after it went through JSON."""
        return cls(
            **{
                **row,
                "queries": tuple(row["queries"]),
                "calls": tuple(row["calls"]),
                "guessed": tuple(row["guessed"]),
                "sources": tuple(Span(**span) for span in row["sources"]),
                "questions": tuple(map(_question, row["questions"])),
                "rejected": tuple(
                    Rejected(**{**entry, "question": _question(entry["question"])}) for entry in row["rejected"]
                ),
            }
        )


def _question(row: Mapping[str, Any]) -> Question:
    return Question(**{**row, "options": tuple(row["options"])})


def prepare(settings: Settings, documents: Documents | None = None) -> Callable[[Sample, Ask], Awaitable[Sheet]]:
    """Return the `work` of `engine.map` that makes a sample's sheet, with the roles "teacher" and `settings.judge`.

    A chain of at most nine calls: need, knowledge, its check, questions, two checks of them, and these three again for
    what failed. Raises ConfigError where a prompt is wrong. The work itself raises nothing for what a model says.
    """
    prompts = load_prompts(settings.language)

    async def work(sample: Sample, ask: Ask) -> Sheet:
        chain = Chain(ask, prompts, settings.seed, sample.id, settings.judge)
        sheet = await _make(chain, sample, settings, documents)
        return replace(sheet, calls=tuple(chain.calls))

    return work


async def _make(chain: Chain, sample: Sample, settings: Settings, documents: Documents | None) -> Sheet:
    """Return the sheet without its calls. At each step it has the outcome that it keeps if the step gives nothing."""
    if not asked(sample).strip() or not sample.response.strip():
        return Sheet(sample.id, "empty")
    sheet = Sheet(sample.id, "unknown")
    try:
        need = await find_need(chain, sample)
        sheet = replace(sheet, outcome="no_need", need=need.needed, reason=need.reason, queries=need.queries)
        if not need.needed:
            return sheet
        sheet = replace(sheet, outcome="no_knowledge")
        passages = [] if documents is None else await find_passages(documents, sample, need, PASSAGES)
        knowledge = await write_knowledge(chain, sample, need, passages)
        sheet = replace(sheet, outcome="doubtful", knowledge=knowledge.text, sources=knowledge.sources)
        if objection := await doubt(chain, sample, knowledge):
            return replace(sheet, detail=objection)
        sheet = replace(sheet, outcome="no_questions")
        return await _with_questions(chain, sample, settings, knowledge, sheet)
    except Unanswered as lost:
        outcome = sheet.outcome if lost.lasting else "failed"
        return replace(sheet, outcome=outcome, failure=lost.failure.kind, detail=lost.failure.message)


async def _with_questions(
    chain: Chain, sample: Sample, settings: Settings, knowledge: Knowledge, sheet: Sheet
) -> Sheet:
    subject = "/".join(sample.task)
    source = Asked(asked(sample), knowledge.text, subject, settings.language, settings.seed)
    made = await make_questions(chain, source, settings.questions)
    return replace(
        sheet,
        outcome="ready" if made.kept else sheet.outcome,
        questions=tuple(made.kept),
        rejected=tuple(made.rejected),
        guessed=made.guessed,
    )


@dataclass(frozen=True, slots=True)
class ExpectedCalls:
    """Calls of one prompt for each sample, on average, and their usual length in characters.

    `max_tokens` is the bound that a budget reserves for one reply.
    """

    prompt: str
    role: str
    calls: float
    input_characters: int
    output_characters: int
    max_tokens: int


def expected_calls(
    settings: Settings, *, sample_characters: int = 1_000, need: float = NEED_SHARE, documents: bool = False
) -> tuple[ExpectedCalls, ...]:
    """Return what the making of sheets takes for each sample, prompt by prompt, before a model is asked.

    `sample_characters` is the mean length of instruction and response together, `need` the share of samples that need
    knowledge. Repairs and equal calls that the ledger answers are not foreseen.
    """
    prompts = load_prompts(settings.language)
    rounds = 1 + (1 - (1 - FAILED_SHARE) ** settings.questions)
    calls = {"need": 1.0, "knowledge": need, "sound": need, **dict.fromkeys(NAMES[3:], need * rounds)}
    # A Chinese character says about what three Latin letters say.
    written = {name: size // 3 if by_character(settings.language) else size for name, size in WRITTEN.items()}
    half, knowledge = "x" * (sample_characters // 2), "x" * written["knowledge"]
    passages = ["x" * PASSAGE] * (PASSAGES if documents else 0)
    # Questions in one call, on average over both rounds.
    count = max(1, round(settings.questions * (1 + FAILED_SHARE) / rounds))
    options = ["x" * 25] * 4
    question = {"question": "x" * 100, "options": options}
    values: dict[str, Any] = {
        "instruction": half,
        "response": half,
        "reason": "x" * 250,
        "queries": ["x" * 40] * 3,
        "passages": passages,
        "last_passage": max(len(passages), 1),
        "knowledge": knowledge,
        "count": count,
        "wrong_options": 3,
        "questions": [question] * count,
        "lists": [options] * count,
    }
    found = []
    for name in NAMES:
        prompt = prompts[name]
        messages = prompt.render(**{key: values[key] for key in prompt.variables})
        times = count if name in ("questions", "review", "blind") else 1
        role = settings.judge if name in ("sound", "review", "blind") else "teacher"
        shown = sum(len(message["content"]) for message in messages)
        found.append(ExpectedCalls(name, role, calls[name], shown, times * written[name], prompt.max_tokens))
    return tuple(found)
