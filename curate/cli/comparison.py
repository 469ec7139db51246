"""What `curate explore --compare` says at its end: the flat set, and the figures of both side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.cli.stats import measured, table_lines
from curate.cli.summary import cost_lines, novelty_lines, why, yield_lines
from curate.cli.text import labelled
from curate.text import printable

if TYPE_CHECKING:
    from curate.pipeline.explore import Report
    from curate.pipeline.stats import Stats


def figures_of_both(report: Report, *, quiet: bool) -> Stats | None:
    """Return the figures of a run and of the flat set beside it; None where one of them has no rows."""
    if report.flat is None or not (report.accepted and report.flat.accepted):
        return None
    return measured([report.out, report.flat.out], plot=None, embedder=None, language="", seed=0, quiet=quiet)


def lines(report: Report, stats: Stats | None) -> list[str]:
    """Return what is told of the flat set, and the table of both."""
    flat = report.flat
    assert flat is not None
    calls = flat.counts["calls"]
    parts = ["", printable(f"{flat.domain}: {flat.accepted:,} rows of {calls:,} calls{why(flat)}"), ""]
    parts += [*yield_lines(flat), *novelty_lines(flat), *cost_lines(flat)]
    parts.append(labelled("dataset", f"{flat.dataset}  (the same filters; the tree made {report.accepted:,} rows)"))
    if stats is None:
        return [*parts, labelled("figures", "none: one of the two has no rows")]
    return [*parts, "", *table_lines(stats.cells())]
