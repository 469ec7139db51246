"""What the proofs in made-up worlds have measured: a line for each thing, in the folder of its seed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from curate.io import read_jsonl

RESULTS = "results.jsonl"


class Measured:
    """The folder of a seed, which is made where it is not there, and the lines of its `results.jsonl` in `rows`."""

    def __init__(self, folder: Path, seed: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.seed = folder, seed
        self.rows = read_rows(folder)

    def note(self, began: float, **row: Any) -> None:
        """Write down what was measured, with the processor's seconds since `began`."""
        line = {"seed": self.seed, **row, "cpu": round(time.process_time() - began, 2)}
        with (self.folder / RESULTS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.rows.append(line)

    def found(self, **wanted: Any) -> dict[str, Any] | None:
        """Return what was measured before."""
        return next((row for row in self.rows if all(row.get(key) == value for key, value in wanted.items())), None)


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Return what was measured in a seed's folder; a line that a kill cut off is written anew."""
    path = folder / RESULTS
    if not path.exists():
        return []
    whole = path.read_bytes()
    if whole and not whole.endswith(b"\n"):
        path.write_bytes(whole[: whole.rfind(b"\n") + 1])
    return list(read_jsonl(path))
