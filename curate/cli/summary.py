"""What a run says at its end: tree, yield, drops, cost, where the dataset lies, and what to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from curate.cli.display import amount, money, reasons, span
from curate.tree.names import printable

if TYPE_CHECKING:
    from curate.pipeline.explore import Report

WHY = {
    "saturated": "no task yields anything new",
    "budget": "the budget is spent",
    "stopped": "stopped by hand",
}


def print_report(report: Report) -> None:
    """Print the summary of a run to stdout."""
    for line in lines(report):
        click.echo(line)


def lines(report: Report) -> list[str]:
    """Return the summary's lines."""
    why = f" ({WHY.get(report.stopped, report.stopped)})" if report.stopped else ""
    if report.tree_only:
        head = f"{report.domain}: the task tree is grown{why} in {span(report.seconds)}"
    else:
        first = f", the first after {report.first_row:.1f} s" if report.first_row is not None else ""
        rows = f"{report.accepted:,} of {report.rows:,} rows accepted{why}"
        head = f"{report.domain}: {rows} in {span(report.seconds)}{first}"
    parts = [head, "", *(f"  {line}" for line in report.tree_lines), ""]
    parts += _yield(report)
    parts += _cost(report)
    if report.dataset:
        parts.append(f"  dataset    {report.dataset}  (train.jsonl, train.parquet, README.md)")
    parts += [f"  note       {note}" for note in report.notes]
    return [*parts, "", f"Next: {_next(report)}"]


def _yield(report: Report) -> list[str]:
    """Say what became of everything that was asked for: kept, dropped, or lost with its cause."""
    counts = report.counts
    parts = []
    if counts.get("explore", {}).get("lost"):
        parts.append(f"  tree lost  {reasons(counts['explore']['lost'])}")
    if not counts.get("calls"):
        return parts
    flow = " → ".join(f"{name} {kept:,}" for name, _, kept in report.stages())
    parts.append(f"  yield      {flow}")
    if counts["dropped"]:
        parts.append(f"  dropped    {reasons(counts['dropped'])}")
    if counts["lost"]:
        lost = sum(counts["lost"].values())
        parts.append(f"  lost calls {lost:,} of {counts['calls']:,}: {reasons(counts['lost'])}")
    exhausted = counts["exhausted"]
    if exhausted:
        names = ", ".join(printable(path[-1]) for path in exhausted[:5])
        more = f" and {len(exhausted) - 5:,} more" if len(exhausted) > 5 else ""
        parts.append(f"  exhausted  {len(exhausted):,} tasks yield nothing new: {names}{more}")
    return parts


def _cost(report: Report) -> list[str]:
    stats = report.stats
    if stats is None:
        return []
    tokens = f"{amount(stats.total.input_tokens)} tokens in, {amount(stats.total.output_tokens)} out"
    parts = [f"  cost       {stats.calls:,} calls, {stats.replayed:,} replayed; {tokens}; {money(stats.cost)}"]
    if stats.possibly_billed:
        parts.append(f"             {stats.possibly_billed:,} attempts brought no reply and may have been billed")
    if stats.failures:
        parts.append(f"  failures   {reasons(stats.failures)}")
    return parts


def _next(report: Report) -> str:
    if report.tree_only:
        return f"curate tree show {report.out}"
    if report.stopped == "stopped":
        return "the same command again goes on where it stopped"
    if report.stopped == "budget":
        return "the same command with a larger budget goes on; what is paid for is not asked again"
    if report.counts.get("dropped"):
        stage = next(iter(report.counts["dropped"])).partition(":")[0]
        return f"curate show {report.out} --dropped --stage {stage}"
    return f"curate show {report.out}"
