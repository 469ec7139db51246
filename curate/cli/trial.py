"""`curate try`: a few calls that show what a run would give and cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from curate.cli.display import IN_WORDS, amount, money, span
from curate.cli.options import explore_line, output_options, trial_options
from curate.cli.paragraph import columns, paragraph
from curate.cli.text import labelled, readable
from curate.text import percent

if TYPE_CHECKING:
    from curate.pipeline.projection import Interval, Projection
    from curate.pipeline.trial import Row, Trial

EPILOG = """\b
Examples:
  curate try math
  curate try "tenancy law" --teacher openai:gpt-5-mini --calls 20
  curate try code --teacher vllm:Qwen/Qwen3-8B --rows 10000

\b
At most half of the calls grow the head of the task tree, the others write
samples for its first tasks and check them. They are calls that `curate
explore` with the same options makes too, so they are paid for once: it finds
them in the ledger of runs/DOMAIN (or --out). The projection is that of a run
of --rows rows, with an interval of 90 % for the yield. Exit codes: 0 something
is shown, 1 failed, 2 bad input, 3 nothing came of it.
"""

SHOWN = 10
"""Samples of each kind that are printed; --json prints all."""

TASKS = 16
"""Lines of the tree."""

WHY = {"budget": "the budget allows no further call", "stopped": "stopped by hand"}


@click.command("try", epilog=EPILOG)
@trial_options
@output_options
def try_(domain: str | None, named: str | None, calls: int, quiet: bool, as_json: bool, **options: Any) -> None:
    """Show the first tree, kept and dropped samples, and the projected yield and price of a run, for a few calls.

    DOMAIN is a shipped domain, a domain file, or any phrase; --tree can stand in for it.
    """
    from curate.cli.display import display
    from curate.pipeline.explore import Options
    from curate.pipeline.trial import try_run
    from curate.pipeline.watch import Watch

    if domain and named and domain != named:
        raise click.UsageError(f"two domains: {domain!r} and --domain {named!r}; give one")
    watch = Watch()
    with display(watch, quiet=quiet) as shown:
        trial = try_run(Options(domain=domain or named, **options), calls, watch=watch, started=shown.start)
    if as_json:
        click.echo(json.dumps(trial.as_json(), ensure_ascii=False))
    else:
        for line in lines(trial, shown.unsaid(), columns()):
            click.echo(line)
        following = explore_line(click.get_current_context())
        if trial.dropped_rows and not trial.kept_rows:
            following = "the same command with another teacher or domain file; the reasons above say what was wrong"
        click.echo(readable(f"\nNext: {following}"))
    click.get_current_context().exit(trial.exit_code)


def lines(trial: Trial, notes: list[str], width: int) -> list[str]:
    """Return what a trial shows: the tree, the samples, the projection."""
    why = f" ({WHY.get(trial.stopped, trial.stopped)})" if trial.stopped else ""
    replayed = trial.stats.replayed if trial.stats else 0
    free = f" ({replayed:,} of them from the ledger)" if replayed else ""
    head = f"{trial.domain}: what {trial.asked:,} calls{free} show of a run of {trial.rows:,} rows{why}"
    parts = [click.style(readable(head), bold=True), "", *_tree(trial, width)]
    known = {row["id"]: row["messages"][0]["content"] for row in trial.kept_rows}
    parts += _samples("kept", trial.kept_rows, width, known)
    parts += _samples("dropped", trial.dropped_rows, width, known)
    if not trial.kept_rows and not trial.dropped_rows:
        parts += ["  no samples: the calls did not reach as far; --calls 20 or more do", ""]
    parts += _figures(trial)
    parts += [labelled("note", note) for note in notes]
    if trial.drafted:
        parts.append(labelled("domain", f"drafted, in {trial.drafted}; edit it and try again, or keep it"))
    return parts


def _tree(trial: Trial, width: int) -> list[str]:
    tree = trial.tree
    if tree is None:
        return []
    what = f"{len(tree):,} {'task' if len(tree) == 1 else 'tasks'}, the whole tree"
    if not trial.whole:
        what = f"the first {len(tree):,} of up to {trial.expected:,} tasks"
    shown = tree.show(max_depth=1 if len(tree) > TASKS else None, max_lines=TASKS)
    cut = [line if len(line) <= width - 2 else f"{line[: width - 3]}…" for line in map(readable, shown)]
    return [click.style(f"  {'tree':<10} {what}", dim=True), *(f"  {line}" for line in cut), ""]


def _samples(what: str, rows: list[Row], width: int, known: Mapping[str, str]) -> list[str]:
    """Return the samples of one kind, of as many tasks or reasons as there are; `known` are kept texts by id."""
    from curate.pipeline.trial import varied

    if not rows:
        return []

    def kind(row: Row) -> tuple[str, ...]:
        return (row["dropped"]["stage"], row["dropped"]["reason"]) if "dropped" in row else tuple(row["task"])

    picked = list(varied(rows, kind, SHOWN))
    of = f"{len(picked):,} of {len(rows):,}" if len(rows) > len(picked) else f"{len(rows):,}"
    parts = [click.style(f"  {what:<10} {of}", dim=True)]
    for row in picked:
        head = paragraph(_headline(row), width - 2, 1)[0]
        parts.append(click.style(f"  {head}", fg="yellow" if what == "dropped" else "green"))
        near = known.get(row.get("dropped", {}).get("neighbour", ""), "")
        parts += [f"    {text}" for text in _texts(row, width - 4, near)]
    return [*parts, ""]


def _headline(row: Row) -> str:
    """Return why a sample was dropped and of which task it is, or the task alone."""
    task = " > ".join(row["task"][1:]) or row["task"][0]
    verdict = row.get("dropped")
    if verdict is None:
        return task
    reason = f"{verdict['stage']}: {verdict['reason']}"
    words = [IN_WORDS.get(reason, reason.replace("_", " "))]
    for name, value in verdict.items():
        if name not in ("stage", "reason", "neighbour") and value not in (None, "", [], {}):
            words.append(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}")
    return f"{', '.join(words)}  ({task})"


def _texts(row: Row, width: int, near: str) -> list[str]:
    """Return the lines of a sample: its instruction, what it is too near to, and its response; or a lost reply."""
    turns = {turn["role"]: turn["content"] for turn in reversed(row["messages"])}
    if not turns:
        return paragraph(f"the model's reply: {row['meta']['generate'].get('reply', '')}", width, 2)
    shown = paragraph(turns.get("user", ""), width, 2)
    if near:
        return [*shown, f"≈ {paragraph(near, width - 2, 1)[0]}"]
    return [*shown, f"→ {paragraph(turns.get('assistant', ''), width - 2, 1)[0]}"]


def _figures(trial: Trial) -> list[str]:
    """Return the yield of the trial, and what it says of the run."""
    stats, made = trial.stats, trial.projection
    paid = f"{stats.calls:,} calls, {money(stats.cost)}, {span(trial.seconds)}" if stats else ""
    parts = [labelled("paid now", paid)] if paid else []
    if trial.measured and trial.measured.calls:
        seen = trial.measured
        rate = f", {percent(made.rate.low)} to {percent(made.rate.high)} with 90 % confidence" if made else ""
        counts = f"{seen.good:,} of {seen.asked:,} samples asked in {len(seen.calls):,} calls are good"
        parts.append(labelled("yield", f"{counts}: {percent(seen.good / seen.asked)}{rate}"))
    if made is None:
        if trial.measured and trial.measured.calls:
            parts.append(labelled("run", "no projection: nothing was accepted; the reasons above say why"))
        return parts
    parts.append(labelled("run", _run(made)))
    parts.append(labelled("", _price(made)))
    parts.append(
        labelled(
            "", "near-duplicates grow with the rows, and a few calls cannot show that: expect the upper end or more"
        )
    )
    if trial.certain < 1:
        share = f"about {percent(trial.certain)} of the calls that wrote samples here are among its own"
        parts.append(labelled("", f"so few rows ask only some of the tasks: {share}"))
    return [*parts, *(labelled("note", note) for note in made.notes)]


def _run(made: Projection) -> str:
    calls = _span_of(made.calls, lambda value: f"{value:,.0f}")
    words = [
        f"{made.rows:,} rows over up to {made.tasks:,} tasks: {calls} more calls at {made.per_call.value:.1f} rows each"
    ]
    if made.tokens.value:
        words.append(f"{_span_of(made.tokens, amount)} tokens")
    return ", ".join(words)


def _price(made: Projection) -> str:
    if made.free:
        price = "for nothing: the model runs here"
    elif made.cost is None:
        price = "price unknown (price_in and price_out under models in the domain file tell it)"
    else:
        price = f"{_span_of(made.cost, money)}"
    pace = f" with {made.at_a_time:,} requests at a time" if made.at_a_time else ""
    return f"{price}; {_span_of(made.seconds, span)}{pace}"


def _span_of(interval: Interval, show: Callable[[float], str]) -> str:
    """Return "value (low to high)", or the value alone where they read the same."""
    value, low, high = (show(number) for number in interval)
    return f"about {value}" if low == high else f"about {value} ({low} to {high})"
