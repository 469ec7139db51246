"""`curate show`: samples on the terminal, or as JSON lines for another program."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.display import reasons
from curate.cli.text import readable

if TYPE_CHECKING:
    from curate.pipeline.reviews import Review
    from curate.pipeline.show import Row, Samples

EPILOG = """\b
Examples:
  curate show runs/math
  curate show runs/math --task Algebra --limit 3
  curate show runs/math --dropped --stage rouge
  curate show runs/math --reason forbidden_word --json | jq .dropped.value
  curate show clean.jsonl --dropped      what `filter` or another stage dropped

\b
A near-duplicate is shown with the kept sample that it was too near to, a
contaminated sample with the passage that a benchmark has too, a call of which
nothing could be used with the head of the model's reply.
"""

DONE = {"accept": "accepted", "reject": "rejected", "edit": "edited (`curate export` has the new text)"}
"""What a person decided, in words."""

LIMIT = 10
"""Samples shown on a terminal unless told."""


@click.command(epilog=EPILOG)
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--dropped", is_flag=True, help="Dropped samples and lost calls, with their reasons.")
@click.option("--stage", metavar="S", help="Dropped by this stage: rules, exact, rouge, dedup, verify, judge, ...")
@click.option("--reason", metavar="R", help="Dropped for this reason: too_short, forbidden_word, ...")
@click.option("--task", metavar="T", help="Of this task or below it: a name, or a path such as Algebra/Matrices.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), help=f"At most N samples. [default: {LIMIT}; --json: all]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as they lie on disk, one JSON object a line.")
def show(run: Path, limit: int | None, as_json: bool, **wish: Any) -> None:
    """Print samples of RUN: the kept ones, or the dropped ones with stage, reason, score and nearest neighbour.

    RUN is a run's folder, or a .jsonl file that `curate filter`, `dedup` or `decontaminate` wrote.
    """
    from curate.io.files import to_line
    from curate.pipeline.show import show_samples

    if as_json:
        samples = show_samples(run, limit=limit, **wish)
        for row in samples:
            # C1 controls stand as they are in readable JSON, and a terminal would obey them.
            click.echo(json.dumps(row) if sys.stdout.isatty() else to_line(row).rstrip("\n"))
    else:
        # One more than is shown tells whether there are more.
        samples = show_samples(run, limit=(limit or LIMIT) + 1, **wish)
        _print(samples, limit or LIMIT)
    if not samples.fitting:
        there = f"there are {reasons(samples.seen, 20, as_named=True)}" if samples.seen else "the file is empty"
        click.echo(f"no sample fits; {there}", err=True)


def _print(samples: Samples, limit: int) -> None:
    """Print the samples, each with the neighbour that it was too near to, and say whether there are more."""
    from curate.pipeline.reviews import read_reviews

    rows = list(samples)
    near = samples.neighbours(rows[:limit])
    reviews = read_reviews(samples.journal)
    for row in rows[:limit]:
        _print_row(row, near, reviews.of(row["id"]))
    if len(rows) > limit:
        click.echo(f"{limit:,} shown, there are more: --limit N shows N, --json all of them", err=True)


def _print_row(row: Row, near: dict[str, Row], review: Review | None) -> None:
    width = min(shutil.get_terminal_size().columns, 110)
    head = readable(f"── {row['id']}  {' > '.join(row['task'])}") + " "
    click.secho(head + "─" * max(0, width - len(head)), bold=True)
    verdict = row.get("dropped")
    if verdict:
        click.secho(readable(_why(verdict)), fg="yellow")
    if review:
        words = f"{DONE[review.decision]} by {review.author or 'hand'}"
        click.secho(readable(f"{words}: {review.reason}" if review.reason else words), fg="cyan")
    for message in row["messages"]:
        _print_message(message["role"], message["content"])
    reply = row["meta"].get("generate", {}).get("reply")
    if not row["messages"] and reply:
        _print_message("the model's reply, cut", reply)
    neighbour = near.get((verdict or {}).get("neighbour", ""))
    if neighbour and neighbour["id"] != row["id"]:
        first = next((m["content"] for m in neighbour["messages"] if m["role"] == "user"), "")
        _print_message(f"too near to the kept {neighbour['id']}", first)
    if verdict and "benchmark_passage" in verdict:
        _print_message("what it has of the benchmark", verdict["passage"])
        _print_message(f"{verdict['benchmark']}, item {verdict['item']}: {verdict['of']}", verdict["benchmark_passage"])
    click.echo()


def _why(verdict: dict[str, Any]) -> str:
    """Return stage, reason, score and detail of a drop in one line."""
    score = verdict.get("score")
    words = [f"dropped by {verdict['stage']}: {verdict['reason']}"]
    if score is not None:
        words.append(f"score {score:.4g}")
    told = ("stage", "reason", "score", "passage", "benchmark_passage")
    rest = {name: value for name, value in verdict.items() if name not in told}
    return ", ".join([*words, *(f"{name} {value}" for name, value in rest.items() if value not in ("", None))])


def _print_message(who: str, text: str) -> None:
    click.secho(readable(who), dim=True)
    for line in readable(text).split("\n"):
        for part in _wrapped(line):
            click.echo(f"  {part}")


def _wrapped(line: str) -> list[str]:
    """Return a line in parts that fit the terminal, broken between words; whole for another program."""
    width = shutil.get_terminal_size().columns - 3
    if not sys.stdout.isatty() or len(line) <= width:
        return [line]
    return textwrap.wrap(line, max(width, 20), break_long_words=False, break_on_hyphens=False)
