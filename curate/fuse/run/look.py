"""What can be known of a run before anything is spent: that its models, prompts and data are there and fit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from curate.errors import InputError
from curate.fuse.merge.run import check_models
from curate.fuse.run.recipe import Stage
from curate.fuse.run.schema import Collect, Merge, Recipe
from curate.fuse.run.steps import Marks


def look(recipe: Recipe, stages: Sequence[Stage]) -> Marks:
    """Return the marks of everything that a run begins with.

    Raises:
        InputError: something is missing, cannot be read, or does not fit.
    """
    models = [name for stage in stages if isinstance(stage.options, Merge) for name in stage.options.models]
    target = _fingerprint(recipe.target.model)
    for stage in stages:
        if isinstance(stage.options, Merge) and stage.options.models:
            check_models([recipe.target.model, *stage.options.models])
    return Marks(_digest(recipe, stages), target, {name: _fingerprint(name) for name in models})


def _fingerprint(model: str) -> str:
    """Return what tells one state of a model from another. Raises InputError where there is no such model."""
    from curate.train.model import fingerprint, open_config
    from curate.train.settings import Settings

    return fingerprint(model, open_config(Settings((), model, Path())))


def _digest(recipe: Recipe, stages: Sequence[Stage]) -> str:
    """Return a hash of the prompts, "" where no stage asks any."""
    if not any(isinstance(stage.options, Collect) for stage in stages):
        return ""
    if recipe.prompts is None:
        raise InputError("which prompts? Name them in the recipe (prompts: FILE) or by --prompts FILE")
    from curate.fuse.prompts import read_prompts

    digest = hashlib.blake2b(digest_size=16)
    for prompt, reason in read_prompts(recipe.prompts, recipe.math_suffix):
        digest.update(f"{prompt.id} {prompt.check} {prompt.domain} {reason}\n".encode())
    return digest.hexdigest()
