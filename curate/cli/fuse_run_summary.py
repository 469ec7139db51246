"""What `curate fuse run` says before it spends anything, and what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from curate.cli.fuse_summary import plan_lines as calls_of
from curate.text import percent

if TYPE_CHECKING:
    from curate.fuse.run.job import Fused
    from curate.fuse.run.plan import Plan
    from curate.fuse.run.results import Row


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield the steps with what each takes, and what is done of them."""
    done = len(plan.steps) - len(plan.missing)
    yield f"plan: {len(plan.steps)} steps into {plan.out}" + (f", {done} of them done" if done else "")
    for number, step in enumerate(plan.steps, 1):
        state = "to do" if step in plan.missing else "done "
        yield f"  {number:>2} {state}  {step.name:<16} {step.about}".rstrip()
        if step.key in plan.calls:
            yield from (f"     {line}" for line in calls_of(plan.calls[step.key])[:-1])
    yield f"   {len(plan.measured)} models measured on {', '.join(plan.data)}: {', '.join(plan.measured)}"
    yield ""


def summary(fused: Fused) -> Iterator[str]:
    """Yield a table for each dataset, who was measured below each other, and what to type next."""
    if fused.model is None and not fused.stopped:
        yield "nothing was done; the same command without --plan does it"
        return
    if fused.stopped:
        yield f"not finished ({fused.stopped}); the same command goes on where it stopped"
        return
    for data in dict.fromkeys(row.data for row in fused.rows):
        yield from _table([row for row in fused.rows if row.data == data])
        yield ""
    yield f"  model    {fused.model}"
    yield f"  figures  {fused.out / 'results.json'}"
    yield f"\nNext: vllm serve {shlex.quote(str(fused.model))}"


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield f"{rows[0].data}:"
    cells = [["", "loss", "exact match", "against the one before"], *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        yield "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _cells(row: Row) -> list[str]:
    if row.scores is None:
        return [row.name, "-", "-", row.why]
    loss, exact = row.scores.loss, row.scores.exact
    half = "" if loss.half is None else f" ± {loss.half:.4f}"
    return [row.name, f"{loss.value:.4f}{half}", percent(exact.value) if exact else "-", row.verdict]
