"""One seed's folder: its models, its samples, and a line for each thing that was measured. Nothing is done twice."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from curate.errors import InputError
from curate.io import atomic
from scripts.fusion_world.makers import SOURCES, STRENGTHS, TARGET_TOKENS, TWINS, make_source, make_targets
from scripts.fusion_world.models import load, right, sample
from scripts.fusion_world.pools import Answers
from scripts.fusion_world.skills import draw_world
from scripts.fusion_world.tokens import build_tokenizer
from scripts.fusion_world.tuning import Steps
from scripts.measured import Measured

EACH = 2
"""Samples of each of the three sources; of one model alone there are as many as of all three."""


@dataclass(frozen=True)
class Plan:
    """What is run: prompts, optimizer steps of the models that a seed begins with and of the arms, and strengths."""

    prompts: int = 3000
    tests: int = 600
    making: int = 1000
    steps: Steps = field(default_factory=Steps)
    strengths: tuple[float, ...] = STRENGTHS

    @classmethod
    def quick(cls) -> Plan:
        """Return a plan that passes through everything and shows nothing."""
        return cls(prompts=240, tests=60, making=40, steps=Steps(4, 2))


class Bench(Measured):
    """The folder of a seed: `results.jsonl`, models, answers and samples, all made when they are first asked for."""

    def __init__(self, folder: Path, seed: int, plan: Plan) -> None:
        super().__init__(folder, seed)
        self.plan = plan
        self.world = draw_world(seed, plan.prompts, plan.tests)
        self.tokenizer = build_tokenizer(TARGET_TOKENS, seed)
        self._settle()

    def _settle(self) -> None:
        """Write down what is run here. Raises InputError where the folder has something else."""
        plan = json.loads(json.dumps(asdict(self.plan)))
        if row := self.found(kind="plan"):
            if row["plan"] != plan:
                raise InputError(
                    f"{self.folder}: it holds another plan ({row['plan']}); give another folder with --out"
                )
        else:
            self.note(time.process_time(), kind="plan", plan=plan)

    def rng(self, *purpose: int) -> np.random.Generator:
        """Return random numbers for a purpose."""
        return np.random.default_rng([self.seed, *purpose])

    def path(self, *parts: str) -> Path:
        """Return a path in the folder, whose own folder exists."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def source(self, name: str) -> Path:
        """Return the folder of a source or of a twin, trained now where it is not there."""
        folder = self.path("sources", name)
        if not self.found(kind="source", name=name):
            began = time.process_time()
            maker = next(one for one in (*SOURCES, *TWINS) if one.name == name)
            made = make_source(maker, self.world, folder, self.plan.making)
            self.note(began, kind="source", name=name, skills=self.world.skills[maker.skills], **made)
        return folder

    def target(self, strength: float) -> Path:
        """Return the folder of the target before fusion."""
        folder = self.path("targets", str(strength))
        if not self.found(kind="target"):
            began = time.process_time()
            made = make_targets(self.world, folder.parent, self.plan.making, self.plan.strengths)
            self.note(began, kind="target", strengths=made)
        return folder

    def answers(self, name: str, model: Path, tokens: str, count: int, stream: int, places: Sequence[int]) -> Answers:
        """Return `count` answers of a model to the prompts at these places, which are drawn once."""
        path = self.path("answers", f"{name}.json")
        if not path.exists():
            prompts = [task.prompt for task in (self.world.prompts[at] for at in places)]
            tokenizer = build_tokenizer(tokens, self.seed)
            drawn = sample(load(model), tokenizer, prompts, count, 1000 * self.seed + stream)
            with atomic(path) as file:
                json.dump(drawn, file)
        found: Answers = json.loads(path.read_text())
        return found

    @cached_property
    def source_answers(self) -> dict[str, Answers]:
        """The answers of every source to all prompts; the first source gives as many as all together."""
        counts = {one.name: EACH if at else EACH * len(SOURCES) for at, one in enumerate(SOURCES)}
        return {
            one.name: self.answers(
                one.name, self.source(one.name), one.tokens, counts[one.name], at, range(len(self.world.prompts))
            )
            for at, one in enumerate(SOURCES)
        }

    def own_answers(self, strength: float, copies: bool = False) -> Answers:
        """Return the target's own answers to all prompts, or those of its copies that stand in for the sources."""
        name = f"{'copies' if copies else 'own'}-{strength}"
        stream = 10 + 10 * copies + self.plan.strengths.index(strength)
        count = EACH * len(SOURCES)
        return self.answers(name, self.target(strength), TARGET_TOKENS, count, stream, range(len(self.world.prompts)))

    def measured(self, model: Path) -> dict[str, float]:
        """Return how many of the tests a model answers right, by skill."""
        return right(load(model), self.tokenizer, self.world.tests)

    def run_folder(self, name: str) -> Path:
        """Return an empty place for a run's model: what a kill has left there is gone."""
        folder = self.path("models", name)
        shutil.rmtree(folder, ignore_errors=True)
        return folder
