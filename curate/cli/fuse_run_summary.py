"""What `curate fuse run` says before it spends anything, and what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curate.cli.fuse_summary import STOPS
from curate.cli.fuse_summary import plan_lines as calls_of
from curate.fuse.run.results import BETTER, RESULTS, SAME, WORSE, verdict
from curate.text import percent

if TYPE_CHECKING:
    from curate.fuse.run.job import Fused
    from curate.fuse.run.plan import Plan
    from curate.fuse.run.results import Row
    from curate.train.scores import Share

WORDS = {BETTER: " (better)", WORSE: " (worse)", SAME: " (same)", "": ""}
"""What a verdict adds to a figure."""


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield the steps with what each takes, and what is done of them."""
    done = len(plan.steps) - len(plan.missing)
    yield f"plan: {len(plan.steps)} steps into {plan.out}" + (f", {done} of them done" if done else "")
    width = max(len(step.name) for step in plan.steps)
    for number, step in enumerate(plan.steps, 1):
        state = "to do" if step in plan.missing else "done "
        yield f"  {number:>2} {state}  {step.name:<{width}}  {step.about}".rstrip()
        if step.key in plan.calls:
            yield from (f"     {line}" for line in calls_of(plan.calls[step.key])[:-1])
    asked = f" ({plan.asked:,} calls of sources whose weights are not here)" if plan.asked else ""
    yield f"  measured on {', '.join(plan.data)}{asked}: {', '.join(plan.measured)}"
    if plan.shared:
        yield f"  note: {plan.shared:,} samples that are measured on ask what the prompts ask too; they prove nothing"
    yield ""


def summary(fused: Fused) -> Iterator[str]:
    """Yield a table for each dataset, who was measured below each other, and what to type next."""
    if fused.stopped:
        more = ", with a larger budget" if fused.stopped == "budget" else ""
        yield f"fuse run {fused.out}: not finished ({STOPS[fused.stopped]})"
        yield f"\nNext: the same command goes on where it stopped{more}"
        return
    if fused.model is None:
        yield "nothing was done; the same command without --plan does it"
        return
    for data in dict.fromkeys(row.data for row in fused.rows):
        rows = [row for row in fused.rows if row.data == data]
        yield from _table(data, rows)
        yield from (_step(row) for row in rows if row.step)
        if any(row.exact for row in rows):
            yield "  (problems: + newly right, - no longer; same: chance alone does as much)"
        yield ""
    if told := list(_told(fused)):
        yield from (*told, "")
    yield f"  model    {fused.model}"
    yield f"  figures  {fused.out / RESULTS}"
    files = " ".join(f"--data {shlex.quote(data)}" for data in fused.plan.data)
    yield f"\nNext: vllm serve {shlex.quote(str(fused.model))}, or on other samples:"
    yield f"  curate eval {shlex.quote(str(fused.model))} {files}"


def _told(fused: Fused) -> Iterator[str]:
    """Yield what the steps came to that a table of models does not show."""
    width = max(len(step.name) for step in fused.plan.steps)
    for step in fused.plan.steps:
        if words := _words(fused.figures.get(step.key, {})):
            yield f"  {step.name:<{width}}  {words}"


def _words(figures: Mapping[str, Any]) -> str:
    """Return in words what was kept, what failed, and who taught."""
    if "kept" in figures:
        asked = figures["prompts"] - figures["other_side"]
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in figures["reasons"].items())
        return f"kept {figures['kept']:,} of {asked:,} prompts" + (f" ({reasons})" if reasons else "")
    if "models" in figures and isinstance(figures["models"], list):
        failed = [
            f"{one['model']}: {kind} {count:,} of {one['responses']:,}"
            for one in figures["models"]
            for kind, count in one["failures"].items()
        ]
        return f"calls that failed: {'; '.join(failed)}" if failed else ""
    if "taught" in figures:
        # by_align-NAME-KEY, or by_capture-NAME-KEY
        by = {name.partition("-")[2].rpartition("-")[0]: figures[name] for name in figures if name.startswith("by_")}
        shares = ", ".join(f"{name} {percent(share)}" for name, share in sorted(by.items(), key=lambda one: -one[1]))
        return f"{percent(figures['taught'])} of the targets were taught; turns by {shares}"
    return ""


def _table(data: str, rows: Sequence[Row]) -> Iterator[str]:
    first = rows[0].scores
    counts = f"{first.samples:,} samples" + (f", {first.exact.of:,} problems" if first.exact else "") if first else ""
    yield f"{data}: {counts}"
    exact = any(row.exact for row in rows)
    cells = [["", "loss", *(["exact match"] if exact else [])], *(_cells(row, exact) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(2)]
    for row in cells:
        yield f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {'  '.join(row[2:])}".rstrip()


def _cells(row: Row, exact: bool) -> list[str]:
    if row.why:
        return [row.name, "-", *(["-"] if exact else []), f"({row.why})"]
    loss = row.scores.loss if row.scores else None
    half = f" ± {loss.half:.4f}" if loss and loss.half is not None else ""
    cells = [row.name, f"{loss.value:.4f}{half}" if loss else "-"]
    if exact:
        cells.append(_share(row.exact))
    if row.answers and row.answers.failed:
        cells.append(f"({row.answers.failed:,} without a reply)")
    return cells


def _share(share: Share | None) -> str:
    if share is None:
        return "-"
    low, high = share.interval
    return f"{percent(share.value)} ({percent(low)} to {percent(high)})"


def _step(row: Row) -> str:
    """Say what a stage brought."""
    assert row.step is not None
    step, said, words = row.step, verdict(row.step), []
    if step.loss is not None:
        half = f" ± {step.loss.half:.4f}" if step.loss.half is not None else ""
        words.append(f"loss {step.loss.value:+.4f}{half}{WORDS[said.get('loss', '')]}")
    if step.gained is not None:
        words.append(f"problems +{step.gained:,} -{step.lost:,}{WORDS[said['answers']]}")
    helped = "" if BETTER in said.values() else "; it did not help"
    return f"  {row.name} against {row.before}: {'; '.join(words)}{helped}"
