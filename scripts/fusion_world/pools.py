"""The answers that models gave to the world's prompts, and the training samples that curate's builders make of them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import InputError
from curate.fuse.build import KINDS, Options
from curate.fuse.folder import Response
from curate.fuse.pairs import Rules
from curate.fuse.prompts import Check, Prompt
from curate.io import write_jsonl
from curate.text import content_id
from scripts.fusion_world.skills import Task

Answers = list[list[str]]
"""The answers of one model to every prompt."""

Pool = list[list[Response]]
"""The responses of all models to every prompt."""


def asked(task: Task) -> Prompt:
    """Return the prompt of a task; its answer is known, so that responses to it can be checked."""
    messages = ({"role": "user", "content": task.prompt},)
    return Prompt(content_id(messages), messages, task.skill, Check("math", task.answer))


def responses(
    tasks: Sequence[Task], role: str, models: dict[str, Answers], accuracy: float, rng: np.random.Generator
) -> Pool:
    """Return the responses of models to the tasks, with verdicts that are right with a probability of `accuracy`.

    An answer that was not ended is an error, as in a collection. The scores are chance: they decide which of several
    right answers is taken, and which of all where nobody looks at the verdicts.
    """
    pool: Pool = []
    for at, task in enumerate(tasks):
        found = []
        for model, answers in models.items():
            for number, text in enumerate(answers[at]):
                passed = (text == task.answer) == (rng.random() < accuracy)
                status = "error" if not text else "pass" if passed else "fail"
                found.append(Response(f"{model}-{at}-{number}", model, role, text, "", status, float(rng.random())))
        pool.append(found)
    return pool


def rewarded(tasks: Sequence[Task], pool: Pool, accuracy: float, rng: np.random.Generator) -> Pool:
    """Return the responses with scores of how alike they are to the right answer, from 0 to 1, ties decided by chance.

    Some of them, twice as many as verdicts of this accuracy are wrong, have a score of chance. Preferences need grades:
    of verdicts alone the best of the sources and the best of the target would be the same right answer.
    """

    def score(text: str, right: str) -> float:
        noise = float(rng.random())
        return noise if rng.random() < 2 * (1 - accuracy) else SequenceMatcher(None, text, right).ratio() + noise * 1e-6

    return [
        [replace(one, score=score(one.content, task.answer)) for one in found]
        for task, found in zip(tasks, pool, strict=True)
    ]


def joined(*pools: Pool) -> Pool:
    """Return the responses of several pools to the same prompts."""
    return [[one for part in parts for one in part] for parts in zip(*pools, strict=True)]


def build(
    path: Path, kind: str, tasks: Sequence[Task], pool: Pool, *, of: str = "source", verdicts: bool = True
) -> dict[str, Any]:
    """Write the samples that curate builds of a pool, and return how many, and why other prompts gave none.

    Raises InputError where no prompt gave one.
    """
    options = Options(kind, of=of, verdicts=verdicts)
    rules = Rules(scored=True, verdicts=verdicts)
    rows, reasons = [], Counter[str]()
    for task, found in zip(tasks, pool, strict=True):
        choice = KINDS[kind](asked(task), found, options, rules, array("d"))
        if isinstance(choice, str):
            reasons[choice] += 1
        else:
            rows.append(choice[0])
    if not rows:
        raise InputError(f"no samples could be built ({', '.join(f'{why} {n}' for why, n in reasons.most_common())})")
    write_jsonl(path, rows)
    return {"samples": len(rows), "dropped": dict(reasons)}


def gold(path: Path, tasks: Sequence[Task]) -> dict[str, Any]:
    """Write the right answers."""
    rows = [
        {"messages": [*asked(task).messages, {"role": "assistant", "content": task.answer}], "domain": task.skill}
        for task in tasks
    ]
    write_jsonl(path, rows)
    return {"samples": len(rows), "dropped": {}}


def shuffled_sources(rows: Sequence[dict[str, Any]], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return WRPO's samples, each with the source's answer of another one."""
    order = rng.permutation(len(rows))
    other = {int(at): int(order[(place + 1) % len(order)]) for place, at in enumerate(order)}
    return [{**row, "chosen_source": rows[other[at]]["chosen_source"]} for at, row in enumerate(rows)]
