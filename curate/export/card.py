"""The dataset card: what the data is, what made it, and what became of every candidate."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

LONGEST_TABLE = 200
"""Tasks that the card lists; the rest is summed up in one line."""

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The Hub's names for sizes, by their upper bound in rows."""

# Marks of Markdown and HTML, and the two beginnings by which bare addresses become links.
_MARKS = re.compile(r"[\\`*_{}\[\]<>#|!~$&@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")


@dataclass(frozen=True, slots=True)
class Card:
    """What a dataset card says beyond the rows themselves. Texts may come from a model: all are escaped.

    `models` names the model in each role; `stages` are (name, in, kept) in order; `drops` counts dropped candidates by
    reason; `settings` is any further configuration. `licence` is an identifier of the Hub.
    """

    domain: str
    language: str = "en"
    description: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    stages: Sequence[tuple[str, int, int]] = ()
    drops: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    licence: str = ""


def escape(text: str, limit: int = 300) -> str:
    """Return `text` on one line, cut at `limit` characters, so that Markdown shows it and obeys nothing in it."""
    plain = " ".join(_UNSEEN.sub(" ", text).split())
    plain = plain if len(plain) <= limit else plain[: limit - 1] + "…"
    return _MARKS.sub(r"\\\g<0>", plain)


def render(card: Card, format: str, columns: Sequence[str], tasks: Mapping[tuple[str, ...], int]) -> str:
    """Return the text of README.md for rows in `format` with `columns`; `tasks` counts the rows of each task."""
    rows = sum(tasks.values())
    named = sum(map(bool, tasks))
    spread = f" over {_number(named, 'task')}" if named else ""
    parts = [
        f"---\n{_front_matter(card, rows)}---\n",
        f"# {escape(card.domain)}\n",
        f"{escape(card.description, 2_000)}\n" if card.description else "",
        f"{_number(rows, 'row')} of instructions with responses{spread}, in the format "
        f"`{format}` ({', '.join(f'`{column}`' for column in columns)}). `train.jsonl` and `train.parquet` hold the "
        "same rows; `id` finds a row again in the run that made it.\n",
        _models(card),
        _table("What became of the candidates", ("stage", "in", "kept"), card.stages),
        _table("Why candidates were dropped", ("reason", "candidates"), _most_first(card.drops)),
        _tasks(tasks),
        _settings(card),
        _licence(card),
    ]
    return "\n".join(part for part in parts if part)


def _front_matter(card: Card, rows: int) -> str:
    size = next((name for bound, name in SIZES if rows < bound), "n>1M")
    head = {
        "pretty_name": " ".join(_UNSEEN.sub(" ", card.domain).split())[:100],
        "language": [card.language.partition("-")[0]],
        "license": card.licence or "other",
        "task_categories": ["text-generation"],
        "tags": ["synthetic", "curate"],
        "size_categories": [size],
        # Named here because the folder holds the same rows twice; Parquet, as it has types even where it has no rows.
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "train.parquet"}]}],
    }
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=True)


def _models(card: Card) -> str:
    if not card.models:
        return ""
    lines = []
    for role, model in card.models.items():
        kind = " (a program for computer algebra, not a language model)" if model.startswith("procedural") else ""
        lines.append(f"- {escape(role)}: {escape(model)}{kind}")
    return "## What made the data\n\n" + "\n".join(lines) + "\n"


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _number(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return ""
    cells = [[f"{cell:,}" if isinstance(cell, int) else escape(str(cell)) for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---", *["---:"] * (len(head) - 1)], *cells)]
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def _tasks(tasks: Mapping[tuple[str, ...], int]) -> str:
    listed = sorted(tasks.items())
    rows = [(" > ".join(path) or "(no task)", count) for path, count in listed[:LONGEST_TABLE]]
    table = _table("Tasks", ("task", "rows"), rows)
    if rest := listed[LONGEST_TABLE:]:
        table += f"\nand {_number(len(rest), 'more task')} with {_number(sum(n for _, n in rest), 'row')}.\n"
    return table


def _settings(card: Card) -> str:
    settings = ({} if card.seed is None else {"seed": card.seed}) | dict(card.settings)
    rows = [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in settings.items()]
    return _table("Settings", ("setting", "value"), rows)


def _licence(card: Card) -> str:
    if card.licence:
        return f"## Licence\n\n{escape(card.licence)}\n"
    return (
        "## Licence\n\nNone was given when this dataset was made. The terms of the models named above may bind what "
        "was written with them: settle the licence before you share the data.\n"
    )
