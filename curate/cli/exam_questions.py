"""`curate exam --questions FILE`: a table of accuracy per subject for each student."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.display import counted, span
from curate.cli.text import readable
from curate.text import percent

if TYPE_CHECKING:
    from curate.pipeline.exam_questions import QuestionsReport, Tally

FOR_A_DATASET = ("fields", "treat", "teacher", "judge", "documents", "refusals", "threshold")
"""Options that mean nothing where questions are taken as they are."""

SUBJECT = 36
"""Characters of a subject that a line has room for on a terminal of 80 columns."""

HEADS = {"letter": "letters", "text": "texts", "votes": "votes"}


def take_questions(
    questions: Path,
    out: str | None,
    *,
    quiet: bool,
    as_json: bool,
    students: tuple[str, ...],
    orders: int,
    shots: Path | None,
    demonstrations: int,
    precision: str | None,
    seed: int,
    by: str,
    **others: Any,
) -> None:
    """Put the questions to every student and print what came of it. Exits with 3 where some were left unanswered.

    Raises click.UsageError for an option that is about a dataset.
    """
    from curate.models import Budget
    from curate.pipeline.exam_questions import exam_questions

    for name in FOR_A_DATASET:
        if others.get(name):
            raise click.UsageError(
                f"--{name} is about a dataset; with --questions, accuracy is printed and nothing else"
            )
    budget = Budget(others.get("budget_calls"), others.get("budget_tokens"), others.get("budget_usd"))
    reports = []
    for student in students:
        with counted("exam", quiet=quiet) as meter:
            meter.unit = "questions"
            report = exam_questions(
                questions,
                student=student,
                shots=shots,
                demonstrations=demonstrations,
                orders=orders,
                seed=seed,
                texts=by != "letter",
                precision=precision,
                budget=budget,
                out=out,
                tick=meter.tick,
                tell=None if quiet else lambda line: click.echo(readable(line), err=True),
            )
        reports.append(report)
        if not as_json:
            for line in lines(report):
                click.echo(readable(line))
    if as_json:
        rows = [report.as_json() for report in reports]
        click.echo(json.dumps(rows[0] if len(rows) == 1 else rows, ensure_ascii=False))
    click.get_current_context().exit(max(report.exit_code for report in reports))


def lines(report: QuestionsReport) -> list[str]:
    """Return the table of one student and what is to be known of it."""
    shown = f"  {'':<{SUBJECT}} {'n':>6}" + "".join(f"  {HEADS[way]:>7} {'95 %':<7}" for way in report.ways)
    rows = [f"{report.student}: {report.total:,} questions", "", shown.rstrip()]
    for name in sorted(report.subjects):
        rows.append(_row(name or "(no subject)", report.subjects[name]))
    if len(report.subjects) > 1:
        rows += ["", _row("all questions", {way: report.overall(way) for way in report.ways})]
        means = "".join(f"  {_share(report.macro(way)):>7} {'':<7}" for way in report.ways)
        rows.append(f"  {'mean of the subjects':<{SUBJECT}} {'':>6}{means}".rstrip())
    return [*rows, *_guessing(report), "", *_notes(report)]


def _row(name: str, tallies: dict[str, Tally]) -> str:
    put = max(tally.put for tally in tallies.values())
    shown = name if len(name) <= SUBJECT else name[: SUBJECT - 1] + "…"
    cells = "".join(f"  {_share(tally.share):>7} {_interval(tally):<7}" for tally in tallies.values())
    return f"  {shown:<{SUBJECT}} {put:>6,}{cells}".rstrip()


def _guessing(report: QuestionsReport) -> list[str]:
    """Return what guessing gives: evenly, and as the student's own choices would with the keys dealt anew."""
    guesses = [report.guesses[way].as_json() for way in report.ways]
    names = {"chance": "guessing evenly", "permuted": "these choices, keys dealt anew"}
    return [
        f"  {name:<{SUBJECT}} {'':>6}" + "".join(f"  {_share(guess[kind]):>7} {'':<7}" for guess in guesses).rstrip()
        for kind, name in names.items()
    ]


def _notes(report: QuestionsReport) -> list[str]:
    rows = [f"  how      {note}" for note in report.notes]
    form = report.settings
    orders = "the file's order of options" if form["orders"] == 1 else f"{form['orders']} orders of options"
    rows.append(
        f"  form     {form['demonstrations']} demonstrations from {form['shots'] or 'the shipped ones'}, {orders}"
    )
    if report.fewer:
        rows.append(f"  room     {report.fewer:,} questions were shown fewer demonstrations, for want of room")
    if report.alike:
        rows.append(f"  alike    {report.alike:,} questions have two options of the same words; either counts")
    rows += [f"  lost     {count:,} questions: {cause}" for cause, count in report.errors.most_common()]
    again = f", {report.again:,} of them taken before" if report.again else ""
    rows.append(f"  kept     {report.out}{again}")
    return [*rows, f"  took     {span(report.seconds)}"]


def _share(share: float | None) -> str:
    return "-" if share is None or math.isnan(share) else percent(share)


def _interval(tally: Tally) -> str:
    low, high = tally.interval()
    return f"{100 * low:.0f}-{100 * high:.0f}" if tally.put else ""
