"""What an exam says of every sample, for every student: no_need, consistent, inconsistent; set aside, or empty.

A sample that could not be examined, by whatever cause and by whichever of the students, is in no student's and no
treatment's dataset: the arms of a comparison then differ in their treatment alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.pipeline.exam_sit import Sitter
from curate.stages.exam.score import Score, score_of
from curate.stages.exam.sheet import Sheet
from curate.stages.exam.take import Taken
from curate.stages.exam.treat import INCONSISTENT, STAGE, TREATMENTS, Refusals
from curate.types import Sample, Verdict, drop

CLASSES = ("no_need", "consistent", "inconsistent", "set_aside", "empty")
"""What a sample can be to a student. The last two are the same for all of them."""

EMPTY = {"no_instruction": "the sample has no instruction", "no_response": "the sample has no response"}


@dataclass(frozen=True, slots=True)
class Result:
    """A sample, what its examination rests on, and what came of it.

    `taken` and `scores` are by student (label), scores then by way. `classes` says what the sample is to each student.
    `reason` says why it was set aside or is empty; `detail` is more about it.
    """

    sample: Sample
    sheet: Sheet
    taken: Mapping[str, Sequence[Taken]]
    scores: Mapping[str, Mapping[str, Score]]
    classes: Mapping[str, str]
    reason: str = ""
    detail: str = ""

    @property
    def kind(self) -> str:
        """What the sample is to all students alike: no_need, ready, set_aside or empty."""
        if self.reason:
            return "empty" if self.reason in EMPTY else "set_aside"
        return self.sheet.outcome

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON values: enough to decide by another threshold."""
        return {
            "id": self.sample.id,
            "task": list(self.sample.task),
            "outcome": self.sheet.outcome,
            "need": self.sheet.need,
            "reason": self.reason,
            "classes": dict(self.classes),
            "scores": {label: {way: score.to_dict() for way, score in of.items()} for label, of in self.scores.items()},
        }


def results(
    samples: Iterable[Sample],
    marked: Iterable[tuple[Sheet, Mapping[str, Sequence[Taken]]]],
    sitters: Sequence[Sitter],
) -> Iterator[Result]:
    """Yield what came of every sample, in order."""
    for sample, (sheet, taken) in zip(samples, marked, strict=True):
        yield result_of(sample, sheet, taken, sitters)


def result_of(sample: Sample, sheet: Sheet, taken: Mapping[str, Sequence[Taken]], sitters: Sequence[Sitter]) -> Result:
    """Return what came of one sample."""
    scores: dict[str, dict[str, Score]] = {}
    for sitter in sitters if sheet.outcome == "ready" else ():
        ways = {way: score_of(sheet.questions, taken[sitter.label], way) for way in sitter.ways}
        scores[sitter.label] = {way: score for way, score in ways.items() if score is not None}
    reason, detail = _left_out(sample, sheet, taken, scores, sitters)
    if reason:
        name = "empty" if reason in EMPTY else "set_aside"
        return Result(sample, sheet, taken, scores, {sitter.label: name for sitter in sitters}, reason, detail)
    if sheet.outcome == "no_need":
        return Result(sample, sheet, taken, scores, {sitter.label: "no_need" for sitter in sitters})
    classes = {
        sitter.label: "consistent"
        if scores[sitter.label][sitter.way].passes(sitter.rule, sitter.threshold)
        else INCONSISTENT
        for sitter in sitters
    }
    return Result(sample, sheet, taken, scores, classes)


def _left_out(
    sample: Sample,
    sheet: Sheet,
    taken: Mapping[str, Sequence[Taken]],
    scores: Mapping[str, Mapping[str, Score]],
    sitters: Sequence[Sitter],
) -> tuple[str, str]:
    """Return why a sample belongs into no arm, and more about it; nothing where it does."""
    if sheet.outcome == "empty":
        reason = "no_response" if sample.instruction.strip() else "no_instruction"
        return reason, EMPTY[reason]
    if sheet.outcome not in ("ready", "no_need"):
        return sheet.outcome, sheet.detail or sheet.failure
    for sitter in sitters:
        if sheet.outcome == "ready" and sitter.way not in scores[sitter.label]:
            error = next((one.error for one in taken[sitter.label] if one.error), "no question could be put")
            return "not_put", f"{sitter.label}: {error}"
    return "", ""


def left_out(result: Result) -> Verdict:
    """Return the verdict on a sample that is set aside or empty."""
    return drop(result.reason, None, **({"detail": result.detail} if result.detail else {}))


def treated(result: Result, sitter: Sitter, treatment: str, refusals: Refusals) -> tuple[Sample, Verdict]:
    """Return the sample as a student's arm has it, with what the exam found in `meta["exam"]`, and the verdict.

    What needs no knowledge or is known stays as it is.
    """
    name = result.classes[sitter.label]
    notes: dict[str, Any] = {"student": sitter.student.name, "class": name}
    sample, verdict = result.sample, Verdict(True)
    score = result.scores.get(sitter.label, {}).get(sitter.way)
    if score is not None:
        notes |= {"way": sitter.way, "questions": score.questions, "right": score.right}
        if score.mean is not None:
            notes["score"] = round(score.mean, 6)
    if name == INCONSISTENT:
        notes["treatment"] = treatment
        sample, verdict = TREATMENTS[treatment](sample, result.sheet.knowledge, refusals)
        if not verdict.keep and score is not None:
            number = score.share if score.probability is None else score.probability
            seen = {"student": sitter.student.name, "questions": score.questions, "right": score.right}
            verdict = drop(verdict.reason, round(number, 6), **seen)
    return sample.tag(STAGE, **notes), verdict
