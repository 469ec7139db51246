"""What students made of questions, kept on the disk: an append-only file that makes running again resuming."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from curate.errors import InputError, RunError
from curate.stages.exam.take import Taken


class Kept:
    """A file of JSON lines, one for each question that a student has taken: its key, then the fields of `Taken`.

    Only where each line begins is held in memory. `served` counts the questions that were found here. A last line that
    a crash cut off makes room for the next.

    Raises:
        InputError: the file holds something else; the message names the line.
        RunError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.served = 0
        self._places: dict[str, int] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as error:
            raise RunError(f"{path}: cannot be written ({error.strerror}); give another file with --out") from error
        self._find()

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> Taken | None:
        """Return what is kept under a key."""
        place = self._places.get(key)
        if place is None:
            return None
        self._file.seek(place)
        self.served += 1
        return Taken.from_dict(json.loads(self._file.readline()))

    def add(self, taken: Mapping[str, Taken]) -> None:
        """Keep what is new, on the disk when this returns."""
        try:
            place = self._file.seek(0, os.SEEK_END)
            for key, one in taken.items():
                if key in self._places:
                    continue
                line = json.dumps({"key": key, **one.to_dict()}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
                self._file.write(line)
                self._places[key] = place
                place += len(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written ({error.strerror}); free space and run again") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _find(self) -> None:
        self._file.seek(0)
        place = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                self._file.truncate(place)
                break
            try:
                row = json.loads(line)
                self._places[row["key"]] = place
                Taken.from_dict(row)
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{self.path}:{number}: no line of an exam's results; give another file with --out"
                ) from error
            place += len(line)
