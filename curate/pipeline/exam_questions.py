"""`curate exam --questions FILE`: how many questions of somebody's exam a student answers right, by subject.

What the student made of each question is appended to NAME.taken.jsonl, by student, question and form; another student
or form is added to it, and what is there is not asked again. A served student's calls lie in NAME.taken.calls.sqlite.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import tee
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.models import Budget, ModelOptions
from curate.models.students import UNANSWERED, open_student
from curate.pipeline.dataset import Tick, beside, untold
from curate.pipeline.exam_setup import check_form, demonstrations_of
from curate.stages.exam.files import read_questions
from curate.stages.exam.kept import Kept
from curate.stages.exam.paper import DEFAULT_ORDERS, DEFAULT_SHOTS, Form, default_shots
from curate.stages.exam.score import right_by_chance, wilson
from curate.stages.exam.take import Taken, take
from curate.types import Question

__all__ = ["Guess", "QuestionsReport", "Tally", "exam_questions", "read_questions"]

Told = Callable[[str], None]


@dataclass(slots=True)
class Tally:
    """Answers in one way: of those that could be put, how many were right."""

    right: int = 0
    put: int = 0

    @property
    def share(self) -> float:
        """The share of right answers."""
        return self.right / self.put if self.put else math.nan

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the share (Wilson 1927)."""
        return wilson(self.right, self.put)

    def as_json(self) -> dict[str, Any]:
        """Return share, interval and counts; None for a share of nothing."""
        low, high = self.interval()
        share = self.share if self.put else None
        return {"right": self.right, "questions": self.put, "accuracy": share, "low": low, "high": high}


@dataclass(slots=True)
class Guess:
    """How many of the questions would be answered right without knowing anything.

    `chance` sums what an even guess gives. `picks` and `keys` count options by how many a question has and their place.
    """

    chance: float = 0.0
    put: int = 0
    picks: Counter[tuple[int, int]] = field(default_factory=Counter)
    keys: Counter[tuple[int, int]] = field(default_factory=Counter)

    def add(self, question: Question, pick: int | None, votes: int) -> None:
        """Count one question; `pick` is the chosen option, None for a tie."""
        size = len(question.options)
        self.put += 1
        self.chance += right_by_chance(size, votes)
        self.keys[size, question.answer] += 1
        if pick is not None:
            self.picks[size, pick] += 1

    def as_json(self) -> dict[str, Any]:
        """Return the rate of an even guess, and what these choices give on the mean if the keys were dealt anew.

        The latter is more where both favour a place. None where nothing was put.
        """
        if not self.put:
            return {"chance": None, "permuted": None}
        sizes: Counter[int] = Counter()
        for (size, _), count in self.keys.items():
            sizes[size] += count
        permuted = sum(count * self.keys[spot] / sizes[spot[0]] for spot, count in self.picks.items())
        return {"chance": self.chance / self.put, "permuted": permuted / self.put}


@dataclass
class QuestionsReport:
    """What one student made of a question file.

    `ways` are letter and text, or votes; `subjects` has a tally for each of them by subject, in order. `errors` counts
    questions that could not be put, by cause; `fewer` those that were shown fewer demonstrations than asked, for want
    of room. `alike` counts questions of which two options are the same text. `again` were taken by an earlier run.
    """

    source: str
    student: str
    notes: tuple[str, ...]
    settings: dict[str, Any]
    out: Path
    ways: tuple[str, ...] = ()
    total: int = 0
    subjects: dict[str, dict[str, Tally]] = field(default_factory=dict)
    guesses: dict[str, Guess] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    fewer: int = 0
    alike: int = 0
    again: int = 0
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """3 where a server left questions unanswered, which the next run asks again; else 0."""
        return 3 if self.errors[UNANSWERED] else 0

    def overall(self, way: str) -> Tally:
        """Return the tally of all questions."""
        tallies = [ways[way] for ways in self.subjects.values()]
        return Tally(sum(one.right for one in tallies), sum(one.put for one in tallies))

    def macro(self, way: str) -> float:
        """Return the mean of the subjects' shares, each counting alike."""
        shares = [ways[way].share for ways in self.subjects.values() if ways[way].put]
        return math.fsum(shares) / len(shares) if shares else math.nan

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        mean = {way: self.macro(way) for way in self.ways}
        return {
            "source": self.source,
            "student": self.student,
            "notes": list(self.notes),
            "settings": self.settings,
            "out": str(self.out),
            "questions": self.total,
            "accuracy": {way: self.overall(way).as_json() for way in self.ways},
            "mean_of_subjects": {way: None if math.isnan(value) else value for way, value in mean.items()},
            "guessing": {way: self.guesses[way].as_json() for way in self.ways},
            "subjects": {
                name: {way: tally.as_json() for way, tally in ways.items()} for name, ways in self.subjects.items()
            },
            "errors": dict(self.errors.most_common()),
            "fewer_demonstrations": self.fewer,
            "options_alike": self.alike,
            "taken_before": self.again,
            "seconds": round(self.seconds, 3),
        }


def exam_questions(
    source: str | Path,
    *,
    student: str,
    shots: str | Path | None = None,
    demonstrations: int = DEFAULT_SHOTS,
    orders: int = DEFAULT_ORDERS,
    seed: int = 0,
    texts: bool = True,
    precision: str | None = None,
    options: ModelOptions | None = None,
    budget: Budget | None = None,
    out: str | Path | None = None,
    tick: Tick = untold,
    tell: Told | None = None,
) -> QuestionsReport:
    """Put the questions of a file to a student and count right answers by subject.

    `shots` is a file of demonstrations (those that ship unless given), of which the first `demonstrations` of a
    question's own subject come before it, or where there are none of that, the first ones. Every question is put in
    `orders` orders of its options, with 1 as the file has it. `texts` compares the options' own words, too. See
    `open_student` for the rest.

    Raises:
        InputError: a file, a row or a value that cannot be used, before anything is asked.
        MissingExtraError: a student in process, without torch and transformers.
        ModelError: the student cannot be asked.
    """
    began = time.monotonic()
    check_form([student], demonstrations, orders, precision)
    shown = demonstrations_of(shots) or default_shots()
    total = sum(1 for _ in read_questions(source))
    if not total:
        raise InputError(f"{source}: there are no questions in it")
    target = _target(source, out)
    ledger = target.with_suffix(".calls.sqlite")
    with (
        closing(open_student(student, options=options, budget=budget, precision=precision, ledger=ledger)) as opened,
        closing(Kept(target)) as kept,
    ):
        for note in opened.notes:
            (tell or _silent)(f"{opened.name}: {note}")
        settings = {
            "shots": str(shots) if shots is not None else None, "demonstrations": demonstrations, "orders": orders,
            "seed": seed,
        }  # fmt: skip
        ways = ("votes",) if opened.votes else ("letter", "text") if texts else ("letter",)
        report = QuestionsReport(str(source), opened.name, opened.notes, settings, target, ways, total)
        report.guesses = {way: Guess() for way in ways}
        asked, counted = tee(read_questions(source))
        taken = take(
            asked, opened, shots=shown, count=demonstrations, orders=orders, seed=seed, texts=texts, kept=kept,
            tick=lambda done: tick(done, total),
        )  # fmt: skip
        form = Form(shown, demonstrations)
        for question, one in zip(counted, taken, strict=True):
            _count(report, question, one, len(form.shown(question.subject)))
        report.again = kept.served
    report.seconds = time.monotonic() - began
    return report


def _target(source: str | Path, out: str | Path | None) -> Path:
    """Return where the journal goes. Raises InputError for a file of another kind, or the questions' own."""
    target = Path(out) if out is not None else beside(Path(source), "taken.jsonl")
    if target.suffix != ".jsonl" or target.resolve() == Path(source).resolve():
        raise InputError(
            f"{target}: what the student makes of the questions goes to a .jsonl file of its own; see --out"
        )
    return target


def _count(report: QuestionsReport, question: Question, taken: Taken, shots: int) -> None:
    """Count an answer; `shots` demonstrations would have come before the question if there was room."""
    tallies = report.subjects.setdefault(question.subject, {way: Tally() for way in report.ways})
    if taken.error is not None:
        report.errors[taken.error.split(":")[0].split(" (")[0]] += 1
        return
    report.fewer += taken.shots < shots
    words = [option.strip() for option in question.options]
    report.alike += len(set(words)) < len(words)
    for way, tally in tallies.items():
        values: Sequence[float] = getattr(taken, way)
        tally.put += 1
        tally.right += _is_right(values, words, question.answer)
        report.guesses[way].add(question, _pick(values), int(sum(values)) if way == "votes" else 0)


def _is_right(values: Sequence[float], words: Sequence[str], answer: int) -> bool:
    """Is the right option, in any of its copies, before all that say something else?"""
    own = max(value for value, word in zip(values, words, strict=True) if word == words[answer])
    return all(own > value for value, word in zip(values, words, strict=True) if word != words[answer])


def _pick(values: Sequence[float]) -> int | None:
    most = max(values)
    return values.index(most) if values.count(most) == 1 else None


def _silent(_: str) -> None:
    """Tell nobody."""
