"""The arms of one seed's comparison: what each is tuned on, how, and what it says afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from curate.pipeline.exam_result import Result
from curate.pipeline.exam_sit import Sitter
from curate.stages.exam.treat import TREATMENTS, Refusals
from curate.types import Sample
from scripts.exam_world import prompts
from scripts.exam_world.exam import arm_of, failed
from scripts.exam_world.student import Row, encode, next_tokens, train
from scripts.exam_world.world import ASKED, Fact, Split

PLAIN = "plain"
JUDGES = ("exam", "random", "oracle")
"""Who says what is treated: the exam; chance, for as many samples; the truth about what the student was told."""

GROUPS = ("held_known", "held_unknown", "trained_known", "trained_unknown")

ROWS = 128
RATE = 1e-3
WARMUP = 10


@dataclass(frozen=True, slots=True)
class Arm:
    """A treatment and who said what is to be treated; `plain` has neither."""

    treatment: str = ""
    judge: str = ""

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.treatment} {self.judge}" if self.treatment else PLAIN


def arms_of(share: float) -> list[Arm]:
    """Return the arms for a share of unknown facts; where there are none, the truth treats nothing and is `plain`."""
    judges = [judge for judge in JUDGES if share or judge != "oracle"]
    return [Arm(), *(Arm(treatment, judge) for treatment, judge in product(TREATMENTS, judges))]


def lacking(arm: Arm, split: Split, results: Mapping[str, Result], seed: int) -> set[str]:
    """Return the ids of the tuning samples that an arm treats."""
    if not arm.treatment:
        return set()
    ids = [fact.id for fact in split.tuning]
    if arm.judge == "oracle":
        return {fact.id for fact in split.tuning if not fact.known}
    by_exam = failed(results) & set(ids)
    if arm.judge == "exam":
        return by_exam
    rng = np.random.default_rng([seed, 7, round(100 * split.share)])  # the same samples for every treatment
    return {ids[at] for at in rng.choice(len(ids), len(by_exam), replace=False)}


def tuning_set(
    arm: Arm, split: Split, results: Mapping[str, Result], sitter: Sitter, refusals: Refusals, seed: int
) -> tuple[list[Sample], int]:
    """Return what an arm is tuned on, and how many samples were treated."""
    chosen = lacking(arm, split, results, seed)
    ours = [results[fact.id] for fact in split.tuning]
    return arm_of(ours, chosen, sitter, arm.treatment or "discard", refusals), len(chosen)


def tune(
    model: Any, tokenizer: Any, samples: Sequence[Sample], seed: int, steps: int, after: Callable[[int], None]
) -> None:
    """Tune a student on the responses of samples, and call `after` with the number of steps done.

    Every arm takes as many steps of as many rows: where there are fewer samples, each is read more often.
    """
    before = encode(tokenizer, [prompts.asked(sample.instruction) for sample in samples])
    answers = encode(tokenizer, [sample.response for sample in samples])
    rows = [Row((*one, *other), (len(one),)) for one, other in zip(before, answers, strict=True)]

    def batch(step: int) -> list[Row]:
        places = np.random.default_rng([seed, 6, step]).random(ROWS)
        return [rows[int(place * len(rows))] for place in places]

    train(model, batch, steps, rate=RATE, warmup=WARMUP, final=1.0, after=after)


class Answers:
    """Asks a student about facts, without knowledge, in all three wordings."""

    def __init__(self, tokenizer: Any, groups: Mapping[str, Sequence[Fact]], refusals: Refusals) -> None:
        self.refusals = {ids[0] for ids in encode(tokenizer, list(refusals.wordings["en"]))}
        self.prompts: list[list[int]] = []
        self.wanted: list[int] = []
        self.places: dict[str, slice] = {}
        for name, facts in groups.items():
            began = len(self.prompts)
            asked = [prompts.asked(fact.asked(wording)) for fact in facts for wording in range(len(ASKED))]
            self.prompts += encode(tokenizer, asked)
            self.wanted += [ids[0] for ids in encode(tokenizer, [fact.value for fact in facts]) for _ in ASKED]
            self.places[name] = slice(began, len(self.prompts))

    def shares(self, model: Any) -> dict[str, dict[str, float]]:
        """Return, for each group, the shares of correct, refused and false answers; they sum to one."""
        said = next_tokens(model, self.prompts)
        kinds = np.array(
            [
                0 if token == wanted else 1 if token in self.refusals else 2
                for token, wanted in zip(said, self.wanted, strict=True)
            ]
        )
        found: dict[str, dict[str, float]] = {}
        for name, place in self.places.items():
            counts = np.bincount(kinds[place], minlength=3) / max(len(kinds[place]), 1)
            found[name] = dict(zip(("correct", "refused", "false"), counts.round(6).tolist(), strict=True))
        return found


def groups_of(split: Split) -> dict[str, Sequence[Fact]]:
    """Return the facts that are asked about, apart."""
    known = [fact for fact in split.tuning if fact.known]
    unknown = [fact for fact in split.tuning if not fact.known]
    return dict(zip(GROUPS, (split.held_known, split.held_unknown, known, unknown), strict=True))
