"""The loss of a run as a picture: an SVG that needs no library and is the same bytes for the same rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from curate.io import atomic

WIDTH, HEIGHT = 860, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 44, 48

BLUE, RED = "#0072b2", "#d55e00"
"""Okabe and Ito's colours, which people who cannot tell red from green can tell apart."""

SMOOTH = 0.9
"""Share of the line's last value in its next: a moving average, started without bias."""


def draw_loss(rows: Sequence[Mapping[str, Any]], path: Path, title: str) -> Path:
    """Draw `loss` and `held_out_loss` of the rows of metrics.jsonl over `step`, and return `path`."""
    points = [(row["step"], row["loss"]) for row in rows if _finite(row.get("loss"))]
    held = [(row["step"], row["held_out_loss"]) for row in rows if _finite(row.get("held_out_loss"))]
    with atomic(path) as file:
        file.write(_svg(points, held, title))
    return path


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


Points = Sequence[tuple[float, float]]


def _svg(points: Points, held: Points, title: str) -> str:
    everything = [*points, *held] or [(0, 0.0)]
    most = max(step for step, _ in everything)
    marks = _marks(min(loss for _, loss in everything), max(loss for _, loss in everything))
    low, high = marks[0], marks[-1]

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / max(most, 1)

    def y(loss: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (loss - low) / (high - low)

    def line(values: Points, style: str) -> str:
        path = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in values)
        return f'<polyline points="{path}" fill="none" {style}/>'

    parts = [_text(LEFT, 24, title, "start", 'font-weight="bold" font-size="15"')]
    for mark in marks:
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(mark):.1f}" y2="{y(mark):.1f}" stroke="#e5e5e5"/>')
        parts.append(_text(LEFT - 8, y(mark) + 4, f"{mark:g}", "end"))
    for mark in (step for step in _marks(0, most) if step <= most):
        parts.append(_text(x(mark), HEIGHT - BOTTOM + 20, f"{mark:g}", "middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "update", "middle"))
    parts += [
        line(points, f'stroke="{BLUE}" stroke-opacity="0.3"'),
        line(_smoothed(points), f'stroke="{BLUE}" stroke-width="2"'),
        _text(WIDTH - RIGHT, 24, "loss, and its moving average", "end", f'fill="{BLUE}"'),
    ]
    if held:
        parts.append(line(held, f'stroke="{RED}" stroke-width="2"'))
        parts += [f'<circle cx="{x(step):.1f}" cy="{y(loss):.1f}" r="3.5" fill="{RED}"/>' for step, loss in held]
        parts.append(_text(WIDTH - RIGHT, 40, "loss on held-out samples", "end", f'fill="{RED}"'))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
    return f'{head}font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"


def _text(x: float, y: float, words: str, anchor: str, more: str = 'fill="#555555"') -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def _marks(low: float, high: float) -> list[float]:
    """Return four to nine round numbers from below `low` to above `high`."""
    span = (high - low) or abs(high) or 1.0
    size = 10 ** math.floor(math.log10(span))
    step = next(size * part for part in (0.2, 0.5, 1, 2, 5) if span / (size * part) <= 6)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def _smoothed(points: Points) -> list[tuple[float, float]]:
    """Return the moving average of the points."""
    mean, out = 0.0, []
    for count, (step, loss) in enumerate(points, 1):
        mean = SMOOTH * mean + (1 - SMOOTH) * loss
        out.append((step, mean / (1 - SMOOTH**count)))
    return out
