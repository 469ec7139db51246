"""The exam as a stage of a run, after acceptance: 02-exam.KEY.jsonl and its dropped rows, which everything then reads.

The dropped file holds what the loop of rounds dropped too, so that kept and dropped are all that was ever written. What
could not be examined is among the dropped: a run has one treatment only, and no comparison to keep even.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.config import Exam
from curate.errors import InputError, without_credentials
from curate.io import read_jsonl, row_to_sample
from curate.pipeline.exam import notes_of, write_figures
from curate.pipeline.exam_figures import Figures
from curate.pipeline.exam_result import left_out, treated
from curate.pipeline.exam_run import KEPT, Examination, Terms, examine
from curate.pipeline.exam_setup import Options, check_values, documents_of, roles_of, terms_of
from curate.pipeline.exam_sit import Sitter
from curate.run import key_of, published, read_summary, write_summary
from curate.stages.exam.asking import load_prompts
from curate.stages.exam.documents import Documents
from curate.stages.exam.treat import STAGE, Refusals, load_refusals
from curate.types import STOPPED

if TYPE_CHECKING:
    from curate.models import Model, ModelOptions
    from curate.pipeline.explore import Report
    from curate.pipeline.setup import Job

NAME = "02-exam"
"""Name of the files that the stage publishes, and `exam` of the folder beside them."""

FOLDER = "exam"

MEANING = 1
"""Raised when the stage can give other rows for the same key."""


@dataclass(frozen=True)
class Prepared:
    """The exam of a run, with everything that it names loaded: found wrong, it ends the run before its first call."""

    exam: Exam
    terms: Terms
    refusals: Refusals
    documents: Documents | None

    def told(self) -> dict[str, Any]:
        """Return the exam for run.yaml; the credentials that a URL may hold stay out of it."""
        return {**self.exam.model_dump(mode="json"), "student": without_credentials(self.exam.student)}

    def models(self, options: ModelOptions) -> dict[str, Model]:
        """Return the student as a model of the engine, where it is asked through it."""
        from curate.models import open_model

        return {role: open_model(role, spec, options) for spec, role in roles_of(self.terms.students).items()}


@dataclass
class StageResult:
    """What the stage did. `published` names its files (stage and key); `counts` are the run's with it.

    `stopped` is "", "budget" or "stopped", `unable` true where the student cannot take the exam.
    """

    published: tuple[str, str] | None = None
    stopped: str = ""
    unable: bool = False
    counts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def prepare_exam(exam: Exam, language: str, seed: int, judge: bool) -> Prepared:
    """Load what the `exam` part of a domain file names. `judge` is whether the run has a judge of its own.

    Raises:
        InputError: a file or value that cannot be used.
    """
    options = options_of(exam, language, seed)
    check_values(options)
    terms = terms_of(options, "judge" if judge else "teacher")
    load_prompts(language)
    refusals = load_refusals(exam.refusals, seed=seed, language=language)
    return Prepared(exam, terms, refusals, documents_of(options))


def options_of(exam: Exam, language: str, seed: int) -> Options:
    """Return the part of a domain file as the options of `curate exam`."""
    return Options(
        students=(exam.student,),
        treat=(exam.treat,),
        documents=exam.documents,
        questions_per_sample=exam.questions,
        orders=exam.orders,
        shots=exam.shots,
        demonstrations=exam.demonstrations,
        precision=exam.precision,
        rule=exam.rule,
        threshold=exam.threshold,
        by=exam.by,
        language=language,
        refusals=exam.refusals,
        seed=seed,
    )


def check_teacher(spec: str) -> None:
    """Raise InputError for the embedded teacher, which writes no exam."""
    if spec == "procedural":
        raise InputError(
            "an exam is written by a language model, and 'procedural' is none; name a teacher with --teacher "
            "openai:NAME@URL, or leave the exam out"
        )


def examined(job: Job, report: Report, accepted: str) -> bool:
    """Let the student take the exam, if there is one, and note in `report` what came of it.

    `accepted` is the stage whose rows it is held on. False where it was not finished: the dataset would hold what the
    student does not know.
    """
    if job.setup.exam is None or not report.accepted:
        return True
    if report.stopped not in STOPPED:
        done = examine_run(job, job.setup.exam, (accepted, report.key))
        for note in done.notes:
            job.watch.note(note)
        report.stopped = done.stopped or report.stopped
        report.unable = done.unable
        report.counts |= done.counts
        if done.published is not None:
            report.stage, report.key = done.published
        if not done.stopped:
            return True
    job.watch.note(
        "the exam is not finished, so dataset/ was not written: it would hold what the student does not know"
    )
    return False


def examine_run(job: Job, prepared: Prepared, accepted: tuple[str, str]) -> StageResult:
    """Examine what the loop of rounds accepted (stage name and key) and publish what the treatment leaves of it.

    Where the student cannot take the exam, or the engine stops, nothing is published.
    """
    from curate.models.students import open_student
    from curate.stages.exam.kept import Kept

    kept_file, dropped_file = published(job.run.path, *accepted)
    folder = job.run.path / FOLDER
    folder.mkdir(exist_ok=True)
    before = read_summary(job.run.path, *accepted)
    assert before is not None
    with contextlib.closing(Kept(folder / KEPT)) as kept:
        made = examine(
            lambda: map(row_to_sample, read_jsonl(kept_file)),
            before["accepted"],
            job.engine,
            kept,
            folder,
            prepared.terms,
            lambda spec: open_student(spec, engine=job.engine, role="student", precision=prepared.exam.precision),
            documents=prepared.documents,
            tick=lambda done, total: None,
            phase=lambda name, unit: _show(job, name),
        )
    result = StageResult(stopped=made.stopped, counts=before, notes=notes_of(made, prepared.exam.rule))
    if made.stopped:
        return result
    sitter = made.sitters[0]
    figures = Figures(made.able)
    if sitter.able():
        key = stage_key(job, prepared, accepted[1], sitter)
        result.counts = _publish(job, prepared, made, sitter, figures, key, (kept_file, dropped_file), before)
        result.published = NAME, key
    else:
        for each in made.results(map(row_to_sample, read_jsonl(kept_file)), []):
            figures.add(each)
        result.unable = True
        result.notes.append(_unable(sitter))
    unable = [] if sitter.able() else [sitter]
    settings = {"treat": [prepared.exam.treat], "orders": prepared.exam.orders, "seed": job.setup.seed}
    write_figures(folder, figures, unable, settings, ledger=job.run.ledger)
    return result


def stage_key(job: Job, prepared: Prepared, accepted: str, sitter: Sitter) -> str:
    """Return the key of the stage's files: what they depend on besides the accepted rows and the ledger."""
    prompts = [prompt.fingerprint for prompt in load_prompts(prepared.terms.settings.language).values()]
    exam = prepared.exam.model_dump(mode="json", exclude={"student"})
    wordings = {name: list(choices) for name, choices in prepared.refusals.wordings.items()}
    return key_of(MEANING, accepted, exam, sitter.student.fingerprint, job.setup.model_names, prompts, wordings)


def _publish(
    job: Job,
    prepared: Prepared,
    made: Examination,
    sitter: Sitter,
    figures: Figures,
    key: str,
    files: tuple[Path, Path],
    before: dict[str, Any],
) -> dict[str, Any]:
    """Write the two files and the summary of the stage and return the run's counts with it."""
    drops: Counter[str] = Counter()
    lost: Counter[tuple[str, ...]] = Counter()
    with job.run.publish(NAME, key) as out:
        with files[1].open(encoding="utf-8") as earlier:
            for line in earlier:
                out.dropped_file.write(line)
        for result in made.results(map(row_to_sample, read_jsonl(files[0])), [sitter]):
            figures.add(result)
            sample, verdict = result.sample, left_out(result)
            if result.kind in ("ready", "no_need"):
                sample, verdict = treated(result, sitter, prepared.exam.treat, prepared.refusals)
            if verdict.keep:
                out.keep(sample)
            else:
                out.drop(sample, STAGE, verdict)
                drops[f"{STAGE}: {verdict.reason}"] += 1
                lost[sample.task] += 1
        kept = out.kept
    per_task = [{**task, "accepted": task["accepted"] - lost[tuple(task["task"])]} for task in before["per_task"]]
    told = {"student": sitter.student.name, "treatment": prepared.exam.treat, "in": before["accepted"], "kept": kept}
    classes = figures.classes.get(sitter.label, Counter())
    summary = {
        **before,
        "accepted": kept,
        "dropped": {**before["dropped"], **dict(drops.most_common())},
        "per_task": per_task,
        "exam": {**told, **dict(classes.most_common())},
    }
    write_summary(job.run.path, NAME, key, summary)
    return summary


def _show(job: Job, name: str) -> None:
    job.watch.phase = f"exam: {name}"


def _unable(sitter: Sitter) -> str:
    right, put = sitter.control.get(sitter.way, (0, 0))
    return (
        f"{sitter.label} cannot take this exam: with the knowledge in the prompt it answers {right:,} of {put:,} "
        "right, and four of five are needed; nothing was treated"
    )
