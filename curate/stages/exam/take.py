"""Taking an exam: questions in, what a student makes of each option out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from curate.errors import InputError
from curate.models.students import UNANSWERED, Item, Mark, Student
from curate.stages.exam.paper import (
    DEFAULT_ORDERS,
    DEFAULT_SHOTS,
    Form,
    Order,
    default_shots,
    letter_items,
    text_item,
    wrong,
)
from curate.types import Question

if TYPE_CHECKING:
    from curate.stages.exam.kept import Kept

WINDOW = 1024
"""Questions that are held at a time where subjects have demonstrations of their own, so that those of one subject are
read together."""

DECIMALS = 6
LEAST = -1e4
"""The log-probability that stands for minus infinity, which JSON cannot hold."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a student made of one question; entries are in the order of the question's own options.

    `letter` is the mean over the orders of the log-probability of the option's letter, normalised over the letters of
    one order. `text` is the log-probability of the option's own words after the question alone, divided by their tokens
    and normalised over the options. `votes` counts how often the option's letter was written, where that is all a
    student gives; `letter` and `text` are None then. `shots` demonstrations were shown, in every order. With `error`
    everything else is None. Logarithms are natural.
    """

    id: str
    letter: tuple[float, ...] | None = None
    text: tuple[float, ...] | None = None
    votes: tuple[int, ...] | None = None
    shots: int = 0
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Taken:
        """Return what `to_dict` was given, also after a way through JSON."""
        return cls(
            id=row["id"],
            letter=_floats(row["letter"]),
            text=_floats(row["text"]),
            votes=None if row["votes"] is None else tuple(int(count) for count in row["votes"]),
            shots=int(row["shots"]),
            error=row["error"],
        )


def take(
    questions: Iterable[Question],
    student: Student,
    *,
    shots: Sequence[Question] | None = None,
    count: int = DEFAULT_SHOTS,
    orders: int = DEFAULT_ORDERS,
    seed: int = 0,
    with_knowledge: bool = False,
    texts: bool = True,
    kept: Kept | None = None,
    tick: Callable[[int], None] | None = None,
) -> Iterator[Taken]:
    """Put questions to a student and yield what it made of each, in their order and in flat memory.

    `count` demonstrations of `shots` (of those that ship, where there are none) come before each question, which is put
    in `orders` orders of its options; see `Form`. Without `texts` only letters are compared. What is in `kept` is not
    asked again, and what is new is added to it. `tick` is told how many questions are done, before they are yielded.

    Raises:
        InputError: a question that cannot be put, with its id.
        ModelError: the student cannot go on.
    """
    form = Form(
        tuple(shots if shots is not None else default_shots()), count, orders, seed, with_knowledge,
        texts and not student.votes,
    )  # fmt: skip
    subjects = {one.subject for one in form.demonstrations} - {""}
    size = max(WINDOW, student.together) if subjects else student.together
    waiting = iter(questions)
    done = 0
    while window := list(islice(waiting, size)):
        taken: dict[int, Taken] = {}
        for unit in _units(window, form, student.together):
            asked = [window[number] for number in unit]
            taken.update(zip(unit, _unit(asked, student, form, kept), strict=True))
            if tick is not None:
                tick(done + len(taken))
        done += len(window)
        yield from (taken[number] for number in range(len(window)))


def _units(window: list[Question], form: Form, size: int) -> Iterator[list[int]]:
    """Yield the numbers of the questions that are handed over together: with equal demonstrations, at most `size`.

    A unit depends on the questions alone, not on what is kept: which prompts are read together decides the last bits
    of a log-probability, and a run that was interrupted is to end with the same bytes.
    """
    places: dict[str, list[int]] = {}
    for number, question in enumerate(window):
        places.setdefault(form.place(question.subject), []).append(number)
    for numbers in places.values():
        for begin in range(0, len(numbers), size):
            yield numbers[begin : begin + size]


def _unit(asked: list[Question], student: Student, form: Form, kept: Kept | None) -> list[Taken]:
    keys = [form.key(question, student.fingerprint) for question in asked] if kept is not None else []
    known = [kept.get(key) for key in keys] if kept is not None else [None]
    found = [one for one in known if one is not None]
    if len(found) < len(known):
        found = _ask(asked, student, form)
        # A unit that a server left unanswered in part is asked again by the next run, whose ledger has the rest.
        if kept is not None and not any(one.error and one.error.startswith(UNANSWERED) for one in found):
            kept.add(dict(zip(keys, found, strict=True)))
    return [replace(one, id=question.id) for one, question in zip(found, asked, strict=True)]


def _ask(asked: list[Question], student: Student, form: Form) -> list[Taken]:
    items: list[Item] = []
    orders: list[list[Order]] = []
    for question in asked:
        if problem := wrong(question):
            raise InputError(f"question {question.id}: {problem}")
        letters = letter_items(question, form)
        orders.append([order for order, _ in letters])
        items += [item for _, item in letters]
        if form.texts:
            items.append(text_item(question, form))
    marks = [mark for _, mark in sorted(student.mark(items), key=lambda pair: pair[0])]
    left = iter(marks)
    done = []
    for question, shown in zip(asked, orders, strict=True):
        letters_marks = [next(left) for _ in shown]
        done.append(_taken(question, shown, letters_marks, next(left) if form.texts else None))
    return done


def _taken(question: Question, orders: list[Order], letters: list[Mark], text: Mark | None) -> Taken:
    """Put the marks of a question's prompts together."""
    marks = letters if text is None else [*letters, text]
    error = next((mark.error for mark in marks if mark.error is not None), None)
    if error is None and any(math.isnan(value) for mark in marks for value in mark.logprobs):
        error = "no number: the student gives NaN; its precision may be too low"
    if error is not None:
        return Taken(question.id, error=error)
    shots = min(mark.shots for mark in marks)
    size = len(question.options)
    if letters[0].votes:
        votes = [0] * size
        for order, mark in zip(orders, letters, strict=True):
            for number, count in zip(order, mark.votes, strict=True):
                votes[number] += count
        return Taken(question.id, votes=tuple(votes), shots=shots)
    sums = [0.0] * size
    for order, mark in zip(orders, letters, strict=True):
        for number, value in zip(order, normalised(mark.logprobs), strict=True):
            sums[number] += value
    letter = tuple(round(value / len(orders), DECIMALS) for value in sums)
    if text is None:
        return Taken(question.id, letter, shots=shots)
    each = [value / tokens for value, tokens in zip(text.logprobs, text.tokens, strict=True)]
    return Taken(question.id, letter, tuple(round(value, DECIMALS) for value in normalised(each)), shots=shots)


def normalised(logprobs: Sequence[float]) -> list[float]:
    """Return log-probabilities that sum to one over the options."""
    bounded = [max(value, LEAST) for value in logprobs]
    most = max(bounded)
    total = most + math.log(math.fsum(math.exp(value - most) for value in bounded))
    return [max(value - total, LEAST) for value in bounded]


def _floats(values: Any) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(value) for value in values)
