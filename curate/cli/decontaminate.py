"""`curate decontaminate`: a dataset without benchmark text."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from curate.cli.dataset import FILES_OUT, files_and_next, source_options, summary
from curate.cli.display import Meter, counted
from curate.cli.options import embedder_option, output_options
from curate.cli.text import readable

if TYPE_CHECKING:
    from curate.pipeline.decontaminate import DecontaminateReport

EPILOG = f"""\b
Examples:
  curate decontaminate data.jsonl --against gsm8k,math,mmlu,ifeval
  curate decontaminate data.jsonl --against my-exam.jsonl --out clean.jsonl
  curate decontaminate runs/math --against gsm8k=test.jsonl,mmlu=mmlu.parquet
  curate decontaminate zh.jsonl --against ceval.csv --language zh
  curate show clean.jsonl --dropped      the passages, side by side

\b
ngram     A message of the sample has at least half of an item's question,
          question with choices, or worked answer, in runs of 13 words (of
          shorter texts: all of it, from 8 words on), whatever the case and
          the punctuation. Chinese: characters. A run of words that several
          items of the benchmark have is no evidence.
semantic  The instruction means what the question does: a cosine above
          --threshold. It finds rewordings, not other numbers.

\b
gsm8k, math, mmlu and ifeval come from the Hub. A FILE has a column question,
problem or prompt, with answer, solution or choices where there are any, or
any layout that curate reads. Of a run, the accepted samples are taken, with
what was decided by hand.

{FILES_OUT}"""

PHASES = {"read": "decontaminate: reading benchmarks", "compare": "decontaminate"}


@click.command(epilog=EPILOG)
@source_options("decontaminated")
@click.option(
    "--against",
    metavar="LIST",
    required=True,
    multiple=True,
    help="The benchmarks, with commas: gsm8k, math, mmlu, ifeval, FILE or NAME=FILE.",
)
@embedder_option
@click.option(
    "--threshold",
    metavar="T",
    type=click.FloatRange(0, 1, min_open=True),
    help="Cosine above which an instruction means what a question does. [default: the embedder's own]",
)
@click.option(
    "--language", metavar="L", default="en", show_default=True, help="en or zh: which embedder is the default."
)
@output_options
def decontaminate(file: str, quiet: bool, as_json: bool, out: str | None, **options: Any) -> None:
    """Drop the samples that contain benchmark text, and show the passage.

    FILE is .jsonl, .json, .parquet or .csv (also .gz, .zst), a run's folder, a folder saved by `datasets`, or the
    name of a dataset on the Hub. Messages, ShareGPT, alpaca, prompt-completion and preference rows are recognised.
    """
    from curate.pipeline.decontaminate import decontaminate_dataset

    piped = out == "-"
    target: dict[str, Any] = {"stream": sys.stdout} if piped else {"out": out}
    with counted("decontaminate", quiet=quiet) as meter:
        report = decontaminate_dataset(
            file, **options, **target, tick=meter.tick, phase=lambda name: _begin(meter, name)
        )
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False), err=piped)
    elif not (piped and quiet):
        for line in [*summary(report), *_table(report), *files_and_next(report)]:
            click.echo(line, err=piped)


def _begin(meter: Meter, phase: str) -> None:
    """Let a phase have a time left of its own."""
    meter.name, meter.began, meter.done = PHASES[phase], time.monotonic(), 0


def _table(report: DecontaminateReport) -> list[str]:
    """Return a line for each benchmark, and what was left out."""
    width = max(9, *(len(readable(one.name)) for one in report.benchmarks))
    lines = ["", f"  {'benchmark':<{width}}  {'items':>8}  {'ngram':>8}  {'semantic':>8}"]
    for one in report.benchmarks:
        lines.append(f"  {readable(one.name):<{width}}  {one.items:>8,}  {one.ngram:>8,}  {one.semantic:>8,}")
    for one in report.benchmarks:
        if one.compared < one.items:
            few = one.items - one.compared
            lines.append(
                f"  {few:,} of {readable(one.name)} cannot be found: too short, or equal to others in all parts"
            )
    return [*lines, *([f"  {readable(report.note)}"] if report.note else [])]
