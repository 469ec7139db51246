"""The models that a seed begins with: three sources, their twins in the target's tokens, and the target three times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.fusion_world.models import make, mean, new_model, right, save
from scripts.fusion_world.skills import SKILLS, World
from scripts.fusion_world.tokens import build_tokenizer

STRENGTHS = (0.05, 0.25, 0.7)
"""What the target answers right before fusion, about."""

RATE = 3e-3
ENOUGH = 0.94
"""The share of checks of each skill that a source answers right when its learning rate begins to fall."""

COOLING = 75
"""Steps in which it falls, which settle what a high rate leaves unsteady."""

SOURCE_WIDTH, TARGET_WIDTH = 64, 96
LOOK = 25


@dataclass(frozen=True)
class Maker:
    """A source: its name, shape and tokenizer, and the skills that it has, by their place in the world."""

    name: str
    shape: str
    tokens: str
    skills: int


SOURCES = (
    Maker("llama", "llama", "pairs", 0),
    Maker("gpt2", "gpt2", "single", 1),
    Maker("neox", "neox", "triples", 2),
)

TWINS = (Maker("llama-twin", "llama", "single", 0), Maker("neox-twin", "neox", "single", 2))
"""Sources of the same skills in the tokens of the target; the source with single symbols is its own twin."""

TARGET_TOKENS = "single"


def make_source(maker: Maker, world: World, folder: Path, steps: int) -> dict[str, Any]:
    """Train a source and return how well it does on the tests of its skills."""
    skills = world.skills[maker.skills]
    tokenizer = build_tokenizer(maker.tokens, world.seed)
    stream = [*SOURCES, *TWINS].index(maker)
    model = new_model(maker.shape, SOURCE_WIDTH, len(tokenizer), 100 * world.seed + stream)
    checks = [task for task in world.checks if task.skill in skills]

    def enough(step: int) -> bool:
        return step % LOOK == 0 and min(right(model, tokenizer, checks).values()) >= ENOUGH

    taken = make(model, tokenizer, skills, world, stream, steps, RATE, enough, COOLING)
    save(model, tokenizer, folder)
    tests = [task for task in world.tests if task.skill in skills]
    return {"steps": taken, "right": right(model, tokenizer, tests)}


def make_targets(world: World, folder: Path, steps: int, strengths: Sequence[float] = STRENGTHS) -> dict[str, Any]:
    """Train the target once, keep it at each strength, and return how well each does on the tests."""
    tokenizer = build_tokenizer(TARGET_TOKENS, world.seed)
    model = new_model("llama", TARGET_WIDTH, len(tokenizer), 100 * world.seed + 50)
    found: dict[str, Any] = {}

    def keep(step: int) -> None:
        strength = strengths[len(found)]
        save(model, tokenizer, folder / str(strength))
        found[str(strength)] = {"steps": step, "right": right(model, tokenizer, world.tests)}

    def enough(step: int) -> bool:
        if step % 5 == 0 and mean(right(model, tokenizer, world.checks)) >= strengths[len(found)]:
            keep(step)
        return len(found) == len(strengths)

    taken = make(model, tokenizer, list(SKILLS), world, 50, steps, RATE, enough)
    while len(found) < len(strengths):
        keep(taken)
    return found
