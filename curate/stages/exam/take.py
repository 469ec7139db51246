"""Taking an exam: questions in, what a student makes of each option out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Taken:
    """What a student made of one question; entries are in the order of the question's own options.

    `letter` is the mean over the orders of the log-probability of the option's letter, normalised over the letters of
    one order. `text` is the log-probability of the option's own words after the question alone, divided by their tokens
    and normalised over the options. `votes` counts how often the option's letter was written, where that is all a
    student gives; `letter` and `text` are None then. `shots` demonstrations were shown, in every order. With `error`
    everything else is None. Logarithms are natural.
    """

    id: str
    letter: tuple[float, ...] | None = None
    text: tuple[float, ...] | None = None
    votes: tuple[int, ...] | None = None
    shots: int = 0
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Taken:
        """Return what `to_dict` was given, also after a way through JSON."""
        return cls(
            id=row["id"],
            letter=_floats(row["letter"]),
            text=_floats(row["text"]),
            votes=None if row["votes"] is None else tuple(int(count) for count in row["votes"]),
            shots=int(row["shots"]),
            error=row["error"],
        )


def _floats(values: Any) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(value) for value in values)
