"""What `curate fuse run` says before it spends anything, and what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from curate.cli.fuse_summary import STOPS
from curate.cli.fuse_summary import plan_lines as calls_of
from curate.fuse.run.results import BETTER, RESULTS, SAME, WORSE, verdict
from curate.text import percent

if TYPE_CHECKING:
    from curate.fuse.run.job import Fused
    from curate.fuse.run.plan import Plan
    from curate.fuse.run.results import Row
    from curate.train.scores import Share

WORDS = {BETTER: " (better)", WORSE: " (worse)", SAME: " (no more than chance)", "": ""}
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
        yield ""
    yield f"  model    {fused.model}"
    yield f"  figures  {fused.out / RESULTS}"
    files = " ".join(f"--data {shlex.quote(data)}" for data in fused.plan.data)
    yield f"\nNext: vllm serve {shlex.quote(str(fused.model))}, or on other samples:"
    yield f"  curate eval {shlex.quote(str(fused.model))} {files}"


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
        words.append(f"{step.gained:,} more problems right, {step.lost:,} no longer{WORDS[said['answers']]}")
    helped = "" if BETTER in said.values() else "; it did not help"
    return f"  {row.name} against {row.before}: {'; '.join(words)}{helped}"
