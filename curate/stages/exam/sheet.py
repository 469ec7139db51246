"""What one sample's examination rests on: does it need knowledge, which, and the questions that were found valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from curate.types import Question

OUTCOMES = ("ready", "no_need", "unknown", "no_knowledge", "no_questions", "empty", "failed")
"""How the making of a sheet can end.

    ready         there is at least one question that passed every check
    no_need       the teacher says that the sample needs no factual knowledge
    unknown       whether it does is not known: the teacher's reply could not be read, nor could its repair
    no_knowledge  the reference knowledge could not be read
    no_questions  no question passed the checks; `rejected` says why
    empty         the sample has no instruction or no response, so nothing was asked
    failed        a call failed (`failure` is its kind, one of types.FAILURES); run again, it may not

Samples that end as neither `ready` nor `no_need` were not examined, and belong into no arm of a comparison.
"""


@dataclass(frozen=True, slots=True)
class Span:
    """A passage of the user's documents: the characters `start` to `end` (exclusive) of `file`.

    `file` is relative to the folder of documents. In a JSONL file they are characters of the text in line `row`,
    counted from 1; elsewhere `row` is 0.
    """

    file: str
    start: int
    end: int
    row: int = 0


@dataclass(frozen=True, slots=True)
class Rejected:
    """A question that failed a check: `reason` is one of `validity.REASONS`, `detail` says it in a sentence.

    `final` is false where the question was written anew for this reason.
    """

    question: Question
    reason: str
    detail: str
    final: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sample's examination before anyone has taken it.

    `need` is None where it is unknown; `reason` and `queries` are the teacher's. `knowledge` is the reference text,
    `sources` the passages that it cites. `questions` are ready to be taken, their options in seeded order, right option
    balanced over the positions. `calls` are ledger keys. `failure` and `detail` say what went wrong, where something
    did.
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
                "sources": tuple(Span(**span) for span in row["sources"]),
                "questions": tuple(map(_question, row["questions"])),
                "rejected": tuple(
                    Rejected(**{**entry, "question": _question(entry["question"])}) for entry in row["rejected"]
                ),
            }
        )


def _question(row: Mapping[str, Any]) -> Question:
    return Question(**{**row, "options": tuple(row["options"])})
