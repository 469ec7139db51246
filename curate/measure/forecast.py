"""What the next calls will add, as a 90 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.measure.novelty import CallYield


@dataclass(frozen=True)
class Forecast:
    """The next `calls` calls will add from `low` to `high` new rows (nine times in ten), `rows` at the median."""

    calls: int
    low: int
    high: int
    rows: int

    def as_json(self) -> dict[str, Any]:
        """Return the forecast as JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        return f"the next {self.calls:,} calls will add {self.low:,}–{self.high:,} rows"


def forecast(calls: Sequence[CallYield]) -> Forecast | None:
    """Return the forecast."""
    return None
