"""Students sit the exam: first a part of it with the knowledge in the prompt, then, who can take it, all of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from curate.io import read_jsonl, write_jsonl
from curate.models.students import UNANSWERED
from curate.stages.exam.paper import DEFAULT_ORDERS, DEFAULT_SHOTS
from curate.stages.exam.score import WAYS, given, is_right
from curate.stages.exam.sheet import Sheet
from curate.stages.exam.take import Taken, take
from curate.types import Question

if TYPE_CHECKING:
    from curate.models.students import Student
    from curate.stages.exam.kept import Kept

CONTROL = 1000
"""Questions of the competence control at most; a share of .8 of so many is known to 2.5 points."""

ABLE = 0.8
"""The least share of questions that a student must answer right with the knowledge before it."""

READ_BOTH = "both"
"""How `by` says that letters and texts are read, and that the control tells which of them decides."""

Tick = Callable[[int, int | None], None]


class Stopped(Exception):
    """The examination ends between two questions."""


@dataclass(frozen=True)
class Paper:
    """How questions are put: `count` demonstrations of `shots` (None: those that ship) before each, in so many `orders`
    of its options, drawn by `seed`. With `texts` the options' own words are scored beside their letters.
    """

    shots: tuple[Question, ...] | None = None
    orders: int = DEFAULT_ORDERS
    seed: int = 0
    texts: bool = True
    count: int = DEFAULT_SHOTS


@dataclass
class Sitter:
    """A student at this exam. `label` names it in files and tables; `control` is (right, put) with the knowledge.

    `way` is how its answers are read where they decide. `lost` counts the control's questions that could not be put,
    and `error` says why for one of them. `unanswered` counts the exam's questions that a server owes an answer to.
    """

    label: str
    spec: str
    student: Student
    rule: str
    threshold: float
    ways: tuple[str, ...]
    control: dict[str, tuple[int, int]] = field(default_factory=dict)
    way: str = ""
    lost: int = 0
    error: str = ""
    unanswered: int = 0

    @property
    def other(self) -> str:
        """The way that was read as well and does not decide, or the empty string."""
        return next((way for way in self.ways if way != self.way), "")

    def able(self) -> bool:
        """Can this student take the exam? Where no question was made, nothing speaks against it."""
        right, put = self.control.get(self.way, (0, 0))
        return right >= ABLE * put if put else not self.lost

    def choose(self, by: str) -> None:
        """Settle the way: the one asked for, or the one in which more was right with the knowledge.

        Where both are level, it is the letter.
        """
        counts = {way: self.control.get(way, (0, 0)) for way in self.ways}
        shares = {way: right / put if put else 0.0 for way, (right, put) in counts.items()}
        self.way = by if by in self.ways else max(self.ways, key=lambda way: (shares[way], -WAYS.index(way)))


@dataclass(frozen=True)
class Sitting:
    """Where the sheets lie, how many questions they hold, how these are put, and what is known of the answers.

    A question that several samples share counts once, and is put once.
    """

    folder: Path
    questions: int
    paper: Paper
    kept: Kept
    stopped: Callable[[], bool]

    def put(
        self, sitter: Sitter, questions: Iterable[Question], tick: Callable[[int], None], known: bool
    ) -> Iterator[Taken]:
        """Yield what the student makes of the questions, in order, with the knowledge in the prompt if `known`.

        Raises Stopped.
        """
        paper = self.paper
        for one in take(
            questions,
            sitter.student,
            shots=paper.shots,
            count=paper.count,
            orders=paper.orders,
            seed=paper.seed,
            with_knowledge=known,
            texts="text" in sitter.ways,
            kept=self.kept,
            tick=tick,
        ):
            if self.stopped():
                raise Stopped
            yield one

    def all(self) -> Iterator[Question]:
        """Read the questions of all sheets, each once."""
        return distinct_questions(self.folder)


def read_sheets(folder: Path) -> Iterator[Sheet]:
    """Read what the examination rests on, in the order of the samples."""
    return map(Sheet.from_dict, read_jsonl(folder / "sheets.jsonl"))


def questions_of(sheet: Sheet) -> tuple[Question, ...]:
    """Return the questions that are put; of a sheet that did not become ready, none."""
    return sheet.questions if sheet.outcome == "ready" else ()


def distinct_questions(folder: Path) -> Iterator[Question]:
    """Yield the questions of all sheets, of those with one id the first."""
    seen: set[str] = set()
    for sheet in read_sheets(folder):
        for question in questions_of(sheet):
            if question.id not in seen:
                seen.add(question.id)
                yield question


def answers_file(folder: Path, label: str) -> Path:
    """Return where what a student made of every question lies, in the order of `distinct_questions`."""
    return folder / f"answers.{label}.jsonl"


def control(sitting: Sitting, sitter: Sitter, by: str, tick: Tick) -> None:
    """Put every k-th question, CONTROL at most, with the knowledge, and settle how the student is read.

    Raises Stopped.
    """
    step = max(1, math.ceil(sitting.questions / CONTROL))
    asked = list(islice(sitting.all(), 0, None, step))
    sums = {way: [0, 0] for way in sitter.ways}
    taken = sitting.put(sitter, asked, lambda done: tick(done, len(asked)), True)
    for question, one in zip(asked, taken, strict=True):
        if one.error is not None:
            sitter.lost += 1
            sitter.error = sitter.error or one.error
        for way in sitter.ways:
            if (values := given(one, way)) is not None:
                sums[way][0] += is_right(values, question.answer)
                sums[way][1] += 1
    sitter.control = {way: (right, put) for way, (right, put) in sums.items()}
    sitter.choose(by)


def exam(sitting: Sitting, sitter: Sitter, tick: Tick) -> None:
    """Put every question without the knowledge and write down what came of it. Raises Stopped."""
    taken = sitting.put(sitter, sitting.all(), lambda done: tick(done, sitting.questions), False)
    write_jsonl(answers_file(sitting.folder, sitter.label), (_counted(sitter, one).to_dict() for one in taken))


def _counted(sitter: Sitter, taken: Taken) -> Taken:
    sitter.unanswered += bool(taken.error and taken.error.startswith(UNANSWERED))
    return taken


def answered(folder: Path, sitters: Sequence[Sitter]) -> Iterator[tuple[Sheet, Mapping[str, tuple[Taken, ...]]]]:
    """Yield every sheet with what each student made of its questions, by label.

    The answers to a question are held until the last sheet that has it.
    """
    left = Counter(question.id for sheet in read_sheets(folder) for question in questions_of(sheet))
    rows = {each.label: map(Taken.from_dict, read_jsonl(answers_file(folder, each.label))) for each in sitters}
    held: dict[str, dict[str, Taken]] = {}
    for sheet in read_sheets(folder):
        found = []
        for question in questions_of(sheet):
            if question.id not in held:
                held[question.id] = {label: next(row) for label, row in rows.items()}
            found.append(held[question.id])
            left[question.id] -= 1
            if not left[question.id]:
                del held[question.id]
        yield sheet, {label: tuple(one[label] for one in found) for label in rows}
