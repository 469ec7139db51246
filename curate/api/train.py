"""Training as Python functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.train.outcome import Trained


def train_sft(
    datasets: str | Path | Sequence[str | Path],
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

    `datasets` are files, runs' folders or names on the Hub, each perhaps with a weight ("math.jsonl:0.7"). `settings`
    are the fields of `curate.train.settings.Settings`, which are the options of the command: `method="lora"`,
    `epochs=2`, `held_out=0.02`; they take precedence over those of `recipe`. The same call again goes on from the last
    checkpoint in `out`, to the same weights; `out` then holds a checkpoint for `transformers` and vLLM, with its card.
    `push` names a model on the Hub ("me/my-model"), which gets the checkpoint and the card, private unless `public`.

    Raises:
        InputError: a setting, dataset or model that cannot be used, too little memory, or a folder with another run.
        RunError: the disk is full, or another process trains into the folder.
        HubError: the Hub refuses, or cannot be reached.
        MissingExtraError: torch or transformers is not installed.
    """
    from dataclasses import fields

    from curate.cli.training import train_and_push
    from curate.errors import InputError
    from curate.train.recipe import load_recipe
    from curate.train.settings import Settings

    known = [field.name for field in fields(Settings)]
    if wrong := [name for name in settings if name not in known]:
        raise InputError(f"{wrong[0]}: no such setting (known: {', '.join(known)})")
    several = [datasets] if isinstance(datasets, (str, Path)) else datasets
    given = {**(load_recipe(recipe).settings if recipe else {}), **settings}
    return train_and_push(Settings(tuple(map(str, several)), str(model), Path(out), **given), push, public, quiet)[0]
