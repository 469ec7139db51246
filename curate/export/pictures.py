"""Pictures for the dataset card: the task tree as a map of its rows, and the samples as a map of their vectors.

They are drawn by matplotlib (extra `plot`) on a light ground of their own, so that they read on a dark page too. Names
come from a model: nothing in them is taken for a formula.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

import numpy as np

from curate.export.markdown import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

Path = tuple[str, ...]
Box = tuple[float, float, float, float]
"""Left, bottom, width and height."""

TREE = "images/tree.png"
SAMPLES = "images/samples.png"

SHOWS = {
    TREE: "The task tree: each box is a task, its area the rows it has",
    SAMPLES: "The samples: each point is an instruction, near others that read alike, its colour the branch it is of",
}
"""What a picture shows, for those who do not see it."""

COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#c9962c", "#2f9cc0", "#805ad5", "#c05621", "#3b7d6e",
           "#8a6f4d", "#5f6b7a", "#b0457b")  # fmt: skip
REST = "#9aa3ad"
GROUND = "#fbfbfa"
INK = "#22272e"

FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei",
         "WenQuanYi Micro Hei", "Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans GB",
         "Arial Unicode MS")  # fmt: skip
"""Fonts that are looked for, each taking the letters that those before it lack."""

NORMAL, BOLD = 0.54, 0.62
"""About how wide a letter is, in sizes of its font."""

SMALLEST = 4.6
"""Points of the smallest letters on the map."""

ITSELF = "(itself)"

DOTS_PER_INCH = 140
WIDE, HIGH = 11.0, 6.2

MOST_SAMPLES = 10_000
"""Samples on the map."""


def branch_of(path: Path) -> str:
    """Return the branch of a task: its first-level task, and for the root itself, its own name."""
    return path[1] if len(path) > 1 else path[0] if path else ""


def branches_of(rows: Mapping[Path, int]) -> list[str]:
    """Return the branches that have rows, most rows first: the order of their colours in every picture."""
    totals: Counter[str] = Counter()
    for path, count in rows.items():
        totals[branch_of(path)] += count
    return sorted((name for name in totals if totals[name] and name), key=lambda name: (-totals[name], name))


def tree_map(rows: Mapping[Path, int]) -> bytes | None:
    """Return a PNG of nested boxes whose areas are the rows of each branch and of its tasks.

    None where there are no branches, or no installed font has their letters.
    """
    branches: dict[str, Counter[str]] = {}
    for path, count in rows.items():
        if count and path:
            inner = path[2] if len(path) > 2 else ""
            branches.setdefault(branch_of(path), Counter())[inner] += count
    fonts = _fonts([*branches, *(name for inner in branches.values() for name in inner)])
    if len(branches) < 2 or fonts is None:
        return None
    ranked = branches_of(rows)
    boxes = squarified([branches[name].total() for name in ranked], (0.0, 0.0, WIDE, HIGH))

    def draw(axes: Axes) -> None:
        for place, (name, box) in enumerate(zip(ranked, boxes, strict=True)):
            _draw_branch(axes, name, branches[name], box, COLOURS[place] if place < len(COLOURS) else REST)

    return _png(draw, fonts)


def sample_map(vectors: NDArray[np.float32], paths: Sequence[Path], branches: Sequence[str]) -> bytes | None:
    """Return a PNG of the samples on the first two principal components of their vectors, [n, d], by branch.

    `branches` are all branches in the order of their colours. None for fewer than three samples, or where no installed
    font has the letters of the branches.
    """
    fonts = _fonts(branches)
    if len(paths) < 3 or fonts is None:
        return None
    names = np.array([branch_of(path) for path in paths])
    coloured = branches[: len(COLOURS)]
    others = ~np.isin(names, coloured)
    # The others lie below, and are named last.
    groups = [(others, "others" if branches else "", REST)] if others.any() else []
    groups += [(names == name, name, colour) for name, colour in zip(coloured, COLOURS, strict=False)]
    return _png(lambda axes: _draw_points(axes, plane(vectors), groups), fonts)


def _draw_points(axes: Axes, points: NDArray[np.float64], groups: Sequence[tuple[Mask, str, str]]) -> None:
    """Draw the points of each group, (which of them, name, colour), and the names beside them."""
    size = float(np.clip(22_000 / len(points), 3, 24))
    for mask, name, colour in groups:
        x, y = points[mask].T
        axes.scatter(x, y, s=size, c=colour, alpha=0.75, linewidths=0, label=_cut(name, 40))
    axes.autoscale()
    axes.margins(0.04)
    shown = [(mark, name) for mark, name in zip(*axes.get_legend_handles_labels(), strict=True) if name]
    shown.sort(key=lambda pair: pair[1] == "others")
    legend = axes.legend(
        *zip(*shown, strict=True) if shown else ([], []),
        loc="center left", bbox_to_anchor=(0.99, 0.5), frameon=False, labelcolor=INK, fontsize=11,
        markerscale=7.5 / size**0.5,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)


def plane(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the coordinates of vectors, [n, d], on their first two principal components, [n, 2].

    The sign of a component is settled by its largest weight, so that the same vectors give the same picture.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    top = axes[:, ::-1][:, :2]
    signs = np.sign(top[np.abs(top).argmax(axis=0), np.arange(top.shape[1])])
    coordinates = np.zeros((len(vectors), 2))
    coordinates[:, : top.shape[1]] = centred @ (top * signs)
    return coordinates


def squarified(sizes: Sequence[float], box: Box) -> list[Box]:
    """Return a box for each size, largest first, that fill `box`, areas in proportion and shapes near to squares.

    The squarified treemap of Bruls, Huizing and van Wijk (2000).
    """
    left, bottom, width, height = box
    scale = width * height / sum(sizes)
    areas = [size * scale for size in sizes]
    done: list[Box] = []
    while areas:
        side = min(width, height)
        count = 1
        while count < len(areas) and _worst(areas[: count + 1], side) <= _worst(areas[:count], side):
            count += 1
        row, areas = areas[:count], areas[count:]
        depth, along = sum(row) / side, 0.0
        for area in row:
            length = area / depth
            # A row lies along the shorter side; the first one is at the left, or at the top.
            if width >= height:
                done.append((left, bottom + height - along - length, depth, length))
            else:
                done.append((left + along, bottom + height - depth, length, depth))
            along += length
        if width >= height:
            left, width = left + depth, width - depth
        else:
            height -= depth
    return done


def _worst(row: Sequence[float], side: float) -> float:
    """Return the largest ratio of two sides that the boxes of a row would have."""
    total = sum(row)
    return max(side * side * max(row) / (total * total), total * total / (side * side * min(row)))


def _draw_branch(axes: Axes, name: str, tasks: Counter[str], box: Box, colour: str) -> None:
    """Draw a branch: its name and rows on top, its tasks below, the larger the stronger in colour."""
    left, bottom, width, height = _inset(box, 0.03)
    _fill(axes, (left, bottom, width, height), colour, 1.0)
    inside = any(tasks)
    title = 0.27 if inside and width > 0.9 and height > 0.55 else 0.0
    if title:
        rows = f"  {tasks.total():,}"
        letters = int((width - 0.1) * 72 / (8.5 * BOLD)) - len(rows)
        _write(axes, _cut(name, letters) + rows, (left, bottom + height - title, width, title), 8.5, "white", "bold")
    inner = (left, bottom, width, height - title)
    ranked = sorted(tasks, key=lambda task: (-tasks[task], task))
    most = max(tasks.values())
    for task, place in zip(ranked, squarified([tasks[task] for task in ranked], inner), strict=True):
        cell = _inset(place, 0.018)
        _fill(axes, cell, "white", 0.93 - 0.16 * tasks[task] / most)
        if cell[2] > 0.5 and cell[3] > 0.18:
            _write(axes, task or (ITSELF if inside else f"{name}  {tasks.total():,}"), cell, 7.0, INK)


def _inset(box: Box, by: float) -> Box:
    left, bottom, width, height = box
    by = min(by, width / 6, height / 6)
    return left + by, bottom + by, width - 2 * by, height - 2 * by


def _fill(axes: Axes, box: Box, colour: str, strength: float) -> None:
    from matplotlib.patches import Rectangle

    left, bottom, width, height = box
    axes.add_patch(Rectangle((left, bottom), width, height, facecolor=colour, alpha=strength, linewidth=0))


def _write(axes: Axes, text: str, box: Box, points: float, colour: str, weight: str = "normal") -> None:
    """Write a text into a box: in as many lines as there is room for, else cut, smaller for long words."""
    left, bottom, width, height = box
    text = plain(text)
    longest = max(map(len, text.split()), default=1)
    wide = (BOLD if weight == "bold" else NORMAL) * (
        2 if any(east_asian_width(letter) in "WF" for letter in text) else 1
    )
    points = min(points, max(SMALLEST, (width - 0.1) * 72 / (longest * wide)))
    letters, lines = int((width - 0.1) * 72 / (points * wide)), int((height - 0.04) * 72 / (points * 1.25))
    if letters < 3 or lines < 1:
        return
    shown = "\n".join(_lines(text, letters, lines))
    axes.text(
        left + 0.06, bottom + height - 0.055, shown, fontsize=points, color=colour, weight=weight, va="top",
        linespacing=1.2, parse_math=False, clip_on=True,
    )  # fmt: skip


def _lines(text: str, letters: int, most: int) -> Iterator[str]:
    import textwrap

    lines = textwrap.wrap(text, letters) or [""]
    yield from lines[: most - 1]
    if len(lines) >= most:
        yield lines[most - 1] if len(lines) == most else _cut(" ".join(lines[most - 1 :]), letters)


def _cut(text: str, letters: int) -> str:
    text = plain(text)
    return text if len(text) <= letters else f"{text[: max(letters - 1, 1)].rstrip()}…"


def _png(draw: Callable[[Axes], None], fonts: list[str]) -> bytes:
    """Return what `draw` draws on a sheet of WIDE by HIGH inches as PNG; the same picture gives the same bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    out = io.BytesIO()
    # A text takes the fonts that hold when it is made, and not those of its figure.
    with mpl.rc_context({"font.family": fonts}):
        figure = Figure(figsize=(WIDE, HIGH), dpi=DOTS_PER_INCH, facecolor=GROUND)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, WIDE)
        axes.set_ylim(0, HIGH)
        draw(axes)
        figure.savefig(out, format="png", bbox_inches="tight", pad_inches=0.12, metadata={"Software": None})
    return out.getvalue()


def _fonts(texts: Sequence[str]) -> list[str] | None:
    """Return the installed fonts that together have every letter of `texts`; None where some letter is in none."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    missing = {ord(letter) for text in texts for letter in plain(text)} | {ord("…")}
    taken: list[str] = []
    installed = {entry.name: entry.fname for entry in font_manager.fontManager.ttflist}
    for name in FONTS:
        if name in installed and (has := missing & FT2Font(installed[name]).get_charmap().keys()):
            missing -= has
            taken.append(name)
        if not missing:
            return taken
    return None
