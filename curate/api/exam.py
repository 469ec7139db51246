"""What a student model does not know of a dataset, as a Python function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from curate.pipeline.exam import ExamReport
    from curate.pipeline.exam_questions import QuestionsReport

Treatment = Literal["open_book", "discard", "refuse"]


def exam(
    file: str | Path | None = None,
    *,
    questions: str | Path | None = None,
    student: str | Sequence[str],
    fields: Mapping[str, str] | None = None,
    treat: Treatment | Sequence[Treatment] = (),
    teacher: str | None = None,
    judge: str | None = None,
    documents: str | Path | None = None,
    questions_per_sample: int = 3,
    orders: int = 4,
    shots: str | Path | None = None,
    demonstrations: int = 5,
    precision: Literal["float32", "bfloat16", "float16"] | None = None,
    rule: Literal["mean", "votes"] = "mean",
    threshold: float | None = None,
    by: Literal["letter", "text", "both"] = "both",
    language: str = "en",
    refusals: str | Path | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    budget_calls: int | None = None,
    budget_tokens: int | None = None,
    budget_usd: float | None = None,
    quiet: bool = False,
) -> ExamReport | list[QuestionsReport]:
    """Find what student models do not know of a dataset, and treat it: Knowledge Consistent Alignment.

    The teacher says which samples need knowledge, writes it (from `documents` where they have it) and questions about
    it; the judge checks them; each student takes the exam, after it has shown with the knowledge in its prompt that it
    can. What it does not know is treated: `open_book` puts the knowledge before the instruction, `discard` drops the
    sample, `refuse` has the response say that it is not known. Without `treat`, the dataset is examined only.

    `report.arms` names the file of each student and treatment (`report.arms[0].out`), `report.figures` holds all
    figures, and `report.unable` the students that cannot take the exam. `file` is anything that the other verbs take;
    `fields` names the columns of a format that is not known, such as {"instruction": "question"}.
    See `curate exam --help` for the rules and the files. Running again resumes; another threshold asks nothing.

    With `questions`, an exam that exists, there is no `file`, and what comes back is a report of accuracy by subject
    for each student; `shots`, `demonstrations`, `orders`, `precision`, `by`, `seed`, `out` and the budgets are then all
    that has a meaning.

    Raises:
        InputError: a file, value or model that cannot be used, before anything is asked of a model.
        ModelError: a model stopped the examination; what was paid for is kept.
    """
    from curate.cli.display import counted
    from curate.cli.exam import begin
    from curate.errors import InputError
    from curate.models import Budget
    from curate.pipeline.exam import exam_dataset
    from curate.pipeline.exam_setup import Options

    if (file is None) == (questions is None):
        raise InputError("give the dataset to examine, or questions=FILE for an exam that exists; one of the two")
    students = (student,) if isinstance(student, str) else tuple(student)
    if questions is not None:
        form = {"shots": shots, "demonstrations": demonstrations, "orders": orders, "seed": seed}
        return _taken(
            questions,
            students,
            quiet,
            **form,
            texts=by != "letter",
            precision=precision,
            budget=Budget(budget_calls, budget_tokens, budget_usd),
            out=out,
        )
    assert file is not None
    options = Options(
        students=students,
        fields=fields,
        treat=(treat,) if isinstance(treat, str) else tuple(treat),
        out=_path(out),
        teacher=teacher,
        judge=judge,
        documents=_path(documents),
        questions_per_sample=questions_per_sample,
        orders=orders,
        shots=_path(shots),
        demonstrations=demonstrations,
        precision=precision,
        rule=rule,
        threshold=threshold,
        by=by,
        language=language,
        refusals=_path(refusals),
        seed=seed,
        budget_calls=budget_calls,
        budget_tokens=budget_tokens,
        budget_usd=budget_usd,
    )
    with counted("exam", quiet=quiet) as meter:
        return exam_dataset(file, options, tick=meter.tick, phase=lambda name, unit: begin(meter, name, unit))


def _taken(questions: str | Path, students: Sequence[str], quiet: bool, **options: Any) -> list[QuestionsReport]:
    """Put an exam that exists to every student; `options` are those of `exam_questions`."""
    from curate.cli.display import counted
    from curate.pipeline.exam_questions import exam_questions

    reports = []
    for student in students:
        with counted("exam", quiet=quiet, unit="questions") as meter:
            reports.append(exam_questions(questions, student=student, tick=meter.tick, **options))
    return reports


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)
