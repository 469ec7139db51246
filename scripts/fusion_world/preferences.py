"""The arms of preference training: half of the prompts and steps are fine-tuning's, the others are theirs.

All begin with the same fine-tuned target. Its own answers to the other half of the prompts are sampled anew, so that
what it prefers among them is about itself. Pairs are the best and the worst by a reward, as in the papers where no rule
checks an answer.
"""

from __future__ import annotations

from pathlib import Path

from curate.io import read_jsonl, write_jsonl
from scripts.fusion_world import pools, tuning
from scripts.fusion_world.arms import Built, Case, data_of, from_sources, halves, start
from scripts.fusion_world.bench import EACH, Bench
from scripts.fusion_world.makers import SOURCES, TARGET_TOKENS
from scripts.fusion_world.pools import Pool


def _responses(bench: Bench, case: Case) -> Pool:
    """Return the sources' responses to the second half of the prompts, and the fine-tuned target's own."""
    _, mine = halves(bench)
    tasks = [bench.world.prompts[at] for at in mine]
    model, _ = start(bench, case)
    drawn = bench.answers(
        f"start-{case.key}", model, TARGET_TOKENS, EACH * len(SOURCES), 30 + round(100 * case.accuracy), mine
    )
    rng = bench.rng(7, round(100 * case.accuracy))
    target = pools.responses(tasks, "target", {"target": drawn}, case.accuracy, rng)
    sources = from_sources(bench, case.accuracy)
    pool = pools.joined([sources[at] for at in mine], target)
    return pools.rewarded(tasks, pool, case.accuracy, rng)


def _pairs(bench: Bench, case: Case, kind: str, of: str = "source") -> tuple[Path, Built]:
    def build(path: Path) -> Built:
        tasks = [bench.world.prompts[at] for at in halves(bench)[1]]
        return pools.build(path, kind, tasks, _responses(bench, case), of=of, verdicts=False)

    name = f"{kind}-{case.accuracy}" if (kind, of) == ("dpo", "source") else f"{kind}-{of}-{case.key}"
    return data_of(bench, name, build)


def dpo(bench: Bench, case: Case, of: str = "source") -> tuple[Path, Built]:
    """Train the fine-tuned target on pairs of the same source by length-normalised DPO."""
    data, built = _pairs(bench, case, "dpo", of)
    model, _ = start(bench, case)
    out = bench.run_folder(f"dpo-{of}-{case.key}")
    return tuning.dpo(data, model, out, bench.plan.steps.half, bench.seed), built


def own_pairs(bench: Bench, case: Case) -> tuple[Path, Built]:
    """The same on pairs of the target's own answers."""
    return dpo(bench, case, "target")


def wrpo(bench: Bench, case: Case, schedule: str = "linear") -> tuple[Path, Built]:
    """Train the fine-tuned target by WRPO."""
    data, built = _pairs(bench, case, "wrpo")
    model, _ = start(bench, case)
    out = bench.run_folder(f"wrpo-{schedule}-{case.key}")
    return tuning.wrpo(data, model, out, bench.plan.steps.half, bench.seed, schedule), built


def constant(bench: Bench, case: Case) -> tuple[Path, Built]:
    """WRPO with the same weight of the source's answer in every step."""
    return wrpo(bench, case, "constant")


def other_prompts(bench: Bench, case: Case) -> tuple[Path, Built]:
    """WRPO where the source's answer is one to another prompt."""
    whole, _ = _pairs(bench, case, "wrpo")

    def shuffle(path: Path) -> Built:
        rows = list(read_jsonl(whole))
        write_jsonl(path, pools.shuffled_sources(rows, bench.rng(8)))
        return {"samples": len(rows), "dropped": {}}

    data, built = data_of(bench, f"shuffled-{case.key}", shuffle)
    model, _ = start(bench, case)
    out = bench.run_folder(f"wrpo-shuffled-{case.key}")
    return tuning.wrpo(data, model, out, bench.plan.steps.half, bench.seed), built
