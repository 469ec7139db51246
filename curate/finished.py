"""A run as it lies on disk, for whoever looks at it: nothing here writes, locks, or asks a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import RunError
from curate.io import read_jsonl
from curate.run import latest, published, read_settings, read_summary

if TYPE_CHECKING:
    from curate.models.ledger_view import Usage
    from curate.tree import TaskTree

Row = dict[str, Any]
"""A sample's row as `io.sample_to_row` gives it; a dropped one has `dropped` with stage, reason, score and detail."""

ORDER = ("rules", "exact", "rouge", "dedup", "verify", "judge", "quota", "exam")
"""The stages of the loop of rounds and the exam after it, as their yields are told."""


def stages_of(summary: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Return (stage, samples in, samples kept) in the order of the loop, without stages that dropped nothing."""
    dropped: dict[str, int] = {}
    for reason, count in summary.get("dropped", {}).items():
        stage = reason.partition(": ")[0]
        dropped[stage] = dropped.get(stage, 0) + count
    left = summary.get("candidates", 0)
    rows = [("candidates", left, left)]
    for stage in ORDER:
        if dropped.get(stage):
            rows.append((stage, left, left - dropped[stage]))
            left -= dropped[stage]
    return rows


@dataclass(frozen=True)
class FinishedRun:
    """What a run published last. Open one with `open_run`.

    `settings` is run.yaml: `identity` (domain, language, root, seed, teacher), `domain` (the resolved domain file),
    `models`, `encoder` (name and threshold, or None), `versions`. `summary` holds the counts of the loop of rounds.
    """

    folder: Path
    key: str
    settings: dict[str, Any]
    summary: dict[str, Any]
    kept_file: Path
    dropped_file: Path

    @cached_property
    def tree(self) -> TaskTree:
        """The task tree, with the hand edits of its journal."""
        from curate.tree import load_tree_with_edits

        return load_tree_with_edits(self.folder)[0]

    @property
    def identity(self) -> dict[str, Any]:
        """What makes the run this run: domain, language, root, seed and teacher."""
        return dict(self.settings["identity"])

    @property
    def ledger(self) -> Path:
        """The ledger's path."""
        return self.folder / "calls.sqlite"

    def kept(self) -> Iterator[Row]:
        """Read the accepted samples, in the order they were accepted."""
        return read_jsonl(self.kept_file)

    def dropped(self) -> Iterator[Row]:
        """Read the dropped samples. Calls that gave none are among them: their id is call-TASK-ATTEMPT."""
        return read_jsonl(self.dropped_file)

    def usage(self) -> list[Usage]:
        """Return what every stage has asked of every model over the run's life."""
        from curate.models.ledger_view import read_usage

        return read_usage(self.ledger)


def is_run(path: str | Path) -> bool:
    """Is this a run directory?"""
    return (Path(path) / "run.yaml").is_file()


def open_run(folder: str | Path) -> FinishedRun:
    """Open what the run in `folder` published last.

    Raises:
        RunError: no run is there, nothing has been published yet, or what was published is not whole.
    """
    path = Path(folder)
    settings = read_settings(path)
    name, key = latest(path)
    summary = read_summary(path, name, key)
    if summary is None:
        raise RunError(
            f"{path}: what it published last is not whole; the same `curate explore` again mends it for free"
        )
    return FinishedRun(path, key, settings, summary, *published(path, name, key))
