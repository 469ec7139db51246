"""Doing the seeds side by side: a process of one core for each, and a word on how far they are."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from curate.cli.display import span
from scripts.fusion_world.bench import Plan

_done: Any = None


def _start(done: Any) -> None:
    global _done
    _done = done
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    logging.set_verbosity_error()


def _tick(arms: int) -> None:
    parent = multiprocessing.parent_process()
    if parent is None or not parent.is_alive():
        os._exit(1)  # killed, it could not tell its processes to end
    with _done.get_lock():
        _done.value += arms


def _work(seed: int, part: str, out: Path, plan: Plan) -> None:
    from scripts.fusion_world.seeds import run_part

    run_part(out / f"seed-{seed}", seed, part, plan, _tick)


def run(seeds: Sequence[int], parts: Sequence[str], out: Path, plan: Plan, processes: int) -> None:
    """Do the parts of all seeds side by side, those of a seed one after the other, and say how far they are.

    A seed that has done a part queues behind the others: no core waits for a part to be done in all seeds.
    """
    from scripts.fusion_world.seeds import cases_of

    context = multiprocessing.get_context("spawn")
    done = context.Value("l", 0)
    total = len(seeds) * sum(len(cases_of(part, plan)) for part in parts)
    began = time.monotonic()
    with ProcessPoolExecutor(processes, context, _start, (done,)) as pool:
        waiting: dict[Future[None], tuple[int, int]] = {}

        def queue(seed: int, number: int) -> None:
            if number < len(parts):
                waiting[pool.submit(_work, seed, parts[number], out, plan)] = seed, number

        for seed in seeds:
            queue(seed, 0)
        while waiting:
            for future in wait(waiting, 1 if sys.stderr.isatty() else 20, FIRST_COMPLETED).done:
                seed, number = waiting.pop(future)
                future.result()
                queue(seed, number + 1)  # it goes on with the models of the parts before
            _tell(done.value / total, time.monotonic() - began)
    if sys.stderr.isatty():
        print(file=sys.stderr)


def _tell(share: float, spent: float) -> None:
    left = f", {span(spent * (1 - share) / share)} left" if share > 0.02 else ""
    line = f"{share:4.0%} done, {span(spent)}{left}"
    tty = sys.stderr.isatty()
    print(f"\r{line:<60}" if tty else line, end="" if tty else "\n", file=sys.stderr, flush=True)
