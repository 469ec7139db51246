"""What the student reads when it is trained from scratch: statements of facts, and how questions are put.

Of measured entities it reads statements of known facts and nothing else. How questions are put, and answered by letter,
by word, with knowledge at hand and by a refusal, it learns from the teachers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from curate.stages.exam.treat import Refusals
from scripts.exam_world import prompts
from scripts.exam_world.student import Row, encode
from scripts.exam_world.world import ASKED, STATEMENTS, VALUES, Fact, World, draw_question

ROWS = 256
STATED = 3
"""Statements in a row."""

MIX = {"statements": 0.61, "asked": 0.13, "letters": 0.1, "letters_read": 0.08, "read": 0.072, "refused": 0.008}
"""The share of each kind of row."""

DRAWS = {"asked": 1, "letters": 12, "letters_read": 8, "read": 6, "refused": 1}
"""How often a teacher's fact is drawn for a kind of row, with other options or another value."""


class Corpus:
    """Rows by their kind, and batches of them, which depend on the world's seed and the step alone."""

    def __init__(self, world: World, tokenizer: Any, refusals: Refusals) -> None:
        told = [fact for fact in world.facts if fact.known]
        texts = [fact.stated(wording) for fact in told for wording in range(len(STATEMENTS))]
        answers = [fact.value for fact in told for _ in STATEMENTS]
        ends = encode(tokenizer, answers)
        self.statements = [
            Row(tuple(ids), (ids.index(end[0]),)) for ids, end in zip(encode(tokenizer, texts), ends, strict=True)
        ]
        exposures = np.repeat([fact.exposure for fact in told], len(STATEMENTS)).astype(float)
        self.weights = np.cumsum(exposures / exposures.sum())
        self.seed = world.seed
        self.formats = {kind: _rows(tokenizer, pairs) for kind, pairs in lessons(world, refusals).items()}

    def batch(self, step: int) -> list[Row]:
        """Return the rows of a step."""
        rng = np.random.default_rng([self.seed, 5, step])
        rows: list[Row] = []
        for kind, share in MIX.items():
            count = round(ROWS * share)
            if kind == "statements":
                drawn = np.searchsorted(self.weights, rng.random((count, STATED)))
                rows += [_joined([self.statements[at] for at in line]) for line in drawn]
            else:
                pool = self.formats[kind]
                rows += [pool[at] for at in rng.integers(len(pool), size=count)]
        return rows


def lessons(world: World, refusals: Refusals) -> dict[str, list[tuple[str, str]]]:
    """Return, for each kind of row but statements, prompts with what the student is to learn to answer.

    All of them are about teachers. Where knowledge is at hand it says any value, so that what is learnt is to read it.
    """
    rng = np.random.default_rng([world.seed, 4])
    known, unknown = world.taught(known=True), world.taught(known=False)

    def each(facts: Sequence[Fact], kind: str, make: Callable[[Fact, int], tuple[str, str]]) -> list[tuple[str, str]]:
        return [make(fact, wording) for fact in facts for wording in range(len(ASKED)) for _ in range(DRAWS[kind])]

    def told(fact: Fact) -> tuple[Fact, str]:
        value = world.values[fact.relation][rng.integers(VALUES)]
        other = replace(fact, value=value)
        return other, other.stated(int(rng.integers(len(STATEMENTS))))

    def letters(fact: Fact, wording: int) -> tuple[str, str]:
        return prompts.letters(draw_question(fact, wording, world, rng))

    def letters_read(fact: Fact, wording: int) -> tuple[str, str]:
        other, knowledge = told(fact)
        return prompts.letters(draw_question(other, wording, world, rng, knowledge=knowledge), with_knowledge=True)

    def read(fact: Fact, wording: int) -> tuple[str, str]:
        other, knowledge = told(fact)
        return prompts.asked(f"{knowledge}\n{fact.asked(wording)}"), other.value

    wordings = refusals.wordings["en"]
    return {
        "asked": each(known, "asked", lambda fact, wording: (prompts.asked(fact.asked(wording)), fact.value)),
        "letters": each(known, "letters", letters),
        "letters_read": each(known + unknown, "letters_read", letters_read),
        "read": each(known + unknown, "read", read),
        "refused": each(
            unknown,
            "refused",
            lambda fact, wording: (prompts.asked(fact.asked(wording)), wordings[int(rng.integers(len(wordings)))]),
        ),
    }


def _rows(tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> list[Row]:
    """Return prompts with their answers, of which the first token is learnt."""
    before = encode(tokenizer, [prompt for prompt, _ in pairs])
    after = encode(tokenizer, [answer for _, answer in pairs])
    return [Row((*one, *other), (len(one),)) for one, other in zip(before, after, strict=True)]


def _joined(rows: Sequence[Row]) -> Row:
    """Return rows as one, one after the other."""
    ids: tuple[int, ...] = ()
    learnt: tuple[int, ...] = ()
    for row in rows:
        learnt += tuple(at + len(ids) for at in row.learnt)
        ids += row.ids
    return Row(ids, learnt)
