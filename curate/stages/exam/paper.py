"""The paper that a student is given: prompts in the format of MMLU, demonstrations and options in balanced orders.

Letters follow Hendrycks et al. 2021 (MMLU, arXiv 2009.03300): a header that names the subject, demonstrations, the
question, its options behind their letters, "Answer:"; the endings are " A", " B" and so on. Texts follow Brown et al.
2020 (GPT-3, arXiv 2005.14165, section 2.4): the question alone, and each option's own words as the ending.

A student's favourite letter must not pass for knowledge, so a question is put in several orders. They are rows of a
balanced Latin square (Williams 1949): in as many orders as there are options, every option takes every letter once, and
for an even number every option stands once behind every other. Which square it is depends on the options' words and the
seed, not on how the file orders them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from pathlib import Path

from curate.models.students import Item
from curate.types import Question

LETTERS = "ABCDEFGHIJ"
SHOTS = Path(__file__).with_name("shots.json")
DEFAULT_SHOTS = 5
DEFAULT_ORDERS = 4

Order = tuple[int, ...]
"""The options' numbers in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Form:
    """How questions are put.

    `shots` demonstrations of the question's own subject, or where there are none of that, of any, come first. With one
    order, questions and demonstrations are as they were given; with more, both are reordered by `seed`.
    `with_knowledge` shows the text that a question was made from. `texts` puts the question without options, too.
    """

    demonstrations: tuple[Question, ...] = ()
    shots: int = DEFAULT_SHOTS
    orders: int = DEFAULT_ORDERS
    seed: int = 0
    with_knowledge: bool = False
    texts: bool = True

    _known: dict[str, tuple[Question, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def place(self, subject: str) -> str:
        """Return whose demonstrations a subject is shown: its own, or "" for anybody's."""
        return subject if any(one.subject == subject for one in self.demonstrations) else ""

    def shown(self, subject: str) -> tuple[Question, ...]:
        """Return the demonstrations for questions of a subject, with their options in the order that is shown."""
        if subject not in self._known:
            place = self.place(subject)
            chosen = tuple(one for one in self.demonstrations if not place or one.subject == place)[: self.shots]
            self._known[subject] = chosen if self.orders == 1 else balanced(chosen, self.seed)
        return self._known[subject]

    def key(self, question: Question, student: str) -> str:
        """Return the key (hex) of what a student makes of a question: equal where the prompts and the student are."""
        shots = [[one.text, *one.options, one.answer, one.knowledge] for one in self.shown(question.subject)]
        form = [shots, self.orders, self.seed if self.orders > 1 else 0, self.with_knowledge, self.texts]
        asked = [question.text, question.options, question.subject, question.knowledge if self.with_knowledge else ""]
        whole = json.dumps([student, form, asked], ensure_ascii=True)
        return blake2b(whole.encode(), digest_size=16).hexdigest()


def default_shots() -> tuple[Question, ...]:
    """Return the demonstrations that ship: general knowledge that every model has."""
    return _shipped()


@cache
def _shipped() -> tuple[Question, ...]:
    rows = json.loads(SHOTS.read_text(encoding="utf-8"))
    return tuple(
        Question(f"shot-{number}", row["question"], tuple(row["options"]), row["answer"])
        for number, row in enumerate(rows, 1)
    )


def wrong(question: Question) -> str:
    """Return why a question cannot be put, and what would do; "" for one that can."""
    count = len(question.options)
    if not 2 <= count <= len(LETTERS):
        return f"{count} options; a question has 2 to {len(LETTERS)}"
    if not 0 <= question.answer < count:
        return f"the answer is option {question.answer}, counted from 0 to {count - 1}"
    if not question.text.strip():
        return "the question is empty"
    empty = [letter for letter, option in zip(LETTERS, question.options, strict=False) if not option.strip()]
    return f"option {empty[0]} is empty" if empty else ""


def orders_of(question: Question, count: int, seed: int) -> list[Order]:
    """Return `count` orders of a question's options, at most as many as there are options."""
    size = len(question.options)
    if count == 1:
        return [tuple(range(size))]
    names = [_digest(seed, question.text, option) for option in question.options]
    base = sorted(range(size), key=lambda number: names[number])
    return [tuple(base[place] for place in row) for row in williams(size)[:count]]


def williams(size: int) -> list[Order]:
    """Return a Latin square whose first row is 0, 1, n-1, 2, n-2 …, and each further row one more, modulo n."""
    first = [0]
    for step in range(1, size):
        first.append((step + 1) // 2 if step % 2 else size - step // 2)
    return [tuple((place + row) % size for place in first) for row in range(size)]


def balanced(shots: Sequence[Question], seed: int) -> tuple[Question, ...]:
    """Return demonstrations whose right letters are as even as can be: of five with four options, all letters occur."""
    chance = random.Random(_digest(seed, *(shot.text for shot in shots)))
    done = []
    letters: list[int] = []
    for shot in shots:
        size = len(shot.options)
        if not any(letter < size for letter in letters):
            letters += chance.sample(range(size), size)
        place = next(letter for letter in letters if letter < size)
        letters.remove(place)
        others = [option for number, option in enumerate(shot.options) if number != shot.answer]
        chance.shuffle(others)
        options = (*others[:place], shot.options[shot.answer], *others[place:])
        done.append(Question(shot.id, shot.text, options, place, shot.subject, shot.knowledge))
    return tuple(done)


def letter_items(question: Question, form: Form) -> list[tuple[Order, Item]]:
    """Return the prompts that show the options, one for each order."""
    head = _head("multiple choice questions", question.subject)
    shots = tuple(
        f"{_lettered(shot, range(len(shot.options)), form.with_knowledge)} {LETTERS[shot.answer]}\n\n"
        for shot in form.shown(question.subject)
    )
    endings = tuple(f" {letter}" for letter in LETTERS[: len(question.options)])
    return [
        (order, Item(head, shots, _lettered(question, order, form.with_knowledge), endings))
        for order in orders_of(question, form.orders, form.seed)
    ]


def text_item(question: Question, form: Form) -> Item:
    """Return the prompt without options; its endings are the options in their own order."""
    shots = tuple(
        f"{_plain(shot, form.with_knowledge)} {shot.options[shot.answer].strip()}\n\n"
        for shot in form.shown(question.subject)
    )
    endings = tuple(f" {option.strip()}" for option in question.options)
    return Item(_head("questions", question.subject), shots, _plain(question, form.with_knowledge), endings)


def _head(what: str, subject: str) -> str:
    about = f" about {subject.replace('_', ' ')}" if subject else ""
    return f"The following are {what} (with answers){about}.\n\n"


def _lettered(question: Question, order: Sequence[int], with_knowledge: bool) -> str:
    options = "".join(f"{letter}. {question.options[number]}\n" for letter, number in zip(LETTERS, order, strict=False))
    return f"{_stem(question, with_knowledge)}\n{options}Answer:"


def _plain(question: Question, with_knowledge: bool) -> str:
    return f"Question: {_stem(question, with_knowledge)}\nAnswer:"


def _stem(question: Question, with_knowledge: bool) -> str:
    known = question.knowledge.strip() if with_knowledge else ""
    return f"{known}\n\n{question.text.strip()}" if known else question.text.strip()


def _digest(seed: int, *texts: str) -> bytes:
    return blake2b(json.dumps([seed, *texts]).encode(), digest_size=8).digest()
