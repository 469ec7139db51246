"""The arms: what each trains the target on, and how. Every arm has the same prompts, as many samples and as many steps.

An arm's function makes its model and returns the model's folder with what the training samples came to.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.fuse.split import is_for_sft
from curate.io import atomic
from scripts.fusion_world import pools, tuning
from scripts.fusion_world.bench import EACH, Bench
from scripts.fusion_world.makers import SOURCES
from scripts.fusion_world.pools import Pool, asked

HALF = 0.5
"""Of the prompts that fine-tuning takes where preference training follows."""

Built = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """Which target is trained, and how often the verifier is right."""

    strength: float
    accuracy: float = 1.0

    @property
    def key(self) -> str:
        """A name for files."""
        return f"{self.strength}-{self.accuracy}"


def from_sources(bench: Bench, accuracy: float) -> Pool:
    """Return EACH responses of each source."""
    models = {name: [row[:EACH] for row in rows] for name, rows in bench.source_answers.items()}
    return pools.responses(bench.world.prompts, "source", models, accuracy, bench.rng(3, round(100 * accuracy)))


def _own(bench: Bench, case: Case) -> Pool:
    models = {"target": bench.own_answers(case.strength)}
    return pools.responses(
        bench.world.prompts, "target", models, case.accuracy, bench.rng(4, round(100 * case.accuracy))
    )


def data_of(bench: Bench, name: str, make: Callable[[Path], Built]) -> tuple[Path, Built]:
    """Return a file of samples and what became of the prompts, built now where it is not there."""
    path = bench.path("data", f"{name}.jsonl")
    report = path.with_suffix(".built.json")
    if not report.exists():
        built = make(path)
        with atomic(report) as file:
            json.dump(built, file)
    found: Built = json.loads(report.read_text())
    return path, found


def best_of_sources(bench: Bench, accuracy: float) -> tuple[Path, Built]:
    """Return the best of all sources' responses to every prompt."""
    pool = bench.world.prompts
    return data_of(
        bench, f"sources-{accuracy}", lambda path: pools.build(path, "sft", pool, from_sources(bench, accuracy))
    )  # fmt: skip


def tuned(bench: Bench, case: Case, name: str, data: Path, seed: int | None = None) -> Path:
    """Fine-tune the target of a case on samples for the whole number of steps, and return its folder."""
    out = bench.run_folder(f"{name}-{case.key}")
    return tuning.sft(data, bench.target(case.strength), out, bench.plan.steps.whole, seed or bench.seed)


def fusion(bench: Bench, case: Case) -> tuple[Path, Built]:
    """Fine-tune on the best of the sources' responses."""
    data, built = best_of_sources(bench, case.accuracy)
    return tuned(bench, case, "fusion", data), built


def own_data(bench: Bench, case: Case) -> tuple[Path, Built]:
    """Return the best of the target's own responses to every prompt."""
    tasks = bench.world.prompts
    return data_of(
        bench, f"own-{case.key}", lambda path: pools.build(path, "sft", tasks, _own(bench, case), of="target")
    )  # fmt: skip


def own(bench: Bench, case: Case) -> tuple[Path, Built]:
    """Fine-tune on the best of the target's own responses."""
    data, built = own_data(bench, case)
    return tuned(bench, case, "own", data), built


def one_source(bench: Bench, case: Case) -> tuple[Path, Built]:
    """Fine-tune on the best of one source's responses, as many as of all sources together."""
    name = SOURCES[0].name
    models = {name: bench.source_answers[name]}
    tasks = bench.world.prompts
    data, built = data_of(
        bench, "one-source",
        lambda path: pools.build(path, "sft", tasks, pools.responses(tasks, "source", models, 1.0, bench.rng(5))),
    )  # fmt: skip
    return tuned(bench, case, "one-source", data), built


def unverified(bench: Bench, case: Case) -> tuple[Path, Built]:
    """Fine-tune on any of the sources' responses."""
    tasks = bench.world.prompts
    data, built = data_of(
        bench, "unverified", lambda path: pools.build(path, "sft", tasks, from_sources(bench, 1.0), verdicts=False)
    )  # fmt: skip
    return tuned(bench, case, "unverified", data), built


def gold(bench: Bench, case: Case) -> tuple[Path, Built]:
    """Fine-tune on the right answers."""
    data, built = data_of(bench, "gold", lambda path: pools.gold(path, bench.world.prompts))
    return tuned(bench, case, "gold", data), built


def copies(bench: Bench, case: Case) -> tuple[Path, Built]:
    """Fine-tune on the best responses of sources that are copies of the target."""
    tasks, answers = bench.world.prompts, bench.own_answers(case.strength, copies=True)
    models = {one.name: [row[EACH * at : EACH * (at + 1)] for row in answers] for at, one in enumerate(SOURCES)}
    data, built = data_of(
        bench, f"copies-{case.key}",
        lambda path: pools.build(path, "sft", tasks, pools.responses(tasks, "source", models, 1.0, bench.rng(6))),
    )  # fmt: skip
    return tuned(bench, case, "copies", data), built


def halves(bench: Bench) -> tuple[list[int], list[int]]:
    """Return the places of the prompts of fine-tuning, and of those of the preference training that follows."""
    mine = [is_for_sft(asked(task).id, HALF, bench.seed) for task in bench.world.prompts]
    return [at for at, one in enumerate(mine) if one], [at for at, one in enumerate(mine) if not one]


def start(bench: Bench, case: Case) -> tuple[Path, Built]:
    """Fine-tune on the best of the sources' responses to half of the prompts, in half of the steps."""
    mine, _ = halves(bench)
    tasks = [bench.world.prompts[at] for at in mine]

    def build(path: Path) -> Built:
        pool = from_sources(bench, case.accuracy)
        return pools.build(path, "sft", tasks, [pool[at] for at in mine])

    data, built = data_of(bench, f"start-{case.accuracy}", build)
    out = bench.path("models", f"start-{case.key}")
    if not (out / "training.json").exists():
        shutil.rmtree(out, ignore_errors=True)
        tuning.sft(data, bench.target(case.strength), out, bench.plan.steps.half, bench.seed)
    return out, built
