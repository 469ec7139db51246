"""How the student is asked: as curate's exam asks it, without demonstrations.

The student has read nothing but its world, and prompts of a few tokens; demonstrations would be longer than whatever
it was trained on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from curate.stages.exam.paper import LETTERS, Form, letter_items, text_item
from curate.types import Question
from scripts.exam_world.world import ASKED, OPTIONS, RELATIONS, STATEMENTS, World


def letters(question: Question, *, with_knowledge: bool = False) -> tuple[str, str]:
    """Return the prompt that shows the options, in their own order, and the letter of the right one."""
    ((_, item),) = letter_items(question, Form(shots=0, orders=1, with_knowledge=with_knowledge))
    return item.prompt(), LETTERS[question.answer]


def asked(instruction: str) -> str:
    """Return the prompt that has an instruction and no options. Tuning and measuring ask in the same way."""
    return text_item(Question("", instruction, (), 0), Form(shots=0)).prompt()


def phrases(refusals: Iterable[str]) -> set[str]:
    """Return what is one token to the student: whatever stands in all texts alike, between names and values."""
    example = Question("", "", tuple("?" * OPTIONS), 0)
    frames = [letters(example)[0], asked(""), *(w.replace("{r}", r) for w in (*STATEMENTS, *ASKED) for r in RELATIONS)]
    pieces = {piece.strip() for frame in frames for piece in re.split(r"\{[ev]\}|\?*\n|\?(?=$)| \?", frame)}
    return {*filter(None, pieces), "?", *refusals}


def words(world: World) -> list[str]:
    """Return the other tokens: names, values and letters."""
    return [*world.entities, *(value for values in world.values.values() for value in values), *LETTERS[:OPTIONS]]
