"""What a figure is, and the list of them that stats, the report, the dataset card and the comparisons share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Diverse = Literal["high", "low", ""]
"""Which way a figure points for a more diverse dataset; "" where it says nothing of diversity."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a dataset.

    `name` is its key, `label` its name for people. `value` is None where it could not be taken, and `note` then says
    why. `low` and `high` hold the 95 % interval (None where none is taken). `n` is how many samples it was taken on.
    `random_value` is the same figure on a random subset of `random_n` samples, None where there is nothing to compare
    with. `unit` is what the value counts, `source` the paper that defines it.
    """

    name: str
    label: str
    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    random_value: float | None = None
    random_n: int | None = None
    unit: str = ""
    diverse: Diverse = ""
    source: str = ""
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the figure as JSON values; numbers with six significant digits."""
        return {
            "name": self.name,
            "label": self.label,
            "value": _short(self.value),
            "low": _short(self.low),
            "high": _short(self.high),
            "n": self.n,
            "random_value": _short(self.random_value),
            "random_n": self.random_n,
            "unit": self.unit,
            "diverse": self.diverse,
            "source": self.source,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long texts are, in words: the 5th, 25th, 50th, 75th and 95th percentile, and a histogram.

    `counts[i]` texts have a length from `edges[i]` to below `edges[i + 1]`; the last bin holds its upper edge as well.
    """

    percentiles: tuple[float, ...]
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the distribution as JSON values."""
        named = dict(zip(("p5", "p25", "p50", "p75", "p95"), map(_short, self.percentiles), strict=True))
        return {**named, "edges": [_short(edge) for edge in self.edges], "counts": list(self.counts)}


@dataclass(frozen=True)
class Figures:
    """The figures of one dataset, in the order they are shown.

    `samples` is the size of the dataset. `verbs` holds (root verb, object noun, count), the most frequent first, for
    the sunburst: empty where the language has no verb lexicon. `lengths` has the distributions of `instruction` and
    `response`.
    """

    rows: tuple[Figure, ...]
    samples: int
    verbs: tuple[tuple[str, str, int], ...] = ()
    lengths: Mapping[str, Lengths] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Figure]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def get(self, name: str) -> Figure | None:
        """Return the figure of this name, or None where it was not asked for."""
        return next((figure for figure in self.rows if figure.name == name), None)

    def against(self, subset: Figures) -> Figures:
        """Return these figures with those of a random subset beside them, as `random_value` and `random_n`."""
        rows = []
        for figure in self.rows:
            other = subset.get(figure.name)
            rows.append(replace(figure, random_value=other.value, random_n=other.n) if other else figure)
        return replace(self, rows=tuple(rows))

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {
            "samples": self.samples,
            "figures": [figure.as_json() for figure in self.rows],
            "verbs": [list(verb) for verb in self.verbs],
            "lengths": {name: lengths.as_json() for name, lengths in self.lengths.items()},
        }


def _short(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.6g}")
