"""`curate stats`: the figures of datasets side by side, as a table, JSON or a picture."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.cli.display import counted, span
from curate.cli.options import embedder_option, output_options
from curate.cli.paragraph import paragraph
from curate.cli.text import readable

if TYPE_CHECKING:
    from curate.pipeline.stats import Stats
    from curate.pipeline.table import Table

EPILOG = """\b
Examples:
  curate stats data.jsonl
  curate stats runs/math alpaca.json gsm8k.parquet
  curate stats runs/math --plot math.png
  curate stats a.jsonl b.jsonl --json | jq '.files[].figures[].value'

\b
The figures, and where they are defined:
  verb-noun pairs    root verb and object of an instruction (Self-Instruct,
                     Wang et al. 2023), by a heuristic, English only; in
                     1,000 samples by rarefaction (Hurlbert 1971)
  distinct-n         Li et al. 2016
  self-repetition    Salkar et al. 2022
  compression ratio  Shaib et al. 2024
  ROUGE-L            Lin 2004, without stemming
  Vendi score        Friedman & Dieng 2023
  NovelSum           Yang et al. 2025
  tree               evenness and emptiness of leaves; whether a sample's
                     nearest neighbour is of its own leaf (purity) or of a
                     sibling; whether held-out samples find their leaf

\b
Figures over all pairs are taken on a random 10,000 samples, the others on all.
Files of different sizes are each measured on a random subset as large as the
smallest too: figures such as distinct-n depend on the size. A single run is
held against a random subset of everything that was written for it.
"""


@click.command(epilog=EPILOG)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--plot", metavar="FILE", type=click.Path(path_type=Path), help="Draw a picture too: .png or .svg.")
@embedder_option
@click.option("--language", metavar="L", default="", help="en or zh: what a token is. [default: the runs'; or en]")
@click.option("--seed", metavar="S", type=int, default=0, show_default=True, help="Of the random samples.")
@output_options
def stats(
    files: tuple[str, ...],
    plot: Path | None,
    embedder: str | None,
    language: str,
    seed: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure how diverse datasets are, side by side, each figure with a 95 % interval and against a random subset.

    FILE is .jsonl, .json, .parquet or .csv (also .gz, .zst), a run's folder (then with the figures of its tree), a
    folder saved by `datasets`, or the name of a dataset on the Hub.
    """
    made = measured(files, plot=plot, embedder=embedder, language=language, seed=seed, quiet=quiet)
    if as_json:
        click.echo(json.dumps(made.as_json(), ensure_ascii=False))
        return
    for line in table_lines(made.cells()):
        click.echo(line)
    used = ", ".join(f"{name} {'none' if value is None else value}" for name, value in made.settings.items())
    click.echo(readable(f"{used}; {span(made.seconds)}"))
    if plot is not None:
        click.echo(f"\n  picture  {plot}")
    else:
        click.echo(readable(f"\nNext: curate stats {shlex.join(files)} --plot stats.png"))


def measured(
    files: Sequence[str | Path], *, plot: Path | None, embedder: str | None, language: str, seed: int, quiet: bool
) -> Stats:
    """Take the figures, with their progress on stderr, and draw the picture if one is wanted."""
    from curate.pipeline.stats import stats as take

    if plot is not None:
        from curate.pipeline.plot import check

        # Before minutes of work, not after them.
        check(plot)
    with counted("stats", quiet=quiet) as meter:

        def tell(what: str, done: int, total: int) -> None:
            meter.name = readable(what)
            meter.tick(done, total)

        made = take(files, embedder=embedder, language=language, seed=seed, tell=tell)
        if plot is not None:
            made.plot(plot)
    return made


def table_lines(cells: Table) -> Iterator[str]:
    """Yield the table; on a terminal as many files beside each other as it has room for, and its notes wrapped."""
    if not sys.stdout.isatty():
        yield from cells.lines()
        return
    width = shutil.get_terminal_size().columns
    for part in cells.parts(width):
        lines = list(part.lines())
        rows = len(lines) - len(part.notes)
        yield from (click.style(line, bold=place < 2) for place, line in enumerate(lines[:rows]))
        for note in part.notes:
            yield from (click.style(line, dim=True) for line in paragraph(note, width - 1))
