"""What became of the rows of a stream, window by window, as they are read in the first epoch.

windows.jsonl   a row of counts for each window
dropped.jsonl   the samples that are not trained on, each with its reason
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from curate.errors import RunError
from curate.io import write_jsonl
from curate.io.files import to_line
from curate.io.journal import read_journal
from curate.train.data.cache import Summary, dropped_row
from curate.train.data.tokens import NO_LOSS, Coded, Coder


class Tally:
    """Counts windows; what an earlier process counted stays, as a window never changes.

    Of several processes the first alone `writes`.
    """

    def __init__(self, folder: Path, coder: Coder, writes: bool = True) -> None:
        self.coder, self.writes = coder, writes
        self.path, self.beside = folder / "windows.jsonl", folder / "dropped.jsonl"
        rows, _ = read_journal(self.path, "a row of counts", lambda row: "" if isinstance(row, dict) else "no object")
        self.windows = [Summary(**row) for row in rows]
        if writes:
            folder.mkdir(parents=True, exist_ok=True)
            write_jsonl(self.path, map(asdict, self.windows))
            self._cut()

    def _cut(self) -> None:
        """Take back the dropped samples of a window that a killed process had not counted yet."""
        known = sum(sum(one.dropped.values()) for one in self.windows)
        lines: list[str] = []
        if self.beside.exists():
            with self.beside.open(encoding="utf-8") as file:
                lines = list(islice(file, known))
        write_jsonl(self.beside, map(json.loads, lines))

    def add(self, window: int, coded: list[Coded]) -> None:
        """Count a window unless it is counted already.

        Raises:
            RunError: the disk is full.
        """
        if window != len(self.windows):
            return
        self.windows.append(_summed(coded, self.coder))
        if not self.writes:
            return
        try:
            with self.beside.open("a", encoding="utf-8", newline="\n") as file:
                file.writelines(to_line(dropped_row(one)) for one in coded if not one.verdict.keep)
            with self.path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(to_line(asdict(self.windows[-1])))
        except OSError as error:
            raise RunError(
                f"{error.filename or self.path}: cannot be written ({error.strerror}); free space"
            ) from error

    @property
    def summary(self) -> Summary:
        """What became of all rows so far."""
        numbers = {
            name: sum(getattr(one, name) for one in self.windows)
            for name in ("samples", "documents", "tokens", "targets", "cut", "lost")
        }
        dropped = sum((Counter(one.dropped) for one in self.windows), Counter[str]())
        return Summary(**numbers, dropped=dict(dropped), max_length=self.coder.max_length, long=self.coder.long)


def _summed(coded: list[Coded], coder: Coder) -> Summary:
    kept = [one for one in coded if one.verdict.keep]
    documents = [document for one in kept for document in one.documents]
    tokens = sum(len(document.input_ids) for document in documents)
    return Summary(
        samples=len(coded),
        documents=len(documents),
        tokens=tokens,
        targets=sum(len(document.labels) - document.labels.count(NO_LOSS) for document in documents),
        cut=sum(one.cut for one in kept),
        lost=sum(one.tokens + one.repeated for one in kept) - tokens,
        dropped=dict(Counter(one.verdict.reason for one in coded if not one.verdict.keep)),
        max_length=coder.max_length,
        long=coder.long,
    )
