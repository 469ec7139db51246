"""The benchmarks that `curate decontaminate` knows by name, and the items of any file of exam questions."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from curate.errors import InputError
from curate.io.read import READERS, Placed, read_rows
from curate.io.shapes import WrongRowError, expanded, shape_of, to_sample
from curate.stages.decontaminate import Item


class Known(NamedTuple):
    """Where a benchmark's questions lie on the Hub: dataset, configurations ("" for the only one) and split."""

    hub: str
    configs: tuple[str, ...]
    split: str


_MATH = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)

BENCHMARKS = {
    "gsm8k": Known("openai/gsm8k", ("main",), "test"),  # question, answer
    "math": Known("EleutherAI/hendrycks_math", _MATH, "test"),  # problem, solution
    "mmlu": Known("cais/mmlu", ("all",), "test"),  # question, choices
    "ifeval": Known("google/IFEval", ("",), "train"),  # prompt, key
}
"""The benchmarks with a name of their own, and the columns that hold their texts."""

QUESTION = ("question", "problem", "prompt")
ANSWER = ("solution", "answer", "completion", "response", "output")
CHOICES = ("choices", "options")
NAME = ("id", "key", "unique_id", "task_id", "question_id")
"""Columns in which exam files have these, in the order in which they are looked for, in any case."""

LETTERS = "abcdefghij"
"""Exams in the way of C-Eval have a column for each choice."""

LAYOUTS = "a column question, problem or prompt (and answer, solution, choices), or any layout that curate reads"


@dataclass(frozen=True)
class Source:
    """A benchmark as it was asked for: its name in reports, and its file, folder or dataset on the Hub.

    Without a `source`, it is one of BENCHMARKS and comes from the Hub.
    """

    name: str
    source: str = ""


def sources(against: str | Path | Iterable[str | Path]) -> list[Source]:
    """Return the benchmarks that NAME,NAME=FILE,FILE stands for, each with a name of its own.

    Raises:
        InputError: none, one given twice by whatever name, or a name that is neither known nor that of a file; the
            nearest is suggested.
    """
    given = [against] if isinstance(against, (str, Path)) else list(against)
    parts = [part.strip() for each in given for part in ([str(each)] if isinstance(each, Path) else each.split(","))]
    found: dict[str, Source] = {}
    places: dict[str, str] = {}
    for part in filter(None, parts):
        one = _source(part)
        # Compared twice, every sample would be counted for the first name alone, and the second look clean.
        if one.source and (before := places.get(_place(one.source))) is not None:
            again = (
                "is given twice" if before == part else f"and '{part}' are the same benchmark; leave one of them out"
            )
            raise InputError(f"--against: '{before}' {again}")
        places[_place(one.source)] = part
        if one.name in found and one.source:
            one = Source(one.source, one.source)  # test.jsonl of two folders
        if one.name in found:
            raise InputError(f"the benchmark '{one.name}' is given twice")
        found[one.name] = one
    if not found:
        raise InputError(f"which benchmarks? Give --against with {_ways()}")
    return list(found.values())


def _place(source: str) -> str:
    """Return what a file is known by, whatever way leads to it: a file's own path, else the name on the Hub."""
    return os.path.realpath(source) if Path(source).exists() else source.casefold()


def _source(part: str) -> Source:
    if part.casefold() in BENCHMARKS:
        return Source(part.casefold())
    known = next((name for name, known in BENCHMARKS.items() if known.hub.casefold() == part.casefold()), None)
    if known and not Path(part).exists():
        return Source(known)
    path = Path(part)
    if not path.exists() and "=" in part:
        name, _, source = part.partition("=")
        if not name.strip() or not source.strip():
            raise InputError(f"--against '{part}': expected NAME=FILE, as in gsm8k=test.jsonl")
        return Source(name.strip(), source.strip())
    if (
        path.exists()
        or "/" in part
        or any(part.endswith((ending, f"{ending}.gz", f"{ending}.zst")) for ending in READERS)
    ):
        return Source(path.name.split(".")[0] or path.name, part)
    near = difflib.get_close_matches(part.casefold(), BENCHMARKS, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise InputError(f"no benchmark '{part}' and no file of that name{hint} Give {_ways()}")


def _ways() -> str:
    return f"{', '.join(BENCHMARKS)}, a FILE or NAME=FILE with {LAYOUTS}"


def read_items(one: Source) -> Iterator[Item]:
    """Yield the items of a benchmark in their order; one without text is an item with an empty question.

    Raises:
        InputError: it cannot be had or read; the message says how to give a local copy.
    """
    for number, (place, row) in enumerate(_rows(one), 1):
        yield from _items(row, place, number)


def _rows(one: Source) -> Iterator[Placed]:
    return read_rows(one.source, "test") if one.source else _hub(one.name)


def _hub(name: str) -> Iterator[Placed]:
    import datasets

    known = BENCHMARKS[name]
    number = 0
    for config in known.configs:
        try:
            rows: Any = datasets.load_dataset(known.hub, config or None, split=known.split)
        # Whatever the Hub's client raises (a dozen classes of three packages) means that the dataset cannot be had.
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"the benchmark '{name}' is {known.hub} on the Hub, which cannot be had ({type(error).__name__}: "
                f"{reason}). Without a network, give a local copy of its split '{known.split}': --against {name}=FILE "
                f"({', '.join(READERS)}) with {LAYOUTS}"
            ) from error
        for row in rows:
            number += 1
            yield f"{known.hub} ({known.split}): row {number}", row


def _items(row: Mapping[str, Any], place: str, number: int) -> Iterator[Item]:
    """Yield the item that a row is, or the several that a row of seed tasks holds."""
    columns = {str(name).casefold(): value for name, value in row.items()}
    name = next((str(columns[key]) for key in NAME if isinstance(columns.get(key), (str, int))), str(number))
    asked = next((key for key in QUESTION if key in columns), None)
    if asked is not None and (columns[asked] is None or isinstance(columns[asked], str)):
        yield Item(name, columns[asked] or "", _choices(columns), _answer(columns))
        return
    try:
        for part in expanded(dict(row)):
            sample = to_sample(part, shape_of(part, place))
            yield Item(name, sample.instruction, answer=sample.response)
    except WrongRowError as error:
        raise InputError(f"{place}: {error}") from error
    except InputError as error:
        raise InputError(f"{error}; a benchmark may also have {LAYOUTS}") from error


def _answer(columns: Mapping[str, Any]) -> str:
    """Return the worked answer. The number or the letter of a choice says nothing, and is not one."""
    return next((columns[key] for key in ANSWER if isinstance(columns.get(key), str)), "")


def _choices(columns: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the choices: a list, an object of texts or with a list `text` (ARC), or a column for each letter."""
    given = next((columns[key] for key in CHOICES if columns.get(key)), None)
    if isinstance(given, Mapping):
        given = given["text"] if isinstance(given.get("text"), (list, tuple)) else list(given.values())
    if not isinstance(given, Sequence) or isinstance(given, str):
        given = [columns[letter] for letter in LETTERS if letter in columns] if {"a", "b"} <= columns.keys() else []
    return tuple(str(choice) for choice in given if isinstance(choice, (str, int, float)) and str(choice).strip())
