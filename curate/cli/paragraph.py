"""Texts of a model in the few lines that a screen has for them."""

from __future__ import annotations

import shutil
import sys

from curate.cli.text import readable

WIDE = 120
"""Columns for another program, and at most: longer lines are hard to read."""

NARROW = 40
"""Columns at least; a terminal that is narrower breaks the lines itself."""


def columns() -> int:
    """Return the columns that a line may take."""
    if not sys.stdout.isatty():
        return WIDE
    return max(NARROW, min(WIDE, shutil.get_terminal_size().columns - 1))


def paragraph(text: str, width: int, lines: int | None = None) -> list[str]:
    """Return a text wrapped to `width` cells, at most `lines` lines (None: all), the last with … where more was cut.

    Where it is cut, its line breaks are spaces; whole, they stay. Chinese characters are two cells wide. An empty text
    is a line that says so.
    """
    from rich.console import Console
    from rich.text import Text

    shown = readable(text).strip()
    if not shown:
        return ["(empty)"]
    if lines is not None:
        # What cannot be seen need not be wrapped: no character is narrower than a cell but for marks.
        shown = " ".join(line.strip() for line in shown[: (lines + 1) * width * 2].splitlines())
    console = Console(width=width, no_color=True)
    parts = [line.plain.rstrip() for line in Text(shown).wrap(console, width)]
    if lines is None or len(parts) <= lines:
        return parts
    last = Text(parts[lines - 1])
    last.truncate(width - 2)
    head, space, word = last.plain.rpartition(" ")
    # At the end of a word, unless that leaves half a line or the script has none.
    end = head if space and len(word) < width // 3 and last.plain != parts[lines - 1] else last.plain
    return [*parts[: lines - 1], f"{end.rstrip()} …"]
