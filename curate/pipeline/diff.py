"""Two runs side by side: what was asked of them, their trees, what they gave, what it cost, and what they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import InputError
from curate.finished import FinishedRun, open_run, stages_of
from curate.pipeline.stats import Stats, Tell, stats, untold
from curate.text import normalise, text_hash
from curate.tree import TaskTree, name_key

if TYPE_CHECKING:
    from curate.finished import Row

EXAMPLES = 5
"""Samples with the same instruction and another response that are kept as examples."""

Number = float | int | None


@dataclass(frozen=True)
class Change:
    """A setting that differs, by its path in run.yaml; None where a run has it not."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Trees:
    """How the trees differ. Tasks are paths without the root; `renamed` are (path in A, path in B)."""

    tasks: tuple[int, int]
    leaves: tuple[int, int]
    depth: tuple[int, int]
    common: int
    only_a: list[tuple[str, ...]]
    only_b: list[tuple[str, ...]]
    renamed: list[tuple[tuple[str, ...], tuple[str, ...]]]


@dataclass(frozen=True)
class Pair:
    """One number of both runs, None where a run has it not."""

    name: str
    a: Number
    b: Number


@dataclass(frozen=True)
class Step:
    """One stage of both: samples that came in and samples kept, None where a run has the stage not or it drops none."""

    name: str
    a: tuple[int, int] | None
    b: tuple[int, int] | None


@dataclass
class Shared:
    """Accepted samples of both. `answered` are other responses to the same instruction, of which `examples` are some.

    `dropped_by_b` counts samples that A accepted and B dropped, by B's stage and reason; `dropped_by_a` the other way.
    """

    same: int = 0
    answered: int = 0
    examples: list[tuple[str, str, str]] = field(default_factory=list)
    dropped_by_a: dict[str, int] = field(default_factory=dict)
    dropped_by_b: dict[str, int] = field(default_factory=dict)


@dataclass
class Diff:
    """Two runs side by side. `figures` is None where they are not wanted, or cannot be taken (a note says why)."""

    a: str
    b: str
    settings: list[Change]
    trees: Trees
    stages: list[Step]
    drops: list[Pair]
    cost: list[Pair]
    shared: Shared
    figures: Stats | None = None
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        parts = asdict(self)
        parts["figures"] = self.figures.as_json() if self.figures else None
        return parts


def diff(a: str | Path, b: str | Path, *, figures: bool = True, tell: Tell = untold) -> Diff:
    """Hold what two runs published last against each other.

    `figures` are those of `stats`, each run's also on a sample as large as the smaller one; they take seconds to
    minutes, of which `tell` tells.

    Raises:
        InputError: both are the same folder.
        RunError: one is not a run, or has published nothing yet.
    """
    if Path(a).resolve() == Path(b).resolve():
        raise InputError(f"{a}: a run does not differ from itself; name two runs")
    one, other = open_run(a), open_run(b)
    made = Diff(
        str(a),
        str(b),
        _settings(one, other),
        _trees(one.tree, other.tree),
        _stages(one, other),
        _drops(one, other),
        list(_cost(one, other)),
        _shared(one, other),
    )
    if older := [run for run in (one, other) if "prompts" not in run.settings]:
        made.notes.append(f"{older[0].folder} was made before prompts were noted in run.yaml: they are not compared")
    if figures:
        try:
            made.figures = stats([str(a), str(b)], tell=tell)
        except InputError as error:
            made.notes.append(f"no figures: {error}")
    return made


def _settings(one: FinishedRun, other: FinishedRun) -> list[Change]:
    """Return the settings of run.yaml that differ, in its order."""
    whole = [_told(run.settings) for run in (one, other)]
    if any("prompts" not in settings for settings in whole):
        for settings in whole:
            settings.pop("prompts", None)
    a, b = (dict(_flat(settings)) for settings in whole)
    return [Change(name, a.get(name), b.get(name)) for name in dict.fromkeys((*a, *b)) if a.get(name) != b.get(name)]


def _told(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without what they say twice: the identity repeats the domain's names and the teacher's."""
    identity = settings["identity"]
    rest = {name: value for name, value in settings.items() if name != "identity"}
    twice = {"domain", "root", "language", "teacher"} if rest.get("domain") else set()
    return {**{name: value for name, value in identity.items() if name not in twice}, **rest}


def _flat(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, below in value.items():
        path = f"{above}{name}"
        if isinstance(below, Mapping) and below:
            yield from _flat(below, f"{path}.")
        elif below not in (None, {}, []):
            yield path, below


def _trees(one: TaskTree, other: TaskTree) -> Trees:
    """Compare two trees by the ids of their tasks where the roots are equal, else by their paths below the root."""
    by_id = one.root.id == other.root.id

    def tasks(tree: TaskTree) -> dict[Any, tuple[str, ...]]:
        paths = {task.id: tree.path(task.id)[1:] for task in tree.walk() if task.parent}
        return paths if by_id else {tuple(map(name_key, path)): path for path in paths.values()}

    a, b = tasks(one), tasks(other)
    renamed = [(a[key], b[key]) for key in a if key in b and name_key(a[key][-1]) != name_key(b[key][-1])]
    return Trees(
        (len(one), len(other)),
        (_leaves(one), _leaves(other)),
        (max(map(len, a.values()), default=0), max(map(len, b.values()), default=0)),
        sum(key in b for key in a),
        [path for key, path in a.items() if key not in b],
        [path for key, path in b.items() if key not in a],
        renamed,
    )


def _leaves(tree: TaskTree) -> int:
    return len(tree) - len({task.parent for task in tree.walk() if task.parent})


def _stages(one: FinishedRun, other: FinishedRun) -> list[Step]:
    a, b = ({name: (come, kept) for name, come, kept in stages_of(run.summary)} for run in (one, other))
    order = dict.fromkeys((*a, *b))
    whole = [Step(name, a.get(name), b.get(name)) for name in order]
    return [*whole, Step("accepted", *((run.summary["candidates"], run.summary["accepted"]) for run in (one, other)))]


def _drops(one: FinishedRun, other: FinishedRun) -> list[Pair]:
    """Return the reasons of drops, the most frequent in sum first."""
    a, b = one.summary["dropped"], other.summary["dropped"]
    pairs = [Pair(name, a.get(name, 0), b.get(name, 0)) for name in dict.fromkeys((*a, *b))]
    return sorted(pairs, key=lambda pair: (-(pair.a or 0) - (pair.b or 0), pair.name))


def _cost(one: FinishedRun, other: FinishedRun) -> Iterator[Pair]:
    """Yield calls by stage, tokens, money, and accepted rows per million tokens, over the life of each folder."""
    used = [run.usage() for run in (one, other)]

    def pair(name: str, values: list[Number]) -> Pair:
        return Pair(name, values[0], values[1])

    yield pair("calls", [sum(use.calls for use in uses) for uses in used])
    stages = dict.fromkeys(use.stage for uses in used for use in uses)
    for stage in stages if len(stages) > 1 else ():
        yield pair(f"  {stage}", [sum(use.calls for use in uses if use.stage == stage) for uses in used])
    given, written = (
        [sum(getattr(use, side) for use in uses) for uses in used] for side in ("input_tokens", "output_tokens")
    )
    yield pair("tokens in", list(given))
    yield pair("tokens out", list(written))
    yield pair("US dollars", [_sum([use.cost for use in uses]) for uses in used])
    yield pair("seconds of waiting for models", [round(sum(use.seconds for use in uses), 3) for uses in used])
    rates: list[Number] = []
    for run, tokens in zip((one, other), map(sum, zip(given, written, strict=True)), strict=True):
        rates.append(run.summary["accepted"] * 1e6 / tokens if tokens else None)
    yield pair("rows per million tokens", rates)


def _sum(costs: list[float | None]) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _shared(one: FinishedRun, other: FinishedRun) -> Shared:
    """Compare the accepted samples; of each one its id and its instruction's hash are kept in memory, and no text."""
    made = Shared()
    ids = {row["id"] for row in one.kept()}
    both: set[str] = set()
    asked: dict[str, str] = {}
    for row in other.kept():
        if row["id"] in ids:
            both.add(row["id"])
        elif text := _instruction(row):
            asked.setdefault(text_hash(normalise(text)), row["id"])
    made.same = len(both)
    twins: dict[str, tuple[str, str]] = {}
    for row in one.kept():
        if row["id"] in both or not (text := _instruction(row)):
            continue
        if (twin := asked.get(text_hash(normalise(text)))) is not None:
            made.answered += 1
            if len(twins) < EXAMPLES:
                twins[twin] = (text, _response(row))
    if twins:
        made.examples = [(*twins[row["id"]], _response(row)) for row in other.kept() if row["id"] in twins]
    made.dropped_by_b = _dropped(other, ids - both)
    made.dropped_by_a = _dropped(one, {row["id"] for row in other.kept()} - both)
    return made


def _dropped(run: FinishedRun, idents: set[str]) -> dict[str, int]:
    """Return how many of these samples a run dropped, by stage and reason, the most frequent first."""
    counts: dict[str, int] = {}
    for row in run.dropped():
        if row["id"] in idents:
            reason = f"{row['dropped']['stage']}: {row['dropped']['reason']}"
            counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _instruction(row: Row) -> str:
    return next((turn["content"] for turn in row["messages"] if turn["role"] == "user"), "")


def _response(row: Row) -> str:
    return next((turn["content"] for turn in reversed(row["messages"]) if turn["role"] == "assistant"), "")
