"""What a run says at its end: tree, yield, drops, cost, where the dataset lies, and what to type next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from curate.cli.display import amount, money, reasons, span
from curate.cli.text import labelled
from curate.text import percent, printable
from curate.tree import tree_show
from curate.types import STOPPED

if TYPE_CHECKING:
    from curate.pipeline.explore import Report

WHY = {
    "calls": "as many calls as the run it is compared with",
    "novelty": "what comes is no longer new",
    "saturated": "no task yields anything new",
    "budget": "the budget allows no further call",
    "stopped": "stopped by hand",
}

BRANCHES = 12
"""First-level tasks that the summary lists."""

LONGEST = 45
"""Characters of a name in the drawing."""

ITSELF = "(the root itself)"

NOTES = 10
"""Notes that the summary prints."""


def print_report(report: Report, notes: Sequence[str], beside: Sequence[str] = ()) -> None:
    """Print the summary of a run to stdout, with the notes that nobody has seen yet, and what it was compared with."""
    for line in [*lines(report, notes), *beside, "", *following(report)]:
        click.echo(line)


def lines(report: Report, notes: Sequence[str]) -> list[str]:
    """Return the summary's lines, but for what to type next."""
    if report.tree_only:
        grown = "is grown" if not report.stopped else "is not finished"
        head = f"{report.domain}: the task tree {grown}{why(report)}, {span(report.seconds)}"
    else:
        first = f", the first after {report.first_row:.1f} s" if report.first_row is not None else ""
        rows = f"{report.accepted:,}{f' of {report.rows:,}' if report.rows else ''} rows accepted{why(report)}"
        head = f"{report.domain}: {rows} in {span(report.seconds)}{first}"
    parts = [printable(head), "", *(f"  {line}".rstrip() for line in _tree(report)), ""]
    parts += yield_lines(report)
    parts += novelty_lines(report)
    parts += cost_lines(report)
    if report.dataset:
        parts.append(labelled("dataset", f"{report.dataset}  (train.jsonl, train.parquet, README.md)"))
    if report.page:
        parts.append(labelled("report", f"{report.page}  (open it in a browser)"))
    parts += [labelled("note", note) for note in notes[:NOTES]]
    if len(notes) > NOTES:
        parts.append(labelled("note", f"and {len(notes) - NOTES:,} more; --json prints them all"))
    return parts


def why(report: Report) -> str:
    """Return in brackets why a run ended, or nothing where it has what was asked."""
    return f" ({WHY.get(report.stopped, report.stopped)})" if report.stopped else ""


def _tree(report: Report) -> list[str]:
    """Return the head of the tree: its size, and each first-level task with its sub-tasks and accepted rows."""
    per_task = report.counts.get("per_task")
    if not per_task and (report.out / "tree.json").is_file():
        return list(tree_show(report.out, depth=1, lines=BRANCHES + 1))
    if not per_task:
        return report.tree_lines
    tasks: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    for entry in per_task:
        branch = printable(entry["task"][1]) if len(entry["task"]) > 1 else ITSELF
        tasks[branch] += 1
        rows[branch] += entry["accepted"]
    branches = [name for name in tasks if name != ITSELF or rows[ITSELF]]
    if len(branches) > BRANCHES:
        rest = branches[BRANCHES - 1 :]
        branches[BRANCHES - 1 :] = [more := f"{len(rest):,} more"]
        for counts in (tasks, rows):
            counts[more] = sum(counts[name] for name in rest)
    width = max((len(_cut(name)) for name in branches), default=0)
    return [
        *report.tree_lines[:1],
        *(
            f"{'└──' if name == branches[-1] else '├──'} {_cut(name):<{width}} "
            f"{tasks[name]:>6,} {'task ' if tasks[name] == 1 else 'tasks'} {rows[name]:>8,} {_rows(rows[name])}"
            for name in branches
        ),
    ]


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def yield_lines(report: Report) -> list[str]:
    """Return what came of the candidates: what each stage kept, and why others were dropped."""
    counts = report.counts
    if not counts.get("candidates"):
        return [labelled("lost calls", reasons(counts["lost"]))] if counts.get("lost") else []
    flow = " → ".join(f"{name} {kept:,}" for name, _, kept in report.stages())
    parts = [labelled("yield", flow)]
    # Calls that brought no sample have a line of their own.
    if dropped := {reason: count for reason, count in counts["dropped"].items() if not reason.startswith("generate: ")}:
        parts.append(labelled("dropped", reasons(dropped)))
    if counts["lost"]:
        parts.append(labelled("lost calls", reasons(counts["lost"])))
    if exam := counts.get("exam"):
        parts.append(labelled("exam", _exam(exam)))
    if ungraded := counts.get("ungraded"):
        parts.append(
            labelled("judge", f"{ungraded:,} of the accepted rows could not be graded: the reply held no grade")
        )
    if kinds := counts.get("per_kind"):
        least, most = min(kinds.values()), max(kinds.values())
        gone = counts.get("exhausted_kinds", [])
        spent = f"; {len(gone):,} are exhausted: {', '.join(map(printable, gone[:5]))}" if gone else ""
        more = f" and {len(gone) - 5:,} more" if len(gone) > 5 else ""
        each = f"{least:,} to {most:,} rows each" if most > 1 else "1 row each"
        parts.append(labelled("kinds", f"{len(kinds):,} kinds of problem, {each}{spent}{more}"))
    if exhausted := counts["exhausted"]:
        names = ", ".join(printable(path[-1]) for path in exhausted[:5])
        more = f" and {len(exhausted) - 5:,} more" if len(exhausted) > 5 else ""
        what = "task yields" if len(exhausted) == 1 else "tasks yield"
        parts.append(labelled("exhausted", f"{len(exhausted):,} {what} nothing new: {names}{more}"))
    return parts


def _exam(exam: Mapping[str, Any]) -> str:
    """Return what the student knows of the accepted rows, and what was done about the rest."""
    words = {"consistent": "known", "inconsistent": "not known", "no_need": "need none", "set_aside": "set aside"}
    found = ", ".join(f"{exam[name]:,} {text}" for name, text in words.items() if exam.get(name))
    return f"{found} to {exam['student']}; {exam['treatment'].replace('_', ' ')} leaves {exam['kept']:,}"


def novelty_lines(report: Report) -> list[str]:
    """Return how new the latest samples were, what the next calls will add, and the rows per million paid tokens."""
    found = report.novelty
    if found is None or found.latest is None:
        return []
    coming = f"; {found.forecast} (9 times in 10)" if found.forecast else ""
    parts = [labelled("novelty", f"{percent(found.latest)} of the latest good samples were new{coming}")]
    if found.whole.per_million is not None:
        rates = sorted((each.per_million, each.branch) for each in found.branches if each.per_million is not None)
        line = f"{found.whole.per_million:,.0f} rows per million paid tokens"
        if len(rates) > 1:
            (least, worst), (most, best) = rates[0], rates[-1]
            line += f"; without the tree's, {least:,.0f} ({printable(worst)}) to {most:,.0f} ({printable(best)})"
        parts.append(labelled("tokens", line))
    return parts


def cost_lines(report: Report) -> list[str]:
    """Return calls, tokens, money and failures."""
    stats = report.stats
    if stats is None:
        return []
    words = [
        f"{stats.calls:,} {'call' if stats.calls == 1 else 'calls'}"
        + (f", {stats.replayed:,} replayed from the ledger" if stats.replayed else "")
    ]
    if stats.total.input_tokens or stats.total.output_tokens:
        words.append(f"{amount(stats.total.input_tokens)} tokens in, {amount(stats.total.output_tokens)} out")
    words.append(money(stats.cost))
    parts = [labelled("cost", "; ".join(words))]
    if embedded := stats.by_stage.get("embed"):
        cost = money(None if embedded.unpriced else embedded.cost)
        parts.append(labelled("", f"of these {embedded.calls:,} of the embedder, {cost}"))
    if stats.possibly_billed:
        parts.append(labelled("", f"{stats.possibly_billed:,} attempts brought no reply and may have been billed"))
    # What a stop kept from being sent has not failed, and the first line says why it stopped.
    if failures := {kind: count for kind, count in stats.failures.items() if kind not in STOPPED}:
        parts.append(labelled("failures", reasons(failures)))
    return parts


def following(report: Report) -> list[str]:
    """Return what to type next: one line, or a page to look at and the same in the terminal."""
    if report.stopped == "stopped":
        return ["Next: the same command again goes on where it stopped"]
    if report.stopped == "budget":
        return ["Next: the same command with a larger budget goes on; what is paid for is not asked again"]
    if report.tree_only:
        return [f"Next: curate tree show {report.out}"]
    # What its task no longer needed was good: the filters are what one looks at.
    dropped = [reason.partition(":")[0] for reason in report.counts.get("dropped", {})]
    stage = next((stage for stage in dropped if stage != "quota"), "")
    return [
        f"Next: curate view {report.out}",
        f"      curate show {report.out}{f' --dropped --stage {stage}' if stage else ''}",
    ]
