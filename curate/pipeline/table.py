"""Figures side by side, as a table of texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curate.measure import Figure, Figures
from curate.text import printable

ARROWS = {"high": " ↑", "low": " ↓", "": ""}

LEGEND = "± 95 % interval, by half-sampling; ↑ high is diverse, ↓ low is; (n) where a figure is taken on fewer samples"

WIDTH = 32
"""Characters of a file's name that a heading shows."""

GAP = 2
"""Spaces between two columns."""


@dataclass(frozen=True)
class Table:
    """`groups` are headings with the number of columns they span, `columns` the names below, `rows` the cells.

    The first column is the figure's name; the others are numbers, to be aligned to the right. `notes` go below.
    """

    groups: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Yield the table as aligned lines of plain text."""
        widths = self.widths()
        heading, start = "", 0
        for name, span in self.groups:
            room = sum(widths[start : start + span]) + GAP * (span - 1)
            # A rule as wide as its columns says which are a file's, where there are two.
            heading += (f" {name} ".center(room, "─") if span > 1 else f"{name:>{room}}") + " " * GAP
            start += span
        yield heading.rstrip()
        for row in (self.columns, *self.rows):
            cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
            yield (" " * GAP).join([row[0].ljust(widths[0]), *cells[1:]]).rstrip()
        yield from ("", *self.notes)

    def widths(self) -> list[int]:
        """Return how many characters wide each column is; a heading wider than its columns widens the first of them."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        start = 0
        for name, span in self.groups:
            widths[start] += max(0, len(name) + 2 * (span > 1) - sum(widths[start : start + span]) - GAP * (span - 1))
            start += span
        return widths

    def parts(self, width: int) -> Iterator[Table]:
        """Yield the table in parts of at most `width` characters, unless one file needs more; notes with the last."""
        widths = self.widths()
        some, used, start = [0], widths[0], 1
        spans = [(self.groups[0], [0])]
        for group in self.groups[1:]:
            columns = list(range(start, start + group[1]))
            start += group[1]
            more = sum(widths[column] + GAP for column in columns)
            if used + more > width and len(some) > 1:
                yield self._part(spans, ())
                some, used, spans = [0], widths[0], spans[:1]
            some += columns
            used += more
            spans.append((group, columns))
        yield self._part(spans, self.notes)

    def _part(self, spans: Sequence[tuple[tuple[str, int], list[int]]], notes: tuple[str, ...]) -> Table:
        places = [place for _, columns in spans for place in columns]
        rows = [tuple(row[place] for place in places) for row in self.rows if any(row[place] for place in places[1:])]
        columns = tuple(self.columns[place] for place in places)
        return Table(tuple(group for group, _ in spans), columns, tuple(rows), notes)


def table_of(files: Sequence[tuple[str, str, Figures]]) -> Table:
    """Return the table of (file, what its random subset is, figures); figures that a file lacks are left empty."""
    groups, columns = [("", 1)], ["figure"]
    for source, subset, figures in files:
        # Of what is said below the table: in full it would make the table of one run wider than a terminal.
        columns += [f"n = {figures.samples:,}", *([f"random {subset.partition(' of ')[0]}"] if subset else [])]
        groups.append((heading(source), 2 if subset else 1))
    rows: list[tuple[str, ...]] = []
    notes: dict[str, None] = {}  # each once, in order
    for figure in _every(files):
        cells = [figure.label + ARROWS[figure.diverse]]
        for _, subset, figures in files:
            own = figures.get(figure.name)
            cells.append(value(own, figures.samples) if own else "")
            if subset:
                cells.append(random_number(own) if own else "")
            if own and own.note:
                notes[f"– {figure.label}: {own.note}"] = None
        rows.append(tuple(cells))
    subsets = dict.fromkeys(f"random {subset}" for _, subset, _ in files if subset)
    return Table(tuple(groups), tuple(columns), tuple(rows), (*notes, *subsets, LEGEND))


def value(figure: Figure, samples: int) -> str:
    """Return a figure's value with half its interval, and on how many samples it was taken unless on all."""
    taken = f" ({figure.n:,})" if figure.value is not None and figure.n != samples else ""
    return number(figure) + taken


def _every(files: Sequence[tuple[str, str, Figures]]) -> Iterator[Figure]:
    """Yield each figure that some file has, once, those of trees last."""
    met: set[str] = set()
    for _, _, figures in sorted(files, key=lambda file: -len(file[2])):
        for figure in figures:
            if figure.name not in met:
                met.add(figure.name)
                yield figure


def heading(source: str) -> str:
    """Return a file's name for a heading: its last folders where it is long, and nothing that steers a terminal."""
    name = printable(source)
    if len(name) <= WIDTH:
        return name
    _, slash, last = name[-WIDTH + 1 :].partition("/")
    return f"…{slash}{last}" if last else f"…{name[-WIDTH + 1 :]}"


def number(figure: Figure) -> str:
    """Return a figure's value with half its interval, as many decimals as that has two digits; – for none."""
    if figure.value is None:
        return "–"
    if figure.low is None or figure.high is None:
        return _decimal(figure, figure.value, _digits(figure.value * _scale(figure), 4))
    half = max(figure.high - figure.value, figure.value - figure.low)
    decimals = _digits(half * _scale(figure), 2)
    return f"{_decimal(figure, figure.value, decimals)} ± {half * _scale(figure):.{decimals}f}"


def random_number(figure: Figure) -> str:
    """Return the value on the random subset, rounded as the figure itself; – for none."""
    if figure.random_value is None:
        return "–"
    half = (figure.high - figure.low) / 2 if figure.low is not None and figure.high is not None else 0.0
    decimals = _digits(half * _scale(figure), 2) if half else _digits(figure.random_value * _scale(figure), 4)
    return _decimal(figure, figure.random_value, decimals)


def _scale(figure: Figure) -> float:
    return 100.0 if figure.unit == "share" else 1.0


def _decimal(figure: Figure, value: float, decimals: int) -> str:
    return f"{value * _scale(figure):,.{decimals}f}" + (" %" if figure.unit == "share" else "")


def _digits(number: float, significant: int) -> int:
    """Return how many decimals show so many significant digits of a number, 5 at most; whole numbers have none."""
    if not number or number == round(number) >= 10 ** (significant - 1):
        return 0
    return min(max(significant - 1 - math.floor(math.log10(abs(number))), 0), 5)
