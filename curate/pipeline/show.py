"""`curate show`: the samples of a run or of a filtered file, kept or dropped, as they lie on disk."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import InputError
from curate.io import read_jsonl, row_to_sample, whole
from curate.pipeline.dataset import dropped_beside
from curate.pipeline.reviews import journal_of
from curate.run import latest, published
from curate.tree import name_key

if TYPE_CHECKING:
    from datasets import Dataset

Row = dict[str, Any]
"""A sample's row, as `io.sample_to_row` gives it; a dropped one has `dropped` with stage, reason, score and detail."""


@dataclass(frozen=True)
class Wish:
    """Which samples to show: all that fit every field given. `stage` or `reason` mean dropped ones.

    `task` is a task's name, or a path such as "Algebra/Linear equations"; what is below it fits too.
    """

    dropped: bool = False
    stage: str | None = None
    reason: str | None = None
    task: str | None = None

    @property
    def of_dropped(self) -> bool:
        """Are dropped samples wanted?"""
        return self.dropped or self.stage is not None or self.reason is not None

    def fits(self, row: Row) -> bool:
        """Is this row wanted?"""
        verdict = row.get("dropped", {})
        if self.stage is not None and verdict.get("stage") != self.stage:
            return False
        if self.reason is not None and verdict.get("reason") != self.reason:
            return False
        return self.task is None or _below(row.get("task", ()), self.task)


def _below(path: Iterable[str], task: str) -> bool:
    """Is `task` (a name, or names joined by / or >) somewhere on the path?"""
    names = [name_key(name) for name in path]
    wanted = name_key(task.replace(">", "/"))
    return any(
        " ".join(names[start:end]) == wanted for end in range(1, len(names) + 1) for start in reversed(range(end))
    )


def own(row: Row, path: Path) -> Row:
    """Return a row of a file if it is one that a run or a stage wrote.

    Raises:
        InputError: it is somebody else's.
    """
    try:
        row_to_sample(row)
    except InputError as error:
        raise InputError(f"{path}: {error}; `curate view` shows anybody's dataset") from error
    if not isinstance(row.get("dropped") or {}, dict):
        raise InputError(f"{path}: the row {row['id']!r} has no cause of its drop")
    return row


@dataclass
class Samples:
    """The wanted samples of one source, read while they are iterated.

    `seen` counts every sample of the file that was passed, by "stage: reason" ("kept" for kept ones), and `fitting`
    those that fit. Decisions by hand lie in `journal`.
    """

    kept_file: Path
    dropped_file: Path
    journal: Path
    wish: Wish
    limit: int | None = None
    seen: Counter[str] = field(default_factory=Counter)
    fitting: int = 0

    def __iter__(self) -> Iterator[Row]:
        self.seen.clear()
        self.fitting = 0
        return islice(self._fitting(), self.limit)

    def _fitting(self) -> Iterator[Row]:
        path = self.dropped_file if self.wish.of_dropped else self.kept_file
        for row in read_jsonl(path):
            verdict = own(row, path).get("dropped")
            self.seen[f"{verdict.get('stage')}: {verdict.get('reason')}" if verdict else "kept"] += 1
            if self.wish.fits(row):
                self.fitting += 1
                yield row

    def neighbours(self, rows: Iterable[Row]) -> dict[str, Row]:
        """Return the kept samples that dropped `rows` were too near to, by id; one pass over the kept file."""
        wanted = {row["dropped"]["neighbour"] for row in rows if row.get("dropped", {}).get("neighbour")}
        if not wanted or not self.kept_file.exists():
            return {}
        return {row["id"]: row for row in read_jsonl(self.kept_file) if row["id"] in wanted}


def show_samples(
    source: str | Path,
    *,
    dropped: bool = False,
    stage: str | None = None,
    reason: str | None = None,
    task: str | None = None,
    limit: int | None = None,
) -> Samples:
    """Return the wanted samples of a run directory, or of a file that `curate filter` or `curate dedup` wrote.

    Of a run, those that it published last. `limit` is how many at most, None for all.

    Raises:
        InputError: no run or file there, or none that has dropped samples beside it.
    """
    wish = Wish(dropped, stage, reason, task)
    path = Path(source)
    if path.is_dir():
        kept, beside = published(path, *latest(path))
    elif path.suffix == ".jsonl" and path.is_file():
        kept, beside = path, dropped_beside(path)
    else:
        there = "neither a run's folder nor a .jsonl file" if path.exists() else "there is no such file or folder"
        raise InputError(f"{path}: {there}; give what `curate explore`, `filter` or `dedup` wrote")
    wanted = beside if wish.of_dropped else kept
    if not wanted.is_file():
        raise InputError(f"{wanted}: not there, so {path} has no {'dropped' if wish.of_dropped else 'kept'} samples")
    return Samples(kept, beside, journal_of(source), wish, limit)


def as_dataset(rows: Iterable[Row]) -> Dataset:
    """Return rows as a dataset: id, task, messages, meta (JSON), and what is known of the drop, null for kept ones."""
    import pyarrow as pa
    from datasets import Dataset

    text = pa.string()
    turn = pa.struct([("role", text), ("content", text)])
    schema = pa.schema(
        [
            ("id", text),
            ("task", pa.list_(text)),
            ("messages", pa.list_(turn)),
            ("meta", text),
            ("stage", text),
            ("reason", text),
            ("score", pa.float64()),
            ("neighbour", text),
            ("detail", text),
        ]
    )
    return Dataset(pa.Table.from_pylist([_flat(row) for row in rows], schema=schema))


def _flat(row: Row) -> Row:
    verdict = dict(row.get("dropped") or {})
    flat: Row = {"id": row["id"], "task": [whole(name) for name in row["task"]], "meta": _json(row["meta"])}
    flat["messages"] = [{"role": turn["role"], "content": whole(turn["content"])} for turn in row["messages"]]
    flat |= {name: verdict.pop(name, None) for name in ("stage", "reason", "score", "neighbour")}
    flat["detail"] = _json(verdict) if verdict else None
    return flat


def _json(value: Row) -> str:
    """Return a value as JSON that a column can hold: half a surrogate pair, which a model may write, has no UTF-8."""
    return whole(json.dumps(value, ensure_ascii=False))
