"""What the filter for mathematics says of a sample: against a known answer, or against the votes of other solutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from curate.types import Verdict, drop
from curate.verify.answers import Same, equivalent, final_answer, majority

Check = tuple[str, str | Sequence[str]]
"""A response with its known answer (text), or with independent solutions of its problem (a sequence of texts)."""


class Question(NamedTuple):
    """A check reduced to answers: the response's own, and the known one or the votes."""

    answer: str | None
    gold: str | None = None
    votes: tuple[str | None, ...] = ()


def question_of(check: Check) -> Question:
    """Extract the answers of a check."""
    response, other = check
    if isinstance(other, str):
        return Question(final_answer(response), other)
    return Question(final_answer(response), None, tuple(map(final_answer, other)))


def check_gold(response: str, gold: str) -> Verdict:
    """Keep a response whose final answer equals `gold`.

    Drops: "no_final_answer", "wrong_answer", "answer_unreadable" (it cannot be said whether the two are equal).
    `detail` holds `answer` and, where dropped, `gold`.
    """
    return verdict_of(question_of((response, gold)))


def check_votes(response: str, solutions: Sequence[str]) -> Verdict:
    """Keep a response whose final answer is that of more than half of the independent `solutions`.

    Drops: "no_final_answer", "no_majority", "answer_disagrees". `detail` holds `answer` and `votes` (None: a solution
    without a final answer).
    """
    return verdict_of(question_of((response, solutions)))


def verdict_of(question: Question, same: Same = equivalent) -> Verdict:
    """Return the verdict, comparing answers with `same`."""
    answer, gold, votes = question
    if answer is None:
        return drop("no_final_answer")
    if gold is not None:
        equal = same(gold, answer)
        if equal:
            return Verdict(True, detail={"answer": answer})
        return drop("wrong_answer" if equal is False else "answer_unreadable", answer=answer, gold=gold)
    winner, _ = majority(votes, same)
    if winner is None:
        return drop("no_majority", answer=answer, votes=list(votes))
    if not same(votes[winner] or "", answer):
        return drop("answer_disagrees", answer=answer, votes=list(votes))
    return Verdict(True, detail={"answer": answer, "votes": list(votes)})
