"""The exam of one student, by the code behind `curate exam`: sheets, control, questions, scores, treatments.

The teacher's part is known here: a sheet's knowledge is the fact, its questions come from the world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from curate.io import write_jsonl
from curate.models.students import open_student
from curate.pipeline.exam_result import Result, result_of, treated
from curate.pipeline.exam_sit import READ_BOTH, Paper, Sitter, Sitting, answered, control, exam
from curate.stages.exam.kept import Kept
from curate.stages.exam.score import HALF
from curate.stages.exam.treat import INCONSISTENT, Refusals
from curate.types import Sample
from scripts.exam_world.world import Fact, World, sample_of, sheet_of

WAYS = ("letter", "text")
LABEL = "student"


def examine(student: Path, world: World, facts: Sequence[Fact], folder: Path) -> tuple[Sitter, list[Result]]:
    """Put a student through the exam about facts; what it answered stays in `folder` and is not asked again.

    The rule and its threshold are curate's defaults, and the control decides whether letters or texts are read.
    """
    folder.mkdir(exist_ok=True)
    sheets = [sheet_of(fact, world) for fact in facts]
    write_jsonl(folder / "sheets.jsonl", (sheet.to_dict() for sheet in sheets))
    spec = f"hf:{student}"
    sitter = Sitter(LABEL, spec, open_student(spec), "mean", HALF, WAYS)
    with closing(Kept(folder / "kept.jsonl")) as kept:
        count = sum(len(sheet.questions) for sheet in sheets)
        sitting = Sitting(folder, count, Paper(shots=(), seed=world.seed), kept, lambda: False)
        control(sitting, sitter, READ_BOTH, lambda done, total: None)
        exam(sitting, sitter, lambda done, total: None)
    sitter.student.close()
    pairs = zip(facts, answered(folder, [sitter]), strict=True)
    return sitter, [result_of(sample_of(fact, world), sheet, taken, [sitter]) for fact, (sheet, taken) in pairs]


def failed(results: Mapping[str, Result]) -> set[str]:
    """Return the ids of the samples whose knowledge the student lacks, as the exam says."""
    return {name for name, result in results.items() if result.classes[LABEL] == INCONSISTENT}


def arm_of(
    results: Sequence[Result], lacking: set[str], sitter: Sitter, treatment: str, refusals: Refusals
) -> list[Sample]:
    """Return the samples that are kept where those `lacking`, by whatever judgement, are treated."""
    judged = [
        replace(result, classes={LABEL: INCONSISTENT if result.sample.id in lacking else "consistent"})
        for result in results
    ]
    pairs = [treated(result, sitter, treatment, refusals) for result in judged]
    return [sample for sample, verdict in pairs if verdict.keep]
