"""A teacher and students for tests of the exam as a whole: every instruction is about a place of the made-up world.

Use it as `scripted:tests/pipeline/exam_world.py` for a teacher that also grows trees and writes samples (see
`teacher.py`), and `exam_student.py` for a served student. `Knowing` is a student with log-probabilities, in process.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import exam_teacher
import teacher
from exam_teacher import fact

from curate.models.students import Item, Mark
from curate.types import Request


def place_of(instruction: str) -> str:
    """The place that an instruction is about: the one it names, or by its hash; half of these are about none."""
    if named := exam_teacher.place_of(instruction):
        return named
    if instruction.startswith("Write the number"):
        return ""
    digest = hashlib.sha256(instruction.encode()).hexdigest()
    return "" if int(digest[0], 16) % 2 else "Place" + digest[1:5].translate(str.maketrans("0123456789", "ghijklmnop"))


async def reply(request: Request) -> str:
    """What `scripted:FILE.py` calls."""
    if not request.prompt.startswith("exam/"):
        return await teacher.reply(request)
    variables = dict(request.variables)
    if "instruction" in variables and not exam_teacher.place_of(variables["instruction"]):
        place = place_of(variables["instruction"])
        variables["instruction"] = f"What is the capital of {place}?" if place else "Write."
        variables["response"] = f"It is {fact('capital', place)}."
    return json.dumps(exam_teacher.answer(request.prompt, variables))


def knows(name: str, place: str) -> bool:
    """Does the student of this name know a place? Of "all" and "none" the name says it, any other knows half."""
    known = {"all": True, "none": False}
    return known.get(name, hashlib.sha256(f"{name}/{place}".encode()).digest()[0] % 2 == 0)


class Knowing:
    """A student in process. It gives SURE to what it knows or reads, and is even between the options otherwise.

    With `reads` false it understands no question: it cannot take an exam. `letters` false: it knows by text alone.
    """

    votes = False
    together = 8
    SURE = 0.91

    def __init__(self, name: str, *, reads: bool = True, letters: bool = True, room: int = 10**6) -> None:
        self.name = name
        self.fingerprint = f"knowing {name} {reads} {letters}"
        self.notes = ("made up",)
        self.reads, self.letters, self.room = reads, letters, room
        self.asked = 0
        self.closed = False

    def mark(self, items: Sequence[Item]) -> Iterator[tuple[int, Mark]]:
        for number, item in enumerate(items):
            self.asked += 1
            if len(item.tail) > self.room:
                yield number, Mark(error=f"context: {len(item.tail)} characters of {self.room}")
                continue
            shown = re.findall(r"^([A-D])\. (.*)$", item.tail, re.M)
            texts = [text for _, text in shown] or [ending.strip() for ending in item.endings]
            kind, place = re.findall(r"What is the (\w+) of (\w+)", item.tail)[-1]
            told = f"The {kind} of {place} is" in item.tail
            able = self.reads and (self.letters or not shown) and (told or knows(self.name, place))
            right = texts.index(fact(kind, place)) if able else None
            rest = math.log((1 - self.SURE) / 3)
            marks = [
                math.log(0.25) if right is None else math.log(self.SURE) if at == right else rest for at in range(4)
            ]
            yield number, Mark(tuple(marks), (1,) * 4, shots=len(item.shots))

    def close(self) -> None:
        self.closed = True


def rows(count: int, *, plain: int = 2) -> list[dict[str, Any]]:
    """Rows of a dataset: `count` that need a place each, then `plain` that need none."""
    made = [exam_teacher.sample(f"Land{chr(97 + at // 26)}{chr(97 + at % 26)}") for at in range(count)]
    made += [exam_teacher.plain_sample(at) for at in range(plain)]
    return [{"messages": list(sample.messages)} for sample in made]
