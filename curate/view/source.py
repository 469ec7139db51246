"""What is looked at: a run's folder, or anybody's dataset, as rows, with where its decisions and its tree lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import RunError
from curate.finished import Row, is_run, open_run
from curate.io import read_jsonl, read_samples, sample_to_row
from curate.pipeline.dataset import beside, count_rows, dropped_beside
from curate.pipeline.reviews import journal_of
from curate.run import latest, published, read_settings
from curate.tree.edits import TREE


@dataclass(frozen=True)
class Source:
    """A dataset to look at. `folder` is the run's, None for a file; only there a tree can be changed.

    `files` are what its rows come from, `lines` those of kept and dropped rows where a run wrote them, `total` their
    number where it is known, `counts` the numbers of kept and dropped ones where a run says so, `out` where an export
    goes. `settings` is run.yaml.
    """

    path: str
    folder: Path | None
    files: tuple[Path, ...]
    kept: Callable[[], Iterator[Row]]
    dropped: Callable[[], Iterable[Row]]
    lines: tuple[Path, Path] | None
    total: int | None
    counts: tuple[int, int] | None
    journal: Path
    out: Path
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        """What the page calls it."""
        return Path(self.path).resolve().name if Path(self.path).exists() else self.path

    @property
    def format(self) -> str:
        """The export format that the run's domain names."""
        return str(self.settings.get("domain", {}).get("export", {}).get("format", "messages"))

    @property
    def has_tree(self) -> bool:
        """Is there a task tree that can be changed?"""
        return self.folder is not None and (self.folder / TREE).is_file()

    def stamp(self) -> str:
        """Return a hash of which files these are, how large, and when written; "" where that says nothing."""
        if not self.files:
            return ""
        parts = []
        for path in self.files:
            known = path.stat() if path.exists() else None
            parts.append([str(path.resolve()), known and known.st_size, known and known.st_mtime_ns])
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=12).hexdigest()

    def has_newer(self) -> bool:
        """Has the run published something else since?"""
        if self.folder is None or not is_run(self.folder):
            return False
        try:
            return published(self.folder, *latest(self.folder)) != self.files
        except RunError:
            return False


def open_source(path: str | Path) -> Source:
    """Open a run's folder, a folder with a task tree only, or anybody's dataset.

    Raises:
        InputError: nothing of the kind is there, or the run has neither samples nor a tree yet.
    """
    folder = Path(path)
    if folder.is_dir() and (is_run(folder) or (folder / TREE).is_file()):
        return _of_run(path, folder)
    left = dropped_beside(folder)
    files = tuple(sorted(p for p in folder.rglob("*") if p.is_file())) if folder.is_dir() else (folder, left)
    return Source(
        str(path),
        None,
        files if folder.exists() else (),
        lambda: map(sample_to_row, read_samples(path)),
        lambda: read_jsonl(left) if left.is_file() else (),
        None,
        count_rows(str(path)),
        None,
        journal_of(path),
        beside(folder, "dataset") if not folder.is_dir() else folder / "dataset",
        {},
    )


def _of_run(path: str | Path, folder: Path) -> Source:
    out, journal = folder / "dataset", journal_of(folder)
    try:
        run = open_run(folder)
    except RunError:
        # A tree that was imported, or grown with --tree-only, is to be looked at before anything is written for it.
        if (folder / "latest.json").exists() or not (folder / TREE).is_file():
            raise
        settings = read_settings(folder) if is_run(folder) else {}
        return Source(str(path), folder, (), lambda: iter(()), lambda: (), None, 0, None, journal, out, settings)
    counts = (run.summary["accepted"], sum(run.summary["dropped"].values()))
    files = (run.kept_file, run.dropped_file)
    return Source(
        str(path), folder, files, run.kept, run.dropped, files, sum(counts), counts, journal, out, run.settings
    )
