"""The dataset card: what the data is, what made it, what became of every candidate, and what nobody checked."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from curate.export.branches import branches
from curate.export.licences import licences, terms_as_of, terms_of
from curate.export.markdown import Cell, escape, fenced, folded, line, number, plain, section, table

if TYPE_CHECKING:
    from curate.measure import Figure, Figures

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The Hub's names for sizes, by their upper bound in rows."""

MARK = "curate"
"""The tag by which a card of ours is known."""

LIMITS = (
    "The rows are synthetic: a model or a program wrote them, with its errors, its tastes and its gaps. Nobody has "
    "read them all.",
    "The tasks are those that the teacher could think of. What the tree does not name is not covered.",
)


@dataclass(frozen=True, slots=True)
class Card:
    """What a dataset card says beyond the rows themselves. Texts may come from a model: all are escaped.

    `models` names the model in each role; `stages` are (name, in, kept) in order; `drops` counts dropped candidates by
    reason; `settings` is any further configuration, `prompts` the hash of each prompt. `tree` holds the path of every
    task, those without rows too. `checks` and `unchecked` say what was looked at and what was not. `command` makes the
    dataset again. `language` is a code, empty where nobody has said it; `licence` is an identifier of the Hub, `repo`
    the dataset's name there. `figures` are held against a random `subset`, which is said in words. `pictures` are (path
    in the folder, what it shows).
    """

    domain: str
    language: str = "en"
    description: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    stages: Sequence[tuple[str, int, int]] = ()
    drops: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    tree: Sequence[tuple[str, ...]] = ()
    checks: Sequence[str] = ()
    unchecked: Sequence[str] = ()
    command: str = ""
    seed: int | None = None
    licence: str = ""
    repo: str = ""
    by_hand: str = ""
    figures: Figures | None = None
    subset: str = ""
    pictures: Sequence[tuple[str, str]] = ()


@dataclass
class Written:
    """What was written: the rows of each split and of each task, the columns of the format, and a few rows to show.

    An example is a task's path and its messages, (role, text).
    """

    format: str
    columns: tuple[str, ...]
    splits: dict[str, int] = field(default_factory=lambda: {"train": 0})
    tasks: Counter[tuple[str, ...]] = field(default_factory=Counter)
    examples: list[tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = field(default_factory=list)

    @property
    def files(self) -> tuple[str, ...]:
        """The files of rows."""
        return tuple(f"{name}.{suffix}" for name in self.splits for suffix in ("jsonl", "parquet"))

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.splits.values())


def render(card: Card, written: Written) -> str:
    """Return the text of README.md."""
    parts = [
        f"---\n{front_matter(card, written)}---\n",
        f"# {escape(card.domain)}\n",
        line(card.description) + "\n" if card.description else "",
        _summary(card, written),
        *(f"![{escape(shows)}]({name})\n\n*{escape(shows)}.*\n" for name, shows in card.pictures),
        section("Load it", _loading(card, written)),
        section("What is in it", branches(written.tasks, card.tree), _examples(written)),
        section("How it was made", *_making(card)),
        section("How varied it is", _figures(card.figures, card.subset)),
        section("Make it again", _again(card)),
        section("Limits", _limits(card, written)),
        section("Licence", _licence(card)),
    ]
    return "\n".join(part for part in parts if part)


def front_matter(card: Card, written: Written) -> str:
    """Return the card's metadata as YAML, as the Hub's validation wants it."""
    size = next((name for bound, name in SIZES if written.rows < bound), "n>1M")
    files = [{"split": name, "path": f"{name}.parquet"} for name in written.splits]
    head = {
        "pretty_name": plain(card.domain, 100),
        **({"language": [card.language.partition("-")[0]]} if card.language else {}),
        "license": card.licence or "other",
        "task_categories": ["text-generation"],
        # Of rows that only came through here, nobody has said that a model wrote them.
        "tags": ["synthetic", MARK] if card.models else [MARK],
        "size_categories": [size],
        # Named here because the folder holds the same rows twice; Parquet, as it has types even where it has no rows.
        "configs": [{"config_name": "default", "data_files": files}],
    }
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=True)


def _summary(card: Card, written: Written) -> str:
    named = sum(map(bool, written.tasks))
    spread = f" over {number(named, 'task')}" if named else ""
    hand = f" {line(card.by_hand)}." if card.by_hand else ""
    done = "made" if card.models else "exported"
    return f"{number(written.rows, 'row')} of instructions with responses{spread}, {done} with `curate`.{hand}\n"


def _loading(card: Card, written: Written) -> str:
    place = card.repo or "path/to/this/folder"
    code = f'from datasets import load_dataset\n\nrows = load_dataset({json.dumps(place)}, split="train")'
    splits = table(("split", "rows"), list(written.splits.items())) if len(written.splits) > 1 else ""
    meaning = [(Cell(f"`{name}`"), Cell(COLUMNS[name])) for name in written.columns]
    held = (
        "Rows with the same instruction are in one split, and a row keeps its split when others are added.\n"
        if splits
        else ""
    )
    columns = table((f"column (format {written.format})", "holds"), meaning, words=2)
    return "\n".join(part for part in (fenced(code, language="python"), splits, held, columns) if part)


COLUMNS = {
    "id": "a hash of the messages: the same text has the same id in every run",
    "task": "the names of the task in the tree, from the root",
    "messages": "the conversation: `role` and `content` of each message",
    "instruction": "what is asked",
    "input": "what it is asked about, where that is told apart; else empty",
    "output": "the answer",
    "prompt": "what is asked",
    "completion": "the answer",
    "conversations": "the conversation: `from` (system, human, gpt) and `value` of each message",
}
"""What each column of the formats holds."""


def _examples(written: Written) -> str:
    shown = []
    for path, turns in written.examples:
        shown.append(f"**{escape(' > '.join(path[1:]) or ' > '.join(path) or 'A row', 200)}**\n")
        shown += [f"{role}:\n\n{fenced(text)}" for role, text in turns]
    return folded(number(len(written.examples), "row") + " to look at", "\n".join(shown))


def _making(card: Card) -> list[str]:
    models = [(role, model, Cell(_training(model))) for role, model in card.models.items()]
    made = table(("role", "model", "training on what it wrote"), models, words=3)
    if made:
        made += f"\nThe last column is our reading, as of {terms_as_of()}; terms change, and it is no legal advice.\n"
    settings = ({} if card.seed is None else {"seed": card.seed}) | dict(card.settings)
    shown = [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in settings.items()]
    hashes = [(name, Cell(f"`{value}`")) for name, value in card.prompts.items()]
    return [
        made,
        table(("stage", "in", "kept"), card.stages),
        folded("Why candidates were dropped", table(("reason", "candidates"), _most_first(card.drops))),
        folded("Settings", table(("setting", "value"), shown, words=2)),
        folded("Prompts, by the hash of their wording", table(("prompt", "hash"), hashes, words=2)),
    ]


def _training(model: str) -> str:
    known = terms_of(model)
    if known is None:
        return "Nothing is known of this model's terms: read them."
    note = escape(known.note, 1_000)
    return f"{note} ([{escape(known.terms)}]({known.url}))" if known.url else note


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


VARIED = {"high": "higher", "low": "lower", "": ""}


def _figures(figures: Figures | None, subset: str) -> str:
    taken = [figure for figure in figures or () if figure.value is not None]
    if not taken:
        return ""
    compared = any(figure.random_value is not None for figure in taken)
    head = ("figure", "more varied if", "value", "95 % interval", *(("random subset",) if compared else ()), "taken on")
    rows = [
        (
            figure.label + (f" ({figure.unit})" if figure.unit else ""),
            VARIED[figure.diverse],
            Cell(_short(figure.value)),
            Cell(_interval(figure)),
            *((Cell(_short(figure.random_value)),) if compared else ()),
            figure.n,
        )
        for figure in taken
    ]
    # Of those that a paper defines, the paper; what a figure is otherwise, its name says.
    named = {source.strip() for figure in taken for source in figure.source.split(";")}
    sources = sorted(source for source in named if re.search(r"\b(19|20)\d\d\b", source))
    against = f"\nThe random subset: {subset}.\n" if compared and subset else ""
    return (
        table(head, rows, words=2) + against + (f"\nSources: {escape('; '.join(sources), 2_000)}.\n" if sources else "")
    )


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def _interval(figure: Figure) -> str:
    return "" if figure.low is None or figure.high is None else f"{_short(figure.low)} to {_short(figure.high)}"


def _again(card: Card) -> str:
    if not card.command:
        return ""
    exact = all(model.startswith("procedural") for model in card.models.values())
    asked = "The models are asked anew and answer differently: the rows will be others of the same kind."
    same = f"The rows come out the same, byte for byte{', but for what was decided by hand' if card.by_hand else ''}."
    return f"{fenced(card.command, language='sh')}\n{same if exact else asked}\n"


def _limits(card: Card, written: Written) -> str:
    lines = [*LIMITS] if card.models else ["Where the rows come from is not recorded."]
    if len(written.splits) > 1:
        lines.append(
            "A near-copy of a training row can be in another split: only equal instructions are kept together."
        )
    for name, said in (("Checked", card.checks), ("Not checked", card.unchecked)):
        if said:
            lines.append(f"{name}: {escape('; '.join(said), 2_000)}.")
    if card.language:
        lines.append(f"Language: {escape(card.language)}; rows in another one were not looked for.")
    return "".join(f"- {said}\n" for said in lines)


def _licence(card: Card) -> str:
    if card.licence:
        name = licences().get(card.licence, "")
        terms = " The models' terms above hold besides it." if card.models else ""
        return f"{escape(name)} (`{card.licence}`).{terms}\n" if name else f"{escape(card.licence)}\n"
    return (
        "None was given when this dataset was made. The terms of the models named above may bind what was written with "
        "them: settle the licence before you share the data.\n"
    )
