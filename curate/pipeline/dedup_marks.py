"""The marks behind a calibration: pairs of texts that a person or the judge called duplicates, or different.

    NAME.calibration/marks.jsonl   the journal: every mark, appended; the last one of a pair counts
    NAME.calibration/pairs.jsonl   the pairs that are drawn, for an editor: "same" is true, false or null

A mark is about two texts, whatever the encoder, so it is known by their hash and serves for every encoder that draws
the pair. A person's mark stands over the judge's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.io import read_jsonl, write_jsonl
from curate.io.journal import append_journal, read_journal
from curate.text import text_hash

PERSON = "person"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts that are drawn, the number of their band, and the name that stands for both."""

    name: str
    left: str
    right: str
    band: int
    cosine: float


def pair_of(left: str, right: str, band: int, cosine: float) -> Pair:
    """Return a pair; which text comes first is a matter of the texts."""
    left, right = sorted((left, right), key=text_hash)
    name = blake2b(f"{text_hash(left)}{text_hash(right)}".encode(), digest_size=8).hexdigest()
    return Pair(name, left, right, band, cosine)


class Marks:
    """The marks in a folder. `warnings` tells of a last line that was cut off."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "marks.jsonl"
        self.sheet = folder / "pairs.jsonl"
        self._said: dict[str, dict[str, bool | None]] = {}
        rows, self.warnings = read_journal(self.journal, "a mark", _problem)
        for row in rows:
            self._take(row["pair"], row["same"], row["by"])

    def add(self, pair: Pair, same: bool | None, by: str = PERSON) -> None:
        """Note a mark on the disk; None says that nobody can tell, and takes an earlier one back.

        Raises RunError where the journal cannot be written.
        """
        append_journal(self.journal, {"pair": pair.name, "same": same, "by": by}, "a mark", _problem)
        self._take(pair.name, same, by)

    def open(self, pair: Pair) -> bool:
        """Is there no mark, and has no person been asked? Who could not tell is not asked again."""
        return self.same(pair) is None and PERSON not in self._said.get(pair.name, {})

    def by_judge(self, pair: Pair) -> bool:
        """Has a judge been asked about the pair, and answered?"""
        return any(by != PERSON for by in self._said.get(pair.name, {}))

    def same(self, pair: Pair) -> bool | None:
        """Return the mark of a pair, a person's before the judge's; None where there is none."""
        said = self._said.get(pair.name, {})
        if (own := said.get(PERSON)) is not None:
            return own
        judged = [same for by, same in said.items() if by != PERSON and same is not None]
        return judged[-1] if judged and PERSON not in said else None

    def counts(self, pairs: Iterable[Pair]) -> dict[str, int]:
        """Return how many of the pairs are marked, by whom the mark that counts is."""
        found: dict[str, int] = {}
        for pair in pairs:
            if self.same(pair) is not None:
                said = self._said[pair.name]
                by = PERSON if said.get(PERSON) is not None else [by for by in said if by != PERSON][-1]
                found[by] = found.get(by, 0) + 1
        return found

    def agreement(self, pairs: Iterable[Pair]) -> tuple[int, int]:
        """Return how many pairs both a person and a judge have marked, and on how many of them they agree."""
        both = agreed = 0
        for pair in pairs:
            said = self._said.get(pair.name, {})
            own = said.get(PERSON)
            judged = [same for by, same in said.items() if by != PERSON and same is not None]
            if own is not None and judged:
                both += 1
                agreed += own == judged[-1]
        return both, agreed

    def read_sheet(self) -> int:
        """Take over what a person wrote into the sheet, and return how many marks are new.

        Raises:
            InputError: a line that is no pair, or a mark that is none of true, false and null, by file and line.
        """
        new = 0
        for number, row in enumerate(read_jsonl(self.sheet) if self.sheet.exists() else (), 1):
            name, same = row.get("pair"), row.get("same")
            if not isinstance(name, str) or not (same is None or isinstance(same, bool)):
                raise InputError(
                    f'{self.sheet}:{number}: expected "pair" as it was written and "same": true, false or null; found '
                    f'"pair": {name!r}, "same": {same!r}'
                )
            if same is not None and self._said.get(name, {}).get(PERSON) is not same:
                marked = Pair(name, "", "", 0, 0.0)
                if self.same(marked) is not same:  # the judge's own mark, as the sheet shows it, is no person's
                    self.add(marked, same)
                    new += 1
        return new

    def write_sheet(self, pairs: Iterable[Pair]) -> None:
        """Write the pairs with their marks for an editor. The cosine is left out, which would sway who marks."""
        write_jsonl(
            self.sheet,
            ({"pair": pair.name, "same": self.same(pair), "left": pair.left, "right": pair.right} for pair in pairs),
        )

    def _take(self, name: str, same: bool | None, by: str) -> None:
        said = self._said.setdefault(name, {})
        said.pop(by, None)
        said[by] = same


def _problem(row: Any) -> str:
    if not isinstance(row, dict) or not {"pair", "same", "by"} <= row.keys():
        return "expected pair, same and by"
    if not isinstance(row["pair"], str) or not isinstance(row["by"], str):
        return "pair and by are texts"
    return "" if row["same"] is None or isinstance(row["same"], bool) else "same is true, false or null"
