"""The picture of `curate stats --plot`: root verbs, figures with their intervals, lengths of the texts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import InputError, MissingExtraError
from curate.io import atomic
from curate.measure import Figure, Figures
from curate.pipeline.table import heading, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

File = tuple[str, Figures]

KINDS = (".png", ".svg")

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c6d31")
"""Okabe and Ito's colours, which people who cannot tell red from green can tell apart, and two more."""

RING: dict[str, Any] = {
    "marker": "o",
    "markerfacecolor": "white",
    "markeredgecolor": "#222222",
    "markersize": 5,
    "linestyle": "",
}
"""How a random subset is marked."""

VERBS = 20
"""Root verbs in a sunburst, as in Self-Instruct's figure 2."""

NOUNS = 4
"""Objects of each root verb, as there."""

ACROSS = 4
"""Small pictures in a row."""


def check(path: Path) -> None:
    """Raise InputError where `path` is no picture that can be drawn, MissingExtraError without matplotlib."""
    if path.suffix.lower() not in KINDS:
        raise InputError(f"{path}: a picture is a .png or a .svg file")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it first")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise MissingExtraError("--plot", "plot") from None


def draw(files: Sequence[File], path: Path) -> Path:
    """Draw the figures of the files to `path` and return it; the same figures give the same bytes.

    Raises:
        InputError: no .png or .svg.
        MissingExtraError: matplotlib is not installed.
    """
    check(path)
    from matplotlib import rc_context

    style = {
        "svg.hashsalt": "curate",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#999999",
        "xtick.color": "#555555",
        "ytick.color": "#555555",
        # A name may hold a dollar sign, and is no formula.
        "text.parse_math": False,
    }
    kind = path.suffix.lower()[1:]
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with rc_context(style), atomic(path, binary=True) as file:
        _picture(files).savefig(file, format=kind, dpi=150, metadata=metadata)
    return path


def _picture(files: Sequence[File]) -> Picture:
    """Lay out the parts, from the top: names, sunbursts, figures, lengths."""
    from matplotlib.figure import Figure as Picture
    from matplotlib.lines import Line2D

    suns = [(place, file) for place, file in enumerate(files) if file[1].verbs]
    shown = _shown(files)
    across = min(len(suns), ACROSS)
    rings, rows = math.ceil(len(suns) / across) if suns else 0, math.ceil(len(shown) / ACROSS)
    bars = 0.22 * len(files) + 0.1
    heights = [4.4 * rings, (bars + 0.6) * rows + 0.2, 2.6]
    # Margins are given, not solved for: the solver's last digits differ from one drawing to the next.
    picture = Picture(figsize=(14, sum(heights)), facecolor="white")
    parts: Any = picture.subfigures(3, 1, height_ratios=[max(height, 0.01) for height in heights])
    if suns:
        room = {"left": 0.01, "right": 0.99, "top": 0.92, "bottom": 0.01, "wspace": 0.05, "hspace": 0.15}
        axes = parts[0].subplots(rings, across, squeeze=False, gridspec_kw=room).ravel()
        for axis, (place, (source, figures)) in zip(axes, suns, strict=False):
            _sunburst(axis, figures.verbs)
            axis.set_title(heading(source), color=_colour(place), fontweight="bold")
        _hide(axes[len(suns) :])
    edge = 0.35 / heights[1]
    room = {"left": 0.02, "right": 0.92, "top": 1 - edge, "bottom": edge, "wspace": 0.55, "hspace": 0.6 / bars}
    axes = parts[1].subplots(rows, ACROSS, squeeze=False, gridspec_kw=room).ravel()
    for axis, row in zip(axes, shown, strict=False):
        _bars(axis, row)
    _hide(axes[len(shown) :])
    room = {"left": 0.02, "right": 0.98, "top": 0.88, "bottom": 0.28, "wspace": 0.08}
    for axis, name in zip(parts[2].subplots(1, 2, gridspec_kw=room), ("instruction", "response"), strict=True):
        _lengths(axis, files, name)
    handles, labels = parts[2].axes[0].get_legend_handles_labels()
    if any(figure.random_value is not None for _, figures in files for figure in figures):
        handles, labels = [*handles, Line2D([], [], **RING)], [*labels, "the same on a random subset"]
    parts[2].legend(handles, labels, loc="lower center", ncols=ACROSS + 1, frameon=False)
    return picture


def _hide(axes: Iterable[Axes]) -> None:
    for axis in axes:
        axis.set_axis_off()


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _sunburst(axis: Axes, verbs: Sequence[tuple[str, str, int]]) -> None:
    """Draw the most frequent root verbs inside, and around them their objects (Self-Instruct, figure 2)."""
    counts: dict[str, int] = {}
    for verb, _, count in verbs:
        counts[verb] = counts.get(verb, 0) + count
    top = sorted(counts, key=lambda verb: (-counts[verb], verb))[:VERBS]
    nouns = {verb: [(noun, count) for other, noun, count in verbs if other == verb][:NOUNS] for verb in top}
    total = sum(count for verb in top for _, count in nouns[verb])
    start = 0.0
    for place, verb in enumerate(top):
        size = sum(count for _, count in nouns[verb])
        _slice(axis, verb, start, size, total, (0.35, 0.65), (place, 1.0))
        for noun, count in nouns[verb]:
            _slice(axis, noun, start, count, total, (0.65, 1.0), (place, 0.55))
            start += count
    axis.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
    axis.set_axis_off()


def _slice(
    axis: Axes, name: str, start: float, size: float, total: float, radii: tuple[float, float], hue: tuple[int, float]
) -> None:
    """Draw one slice of a ring, and its name where it is wide enough for a line of text."""
    from matplotlib.patches import Wedge

    place, strength = hue
    first, last = 90 - 360 * start / total, 90 - 360 * (start + size) / total
    inner, outer = radii
    colour = _colour(place)
    wedge = Wedge((0, 0), outer, last, first, width=outer - inner, facecolor=colour, alpha=strength, edgecolor="white")
    axis.add_patch(wedge)
    if first - last < 3.5:
        return
    angle = math.radians((first + last) / 2)
    middle = (inner + outer) / 2
    turn = math.degrees(angle)
    turn = turn - 180 if 90 < turn % 360 < 270 else turn
    axis.text(
        middle * math.cos(angle), middle * math.sin(angle), name[:14], rotation=turn, ha="center", va="center",
        fontsize=7, color="white" if strength == 1.0 else "#222222",
    )  # fmt: skip


def _shown(files: Sequence[File]) -> list[list[Figure | None]]:
    """Return the figures that any file has a value for, each with one entry per file."""
    names = {figure.name: None for _, figures in files for figure in figures if figure.value is not None}
    return [[figures.get(name) for _, figures in files] for name in names]


def _bars(axis: Axes, row: Sequence[Figure | None]) -> None:
    """Draw one figure as a bar for each file, with its interval, and a ring where the random subset is."""
    some = next(figure for figure in row if figure is not None)
    for place, figure in enumerate(row):
        if figure is None or figure.value is None:
            continue
        axis.barh(place, figure.value, color=_colour(place), height=0.7)
        if figure.low is not None and figure.high is not None:
            axis.plot([figure.low, figure.high], [place, place], color="#222222", linewidth=1.2)
        if figure.random_value is not None:
            axis.plot(figure.random_value, place, **RING)
        axis.annotate(
            number(figure), (1.0, place), xycoords=("axes fraction", "data"), ha="left", va="center", fontsize=7,
            xytext=(3, 0), textcoords="offset points", color="#555555",
        )  # fmt: skip
    arrow = {"high": "  ↑", "low": "  ↓", "": ""}[some.diverse]
    axis.set_title(some.label + arrow, fontsize=9, loc="left")
    axis.set_yticks([])
    axis.set_ylim(len(row) - 0.5, -0.5)
    axis.tick_params(labelsize=7)
    axis.margins(x=0.08)
    axis.set_xlim(left=0)  # no figure is below


def _lengths(axis: Axes, files: Sequence[File], name: str) -> None:
    """Draw how long the texts of each file are, as shares per word."""
    for place, (source, figures) in enumerate(files):
        lengths = figures.lengths[name]
        total = max(sum(lengths.counts), 1)
        widths = [high - low for low, high in zip(lengths.edges, lengths.edges[1:], strict=False)]
        shares = [count / total / width for count, width in zip(lengths.counts, widths, strict=True)]
        axis.stairs(shares, lengths.edges, color=_colour(place), linewidth=1.5, label=heading(source))
        axis.axvline(lengths.percentiles[2], color=_colour(place), linestyle=":", linewidth=1)
    axis.set_title(f"{name} length; the dotted line is the median", fontsize=9, loc="left")
    axis.set_xlabel("words")
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
