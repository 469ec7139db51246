"""Question files: MMLU's columns, or this package's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.io.read import read_rows
from curate.stages.exam.paper import LETTERS, wrong
from curate.types import Question


def read_questions(source: str | Path) -> Iterator[Question]:
    """Yield the questions of a file, one row at a time.

    Columns: `question` (or `text`), `choices` (or `options`, a list of 2 to 10 texts), `answer` (a number counted from
    0, or a letter), and where there are any `subject`, `id` and `knowledge`. Kinds of files are those of
    `read_samples`.

    Raises:
        InputError: no such file, or a row that is no question; the message names file, row and what was expected.
    """
    for number, (place, row) in enumerate(read_rows(str(source)), 1):
        try:
            question = _question(row, number)
        except _WrongColumn as error:
            raise InputError(f"{place}: {error}") from error
        if problem := wrong(question):
            raise InputError(f"{place}: {problem}")
        yield question


class _WrongColumn(ValueError):
    """A row is no question; the message says which column should hold what."""


def _question(row: Mapping[str, Any], number: int) -> Question:
    text = _text(row, "question", "text")
    options = next((row[name] for name in ("choices", "options") if row.get(name) is not None), None)
    if not isinstance(options, (list, tuple)) or not all(isinstance(option, str) for option in options):
        raise _WrongColumn(f"expected a list of texts in the column 'choices' or 'options', found {_kind(options)}")
    name = row.get("id")
    return Question(
        str(number) if name is None else str(name),
        text,
        tuple(options),
        _answer(row.get("answer"), len(options)),
        _text(row, "subject", default=""),
        _text(row, "knowledge", default=""),
    )


def _text(row: Mapping[str, Any], *names: str, default: str | None = None) -> str:
    value = next((row[name] for name in names if row.get(name) is not None), default)
    if not isinstance(value, str):
        raise _WrongColumn(f"expected text in the column {' or '.join(map(repr, names))}, found {_kind(value)}")
    return value


def _answer(value: Any, count: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip() and value.strip().upper() in LETTERS[:count]:
        return LETTERS.index(value.strip().upper())
    shown = _kind(value) if value is None else repr(value)[:40]
    raise _WrongColumn(f"expected 0 to {count - 1} or a letter in the column 'answer', found {shown}")


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
