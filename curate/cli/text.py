"""Text on its way to a terminal: what a model wrote must not steer it."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping

from curate.text import percent, printable


def readable(text: str) -> str:
    """Return text with its lines, without escape sequences, control characters and direction marks."""
    return "\n".join(printable(line) for line in text.expandtabs(4).splitlines())


def labelled(label: str, text: str, indent: int = 13) -> str:
    """Return "  label    text", wrapped to a terminal's width beside the label; on one line for another program."""
    line = f"  {label:<{indent - 2}}{printable(text)}"
    if not sys.stdout.isatty():
        return line
    width = max(shutil.get_terminal_size().columns - 1, indent + 20)
    return "\n".join(
        textwrap.wrap(
            line,
            width,
            subsequent_indent=" " * indent,
            drop_whitespace=True,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def shares(counts: Mapping[str, int], total: int) -> list[str]:
    """Return a line for each reason, the most frequent first: its count and its share of `total`."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [f"{count:>10,}  {percent(count / total):>7}  {printable(reason)}" for reason, count in ranked]
