"""Writing a sample's questions: the teacher's drafts, the free checks, the judge's two looks, and one rewriting."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from curate.errors import ParseError
from curate.stages.exam.asking import Chain, Check, Unanswered
from curate.stages.exam.validity import fault_of_form, unlabelled
from curate.text import normalise
from curate.types import Question

LETTERS = "ABCD"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A question that failed a check: `reason` is one of `validity.REASONS`, `detail` the judge's words, if any.

    `final` is false where the teacher wrote another question upon it. A draft with too few or too many options has
    them all, the right one first.
    """

    question: Question
    reason: str
    detail: str
    final: bool


@dataclass(slots=True)
class Made:
    """What became of a sample's questions.

    `guessed` counts the judge's guesses from the options alone: right ones, and wrong ones. Luck gives three wrong ones
    to a right one, so a third of the wrong ones is what this check costs in questions without fault.
    """

    kept: list[Question] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    guessed: tuple[int, int] = (0, 0)

    def reject(self, question: Question, reason: str, detail: str = "", final: bool = True) -> None:
        """Turn a question down."""
        self.rejected.append(Rejected(question, reason, detail, final))


@dataclass(frozen=True, slots=True)
class Asked:
    """What the questions of one sample are made from; `seed` orders their options."""

    instruction: str
    knowledge: str
    subject: str
    language: str
    seed: int


async def make_questions(chain: Chain, asked: Asked, count: int) -> Made:
    """Return up to `count` questions that passed every check. Those that failed one are written anew once.

    Raises Unanswered where the first drafts are not to be had, or where a call failed that may yet come.
    """
    made = Made()
    await _round(chain, asked, made, count, "1")
    # What the judge would not read is not the writer's fault, and another question would fare no better.
    again = [entry for entry in made.rejected if entry.reason not in ("unjudged", "surplus")]
    others = [entry for entry in made.rejected if entry.reason in ("unjudged", "surplus")]
    missing = count - len(made.kept) - sum(entry.reason == "unjudged" for entry in others)
    if missing <= 0:
        return made
    try:
        await _round(chain, asked, made, missing, "2", again)
    except Unanswered as lost:
        if not lost.lasting:
            raise
        return made
    second = made.rejected[len(again) + len(others) :]
    made.rejected = [*(replace(entry, final=False) for entry in again), *others, *second]
    return made


async def _round(
    chain: Chain, asked: Asked, made: Made, count: int, step: str, failed: Sequence[Rejected] = ()
) -> None:
    """Have `count` questions written and checked; what passes goes to `made.kept`."""
    reply = await chain.put(
        "questions",
        "teacher",
        step,
        knowledge=asked.knowledge,
        instruction=asked.instruction,
        count=count,
        wrong_options=len(LETTERS) - 1,
        kept=[question.text for question in made.kept],
        failed=[_shown_to_writer(entry) for entry in failed],
    )
    sound: list[Question] = []
    for number, draft in enumerate(reply["questions"]):
        question = to_question(draft, asked)
        if number >= count:
            made.reject(question, "surplus")
        elif reason := fault_of_form(question, [*made.kept, *sound], asked.language):
            made.reject(question, reason)
        else:
            sound.append(question)
    sound = await _review(chain, asked, made, sound, step)
    made.kept += await _guess(chain, made, sound, step)


async def _review(chain: Chain, asked: Asked, made: Made, questions: list[Question], step: str) -> list[Question]:
    """Return the questions that the judge, given the knowledge and not the key, answers with the key alone."""
    shown = [
        {"number": number, "question": question.text, "options": dict(zip(LETTERS, question.options, strict=True))}
        for number, question in enumerate(questions, 1)
    ]
    variables = {"knowledge": asked.knowledge, "questions": shown}
    answers = await _of_judge(chain, made, questions, "review", step, "answers", variables)
    passed = []
    for question, answer in zip(questions, answers, strict=False):
        if fault := _fault_of_answer(LETTERS[question.answer], answer):
            made.reject(question, fault, answer["why"].strip())
        else:
            passed.append(question)
    return passed


async def _guess(chain: Chain, made: Made, questions: list[Question], step: str) -> list[Question]:
    """Return the questions whose right option the judge does not tell from the four options alone.

    Without the question even a judge that knows every fact has nothing but the options to go by. It is told to guess
    nothing where none stands out.
    """
    lists = [
        {"number": number, "options": dict(zip(LETTERS, question.options, strict=True))}
        for number, question in enumerate(questions, 1)
    ]
    guesses = await _of_judge(chain, made, questions, "blind", step, "guesses", {"lists": lists})
    passed = []
    right, wrong = made.guessed
    for question, guess in zip(questions, guesses, strict=False):
        if guess["guess"] == LETTERS[question.answer]:
            right += 1
            made.reject(question, "guessable", guess["why"].strip())
        else:
            wrong += guess["guess"] != "none"
            passed.append(question)
    made.guessed = right, wrong
    return passed


async def _of_judge(
    chain: Chain,
    made: Made,
    questions: Sequence[Question],
    name: str,
    step: str,
    key: str,
    variables: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return the judge's entry on each question, in order. If it gives no reply, turn them all down and return none."""
    if not questions:
        return []
    try:
        reply = await chain.put(name, chain.judge, step, _numbered(key, len(questions)), **variables)
    except Unanswered as lost:
        if not lost.lasting:
            raise
        for question in questions:
            made.reject(question, "unjudged", lost.failure.message)
        return []
    entries = {entry["number"]: entry for entry in reply[key]}
    return [entries[number] for number in range(1, len(questions) + 1)]


def _numbered(key: str, count: int) -> Check:
    """Return a check that a reply has one entry for each number from 1 to `count`."""

    def check(reply: Any) -> None:
        numbers = sorted(entry["number"] for entry in reply[key])
        if numbers != list(range(1, count + 1)):
            raise ParseError(f"{key} must have one entry for each number from 1 to {count}, and has {numbers}")

    return check


def _fault_of_answer(right: str, answer: Mapping[str, Any]) -> str:
    """Return what the judge's answer says against a question whose right option has the letter `right`."""
    found = set(answer["right"])
    if not answer["clear"]:
        return "unclear"
    if not found:
        return "unanswerable"
    if right not in found:
        return "wrong_key"
    return "several_right" if found | set(answer["defensible"]) != {right} else ""


def to_question(draft: Mapping[str, Any], asked: Asked) -> Question:
    """Return the question of a draft, its id made of its content and its options in the order that id and seed give.

    So one question written for two samples has one id and one order of options, and is taken once for both; and the
    right option is as likely in one place as in another, wherever the teacher would have put it.
    """
    text = draft["question"].strip()
    options = unlabelled([option.strip() for option in (draft["right"], *draft["wrong"])])
    same = [normalise(option) for option in options]
    content = json.dumps([normalise(text), same[0], sorted(same[1:])])
    ident = hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    if len(options) != len(LETTERS):
        return Question(ident, text, options, 0, asked.subject, asked.knowledge)
    # From a fixed order, so that the shuffled one does not depend on the order in which the draft has them.
    order = sorted(range(len(options)), key=lambda place: (same[place], place))
    random.Random(f"{asked.seed}/{ident}").shuffle(order)
    return Question(
        ident, text, tuple(options[place] for place in order), order.index(0), asked.subject, asked.knowledge
    )


def _shown_to_writer(entry: Rejected) -> dict[str, Any]:
    """Return a rejected question as the writer sees it."""
    question = entry.question
    return {
        "question": question.text,
        "right": question.options[question.answer],
        "wrong": [option for place, option in enumerate(question.options) if place != question.answer],
        "fault": entry.reason,
        "remark": entry.detail,
    }
