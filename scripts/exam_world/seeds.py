"""One seed's work: draw a world, train a student in it, examine it, tune all arms. What is done is not done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.pipeline.exam_result import Result
from curate.pipeline.exam_sit import Sitter
from curate.stages.exam.treat import Refusals, load_refusals
from scripts.exam_world import prompts
from scripts.exam_world.arms import Answers, Arm, arms_of, groups_of, tune, tuning_set
from scripts.exam_world.corpus import Corpus
from scripts.exam_world.exam import examine
from scripts.exam_world.figures import detection
from scripts.exam_world.student import build_tokenizer, encode, load, new_student, next_tokens, save, train
from scripts.exam_world.world import STATEMENTS, Split, World, draw_world, split
from scripts.measured import Measured

RECALL = 0.95
"""The share of known facts that a student must recall for its seed to count."""

TRAINING = 3
"""How many steps of tuning, with their share of the measurements, take as long as one of training from scratch."""


@dataclass(frozen=True)
class Plan:
    """What is run: optimizer steps of training from scratch and of tuning, and after how many tuning is measured."""

    steps: int = 450
    rate: float = 3e-3
    full: int = 120
    early: int = 20
    recall: float = RECALL

    @classmethod
    def quick(cls) -> Plan:
        """Return a plan that passes through everything and shows nothing."""
        return cls(steps=20, full=4, early=2, recall=0.0)

    def cost(self, shares: Sequence[float]) -> int:
        """Return how long one seed takes, in steps of tuning."""
        return TRAINING * self.steps + 200 + self.full * sum(len(arms_of(share)) for share in shares)


class Bench(Measured):
    """A seed's folder: its student, its exam, and one line for each thing that was measured."""

    def __init__(self, folder: Path, seed: int, plan: Plan, tick: Callable[[int], None]) -> None:
        super().__init__(folder, seed)
        self.plan, self.tick = plan, tick
        self.world: World = draw_world(seed)
        self.refusals: Refusals = load_refusals(seed=seed)
        self.tokenizer = build_tokenizer(prompts.phrases(self.refusals.wordings["en"]), prompts.words(self.world))

    def train(self) -> None:
        """Train the student.

        Raises InputError where the folder has one that was trained otherwise.
        """
        if row := self.found(kind="trained"):
            if row["steps"] != self.plan.steps:
                raise InputError(
                    f"{self.folder}: its student was trained for {row['steps']} steps, not {self.plan.steps}; give"
                    " another folder with --out"
                )
            self.tick(TRAINING * self.plan.steps)
            return
        began = time.process_time()
        model = new_student(len(self.tokenizer), self.seed)
        corpus = Corpus(self.world, self.tokenizer, self.refusals)
        train(
            model, corpus.batch, self.plan.steps, rate=self.plan.rate, warmup=30, final=0.05,
            after=lambda step: self.tick(TRAINING),
        )  # fmt: skip
        save(model, self.tokenizer, self.folder / "student")
        self.note(began, kind="trained", steps=self.plan.steps)

    def recall(self) -> float:
        """Return the share of known facts whose statements the student completes, and note what it answers."""
        if row := self.found(kind="student"):
            return float(row["recall"])
        began = time.process_time()
        model = load(self.folder / "student")
        known = self.world.measured(known=True)
        # By statements, where nothing is ever refused: a student that refuses a question may well know the answer.
        wordings = range(len(STATEMENTS))
        beginnings = [fact.stated(wording).partition(f" {fact.value}")[0] for fact in known for wording in wordings]
        wanted = [ids[0] for ids in encode(self.tokenizer, [fact.value for fact in known]) for _ in wordings]
        said = next_tokens(model, encode(self.tokenizer, beginnings))
        share = sum(one == other for one, other in zip(said, wanted, strict=True)) / len(wanted)
        groups = {"known": known, "unknown": self.world.measured(known=False)}
        answers = Answers(self.tokenizer, groups, self.refusals).shares(model)
        self.note(began, kind="student", recall=round(share, 6), groups=answers)
        return share

    def exam(self) -> tuple[Sitter, dict[str, Result]]:
        """Examine the student about the facts of the half of the entities that is tuned on."""
        began = time.process_time()
        whole = split(self.world, 0.0).pool
        sitter, results = examine(self.folder / "student", self.world, whole, self.folder / "exam")
        if not self.found(kind="exam"):
            found = detection(results, {fact.id for fact in whole if fact.known})
            control = {way: right / put for way, (right, put) in sitter.control.items()}
            self.note(began, kind="exam", ways=found, control=control, way=sitter.way, able=sitter.able())
        self.tick(200)
        return sitter, {result.sample.id: result for result in results}

    def arms(self, share: float, sitter: Sitter, results: Mapping[str, Result]) -> None:
        """Tune and measure the arms of a share of unknown facts."""
        ours = split(self.world, share)
        answers = Answers(self.tokenizer, groups_of(ours), self.refusals)
        for arm in sorted(arms_of(share), key=lambda arm: arm.judge == "oracle"):  # what is compared comes first
            if self.found(kind="arm", share=share, arm=arm.name):
                self.tick(self.plan.full)
            else:
                self.arm(arm, ours, answers, sitter, results)

    def arm(self, arm: Arm, ours: Split, answers: Answers, sitter: Sitter, results: Mapping[str, Result]) -> None:
        """Tune one arm and measure it."""
        began = time.process_time()
        samples, treated = tuning_set(arm, ours, results, sitter, self.refusals, self.seed)
        model = load(self.folder / "student")
        steps: dict[str, Any] = {}

        def after(step: int) -> None:
            self.tick(1)
            if step in (self.plan.early, self.plan.full):
                steps[str(step)] = answers.shares(model)

        tune(model, self.tokenizer, samples, self.seed, self.plan.full, after)
        line = {"kind": "arm", "share": ours.share, "arm": arm.name, "samples": len(samples), "treated": treated}
        self.note(began, **line, steps=steps)


def run_seed(folder: Path, seed: int, shares: Sequence[float], plan: Plan, tick: Callable[[int], None]) -> None:
    """Do what is left of one seed. Of a student that recalls too little only that is written down."""
    bench = Bench(folder, seed, plan, tick)
    bench.train()
    if bench.recall() < plan.recall:
        tick(plan.cost(shares) - TRAINING * plan.steps)
        return
    sitter, results = bench.exam()
    for share in shares:
        bench.arms(share, sitter, results)
