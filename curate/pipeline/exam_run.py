"""One examination: the sheets of all samples, then every student's control and exam. `curate exam` and runs share it.

sheets.jsonl            what each sample's examination rests on, in the order of the samples
kept.jsonl              what students made of questions, appended as it comes, so that nothing is put twice
answers.STUDENT.jsonl   what a student made of every question, in their order; one that samples share is there once
scores.jsonl            what came of every sample, by student and way: enough to decide by another threshold
figures.json            the figures of the report
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import ModelError, without_credentials
from curate.io import write_jsonl
from curate.pipeline.exam_result import Result, results
from curate.pipeline.exam_sit import (
    Paper,
    Sitter,
    Sitting,
    Stopped,
    Tick,
    answered,
    control,
    distinct_questions,
    exam,
)
from curate.stages.exam.documents import Documents, read_documents
from curate.stages.exam.score import TWO_THIRDS
from curate.stages.exam.sheet import Settings, Sheet, prepare
from curate.types import STOPPED, Ask, Sample

if TYPE_CHECKING:
    from curate.embed import Encoder
    from curate.models import Engine
    from curate.models.students import Student
    from curate.stages.exam.kept import Kept

SHEETS, KEPT, SCORES, FIGURES = "sheets.jsonl", "kept.jsonl", "scores.jsonl", "figures.json"

Samples = Callable[[], Iterable[Sample]]
"""Reads the samples from their beginning; called once for each pass over them."""

Phase = Callable[[str, str], None]
"""Told which part begins, and what is counted in it: ("questions", "samples")."""

Open = Callable[[str], "Student"]
"""Opens a student by its spec."""


@dataclass(frozen=True)
class Terms:
    """How an examination is held and decided. `by` is letter, text or both; `threshold` belongs to the rule."""

    students: tuple[str, ...]
    paper: Paper
    settings: Settings
    by: str
    rule: str
    threshold: float


@dataclass
class Examination:
    """What an examination has come to. `stopped` is "" where it is whole, else "budget" or "stopped".

    `failed` counts samples of which a call failed that may yet come.
    """

    folder: Path
    sitters: list[Sitter] = field(default_factory=list)
    failed: int = 0
    stopped: str = ""

    @property
    def able(self) -> list[Sitter]:
        """The students that can take the exam."""
        return [sitter for sitter in self.sitters if sitter.able()]

    def results(self, samples: Iterable[Sample], sitters: Sequence[Sitter]) -> Iterator[Result]:
        """Yield what came of every sample for these students, in order."""
        return results(samples, answered(self.folder, sitters), sitters)


def examine(
    samples: Samples,
    total: int | None,
    engine: Engine,
    kept: Kept,
    folder: Path,
    terms: Terms,
    open_: Open,
    *,
    documents: Documents | None = None,
    tick: Tick,
    phase: Phase,
) -> Examination:
    """Make the sheets, and let every student take the exam that can.

    Students are opened first: one that cannot be had ends it before anything is paid.

    Raises:
        ModelError: a model or a student cannot be used.
        InputError: a student that cannot be opened.
    """
    made = Examination(folder)
    with contextlib.ExitStack() as open_students, contextlib.suppress(Stopped):
        for label, spec in labelled(terms.students).items():
            phase(f"opening {label}", "")
            try:
                student = open_(spec)
            except ModelError as error:
                if engine.stopped is not None:  # the one call that tells what a server can do was not allowed
                    raise Stopped from error
                raise
            open_students.callback(student.close)
            made.sitters.append(_seated(label, spec, student, terms))
        phase("questions", "samples")
        sheets = _sheets(samples, total, engine, made, terms, documents, tick)
        write_jsonl(folder / SHEETS, (sheet.to_dict() for sheet in sheets))
        count = sum(1 for _ in distinct_questions(folder))
        sitting = Sitting(folder, count, terms.paper, kept, lambda: engine.stopped is not None)
        for sitter in made.sitters:
            if sitting.stopped():
                raise Stopped
            phase(f"{sitter.label} with the knowledge", "questions")
            control(sitting, sitter, terms.by, tick)
            if sitter.able():
                phase(sitter.label, "questions")
                exam(sitting, sitter, tick)
    made.stopped = engine.stopped or ""
    return made


def _seated(label: str, spec: str, student: Student, terms: Terms) -> Sitter:
    """Return a student at its place: of one that only votes, the share of right answers decides."""
    if student.votes:
        limit = terms.threshold if terms.rule == "votes" else TWO_THIRDS
        return Sitter(label, spec, student, "votes", limit, ("votes",))
    ways = ("letter", "text") if terms.paper.texts else ("letter",)
    return Sitter(label, spec, student, terms.rule, terms.threshold, ways)


def _sheets(
    samples: Samples,
    total: int | None,
    engine: Engine,
    made: Examination,
    terms: Terms,
    documents: Documents | None,
    tick: Tick,
) -> Iterator[Sheet]:
    prepared = prepare(terms.settings, documents)

    async def work(sample: Sample, ask: Ask) -> Sheet:
        # Without a message of the user there is nowhere to open the book, without a response nothing to examine.
        if not sample.instruction.strip() or not sample.response.strip():
            return Sheet(sample.id, "empty")
        return await prepared(sample, ask)

    for number, outcome in enumerate(engine.map(samples(), work), 1):
        sheet = outcome.value
        if sheet.outcome == "failed":
            made.failed += sheet.failure not in STOPPED
        tick(number, total)
        yield sheet


def labelled(specs: Sequence[str]) -> dict[str, str]:
    """Return the specs by the names that tables and files have for them: the last part of each, made distinct."""
    found: dict[str, str] = {}
    for spec in specs:
        plain = without_credentials(spec).partition("@http")[0].rstrip("/")
        short = plain.rpartition("/")[2] or plain
        short = short.rpartition(":")[2] if "/" not in plain else short
        label, number = short, 2
        while label in found:
            label, number = f"{short}-{number}", number + 1
        found[label] = spec
    return found


def open_documents(folder: Path | None, encoder: Encoder | None) -> Documents | None:
    """Read the user's documents. Raises InputError naming the file that cannot be read."""
    return Documents(read_documents(folder), encoder) if folder is not None else None


def untold_phase(name: str, unit: str) -> None:
    """Tell nobody."""
