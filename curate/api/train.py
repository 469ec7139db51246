"""Training as Python functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from curate.train.outcome import Trained
    from curate.train.settings import Settings

Datasets: TypeAlias = "str | Path | Sequence[str | Path]"
"""One dataset or several: files, runs' folders or names on the Hub."""


def train_sft(
    datasets: Datasets,
    *,
    model: str | Path,
    out: str | Path,
    recipe: str | None = None,
    push: str = "",
    public: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Trained:
    """Fine-tune a causal language model on conversations, and return what came of it.

    `datasets` are files, runs' folders or names on the Hub, each perhaps with a weight ("math.jsonl:0.7"); rows of
    `text` are plain documents, for continual pre-training without a template. `settings` are the fields of
    `curate.train.settings.Settings`, which are the options of the command: `method="lora"`, `epochs=2`,
    `held_out=0.02`; they take precedence over those of `recipe`. The same call again goes on from the last checkpoint
    in `out`, to the same weights; `out` then holds a checkpoint for `transformers` and vLLM, with its card. `push`
    names a model on the Hub ("me/my-model"), which gets the checkpoint and the card, private unless `public`.

    Raises:
        InputError: a setting, dataset or model that cannot be used, too little memory, or a folder with another run.
        RunError: the disk is full, or another process trains into the folder.
        HubError: the Hub refuses, or cannot be reached.
        MissingExtraError: torch or transformers is not installed.
    """
    from curate.train.settings import Settings

    return _trained(Settings, datasets, model, out, recipe, push, public, quiet, settings)


def train_fuse(
    datasets: Datasets,
    *,
    model: str | Path,
    out: str | Path,
    dists: str | Path | Sequence[str | Path] = (),
    teacher: str | Path | Sequence[str | Path] = (),
    recipe: str | None = None,
    push: str = "",
    public: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Trained:
    """Fuse what other models find probable, token by token, into a causal language model; return what came of it.

    `dists` are folders that `fuse_capture` and `fuse_align` made of the same samples, `teacher` models that are asked
    while the target trains. `settings` are the fields of `curate.train.distill.settings.Fusion`: beside those of
    `train_sft`, of which all else is said there, `weight` (λ), `choose` ("mince" or "avgce"), `tail` ("bucket" or
    "renormalise") and `top_k`.

    Raises:
        InputError: what `train_sft` raises it for, no source, or distributions of other samples or another tokenizer.
        RunError, HubError, MissingExtraError: as `train_sft`.
    """
    from curate.train.distill.settings import Fusion

    settings |= {"dists": _several(dists), "teacher": _several(teacher)}
    return _trained(Fusion, datasets, model, out, recipe, push, public, quiet, settings)


def train_dpo(
    datasets: Datasets,
    *,
    model: str | Path,
    out: str | Path,
    recipe: str | None = None,
    push: str = "",
    public: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Trained:
    """Train a causal language model to prefer chosen answers to rejected ones, and return what came of it.

    The rows of `datasets` have prompt, chosen and rejected. `settings` are the fields of
    `curate.train.preference.settings.Dpo`: `loss="ln-dpo"`, `beta=5.0`, `held_out=0.05`, and what `train_sft` takes;
    all else is as there. `references` names the folder where the model's log-probabilities before training are kept
    for other runs, `references` beside `out` unless given.

    Raises:
        InputError: rows without the columns, or as `train_sft`.
        RunError, HubError, MissingExtraError: as `train_sft`.
    """
    from curate.train.preference.settings import Dpo

    return _trained(Dpo, datasets, model, out, recipe, push, public, quiet, settings)


def train_wrpo(
    datasets: Datasets,
    *,
    model: str | Path,
    out: str | Path,
    recipe: str | None = None,
    push: str = "",
    public: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Trained:
    """Train a causal language model to prefer the answers of stronger models, more and more, as `train_dpo` does.

    The rows of `datasets` have prompt, chosen_source, chosen and rejected. `settings` are the fields of
    `curate.train.preference.settings.Wrpo`: `alpha=0.3`, `alpha_schedule="constant"`.

    Raises:
        InputError, RunError, HubError, MissingExtraError: as `train_dpo`.
    """
    from curate.train.preference.settings import Wrpo

    return _trained(Wrpo, datasets, model, out, recipe, push, public, quiet, settings)


def _several(values: Datasets) -> tuple[str, ...]:
    return tuple(map(str, [values] if isinstance(values, (str, Path)) else values))


def _trained(
    kind: type[Settings], datasets: Datasets, model: str | Path, out: str | Path, recipe: str | None, push: str,
    public: bool, quiet: bool, settings: Mapping[str, Any],
) -> Trained:  # fmt: skip
    """Train by settings of this kind, those given before those of the recipe."""
    from dataclasses import fields

    from curate.cli.training import train_and_push
    from curate.errors import InputError
    from curate.train.recipe import load_recipe

    known = [field.name for field in fields(kind)]
    if wrong := [name for name in settings if name not in known]:
        raise InputError(f"{wrong[0]}: no such setting (known: {', '.join(known)})")
    given = {**(load_recipe(recipe, kind).settings if recipe else {}), **settings}
    return train_and_push(kind(_several(datasets), str(model), Path(out), **given), push, public, quiet)[0]
