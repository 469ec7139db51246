"""Doing the seeds side by side: a process of one core for each, and a word on how far they are."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.cli.display import span
from scripts.exam_world.seeds import Plan, run_seed

MAIN = (0.5,)
OTHERS = (0.0, 0.25, 0.75)
OTHER_SEEDS = 3
"""Seeds for which the other shares are run as well."""

_done: Any = None


@dataclass(frozen=True)
class Job:
    """A seed and the shares of unknown facts that its arms are tuned on."""

    seed: int
    shares: tuple[float, ...]


def jobs_of(seeds: int, others: int = OTHER_SEEDS) -> list[Job]:
    """Return what is to be done for each seed; the first few, which have the other shares too, are the longest."""
    return [Job(seed, MAIN + OTHERS if seed <= others else MAIN) for seed in range(1, seeds + 1)]


def _start(done: Any) -> None:
    global _done
    _done = done
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()


def _tick(steps: int) -> None:
    parent = multiprocessing.parent_process()
    if parent is None or not parent.is_alive():
        os._exit(1)  # killed, it could not tell its processes to end
    with _done.get_lock():
        _done.value += steps


def _work(job: Job, out: Path, plan: Plan) -> None:
    run_seed(out / f"seed-{job.seed}", job.seed, job.shares, plan, _tick)


def run(jobs: Sequence[Job], out: Path, plan: Plan, processes: int) -> None:
    """Do the jobs side by side, and say how far they are."""
    context = multiprocessing.get_context("spawn")
    done = context.Value("l", 0)
    total = sum(plan.cost(job.shares) for job in jobs)
    began = time.monotonic()
    with ProcessPoolExecutor(processes, context, _start, (done,)) as pool:
        waiting = {pool.submit(_work, job, out, plan) for job in jobs}
        while waiting:
            finished, waiting = wait(waiting, timeout=1 if sys.stderr.isatty() else 20)
            for future in finished:
                future.result()
            spent = time.monotonic() - began
            share = done.value / total
            left = f", {span(spent * (1 - share) / share)} left" if share > 0.02 else ""
            line = f"{share:4.0%} done, {span(spent)}{left}"
            print(f"\r{line:<60}" if sys.stderr.isatty() else line, end="" if sys.stderr.isatty() else "\n",
                  file=sys.stderr, flush=True)  # fmt: skip
    if sys.stderr.isatty():
        print(file=sys.stderr)
