"""Sources whose weights are not here, measured by what they answer: the problems of `curate eval`, asked greedily.

OUT/asked/KEY/ has problems.jsonl, of which KEY is a hash, and what `curate fuse collect` leaves of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from curate.fuse.collect import Options, collect
from curate.fuse.run.schema import Recipe
from curate.fuse.run.schema import Source as Entry
from curate.fuse.run.work import budget_left, tick_of
from curate.fuse.sample import Stopped
from curate.fuse.sources import Sampling, Source
from curate.io import read_jsonl, read_samples, write_jsonl
from curate.run import key_of
from curate.text import content_id
from curate.train.progress import Listener
from curate.train.replies import Problem, checked, gold_of
from curate.train.scores import Share
from curate.types import Message
from curate.verify import MathChecker

SHARES = (("exact", "exact", True), ("lenient", "lenient", True), ("unmarked", "marked", False))
"""The shares by name, each with the column of a reply's row and its value there."""


@dataclass(frozen=True)
class Answers:
    """What a source answered: shares as in `curate.train.scores.Scores`; `failed` problems brought no reply."""

    exact: Share
    lenient: Share
    unmarked: Share
    failed: int

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        shares = {name: getattr(self, name).as_json() for name in ("exact", "lenient", "unmarked")}
        return {**shares, "failed": self.failed}


def problems_of(data: str, limit: int | None) -> list[tuple[list[Message], str]]:
    """Return the conversations of the problems among the first samples, up to their answers, and these."""
    found: dict[str, tuple[list[Message], str]] = {}
    for sample in islice(read_samples(data, documents=True), limit):
        gold = gold_of(sample)
        turns = list(sample.messages)
        while turns and turns[-1]["role"] == "assistant":
            turns.pop()
        if gold and turns:
            found.setdefault(content_id(turns), (turns, gold))
    return list(found.values())


def entries_of(recipe: Recipe) -> list[Entry]:
    """Return the sources that can only be asked."""
    return [one for one in recipe.sources if one.model is None]


def calls_of(recipe: Recipe) -> int:
    """Return how many calls asking takes, those that are paid among them."""
    sources = len(entries_of(recipe)) if recipe.eval.new_tokens else 0
    return sources and sources * sum(len(problems_of(data, recipe.eval.limit)) for data in recipe.eval.data)


def ask(recipe: Recipe, data: str, out: Path, listener: Listener) -> dict[str, Answers]:
    """Return what each source that can only be asked answers to the problems of a dataset, by its spec.

    Raises:
        Stopped: the budget is spent.
        ModelError: a source cannot be asked at all.
    """
    problems = problems_of(data, recipe.eval.limit) if recipe.eval.new_tokens else []
    if not problems or not entries_of(recipe):
        return {}
    folder = out / "asked" / key_of([(turns, gold) for turns, gold in problems])
    greedy = Sampling(1, 0.0, 1.0, None, recipe.eval.new_tokens)
    sources = tuple(Source(one.spec, "source", greedy, one.options()) for one in entries_of(recipe))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "problems.jsonl"
    write_jsonl(file, ({"messages": turns, "check": {"kind": "math", "gold": gold}} for turns, gold in problems))
    made = collect(
        file,
        Options(sources, folder, seed=recipe.seed, **budget_left(recipe, out, folder)),
        tick=tick_of(listener),
        phase=lambda name, unit: listener.doing(f"sources on {Path(data).name}: {name}"),
    )
    if made.stopped:
        raise Stopped(made.stopped)
    return _answers(recipe, folder, problems)


def _answers(recipe: Recipe, folder: Path, problems: Sequence[tuple[list[Message], str]]) -> dict[str, Answers]:
    replies: dict[str, list[str | None]] = {}
    for row in read_jsonl(folder / "responses.jsonl"):
        replies.setdefault(row["model_id"], []).append(None if row["failure"] else row["content"])
    found = {}
    with MathChecker() as checker:
        for entry, said in zip(entries_of(recipe), replies.values(), strict=True):
            asked = [
                (Problem(number, [], gold), reply)
                for number, ((_, gold), reply) in enumerate(zip(problems, said, strict=True))
                if reply is not None
            ]
            if asked:
                rows = list(checked(asked, checker))
                shares = {
                    name: Share(sum(row[column] is value for row in rows), len(rows)) for name, column, value in SHARES
                }
                found[entry.spec] = Answers(**shares, failed=len(said) - len(asked))
    return found
