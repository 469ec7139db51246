"""The parts of one seed's work, the comparison that matters most first. What is done is not done again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from curate.errors import InputError
from scripts.fusion_world import arms, preferences, tokenwise
from scripts.fusion_world.arms import Built, Case
from scripts.fusion_world.bench import Bench, Plan
from scripts.fusion_world.makers import SOURCES, TWINS

Arm = Callable[[Bench, Case], tuple[Path, Built]]

TUNED: dict[str, Arm] = {
    "own best-of-n": arms.own,
    "best of sources": arms.fusion,
    "one source x n": arms.one_source,
    "no verifier": arms.unverified,
    "copies of the target": arms.copies,
    "gold answers": arms.gold,
}

START = "half of best of sources"
"""What preference training goes on from; its model is kept."""

PREFERRED: dict[str, Arm] = {
    START: arms.start,
    "LN-DPO": preferences.dpo,
    "LN-DPO, own pairs": preferences.own_pairs,
    "WRPO": preferences.wrpo,
    "WRPO, constant": preferences.constant,
    "WRPO, shuffled": preferences.other_prompts,
}

TOKENWISE: dict[str, Arm] = {
    "token fusion": tokenwise.mince,
    "label smoothing": tokenwise.smoothing,
    "shuffled teacher": tokenwise.shuffled,
    "same tokenizer": tokenwise.same_tokens,
}

MERGED: dict[str, Arm] = {
    "pairwise, SCE": tokenwise.sce,
    "pairwise, linear": tokenwise.linear,
    "own soup": tokenwise.soup,
}

ARMS = {**TUNED, **PREFERRED, **TOKENWISE, **MERGED}
"""All arms by the name that tables call them; fine-tuning on the best of sources is token fusion's CLM alone."""

NOISY = ("own best-of-n", "best of sources", START, "LN-DPO", "LN-DPO, own pairs", "WRPO")
"""The arms that are also run with verdicts that are wrong, at the strength in the middle."""

ACCURACIES = (0.8, 0.5)

PARTS = ("fine-tuning", "preference", "tokens", "merging", "noise")


def cases_of(part: str, plan: Plan) -> list[tuple[str, Case]]:
    """Return the arms of a part, each with its case."""
    if part == "noise":
        middle = plan.strengths[len(plan.strengths) // 2]
        return [(name, Case(middle, accuracy)) for accuracy in ACCURACIES for name in NOISY]
    table = dict(zip(PARTS, (TUNED, PREFERRED, TOKENWISE, MERGED), strict=False))[part]
    return [(name, Case(strength)) for strength in plan.strengths for name in table]


def run_part(folder: Path, seed: int, part: str, plan: Plan, tick: Callable[[int], None]) -> None:
    """Do what is left of a part of one seed.

    An arm that has nothing to learn from is written down as such: no response was right, say.
    """
    bench = Bench(folder, seed, plan)
    # Made before the arms that need them, so that no arm's time has theirs.
    for one in (*SOURCES, *(TWINS if part == "tokens" else ())):
        bench.source(one.name)
    bench.target(plan.strengths[0])
    for name, case in cases_of(part, plan):
        if not bench.found(kind="arm", arm=name, strength=case.strength, accuracy=case.accuracy):
            began = time.process_time()
            wanted = {"kind": "arm", "arm": name, "strength": case.strength, "accuracy": case.accuracy}
            try:
                model, built = ARMS[name](bench, case)
            except InputError as error:
                bench.note(began, **wanted, failed=str(error))
            else:
                bench.note(began, **wanted, right=bench.measured(model), **built)
                if name != START:
                    shutil.rmtree(model)
        tick(1)
