"""Markdown that shows a text and obeys nothing in it: whatever stands in a dataset card may come from a model."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Marks of Markdown and HTML, and the two beginnings by which bare addresses become links.
_MARKS = re.compile(r"[\\`*_{}\[\]<>#|!~$&@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")
# Of a text with lines: the same, but for its tabs and line ends.
_UNSEEN_IN_LINES = re.compile(_UNSEEN.pattern.replace(r"\x00-\x1f", r"\x00-\x08\x0b-\x1f"))
# What makes a list, a heading or a rule of a line's beginning.
_BEGINNING = re.compile(r"^([-+=]|\d+(?=[.)]))")


def plain(text: str, limit: int = 300) -> str:
    """Return `text` on one line, without what cannot be seen, cut at `limit` characters."""
    text = " ".join(_UNSEEN.sub(" ", text).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def escape(text: str, limit: int = 300) -> str:
    """Return `text` on one line, cut at `limit` characters, so that Markdown shows it and obeys nothing in it."""
    return _MARKS.sub(r"\\\g<0>", plain(text, limit))


def line(text: str, limit: int = 2_000) -> str:
    """Return `text` escaped as a paragraph of its own, which is no list and no heading whatever it begins with."""
    escaped = escape(text, limit)
    found = _BEGINNING.match(escaped)
    if not found:
        return escaped
    mark = found[1]
    return f"{mark}\\{escaped[len(mark) :]}" if mark.isdigit() else f"\\{escaped}"


def table(head: Sequence[str], rows: Sequence[Sequence[object]], words: int = 1) -> str:
    """Return a table: its first `words` columns to the left, numbers to the right. Cells that are Cell are not escaped.

    Empty without rows.
    """
    if not rows:
        return ""
    cells = [[cell if isinstance(cell, Cell) else _cell(cell) for cell in row] for row in rows]
    rule = [*["---"] * words, *["---:"] * (len(head) - words)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *cells)) + "\n"


class Cell(str):
    """Markdown of ours for a cell of a table."""

    __slots__ = ()


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else escape(str(value))


def fenced(text: str, limit: int = 1_500, language: str = "text") -> str:
    """Return `text` as a block of code, cut at `limit` characters; its fence is longer than any in the text."""
    shown = _UNSEEN_IN_LINES.sub("\N{REPLACEMENT CHARACTER}", "\n".join(text.splitlines()).expandtabs(4)).rstrip()
    if len(shown) > limit:
        shown = f"{shown[:limit].rstrip()} … ({len(shown) - limit:,} more characters)"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{fence}{language}\n{shown}\n{fence}\n"


def folded(summary: str, body: str) -> str:
    """Return `body` folded away under a line of ours, `summary`; empty without a body."""
    # Without the empty lines, the body would be HTML, where marks that were escaped for Markdown are not.
    return f"<details><summary>{summary}</summary>\n\n{body}\n</details>\n" if body else ""


def section(title: str, *parts: str) -> str:
    """Return a section of the card; empty where all its parts are."""
    body = "\n".join(part for part in parts if part)
    return f"## {title}\n\n{body}" if body else ""


def number(count: int, thing: str) -> str:
    """Return a count with its noun: 1 row, 2,000 rows."""
    plural = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}es" if thing.endswith("ch") else f"{thing}s"
    return f"{count:,} {thing if count == 1 else plural}"
