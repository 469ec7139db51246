"""What can be known of a run before anything is spent: that its models, prompts and data are there and fit."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curate.errors import InputError, without_credentials
from curate.fuse.merge.run import check_models
from curate.fuse.run.recipe import Stage
from curate.fuse.run.schema import TRAINING, Built, BuiltPairs, Collect, Merge, Recipe, TokenLevel, window_of
from curate.fuse.run.sides import read_by, share_of
from curate.fuse.run.steps import Marks
from curate.fuse.run.work import settings_of
from curate.fuse.split import is_for_sft
from curate.io import read_samples, sample_to_row
from curate.io.files import to_line
from curate.train import look_for_torch
from curate.train.distill.settings import Fusion
from curate.train.progress import Listener
from curate.train.settings import Settings, checked


def look(recipe: Recipe, stages: Sequence[Stage], out: Path) -> Marks:
    """Return the marks of everything that a run begins with.

    Raises:
        InputError: something is missing, cannot be read, or does not fit.
    """
    look_for_torch("curate fuse run")
    target = _fingerprint(recipe.target.model)
    merged = [name for stage in stages if isinstance(stage.options, Merge) for name in stage.options.models]
    if merged:
        check_models([recipe.target.model, *merged])
    models = {name: _fingerprint(name) for name in merged}
    data: dict[str, str] = {}
    for stage in stages:
        _check_settings(recipe, stage, out)
        if isinstance(stage.options, TokenLevel):
            models |= _readers(recipe, stage.options)
            data |= _texts(recipe, stages, stage.options)
    _check_weights(recipe)
    prompts, by_rule = _read(recipe, stages)
    if prompts:
        _check_scores(recipe, stages, by_rule)
    _check_data(recipe, out)
    return Marks(prompts, target, models, data)


def _readers(recipe: Recipe, options: Any) -> dict[str, str]:
    """Return the marks of the sources whose distributions are captured. Raises InputError for one that cannot be."""
    from curate.train.dists.local import Local

    settings = settings_of(recipe, Fusion, options)
    found = {}
    for source in recipe.sources:
        spec = without_credentials(source.spec)
        if source.model is None:
            raise InputError(
                f"source {spec}: the stage fuse needs more of a source than its words; name its `weights`, a folder or "
                "a name on the Hub"
            )
        try:
            reader = Local(source.model, source.template, settings.get("max_length"), settings.get("top_k", 10))
        except InputError as error:
            raise InputError(f"source {spec}: {error}") from None
        found[source.model] = reader.header.revision
    return found


def _texts(recipe: Recipe, stages: Sequence[Stage], options: Any) -> dict[str, str]:
    """Return the mark of the samples that token-level fusion learns from, where no stage makes them."""
    if not options.data and any(isinstance(stage.options, Collect) for stage in stages):
        return {}
    name = options.data or recipe.prompts
    if name is None:
        raise InputError("the stage fuse: which samples? Set its `data`, or give prompts with responses (--prompts)")
    digest = hashlib.blake2b(digest_size=16)
    for sample in read_samples(name):
        digest.update(to_line(sample_to_row(sample)).encode())
    return {name: digest.hexdigest()}


def _fingerprint(model: str) -> str:
    """Return what tells one state of a model from another. Raises InputError where there is no such model."""
    from curate.train.model import fingerprint, open_config

    return fingerprint(model, open_config(Settings((), model, Path())))


def _check_weights(recipe: Recipe) -> None:
    """Raise InputError for a source whose weights are in a folder that is not there."""
    from curate.train.model import HUB_NAME

    for source in recipe.sources:
        name = source.model
        if not name or Path(name).is_dir():
            continue
        if name.startswith((".", "/", "~")) or not HUB_NAME.fullmatch(name):
            raise InputError(f"source {without_credentials(source.spec)}: there is no such folder, nor such a model")


def _check_settings(recipe: Recipe, stage: Stage, out: Path) -> None:
    """Raise InputError where a stage that trains has a setting that cannot work."""
    if stage.kind not in TRAINING:
        return
    kind = TRAINING[stage.kind]
    given: dict[str, Any] = {"datasets": (), "model": recipe.target.model, "out": out}
    if kind is Fusion:
        given["dists"] = ("captured",)
    try:
        _check_training(kind(**given, **settings_of(recipe, kind, stage.options)))
    except InputError as error:
        raise InputError(f"the stage {stage.kind}: {error}") from None


def _check_training(settings: Settings) -> None:
    from curate.train.kinds import KINDS
    from curate.train.memory import check_room, free_bytes, need_of, size_of
    from curate.train.model import open_config

    run = KINDS[settings.verb](settings, Listener())
    settings = checked(run.settings)
    config = open_config(settings)
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    if settings.max_length and context and settings.max_length > context:
        raise InputError(f"--max-length {settings.max_length}: the context of the target is {context} tokens")
    size = size_of(config, settings)
    check_room(need_of(size, settings, run.device, 0, 0.0), free_bytes(run.device), size, settings, run.device, 1)


def _read(recipe: Recipe, stages: Sequence[Stage]) -> tuple[str, bool]:
    """Return a hash of the prompts, "" where no stage asks any, and whether a rule checks the responses to some."""
    if not any(isinstance(stage.options, Collect) for stage in stages):
        return "", False
    if recipe.prompts is None:
        raise InputError("which prompts? Name them in the recipe (prompts: FILE) or by --prompts FILE")
    from curate.fuse.prompts import read_prompts

    digest, by_rule = hashlib.blake2b(digest_size=16), False
    share, sides = share_of(recipe, stages), Counter[bool]()
    for prompt, reason in read_prompts(recipe.prompts, recipe.math_suffix):
        digest.update(f"{prompt.id} {prompt.check} {prompt.domain} {reason}\n".encode())
        by_rule = by_rule or prompt.check.kind != "none"
        sides[is_for_sft(prompt.id, share, recipe.seed)] += not reason
    for sft in {sft for _, sft in read_by(stages)}:
        if sides.total() and not sides[sft]:
            raise InputError(
                f"{recipe.prompts}: no prompt of {sides.total():,} is for {'sft' if sft else 'preferences'} at share "
                f"{share:g}; give another share, or more prompts"
            )
    return digest.hexdigest(), by_rule


def _check_scores(recipe: Recipe, stages: Sequence[Stage], by_rule: bool) -> None:
    """Raise InputError where no response could be called better than another, or no margin can be in the window."""
    scored = bool(recipe.reward or recipe.judge)
    for stage in stages:
        if not isinstance(stage.options, Built | BuiltPairs):
            continue
        if not scored and not (by_rule and stage.options.verdicts):
            raise InputError(
                f"the stage {stage.kind} chooses among responses, and nothing says which is better: give --reward "
                "MODEL or --judge SPEC, or prompts with known answers or tests"
            )
        if isinstance(stage.options, BuiltPairs) and recipe.judge:
            window = window_of(stage.options.margin, stage.kind)
            if window is not None and window.high < 1:
                raise InputError(
                    f"the stage {stage.kind}: no margin is inside {window}, as a judge's grades are whole numbers from "
                    f'1 to 10; set margin: "1:9", or none'
                )


def _check_data(recipe: Recipe, out: Path) -> None:
    """Raise InputError where the target cannot be measured on the data."""
    from curate.train.evaluate import Options
    from curate.train.evaluate import look as look_at

    measured = recipe.eval
    look_at(
        Options(
            (recipe.target.model,), measured.data, out, measured.limit, measured.new_tokens, measured.max_length,
            recipe.template,
        )
    )  # fmt: skip
