"""The number by which the better of two samples that are the same is known."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from typing import Any

from curate.errors import InputError
from curate.types import Sample

JUDGED = "judge.score"


class Quality:
    """Reads a column, or with dots a place in `meta`, as `judge.score`; the judge's grade where none is named.

    A sample without a number there is ordered behind all others.
    """

    def __init__(self, column: str) -> None:
        self._column = column
        self._path = (column or JUDGED).split(".")
        self._samples = 0
        self._found = 0
        self._seen: dict[str, None] = {}

    def of(self, sample: Sample) -> float:
        """Return a sample's number, minus infinity where it has none."""
        source = sample.meta.get("source")
        value: Any = source.get(self._column) if self._column and isinstance(source, Mapping) else None
        if value is None:
            value = sample.meta
            for name in self._path:
                value = value.get(name) if isinstance(value, Mapping) else None
        if self._column and not self._samples:
            self._seen = dict.fromkeys([*(source or ()), *(name for name in sample.meta if name != "source")])
        self._samples += 1
        number = _number(value)
        self._found += number is not None
        return -inf if number is None else number

    def check(self, place: str) -> None:
        """Raise InputError where a column was named and no sample has a number in it."""
        if self._column and self._samples and not self._found:
            known = ", ".join(self._seen) or "none besides the texts"
            raise InputError(f"{place}: no row has a number in the column '{self._column}'; its columns are: {known}")


def _number(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else inf
    except ValueError:
        return None
    return number if isfinite(number) else None
