"""What can be known of a run before anything is spent: that its models, prompts and data are there and fit."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curate.errors import InputError, without_credentials
from curate.fuse.capture import Options as Capture
from curate.fuse.merge.run import check_models
from curate.fuse.run.recipe import Stage
from curate.fuse.run.schema import TRAINING, Built, BuiltPairs, Collect, Merge, Recipe, TokenLevel, window_of
from curate.fuse.run.sides import read_by, share_of
from curate.fuse.run.steps import Marks
from curate.fuse.run.work import settings_of
from curate.fuse.split import is_for_sft
from curate.io import read_samples, sample_to_row
from curate.io.files import to_line
from curate.run import key_of
from curate.train import look_for_torch
from curate.train.data.formats import document_of
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
    data: dict[str, tuple[str, int]] = {}
    for stage in stages:
        _check_settings(recipe, stage, out)
        if isinstance(stage.options, TokenLevel):
            _check_readable(recipe)
            texts, documents = _texts(recipe, stages, stage.options)
            models |= _readers(recipe, stage.options, documents)
            data |= texts
    _check_weights(recipe)
    prompts, by_rule, for_sft = _read(recipe, stages)
    if prompts:
        _check_scores(recipe, stages, by_rule)
    _check_data(recipe, out)
    counts = {name: count for name, (_, count) in data.items()} | {"": for_sft}
    return Marks(prompts, target, models, {name: mark for name, (mark, _) in data.items()}, counts)


def _readers(recipe: Recipe, options: Any, documents: bool) -> dict[str, str]:
    """Return the marks of the sources whose distributions are captured. Raises InputError for one that cannot be."""
    from curate.fuse.capture.run import open_source

    settings = settings_of(recipe, Fusion, options)
    limits = {"k": settings.get("top_k", 10), "max_length": settings.get("max_length")}
    found = {}
    for source in recipe.sources:
        model = str(source.read_from)
        try:
            asked = Capture(model, Path(), template=source.template, tokenizer=source.tokenizer, **limits)
            header = open_source(asked, documents).header
        except InputError as error:
            raise InputError(f"source {without_credentials(source.spec)}: {error}") from None
        found[model] = key_of(asdict(header)) if source.is_asked else header.revision
    return found


def _check_readable(recipe: Recipe) -> None:
    """Raise InputError for a source of which no more is known than how to ask it."""
    for source in recipe.sources:
        if source.read_from is None:
            raise InputError(
                f"source {without_credentials(source.spec)}: the stage fuse needs more of a source than its words; "
                "name its `tokenizer`, and its server is asked how probable tokens are (vLLM says it), or its "
                "`weights`, which are read here"
            )


def _texts(recipe: Recipe, stages: Sequence[Stage], options: Any) -> tuple[dict[str, tuple[str, int]], bool]:
    """Return mark and number of the samples that token-level fusion learns from, and whether they are plain documents.

    Samples that a stage makes have no mark.
    """
    if not options.data and any(isinstance(stage.options, Collect) for stage in stages):
        return {}, False
    name = options.data or recipe.prompts
    if name is None:
        raise InputError("the stage fuse: which samples? Set its `data`, or give prompts with responses (--prompts)")
    digest, count, documents = hashlib.blake2b(digest_size=16), 0, False
    for sample in read_samples(name, documents=True):
        digest.update(to_line(sample_to_row(sample)).encode())
        documents = document_of(sample) is not None
        count += 1
    return {name: (digest.hexdigest(), count)}, documents


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
        raise InputError(
            f"--max-length {settings.max_length}: the context of the target is {context} tokens; give {context} or less"
        )
    size = size_of(config, settings)
    check_room(need_of(size, settings, run.device, 0, 0.0), free_bytes(run.device), size, settings, run.device, 1)


def _read(recipe: Recipe, stages: Sequence[Stage]) -> tuple[str, bool, int]:
    """Return a hash of the prompts, "" where none are asked, whether rules check responses, and how many SFT takes."""
    if not any(isinstance(stage.options, Collect) for stage in stages):
        return "", False, 0
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
    return digest.hexdigest(), by_rule, sides[True]


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
