"""`curate dedup`: the near-duplicates of anybody's dataset."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from curate.cli.dataset import FILES_OUT, files_and_next, source_options, summary
from curate.cli.display import Meter, counted, money
from curate.cli.options import JOB, embedder_option, output_options
from curate.cli.text import readable

if TYPE_CHECKING:
    from curate.models import Budget
    from curate.pipeline.dedup import DedupReport
    from curate.pipeline.dedup_paid import Asking

EPILOG = f"""\b
Examples:
  curate dedup data.jsonl --out clean.jsonl
  curate dedup data.jsonl --out clean.jsonl --threshold 0.9   (at once now)
  curate dedup data.jsonl --no-rouge --embedder minilm
  curate dedup data.jsonl --embedder openai:NAME --threshold 0.9 --budget-usd 1
  curate dedup data.jsonl --keep best --score rating
  curate dedup new.jsonl --against train.jsonl
  curate dedup new.jsonl --add-to all.jsonl
  curate dedup alpaca_zh.json --language zh
  curate dedup data.jsonl --embedder none    words only, nothing by meaning
  curate dedup data.jsonl --calibrate      mark pairs at the terminal
  curate dedup data.jsonl --calibrate --judge openai:gpt-5-mini --precision 0.9
  curate dedup data.jsonl --threshold calibrated

\b
Two samples are the same if they are equal, equal after normalising, above
the threshold of ROUGE-L, or above the cosine of the embedder. Of the kept
ones no two are the same; each dropped one names a kept one and the score.
Neither the order of the rows nor the machine changes who is kept (but with
--keep first the order does).

\b
--keep says who of its like stays:
  best      the highest --score; without one, the grade of the judge
  first     the first row
  longest   the most characters
  center    farthest first: the kept ones are spread out
  facility  those that stand for the most others

\b
--against drops also what is the same as a sample of another dataset, which
is only read. --add-to works batch by batch: what is new to the file is added
to it, and its own rows and their decisions stay as they are.

\b
--calibrate shows how near random pairs are, draws pairs by bands of the
cosine, and has them marked: by you (one key a pair), by the judge, or in
FILE.calibration/pairs.jsonl with an editor. Marks are kept and never asked
for again. The threshold that follows belongs to the embedder, and is refused
for another.

{FILES_OUT}
\b
NAME.cache beside them holds the near pairs, for another --threshold or --keep
in an instant, and the vectors of slow embedders; it can be deleted.
NAME.report.html shows the curve and the largest groups.
"""

EXACT = "Find every near pair also beyond 500,000 texts (with the extra embed up to 1,500,000), where it takes long."

SHOWN = (0.70, 0.75, 0.80, 0.85, 0.90, 0.95, 0.98, 1.00)
"""The points of the curve that are printed, besides the threshold that was applied; --json has every hundredth."""

ALIKE = {"rouge": "ROUGE-L", "semantic_duplicate": "cosine"}
"""What the score of a reason is; samples that are equal have none to show."""

GROUPS, COPIES, WIDTH = 3, 2, 54
"""Groups that are printed, dropped samples of each, and characters of a text; the page has more."""

CALIBRATING = ("precision", "pairs", "judge")
"""What only --calibrate takes."""

PHASES = {"read": "dedup", "compare": "dedup: comparing", "write": "dedup: writing"}


class Cosine(click.ParamType):  # type: ignore[type-arg]
    """A number above 0 and up to 1, or what names a calibration."""

    name = "cosine"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """Return the number, or the text where it is none."""
        try:
            number = float(value)
        except ValueError:
            if value != "calibrated" and not Path(value).expanduser().exists():
                self.fail(
                    f"'{value}' is no number above 0 and up to 1, not `calibrated`, and no folder here", param, ctx
                )
            return str(value)
        return float(click.FloatRange(0, 1, min_open=True).convert(number, param, ctx))


def _budget_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the budgets of the job's options, for an embedder behind an API and for the judge."""
    for name, metavar, kind, default, text in reversed(JOB):
        if name.startswith("--budget"):
            command = click.option(name, metavar=metavar, type=kind, default=default, help=text)(command)
    return command


@click.command(epilog=EPILOG)
@source_options("deduped")
@click.option(
    "--keep",
    type=click.Choice(["best", "first", "longest", "center", "facility"]),
    default="best",
    show_default=True,
    help="Who of its like stays.",
)
@click.option(
    "--score", metavar="COLUMN", default="", help="The number that is a row's quality. [default: the judge's grade]"
)
@click.option(
    "--rouge",
    metavar="T",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.7,
    show_default=True,
    help="ROUGE-L above which two samples are the same.",
)
@click.option("--no-rouge", is_flag=True, help="Leave out the comparison by ROUGE-L.")
@embedder_option
@click.option(
    "--threshold",
    metavar="T",
    type=Cosine(),
    help="Cosine above which two samples are the same: a number; `calibrated`; or the folder NAME.calibration of "
    "another dataset. [default: the embedder's own]",
)
@click.option("--language", metavar="L", default="en", show_default=True, help="en or zh: what a token is.")
@click.option(
    "--field",
    type=click.Choice(["text", "instruction"]),
    default="text",
    show_default=True,
    help="What ROUGE-L and the embedder compare: the first user message, or that without its input.",
)
@click.option("--exact", is_flag=True, help=EXACT)
@click.option("--against", metavar="FILE|HUB", help="Drop also what is the same as a sample of this other dataset.")
@click.option("--add-to", metavar="FILE", help="Add what is new to this file; its rows stay as they are.")
@click.option("--calibrate", is_flag=True, help="Find the threshold: draw pairs, have them marked, drop nothing.")
@click.option(
    "--precision",
    metavar="P",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.95,
    show_default=True,
    help="With --calibrate: the share of pairs above the threshold that are duplicates.",
)
@click.option(
    "--pairs",
    metavar="N",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="With --calibrate: pairs to mark.",
)
@click.option("--judge", metavar="SPEC", help="With --calibrate: the model that marks, as openai:NAME@URL.")
@_budget_options
@output_options
def dedup(file: str, no_rouge: bool, rouge: float, quiet: bool, as_json: bool, out: str | None, **options: Any) -> None:
    """Drop exact, ROUGE-L and semantic near-duplicates over a whole dataset.

    FILE is .jsonl, .json, .parquet or .csv (also .gz, .zst), a run's folder, a folder saved by `datasets`, or the
    name of a dataset on the Hub. Messages, ShareGPT, alpaca, prompt-completion and preference rows are recognised.
    """
    from curate.models import Budget
    from curate.pipeline.dedup import dedup_dataset

    budget = Budget(**{name: options.pop(f"budget_{name}") for name in ("calls", "tokens", "usd")})
    marking = {name: options.pop(name) for name in ("calibrate", *CALIBRATING)}
    if marking.pop("calibrate"):
        _calibrate(file, None if no_rouge else rouge, out, options, budget, marking, quiet=quiet, as_json=as_json)
        return
    _check_alone(CALIBRATING)
    piped = out == "-"
    target: dict[str, Any] = {"stream": sys.stdout} if piped else {"out": out}
    with counted("dedup", quiet=quiet) as meter:
        report = dedup_dataset(
            file,
            rouge=None if no_rouge else rouge,
            **options,
            **target,
            budget=budget,
            tick=meter.tick,
            phase=lambda name: _begin(meter, name),
            plan=lambda asking: None if quiet else click.echo(_planned(asking), err=True),
        )
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False), err=piped)
    elif not (piped and quiet):
        for line in _lines(report):
            click.echo(line, err=piped)


def _calibrate(
    file: str,
    rouge: float | None,
    out: str | None,
    options: dict[str, Any],
    budget: Budget,
    marking: dict[str, Any],
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Pass on what calibrating takes. Raises UsageError for options that it does not."""
    from curate.cli.calibrate import calibrate
    from curate.embed import default_encoder
    from curate.models import Budget
    from curate.pipeline.dataset import known_language

    given = click.get_current_context().get_parameter_source
    for name in ("threshold", "against", "add_to", "keep"):
        if given(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--calibrate finds a threshold and drops nothing; leave out --{name.replace('_', '-')}"
            )
    if marking["judge"] is None and budget != Budget():
        raise click.UsageError("a budget is for the judge's calls; name one with --judge SPEC")
    compared = {name: options[name] for name in ("score", "language", "field", "exact")}
    compared["embedder"] = options["embedder"] or default_encoder(known_language(options["language"]))
    calibrate(file, budget=budget, rouge=rouge, out=out, quiet=quiet, as_json=as_json, **marking, **compared)


def _planned(asking: Asking) -> str:
    return (
        f"asking {readable(asking.model)} for the vectors of {asking.texts:,} texts in {asking.calls:,} calls: "
        f"about {asking.tokens:,} tokens, {money(asking.cost)}"
    )


def _check_alone(names: tuple[str, ...]) -> None:
    given = click.get_current_context().get_parameter_source
    for name in names:
        if given(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} is for --calibrate; add that, or leave it out")


def _begin(meter: Meter, phase: str) -> None:
    """Let a phase have a time left of its own."""
    meter.name, meter.began, meter.done = PHASES[phase], time.monotonic(), 0


def _lines(report: DedupReport) -> list[str]:
    lines = [*summary(report), *_curve(report), *_groups(report)]
    if report.old:
        lines.append(f"  compared with {report.old:,} samples that stay")
    if report.search:
        lines.append(f"  pairs    {report.search}" + (", found by an earlier run" if report.again else ""))
    if report.replaced:
        lines.append(f"           in place of an earlier run's, which were of the embedder {readable(report.replaced)}")
    files = files_and_next(report)
    if report.page is not None:
        files.insert(3, f"  report   {report.page}")
    return [*lines, *files]


def _groups(report: DedupReport) -> list[str]:
    """Return the largest groups of near-duplicates: what was kept, and below it what was dropped for it."""
    if not report.groups:
        return []
    lines = ["  largest groups"]
    for group in report.groups[:GROUPS]:
        lines.append(f"  {group.count + 1:>7,}  {'kept':<12}  {_one_line(group.kept)}")
        for copy in group.copies[:COPIES]:
            verdict = copy["dropped"]
            named = ALIKE.get(verdict["reason"])
            alike = f"{named} {verdict['score']:.2f}" if named else "equal"
            lines.append(f"  {'':>7}  {alike:<12}  {_one_line(copy)}")
        if group.count > COPIES:
            lines.append(f"  {'':>7}  and {group.count - COPIES:,} more")
    return [*lines, ""]


def _one_line(row: dict[str, Any]) -> str:
    """Return the first user message of a row, as much as fits a line of a terminal."""
    text = next((str(turn["content"]) for turn in row["messages"] if turn["role"] == "user"), "")
    text = " ".join(readable(text[: WIDTH * 4]).split())
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _curve(report: DedupReport) -> list[str]:
    """Return what other thresholds would keep, a line each."""
    applied = report.settings["threshold"]
    points = [(level, kept) for level, kept in report.curve if level in SHOWN or level == applied]
    if not points:
        return [""]
    width = len(f"{report.total:,}")
    lines = ["", "  cosine  kept"]
    for level, kept in points:
        bar = "█" * round(30 * kept / max(report.total, 1))
        mark = "  <- applied" if level == applied else ""
        lines.append(f"  {level:<6g}  {kept:>{width},}  {bar}{mark}")
    return [*lines, ""]
