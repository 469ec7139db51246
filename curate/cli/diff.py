"""`curate diff`: two runs side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.display import counted, money, span
from curate.cli.options import output_options
from curate.cli.paragraph import columns, paragraph
from curate.cli.text import readable
from curate.text import percent

if TYPE_CHECKING:
    from curate.pipeline.diff import Diff, Pair, Step

EPILOG = """\b
Examples:
  curate diff runs/math runs/math-2
  curate diff runs/law runs/law-5-mini --no-figures
  curate diff runs/a runs/b --json | jq '.settings'

\b
Settings that are equal are not listed. The figures are those of `curate
stats`, each run's also on a random sample as large as the smaller run. Calls,
tokens and money are all that the run's folder has ever asked.
"""

MOST = 8
"""Tasks, reasons and examples of a kind that are printed; --json prints all."""

LABEL = 34
"""Cells of the first column at most."""

NONE = "–"


@click.command(epilog=EPILOG)
@click.argument("a", metavar="RUN_A", type=click.Path(path_type=Path))
@click.argument("b", metavar="RUN_B", type=click.Path(path_type=Path))
@click.option("--figures/--no-figures", default=True, help="Measure both datasets too. [default: yes; takes a while]")
@output_options
def diff(a: Path, b: Path, figures: bool, quiet: bool, as_json: bool) -> None:
    """Compare two runs: settings, tree, yield, drops, cost, samples in common, and the figures of their datasets.

    RUN_A and RUN_B are folders of runs.
    """
    from curate.pipeline.diff import diff as compare

    with counted("diff", quiet=quiet) as meter:

        def tell(what: str, done: int, total: int) -> None:
            meter.name = readable(what)
            meter.tick(done, total)

        made = compare(a, b, figures=figures, tell=tell)
    if as_json:
        click.echo(json.dumps(made.as_json(), ensure_ascii=False))
        return
    for line in lines(made, columns()):
        click.echo(line)


def lines(made: Diff, width: int) -> Iterator[str]:
    """Yield the sections, those that have something to say."""
    for side, name in (("A", made.a), ("B", made.b)):
        yield click.style(f"{side}  {_cut(name, width - 3)}", bold=True)
    for name, section in SECTIONS:
        if shown := list(section(made, width - 2)):
            yield ""
            yield click.style(name, bold=True)
            yield from (f"  {line}".rstrip() for line in shown)
    for part in made.figures.cells().parts(width) if made.figures else ():
        head, *rest = part.lines()
        rows, notes = rest[: len(part.rows) + 1], part.notes
        yield from ("", click.style("Figures" + head[len("Figures") :], bold=True), *rows)
        for note in notes:
            yield from ("", *paragraph(note, width))
    for note in made.notes:
        yield from ("", *paragraph(f"note: {note}", width))
    yield from ("", "Next: curate why ID RUN shows how one sample came to be in either")


def _settings(made: Diff, width: int) -> Iterator[str]:
    if not made.settings:
        yield "equal"
        return
    rows = [(change.name, _value(change.a), _value(change.b)) for change in made.settings]
    first = min(LABEL, max(_cells(name) for name, _, _ in rows))
    half = max(12, (width - first - 4) // 2)
    for name, a, b in rows:
        # Long values stand below each other, each on its own line.
        if max(_cells(a), _cells(b)) > half:
            yield _cut(name, width)
            yield from (f"  {side}  {paragraph(text, width - 5, 1)[0]}" for side, text in (("A", a), ("B", b)))
        else:
            yield "  ".join([_fit(name, first), _fit(a, half), _cut(b, half)])


def _trees(made: Diff, width: int) -> Iterator[str]:
    trees = made.trees
    rows = [("tasks", trees.tasks), ("leaves", trees.leaves), ("deepest level", trees.depth)]
    yield from _table([("", "A", "B"), *((name, f"{a:,}", f"{b:,}") for name, (a, b) in rows)])
    yield f"{trees.common:,} tasks in both"
    for what, paths in (("only in A", trees.only_a), ("only in B", trees.only_b)):
        for path in paths[:MOST]:
            yield _cut(f"{what}: {' > '.join(path)}", width)
        if len(paths) > MOST:
            yield f"{what}: {len(paths) - MOST:,} more"
    for old, new in trees.renamed[:MOST]:
        yield _cut(f"renamed: {' > '.join(old)} → {new[-1]}", width)
    if len(trees.renamed) > MOST:
        yield f"renamed: {len(trees.renamed) - MOST:,} more"


def _yields(made: Diff, width: int) -> Iterator[str]:
    def cell(part: tuple[int, int] | None) -> str:
        if part is None:
            return NONE
        come, kept = part
        return f"{kept:,} ({percent(kept / come)})" if come else f"{kept:,}"

    def row(step: Step) -> tuple[str, str, str]:
        if step.name == "candidates":
            a, b = (f"{part[1]:,}" if part else NONE for part in (step.a, step.b))
            return step.name, a, b
        return step.name, cell(step.a), cell(step.b)

    yield from _table([("kept by", "A", "B"), *map(row, made.stages)])


def _drops(made: Diff, width: int) -> Iterator[str]:
    if made.drops:
        yield from _table([("reason", "A", "B"), *(_pair(pair, "{:,}".format) for pair in made.drops[:MOST])])
    if len(made.drops) > MOST:
        yield f"and {len(made.drops) - MOST:,} more reasons"


def _cost(made: Diff, width: int) -> Iterator[str]:
    shown: dict[str, Callable[[Any], str]] = {
        "US dollars": money,
        "seconds of waiting for models": span,
        "rows per million tokens": "{:,.0f}".format,
    }
    rows = [_pair(pair, shown.get(pair.name, "{:,}".format)) for pair in made.cost]
    yield from _table([("", "A", "B"), *rows])


def _shared(made: Diff, width: int) -> Iterator[str]:
    shared = made.shared
    yield f"{shared.same:,} accepted samples are in both, {shared.answered:,} more have the same instruction only"
    for side, other, counts in (("A", "B", shared.dropped_by_b), ("B", "A", shared.dropped_by_a)):
        if counts:
            most = " · ".join(f"{reason} {count:,}" for reason, count in list(counts.items())[:MOST])
            yield _cut(f"{sum(counts.values()):,} accepted in {side} were dropped in {other}: {most}", width)
    for instruction, a, b in shared.examples:
        yield ""
        yield from paragraph(instruction, width, 2)
        yield from (f"  {side}  {paragraph(text, width - 5, 1)[0]}" for side, text in (("A", a), ("B", b)))


SECTIONS: tuple[tuple[str, Callable[[Diff, int], Iterator[str]]], ...] = (
    ("Settings that differ", _settings),
    ("Task trees", _trees),
    ("Yield", _yields),
    ("Drops", _drops),
    ("Cost", _cost),
    ("Samples in common", _shared),
)
"""What is shown, in this order; the figures come last."""


def _pair(pair: Pair, show: Callable[[Any], str]) -> tuple[str, str, str]:
    a, b = (NONE if number is None else show(number) for number in (pair.a, pair.b))
    return pair.name, a, b


def _value(value: Any) -> str:
    """Return a setting in one line."""
    if value is None:
        return NONE
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _table(rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Yield rows with the names to the left and the numbers to the right."""
    first = max(_cells(readable(row[0])) for row in rows)
    widths = [max(len(row[place]) for row in rows) for place in (1, 2)]
    for row in rows:
        yield "  ".join([_fit(row[0], first), row[1].rjust(widths[0]), row[2].rjust(widths[1])]).rstrip()


def _fit(text: str, width: int) -> str:
    """Return a text cut or padded to so many cells."""
    cut = _cut(text, width)
    return cut + " " * (width - _cells(cut))


def _cut(text: str, width: int) -> str:
    return paragraph(text, width, 1)[0] if _cells(readable(text)) > width else " ".join(readable(text).splitlines())


def _cells(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    from rich.cells import cell_len

    return cell_len(text)
