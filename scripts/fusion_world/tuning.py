"""Training an arm, by the functions behind `curate train` and `curate merge`, called in this process."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.fuse.merge.recipe import read_recipe
from curate.fuse.merge.run import merge_models
from curate.io import read_jsonl
from curate.train.distill.settings import Fusion
from curate.train.kinds import KINDS
from curate.train.preference.settings import Dpo, Wrpo
from curate.train.settings import Settings
from curate.train.sft import carry_out

BATCH = 64
RATE = 2e-3
PREFERENCE_RATE = 1e-4
"""The published ones are for models that are some ten thousand times as large."""

WRPO_BETA = 1.0
"""The published 0.01 is for answers of some hundred times as many tokens, whose log-probabilities are summed."""

TAU = 0.1
"""SCE's, as in FuseChat, whose weights come from the positions that differ most and which merges all."""


@dataclass(frozen=True)
class Steps:
    """Updates of an arm: `whole` of fine-tuning, or `half` of it and as many of preference training."""

    whole: int = 48
    half: int = 24


def sft(data: Path, model: Path, out: Path, steps: int, seed: int) -> Path:
    """Fine-tune."""
    return _train("sft", Settings(**_common(data, model, out, steps, RATE, seed)))


def dpo(data: Path, model: Path, out: Path, steps: int, seed: int) -> Path:
    """Train on pairs by length-normalised DPO."""
    common = _common(data, model, out, steps, PREFERENCE_RATE, seed)
    return _train("dpo", Dpo(**common, loss="ln-dpo", references=data.parent / "references"))


def wrpo(data: Path, model: Path, out: Path, steps: int, seed: int, schedule: str = "linear") -> Path:
    """Train on pairs and a source's answer by WRPO."""
    common = _common(data, model, out, steps, PREFERENCE_RATE, seed)
    references = data.parent / "references"
    return _train("wrpo", Wrpo(**common, beta=WRPO_BETA, alpha_schedule=schedule, references=references))


def fuse(data: Path, model: Path, out: Path, steps: int, seed: int, dists: Sequence[Path]) -> Path:
    """Train on a text and on what sources find probable in it (MinCE)."""
    folders = tuple(str(folder) for folder in dists)
    return _train("fuse", Fusion(**_common(data, model, out, steps, RATE, seed), dists=folders))


def merge(method: str, models: Sequence[Path], base: Path, out: Path) -> Path:
    """Merge models: their mean, or SCE of how they differ from `base`."""
    recipe: dict[str, Any] = {"merge_method": method, "models": [{"model": str(model)} for model in models]}
    if method == "sce":
        recipe |= {"base_model": str(base), "parameters": {"select_topk": TAU, "select": "weights"}}
    merge_models(read_recipe(recipe), out, threads=1)
    return out


def _common(data: Path, model: Path, out: Path, steps: int, rate: float, seed: int) -> dict[str, Any]:
    """Return the settings that all arms share; where there are fewer samples, each is read more often."""
    in_epoch = -(-sum(1 for _ in read_jsonl(data)) // BATCH)
    return {
        "datasets": (str(data),), "model": str(model), "out": out, "steps": steps, "epochs": -(-steps // in_epoch),
        "batch": BATCH, "lr": rate, "warmup": 0.1, "seed": seed, "samples": 0, "save_every": steps + 1,
    }  # fmt: skip


def _train(kind: str, settings: Settings) -> Path:
    # Runs on the same samples, at another strength say, have the same tokens: they are made once.
    tokens = Path(settings.datasets[0]).parent / "tokens"
    tokens.mkdir(exist_ok=True)
    settings.out.mkdir(parents=True, exist_ok=True)
    (settings.out / "tokens").symlink_to(tokens.resolve(), target_is_directory=True)
    carry_out(KINDS[kind], settings, None)
    shutil.rmtree(settings.out / "checkpoints", ignore_errors=True)  # nobody goes on from a run that is whole
    return settings.out
