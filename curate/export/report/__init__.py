"""report.html: a run on one page that opens from disk."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.io import atomic, whole

if TYPE_CHECKING:
    from curate.embed import Encoder
    from curate.export.report.gather import Gathered, Tick
    from curate.finished import FinishedRun
    from curate.measure.novelty import Novelty

__all__ = ["LIMIT", "ReportFile", "open_to_report", "write_report"]

NAME = "report.html"

LIMIT = 20_000_000
"""Bytes of a page at most."""

SHARD = 400_000
"""Bytes of samples to read that are packed together: what the page unpacks for a click on a task."""


@dataclass(frozen=True)
class ReportFile:
    """A written page: where it is, its size, the samples on its map, and how long it took."""

    path: Path
    bytes: int
    tasks: int
    points: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "out": str(self.path),
            "bytes": self.bytes,
            "tasks": self.tasks,
            "points": self.points,
            "seconds": round(self.seconds, 3),
        }


def untold(done: int, total: int | None) -> None:
    """Tell nobody."""


def open_to_report(folder: str | Path) -> FinishedRun:
    """Open a run; of one that has grown its tree and no rows yet, the tree alone.

    Raises RunError for what is no run, or one without a tree.
    """
    from curate.finished import FinishedRun, open_run
    from curate.run import read_settings

    path = Path(folder)
    settings = read_settings(path)
    if (path / "latest.json").exists() or not (path / "tree.json").exists():
        return open_run(path)
    nothing = Path(os.devnull)
    return FinishedRun(path, "", settings, {}, nothing, nothing)


def write_report(
    run: FinishedRun,
    out: str | Path | None = None,
    *,
    encoder: Encoder | None = None,
    novelty: Novelty | None = None,
    umap: bool = False,
    soon: bool = False,
    tick: Tick = untold,
) -> ReportFile:
    """Write the page of a run to `out`, report.html in its folder unless given.

    `encoder` and `novelty` are the run's where they are at hand already. With `umap`, the map has a UMAP beside the PCA
    (extra `umap`, some seconds). `soon` takes the figures on fewer samples and without intervals, where somebody waits
    for the run's end.

    Raises:
        RunError: the page cannot be written.
        MissingExtraError: a UMAP is wanted and umap-learn is missing.
    """
    from curate.export.report.gather import DETAIL, FIGURES, SOON, gather
    from curate.export.report.page import assemble

    began = time.monotonic()
    path = Path(out) if out is not None else run.folder / NAME
    for detail in (DETAIL, DETAIL // 4, 0):
        found = gather(run, tick, detail, SOON if soon else FIGURES)
        blocks = _blocks(run, found, encoder, novelty, umap=umap, intervals=not soon)
        page = assemble(f"{whole(str(run.identity['domain']))}: what the run made", blocks).encode()
        if len(page) <= LIMIT:
            break
    with atomic(path, binary=True) as file:
        file.write(page)
    return ReportFile(path, len(page), len(found.tasks.names), len(found.points.ids), time.monotonic() - began)


def _blocks(
    run: FinishedRun, found: Gathered, encoder: Encoder | None, novelty: Novelty | None, *, umap: bool, intervals: bool
) -> dict[str, bytes]:
    """Return the page's data by name, packed."""
    from curate.export.report import overview
    from curate.export.report.curve import run_curve
    from curate.export.report.encoders import map_vectors
    from curate.export.report.exam import exam_of_run
    from curate.export.report.page import packed
    from curate.export.report.points import point_map
    from curate.measure.novelty import call_yields, novelty_of

    vectors, laid_out = map_vectors(run, found.points.texts, encoder)
    mapped = point_map(found.points, vectors, umap=umap)
    shards, firsts = _shards(found)
    if novelty is None and run.summary.get("candidates"):
        novelty = novelty_of(run)
    blocks = {
        "overview": packed(
            {
                "run": overview.about_run(run) | overview.counts(found),
                "reasons": found.reasons,
                "tasks": found.tasks.as_json(call_yields(run)),
                "flow": overview.flow(run),
                "groups": overview.groups(found),
                "curve": run_curve(run, found, vectors, laid_out["encoder"], soon=not intervals),
                "usage": overview.usage(run),
                "figures": overview.figures(run, found, vectors, intervals=intervals),
                "exam": exam_of_run(run),
                "novelty": novelty.as_json() if novelty else None,
                "map": mapped.about if mapped else None,
                **laid_out,
                "shards": firsts,
            }
        )
    }
    if mapped:
        blocks |= {"points": packed(mapped.points), "heads": packed(mapped.heads)}
    return blocks | {f"samples-{number}": packed(shard) for number, shard in enumerate(shards)}


def _shards(found: Gathered) -> tuple[list[dict[int, Any]], list[int]]:
    """Return the samples to read by task, in parts of about SHARD bytes, and the first task of each part."""
    parts = list(_parts(found))
    return parts, [next(iter(part)) for part in parts]


def _parts(found: Gathered) -> Iterator[dict[int, Any]]:
    part: dict[int, Any] = {}
    size = 0
    for place in sorted(found.shelves):
        samples = found.shelves[place].samples
        if not samples:
            continue
        part[place] = samples
        size += sum(len(text) for sample in samples for _, text in sample["m"])
        if size >= SHARD:
            yield part
            part, size = {}, 0
    if part:
        yield part
