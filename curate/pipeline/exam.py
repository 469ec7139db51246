"""`curate exam FILE`: what of a dataset a student does not know, and the dataset without it, with it given, or refused.

Beside NAME.jsonl lies the folder NAME.exam with the ledger, what every sample's examination rests on, and the marks of
every student. Another threshold, treatment or student takes from there what is there, and pays for the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from curate.errors import InputError
from curate.io import atomic, read_samples
from curate.io.files import to_line
from curate.pipeline.dataset import Tick, beside, dropped_beside, make_folder, untold
from curate.pipeline.exam_figures import Figures, about
from curate.pipeline.exam_plan import ExamPlan, Survey, plan_exam, survey
from curate.pipeline.exam_result import Result, left_out, treated
from curate.pipeline.exam_run import FIGURES, KEPT, SCORES, Examination, Phase, examine, labelled, untold_phase
from curate.pipeline.exam_setup import Options, Resolved, resolve, roles_of
from curate.pipeline.exam_sit import Sitter
from curate.run import Publication, RunDirectory, dropped_row
from curate.stages.exam.treat import INCONSISTENT, STAGE, Refusals

if TYPE_CHECKING:
    from curate.models import Engine, Stats
    from curate.pipeline.watch import Watch
    from curate.stages.exam.kept import Kept

LEDGER = "calls.sqlite"

ENDING = "exam"
"""What the verb puts between a dataset's name and a treatment's: data.jsonl, data.exam.discard.jsonl."""


@dataclass
class Arm:
    """A dataset as one treatment leaves it for one student. `out` is None where it went to a stream."""

    student: str
    treatment: str
    out: Path | None
    dropped_file: Path | None
    kept: int = 0
    treated: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """Return the arm as JSON values."""
        return {
            "student": self.student,
            "treatment": self.treatment,
            "out": str(self.out) if self.out else None,
            "dropped_file": str(self.dropped_file) if self.dropped_file else None,
            "kept": self.kept,
            "treated": self.treated,
            "dropped": sum(self.dropped.values()),
            "reasons": dict(self.dropped.most_common()),
        }


@dataclass
class ExamReport:
    """What an examination found and wrote.

    `figures` are those of `Figures.as_json`, None where it ended before everybody had taken the exam. `stopped` is ""
    where it is whole, else "budget" or "stopped". `unable` names the students that cannot take the exam: nothing was
    treated for them. Of every arm, kept, dropped and set aside together are `total`.
    """

    source: str
    folder: Path
    settings: dict[str, Any]
    plan: ExamPlan
    total: int = 0
    arms: list[Arm] = field(default_factory=list)
    set_aside_file: Path | None = None
    set_aside: Counter[str] = field(default_factory=Counter)
    figures: dict[str, Any] | None = None
    unable: list[str] = field(default_factory=list)
    failed: int = 0
    page: Path | None = None
    stopped: str = ""
    stats: Stats | None = None
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """1 where a student cannot take the exam, 3 where the examination is not whole, else 0."""
        if self.stopped:
            return 3
        return 1 if self.unable else 0

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        stats = self.stats
        return {
            "source": self.source,
            "folder": str(self.folder),
            "settings": self.settings,
            "in": self.total,
            "stopped": self.stopped,
            "unable": self.unable,
            "arms": [arm.as_json() for arm in self.arms],
            "set_aside": sum(self.set_aside.values()),
            "set_aside_file": str(self.set_aside_file) if self.set_aside_file else None,
            "set_aside_reasons": dict(self.set_aside.most_common()),
            "report": str(self.page) if self.page else None,
            "figures": self.figures,
            "plan": self.plan.as_json(),
            "calls": stats.calls if stats else 0,
            "replayed": stats.replayed if stats else 0,
            "cost_usd": stats.cost if stats else None,
            "failures": dict(stats.failures) if stats else {},
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
        }


def exam_dataset(
    source: str | Path,
    options: Options,
    *,
    stream: IO[str] | None = None,
    tick: Tick = untold,
    phase: Phase = untold_phase,
    planned: Callable[[ExamPlan], None] = lambda plan: None,
) -> ExamReport:
    """Examine the samples of `source` and write what each treatment makes of them for each student.

    `planned` is shown what it will take before anything is asked. The kept samples of one treatment for one student go
    to `options.out` (FILE.exam.TREATMENT.jsonl unless given), or to `stream`; with several, each has its own file,
    NAME.STUDENT.TREATMENT.jsonl. Beside them lie the dropped samples, NAME.set_aside.jsonl with those that could not be
    examined, and the folder NAME.exam.

    Raises:
        InputError: a value, a file or a model that cannot be used; nothing was asked of a model yet.
        ModelError: a model stopped the examination.
    """
    from curate.export.report.exam import write_exam_page
    from curate.models.students import open_student
    from curate.pipeline.watch import Watch

    began = time.monotonic()
    asked = resolve(options)
    roles = roles_of(options.students)
    stem, arms = _arms(source, asked, stream)
    folder = stem.with_name(f"{stem.name}.{ENDING}") if not stem.name.endswith(f".{ENDING}") else stem
    phase("reading", "samples")
    found = survey(read_samples(source, fields=options.fields), tick)
    plan = plan_of(asked, found, folder / LEDGER)
    planned(plan)
    report = ExamReport(str(source), folder, asked.as_json(), plan, found.rows, arms)
    make_folder(stem.parent)
    watch = Watch()
    with _at_work(asked, folder, watch) as (engine, kept):
        made = examine(
            lambda: read_samples(source, fields=options.fields),
            found.rows,
            engine,
            kept,
            folder,
            asked.terms,
            lambda spec: open_student(
                spec, engine=engine, role=roles.get(spec, "student"), precision=options.precision
            ),
            documents=asked.documents,
            tick=tick,
            phase=phase,
        )
        if not made.stopped:
            phase("writing", "samples")
            _finish(report, made, asked, source, stem, stream, tick)
        report.stopped, report.stats = made.stopped, engine.stats()
    report.notes += [*notes_of(made, asked.terms.rule), *watch.notes]
    report.seconds = time.monotonic() - began
    if report.figures is not None:
        report.page = write_exam_page(folder, report.figures, report.source)
    return report


@contextlib.contextmanager
def _at_work(asked: Resolved, folder: Path, watch: Watch) -> Iterator[tuple[Engine, Kept]]:
    """Lock the examination's folder and open its engine and what students made of questions before."""
    from curate.models import Budget, Engine, Ledger
    from curate.pipeline.interrupt import stop_on_interrupt
    from curate.stages.exam.kept import Kept

    options = asked.options
    budget = Budget(calls=options.budget_calls, tokens=options.budget_tokens, usd=options.budget_usd)
    with (
        RunDirectory(folder) as run,
        Ledger(run.ledger) as ledger,
        Engine(asked.models, ledger, budget, seed=options.seed) as engine,
        stop_on_interrupt(engine, watch),
        contextlib.closing(Kept(folder / KEPT)) as kept,
    ):
        yield engine, kept


def plan_of(asked: Resolved, found: Survey, ledger: Path) -> ExamPlan:
    """Return what it will take."""
    paper = asked.terms.paper
    return plan_exam(
        found,
        asked.terms.settings,
        asked.models,
        ledger,
        students=list(labelled(asked.terms.students)),
        prompts=paper.orders + paper.texts,
        documents=asked.documents is not None,
    )


def notes_of(made: Examination, rule: str) -> list[str]:
    """Return what a reader of the summary should know of the students, and of calls that failed."""
    notes = [f"{sitter.label}: {note}" for sitter in made.sitters for note in sitter.student.notes]
    for sitter in made.sitters:
        if sitter.student.votes and rule != "votes":
            notes.append(
                f"{sitter.label} gives no log-probabilities: the rule votes decides, at {sitter.threshold:.2g}"
            )
        if sitter.unanswered:
            notes.append(
                f"{sitter.label}: {sitter.unanswered:,} questions got no answer; the same command asks them again"
            )
    if made.failed:
        notes.append(f"{made.failed:,} samples were set aside because calls failed; the same command asks them again")
    return notes


def _finish(
    report: ExamReport,
    made: Examination,
    asked: Resolved,
    source: str | Path,
    stem: Path,
    stream: IO[str] | None,
    tick: Tick,
) -> None:
    """Decide every sample once, and write the arms, the scores and the figures in the same pass."""
    able = {sitter.label: sitter for sitter in made.able}
    report.unable = [sitter.label for sitter in made.sitters if sitter.label not in able]
    report.arms = [arm for arm in report.arms if arm.student in able]
    report.set_aside_file = stem.with_name(f"{stem.name}.set_aside.jsonl") if report.arms else None
    figures = Figures(list(able.values()))
    rows = read_samples(source, fields=asked.options.fields)
    with contextlib.ExitStack() as stack:
        scores = stack.enter_context(atomic(made.folder / SCORES))
        aside = _opened(stack, report.set_aside_file)
        files = {
            n: Publication(_opened(stack, arm.out, stream), _opened(stack, arm.dropped_file))
            for n, arm in enumerate(report.arms)
        }
        for number, result in enumerate(made.results(rows, list(able.values())), 1):
            figures.add(result)
            scores.write(to_line(result.to_dict()))
            if result.kind == "set_aside":
                aside.write(to_line(dropped_row(result.sample, STAGE, left_out(result))))
                report.set_aside[result.reason] += 1
            else:
                for n, arm in enumerate(report.arms):
                    _write(files[n], arm, result, able[arm.student], asked.refusals)
            tick(number, report.total)
    unable = [sitter for sitter in made.sitters if sitter.label not in able]
    report.figures = write_figures(made.folder, figures, unable, report.settings, ledger=made.folder / LEDGER)


def _write(files: Publication, arm: Arm, result: Result, sitter: Sitter, refusals: Refusals) -> None:
    """Write a sample that was examined, or one that is empty, to an arm."""
    if result.kind == "empty":
        sample, verdict = result.sample, left_out(result)
    else:
        sample, verdict = treated(result, sitter, arm.treatment, refusals)
        arm.treated += result.classes[arm.student] == INCONSISTENT
    if verdict.keep:
        files.keep(sample)
        arm.kept += 1
    else:
        files.drop(sample, STAGE, verdict)
        arm.dropped[f"{STAGE}: {verdict.reason}"] += 1


def _opened(stack: contextlib.ExitStack, path: Path | None, stream: IO[str] | None = None) -> IO[str]:
    """Open a file that takes its name at the end of the stack; without a path it is the stream, or nothing is kept."""
    if path is not None:
        return stack.enter_context(atomic(path))
    return stream or stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))


def write_figures(
    folder: Path, figures: Figures, unable: Sequence[Sitter], settings: dict[str, Any], *, ledger: Path
) -> dict[str, Any]:
    """Write figures.json, from which the page is made, and return it. `usage` is all that the ledger holds."""
    from curate.models.ledger_view import read_usage

    found = figures.as_json()
    found["students"] += [about(sitter) for sitter in unable]
    found["settings"] = settings
    found["usage"] = [asdict(usage) for usage in read_usage(ledger)]
    with atomic(folder / FIGURES) as file:
        json.dump(found, file, ensure_ascii=False, indent=1)
    return found


def _arms(source: str | Path, asked: Resolved, stream: IO[str] | None) -> tuple[Path, list[Arm]]:
    """Return where everything lies, a path without an ending, and the arms with the files that they go to.

    Raises:
        InputError: the file that is named is no JSONL file, is read from, or has to hold several datasets.
    """
    options = asked.options
    out = options.out
    if out is not None and out.suffix != ".jsonl":
        raise InputError(f"{out}: samples are written as JSON lines; name a .jsonl file (`curate export` gives more)")
    stem = out.with_suffix("") if out is not None else beside(Path(source), ENDING)
    labels = list(labelled(options.students))
    pairs = [(label, treatment) for label in labels for treatment in asked.treat]
    if stream is not None and len(pairs) != 1:
        raise InputError(
            f"one dataset can go to stdout, and {len(pairs)} were asked for: give one --treat, or --out FILE"
        )
    arms = []
    for label, treatment in pairs:
        parts = [stem.name, *([_in_a_path(label)] if len(labels) > 1 else []), treatment]
        path: Path = out if out is not None and len(pairs) == 1 else stem.with_name(f"{'.'.join(parts)}.jsonl")
        on_disk = (None, None) if stream is not None else (path, dropped_beside(path))
        arms.append(Arm(label, treatment, *on_disk))
    for written in (path for arm in arms for path in (arm.out, arm.dropped_file)):
        if written is not None and written.resolve() == Path(source).resolve():
            raise InputError(f"{written}: the samples are read from this file; give another one with --out")
    return stem, arms


def _in_a_path(label: str) -> str:
    return re.sub(r"[^\w.-]", "_", label)
