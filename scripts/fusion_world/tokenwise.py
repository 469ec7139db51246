"""The arms that learn from distributions, all on one text, the best of the sources' responses; and those of merging."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from scripts.fusion_world import teachers, tuning
from scripts.fusion_world.arms import Built, Case, best_of_sources, own_data, tuned
from scripts.fusion_world.bench import Bench
from scripts.fusion_world.makers import SOURCES, TARGET_TOKENS, TWINS

RUNS = 3
"""Runs of which one is merged."""


def _captured(bench: Bench, name: str) -> Path:
    """Return what a source or a twin says of the text."""
    text, _ = best_of_sources(bench, 1.0)
    return teachers.captured(text, bench.source(name), bench.path("dists", f"{name}-captured"))


def _aligned(bench: Bench) -> list[Path]:
    """Return what the sources say of the text, in the target's tokens."""
    target = bench.target(bench.plan.strengths[0])
    return [
        teachers.aligned(_captured(bench, one.name), target, bench.path("dists", f"{one.name}-aligned"))
        for one in SOURCES
    ]


def _twins(bench: Bench) -> list[Path]:
    """Return what sources of the same skills say in the target's own tokens."""
    names = [one.name for one in SOURCES if one.tokens == TARGET_TOKENS] + [one.name for one in TWINS]
    return [_captured(bench, name) for name in names]


def _taught(
    bench: Bench, case: Case, name: str, dists: Sequence[Path], seed: int | None = None
) -> tuple[Path, Built]:  # fmt: skip
    data, built = best_of_sources(bench, 1.0)
    out = bench.run_folder(f"{name}-{case.key}")
    model = bench.target(case.strength)
    return tuning.fuse(data, model, out, bench.plan.steps.whole, seed or bench.seed, dists), built


def mince(bench: Bench, case: Case) -> tuple[Path, Built]:
    """Learn from the text and from the source that finds each of its answers least surprising."""
    return _taught(bench, case, "mince", _aligned(bench))


def same_tokens(bench: Bench, case: Case) -> tuple[Path, Built]:
    """The same with sources that have the target's tokenizer, so that nothing is lost by an alignment."""
    return _taught(bench, case, "same-tokens", _twins(bench))


def smoothing(bench: Bench, case: Case) -> tuple[Path, Built]:
    """The same text with label smoothing whose distributions have the teachers' mean entropy."""
    folder = bench.path("dists", "smoothed")
    note = folder.with_suffix(".json")
    if not note.exists():
        entropy = teachers.entropy_of(_aligned(bench))
        share = teachers.smoothing_of(entropy, len(bench.tokenizer))
        teachers.smoothed(_twins(bench)[0], share, folder)
        note.write_text(json.dumps({"entropy": entropy, "share": share}))
    path, built = _taught(bench, case, "smoothing", [folder])
    return path, {**built, **json.loads(note.read_text())}


def shuffled(bench: Bench, case: Case) -> tuple[Path, Built]:
    """The same text with the sources' distributions from other places of it."""
    folders = []
    for at, one in enumerate(_aligned(bench)):
        folder = bench.path("dists", f"{one.name}-shuffled")
        if not (folder / "dists.json").exists():
            teachers.shuffled(one, folder, bench.rng(9, at))
        folders.append(folder)
    return _taught(bench, case, "shuffled", folders)


def _pairwise(bench: Bench, case: Case) -> list[Path]:
    """Return the target fused with each source alone."""
    found = []
    for at, folder in enumerate(_aligned(bench)):
        name = f"pairwise-{at}"
        done = bench.path("models", f"{name}-{case.key}")
        if not (done / "training.json").exists():
            _taught(bench, case, name, [folder], bench.seed + 1000 * at)
        found.append(done)
    return found


def sce(bench: Bench, case: Case) -> tuple[Path, Built]:
    """Merge the targets that were fused with one source each by SCE."""
    out = bench.run_folder(f"sce-{case.key}")
    return tuning.merge("sce", _pairwise(bench, case), bench.target(case.strength), out), {}


def linear(bench: Bench, case: Case) -> tuple[Path, Built]:
    """The same by their mean."""
    out = bench.run_folder(f"linear-{case.key}")
    return tuning.merge("linear", _pairwise(bench, case), bench.target(case.strength), out), {}


def soup(bench: Bench, case: Case) -> tuple[Path, Built]:
    """Take the mean of targets that were fine-tuned on the best of their own responses, in orders of their own."""
    data, built = own_data(bench, case)
    runs = [tuned(bench, case, f"soup-{at}", data, bench.seed + 1000 * at) for at in range(RUNS)]
    merged = tuning.merge("linear", runs, bench.target(case.strength), bench.run_folder(f"soup-{case.key}"))
    for run in runs:
        shutil.rmtree(run)
    return merged, built
