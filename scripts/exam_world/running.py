"""Doing the seeds side by side: a process of one core for each, and a word on how far they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.exam_world.seeds import Plan, run_seed
from scripts.side_by_side import Crew, tick

MAIN = (0.5,)
OTHERS = (0.0, 0.25, 0.75)
OTHER_SEEDS = 3
"""Seeds for which the other shares are run as well."""


@dataclass(frozen=True)
class Job:
    """A seed and the shares of unknown facts that its arms are tuned on."""

    seed: int
    shares: tuple[float, ...]


def jobs_of(seeds: int, others: int = OTHER_SEEDS) -> list[Job]:
    """Return what is to be done for each seed; the first few, which have the other shares too, are the longest."""
    return [Job(seed, MAIN + OTHERS if seed <= others else MAIN) for seed in range(1, seeds + 1)]


def _work(job: Job, out: Path, plan: Plan) -> None:
    run_seed(out / f"seed-{job.seed}", job.seed, job.shares, plan, tick)


def run(jobs: Sequence[Job], out: Path, plan: Plan, processes: int) -> None:
    """Do the jobs side by side, and say how far they are."""
    with Crew(processes, sum(plan.cost(job.shares) for job in jobs)) as crew:
        waiting = {crew.submit(_work, job, out, plan) for job in jobs}
        while waiting:
            waiting -= crew.finished(waiting)
