"""`curate dedup --calibrate`: the null distribution, pairs to mark, and the threshold that follows."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from math import isfinite
from typing import TYPE_CHECKING, Any

import click

from curate.cli.display import Meter, counted, money
from curate.cli.text import readable
from curate.text import percent

if TYPE_CHECKING:
    from curate.models import Budget
    from curate.pipeline.dedup_calibrate import Calibrating, Calibration, Null, Plan
    from curate.pipeline.dedup_marks import Pair

KEYS = "s same   d different   u unsure   b back   q stop for now"

WIDEST = 100
"""Columns of a text that is shown to be marked."""

MOST_LINES = 14
"""Lines of each text that are shown; the sheet has all of it."""

PHASES = {
    "read": "calibrate",
    "compare": "calibrate: comparing",
    "draw": "calibrate: drawing",
}


def calibrate(
    file: str,
    *,
    precision: float,
    pairs: int,
    judge: str | None,
    budget: Budget,
    quiet: bool,
    as_json: bool,
    **compared: Any,
) -> None:
    """Draw pairs, have them marked by the judge, by a person at the terminal or in a file, and print what follows."""
    from curate.pipeline.dedup_calibrate import open_calibration

    with counted("calibrate", quiet=quiet) as meter:
        phase = _phases(meter)
        work = open_calibration(file, pairs=pairs, tick=meter.tick, phase=phase, **compared)
        null = work.null()
    for warning in work.marks.warnings:
        click.echo(f"note: {readable(warning)}", err=True)
    if not as_json:
        _say([*_null(null, work), *_drawn(work)])
    lost: dict[str, int] = {}
    if judge:
        lost = _judge(work, judge, budget, quiet=quiet)
    elif not as_json and not quiet and work.open and sys.stdin.isatty() and sys.stdout.isatty():
        mark(work)
    done = work.finish(precision)
    if as_json:
        click.echo(json.dumps(done.as_json() | {"null": _null_json(null), "lost": lost}, ensure_ascii=False))
    else:
        _say([*_result(done, work, lost), *_next(done, work, file)])


def _phases(meter: Meter) -> Callable[[str], None]:
    def begin(name: str) -> None:
        meter.name, meter.began, meter.done = PHASES[name], time.monotonic(), 0

    return begin


def _say(lines: list[str]) -> None:
    for line in lines:
        click.echo(readable(line) if line else line)


def _null(null: Null, work: Calibrating) -> list[str]:
    job, texts = work.job, len(work.found.relations.known)
    shares = ", ".join(f"{value:.2f} at {100 * q:g} %" for q, value in null.quantiles.items())
    lines = [
        f"calibrate {job.source} (embedder {job.embedder}, field {job.field}, language {job.language})",
        f"  {texts:,} different texts, {null.pairs:,} pairs of them",
        f"  random pairs have the cosine {shares or 'of too few texts to say'}",
        "",
        f"  above   {'pairs':>9}  share of all pairs",
    ]
    for level, count in null.near.items():
        lines.append(f"  {level:<6g}  {count:>9,}  {_share(count, null.pairs)}")
    return lines


def _share(count: int, total: int) -> str:
    return "none" if not count else f"{count / total:.2g}, 1 in {total / count:,.0f}"


def _null_json(null: Null) -> dict[str, Any]:
    return {
        "quantiles": {str(q): value for q, value in null.quantiles.items()},
        "sampled": null.sampled,
        "pairs": null.pairs,
        "near": [list(at) for at in null.near.items()],
    }


def _drawn(work: Calibrating) -> list[str]:
    bands = sum(1 for size in work.population.sizes if size)
    from_sheet = f", {work.read:,} new from {work.marks.sheet}" if work.read else ""
    done = len(work.pairs) - len(work.open)
    return [
        "",
        f"  {len(work.pairs):,} pairs drawn from {bands} bands of the cosine, {done:,} of them marked{from_sheet}",
    ]


def _judge(work: Calibrating, spec: str, budget: Budget, *, quiet: bool) -> dict[str, int]:
    from curate.models import open_model

    model = open_model("judge", spec)
    plan = work.plan(model, model.name)
    if plan.calls and not quiet:
        click.echo(readable(_planned(plan)), err=True)
    if not plan.calls:
        return {}
    with counted("calibrate: asking the judge", quiet=quiet) as meter:
        return work.ask(model, budget, meter.tick)


def _planned(plan: Plan) -> str:
    tokens = f"{plan.input_tokens:,} tokens in and {plan.output_tokens:,} out"
    return f"asking {plan.model} about {plan.calls:,} pairs: about {tokens}, {money(plan.cost)}"


def mark(work: Calibrating) -> None:
    """Show the pairs that nobody has marked, one after the other, and note a key for each."""
    waiting, asked = work.open, 0
    click.echo(f"\nAre these duplicates: would one good response answer both?   {KEYS}")
    while asked < len(waiting):
        pair = waiting[asked]
        for line in shown(pair, asked + 1, len(waiting)):
            click.echo(line)
        key = _key()
        if key == "q":
            click.echo("stopped; the marks are kept, and the same command goes on here")
            return
        if key == "b":
            asked = max(asked - 1, 0)
            continue
        work.marks.add(pair, {"s": True, "d": False, "u": None}[key])
        asked += 1


def _key() -> str:
    while True:
        click.echo("  s/d/u/b/q ", nl=False)
        try:
            key = click.getchar().casefold()
        except (KeyboardInterrupt, EOFError):
            key = "q"
        if key in ("\x03", "\x04", "\x1b"):
            key = "q"
        if key in "sdubq" and key:
            click.echo(key)
            return key
        click.echo(f"\r  {KEYS}")


def shown(pair: Pair, number: int, total: int) -> Iterator[str]:
    """Yield a pair as it is shown to whoever marks it; not its cosine, which would sway them."""
    width = min(shutil.get_terminal_size().columns, WIDEST) - 4
    yield f"\n{number} of {total}"
    for label, text in (("A", pair.left), ("B", pair.right)):
        lines = [part for line in readable(text).splitlines() for part in textwrap.wrap(line, width) or [""]]
        more = len(lines) - MOST_LINES
        for at, line in enumerate(lines[:MOST_LINES]):
            yield f"{label if not at else ' '}   {line}"
        if more > 0:
            yield f"    … {more} lines more"


def _result(done: Calibration, work: Calibrating, lost: dict[str, int]) -> list[str]:
    marks = ", ".join(f"{count:,} by {'you' if by == 'person' else by}" for by, count in done.marks.items())
    lines = ["", f"  marks   {marks or 'none yet'}"]
    both, agreed = work.marks.agreement(work.pairs)
    if both:
        lines.append(
            f"  of {both:,} pairs that both marked, you and the judge agree on {agreed:,} ({percent(agreed / both)})"
        )
    if lost:
        causes = ", ".join(f"{cause.replace('_', ' ')} {count:,}" for cause, count in sorted(lost.items()))
        lines.append(f"  not marked by the judge: {causes}")
    if not done.marks:
        return lines
    lines += ["", f"  above   {'pairs':>9}  {'marked':>6}  {'same':>5}  precision (95 % interval)"]
    for band, estimate in zip(done.bands, done.estimates, strict=True):
        precision = f"{estimate.precision:.2f}" if isfinite(estimate.precision) else "?"
        interval = f" ({estimate.low:.2f} to {estimate.high:.2f})" if estimate.pairs else ""
        arrow = "  <- calibrated" if band.low == done.threshold else ""
        lines.append(
            f"  {band.low:<6g}  {estimate.pairs:>9,}  {band.marked:>6,}  {band.same:>5,}  "
            f"{precision if estimate.pairs else 'no pairs'}{interval}{arrow}"
        )
    lines.append("  marked and same are of the pairs up to the next line; precision is of all pairs above")
    return [*lines, "", *_threshold(done)]


def _threshold(done: Calibration) -> list[str]:
    if done.threshold is None:
        return [f"  no threshold has the precision {done.precision:g} by these marks: mark more, or want less"]
    high = "none" if done.high >= 1 else f"{done.high:g}"
    lines = [
        f"  threshold {done.threshold:g} for the precision {done.precision:g}, of {done.encoder} only "
        f"(95 % interval {done.low:g} to {high})"
    ]
    if done.high >= 1:
        lines.append("  no threshold has that precision for sure; more marks narrow the interval")
    elif done.high > done.threshold:
        lines.append(f"  to be sure of that precision, take {done.high:g}")
    return lines


def _next(done: Calibration, work: Calibrating, file: str) -> list[str]:
    if done.threshold is not None:
        return ["", f"  saved    {done.path}", "", f"Next: curate dedup {file} --threshold calibrated"]
    lines = ["", f"  pairs    {work.marks.sheet}"]
    if done.marks and not work.open:
        return [*lines, "", f"Next: curate dedup {file} --calibrate --pairs {2 * len(work.pairs)}"]
    return [
        *lines,
        "",
        'Next: set "same" in that file to true or false and run the same command again, or add --judge SPEC',
    ]
