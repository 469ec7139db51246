"""`curate filter`: the rules of a domain on anybody's dataset."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from curate.cli.display import counted, span
from curate.cli.options import output_options
from curate.cli.text import readable, shares
from curate.text import percent

if TYPE_CHECKING:
    from curate.pipeline.dataset import StageReport

FILES_OUT = """\b
Files: --out has the kept samples, NAME.dropped.jsonl beside it the dropped
ones with stage, reason, score and detail; together they are all that came in.
With `--out -` the kept ones go to stdout and nothing is written to the disk.
"""

FILTER_EPILOG = f"""\b
Examples:
  curate filter data.jsonl --domain brainstorming --out clean.jsonl
  curate filter alpaca.json --rules my-rules.yaml
  curate filter data.jsonl --domain math --out - | head -3

\b
A rules file:
  instruction: {{min_words: 3, max_words: 150, forbidden_words: [image, video]}}
  response: {{min_words: 1, max_chars: 4000}}

{FILES_OUT}"""


class Columns(click.ParamType):  # type: ignore[type-arg]
    """`instruction=question,response=answer`: which columns hold what."""

    name = "columns"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Mapping[str, str]:
        """Return {name: column}."""
        if isinstance(value, Mapping):
            return value
        pairs = [part.partition("=") for part in str(value).split(",")]
        if not all(name.strip() and column.strip() for name, _, column in pairs):
            self.fail(f"{value!r} is no list like instruction=question,response=answer", param, ctx)
        return {name.strip(): column.strip() for name, _, column in pairs}


def fields_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --fields."""
    return click.option(
        "--fields",
        metavar="LIST",
        type=Columns(),
        help="The columns of a format that is not known: instruction=COLUMN,response=COLUMN (also input, system, "
        "messages).",
    )(command)


def source_options(verb: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add FILE, --fields and --out, as `filter`, `dedup` and `decontaminate` take them."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        text = f"Where the kept samples go, or - for stdout. [default: FILE.{verb}.jsonl]"
        command = click.option("--out", metavar="FILE", help=text)(fields_option(command))
        return click.argument("file", metavar="FILE")(command)

    return add


@click.command("filter", epilog=FILTER_EPILOG)
@source_options("filtered")
@click.option("--domain", metavar="D", help="The rules of this domain: a shipped one, or a domain file.")
@click.option("--rules", metavar="FILE", help="Rules of their own: YAML with the keys instruction, input, response.")
@click.option("--language", metavar="L", default="", help="en or zh: what a word is. [default: the domain's; or en]")
@output_options
def filter_(file: str, **options: Any) -> None:
    """Keep the samples of a dataset that hold to a domain's rules: lengths, forbidden words and starts, and their kin.

    FILE is .jsonl, .json, .parquet or .csv (also .gz, .zst), a run's folder, a folder saved by `datasets`, or the
    name of a dataset on the Hub. Messages, ShareGPT, alpaca, prompt-completion and preference rows are recognised.
    """
    from curate.pipeline.dataset import filter_dataset

    _stage(filter_dataset, file, options)


def _stage(verb: Callable[..., StageReport], file: str, options: dict[str, Any]) -> None:
    """Run a stage with its progress and print its summary, on stderr where the samples go to stdout."""
    quiet, as_json, out = options.pop("quiet"), options.pop("as_json"), options.pop("out")
    piped = out == "-"
    target = {"stream": sys.stdout} if piped else {"out": out}
    with counted(verb.__name__.removesuffix("_dataset"), quiet=quiet) as meter:
        report = verb(file, **options, **target, tick=meter.tick)
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False), err=piped)
    elif not (piped and quiet):
        for line in _lines(report):
            click.echo(line, err=piped)


def _lines(report: StageReport) -> list[str]:
    return [*summary(report), *files_and_next(report)]


def summary(report: StageReport) -> list[str]:
    """Return what a stage did: its settings, how many it kept, and why it dropped the others."""
    used = ", ".join(f"{name} {value}" for name, value in report.settings.items() if value is not None)
    kept = percent(report.kept / report.total) if report.total else "nothing"
    return [
        f"{report.verb} {readable(report.source)} ({readable(used)})",
        f"  {report.total:,} in, {report.kept:,} kept ({kept}), {report.dropped:,} dropped in {span(report.seconds)}",
        *shares(report.reasons, report.total),
    ]


def files_and_next(report: StageReport) -> list[str]:
    """Return where the files of a stage are, and the next command; nothing where its samples went to a stream."""
    if report.out is None:
        return []
    lines = ["", f"  kept     {report.out}", f"  dropped  {report.dropped_file}", ""]
    if report.dropped:
        return [*lines, f"Next: curate show {report.out} --dropped"]
    return [*lines, f"Next: curate export {report.out} --out DIR"]
