"""Doing the seeds side by side, part by part."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from scripts.fusion_world.bench import Plan
from scripts.side_by_side import Crew, tick


def _work(seed: int, part: str, out: Path, plan: Plan) -> None:
    from scripts.fusion_world.seeds import run_part

    gc.freeze()  # every training collects garbage; what the libraries hold need not be looked through each time
    run_part(out / f"seed-{seed}", seed, part, plan, tick)


def run(seeds: Sequence[int], parts: Sequence[str], out: Path, plan: Plan, processes: int) -> None:
    """Do the parts of all seeds side by side, those of a seed one after the other, and say how far they are.

    A seed that has done a part queues behind the others: no core waits for a part to be done in all seeds.
    """
    from scripts.fusion_world.seeds import cases_of

    total = len(seeds) * sum(len(cases_of(part, plan)) for part in parts)
    with Crew(processes, total) as crew:
        waiting: dict[Future[None], tuple[int, int]] = {}

        def queue(seed: int, number: int) -> None:
            if number < len(parts):
                waiting[crew.submit(_work, seed, parts[number], out, plan)] = seed, number

        for seed in seeds:
            queue(seed, 0)
        while waiting:
            for future in crew.finished(waiting):
                seed, number = waiting.pop(future)
                queue(seed, number + 1)  # it goes on with the models of the parts before
