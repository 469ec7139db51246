"""Supervised fine-tuning, from its settings to a model on the disk: the function behind `curate train sft`."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from curate.errors import InputError
from curate.io import atomic, open_alone
from curate.train import attention
from curate.train.card import write_card
from curate.train.checkpoint import DRAFT, checkpoints, clear_drafts, step_of, written
from curate.train.data.cache import check_template
from curate.train.data.sources import parse_sources
from curate.train.data.templates import Template, find_template
from curate.train.data.tokens import Coder, Encoded
from curate.train.feed import Feed, open_feed
from curate.train.final import move_in, save_model
from curate.train.flops import peak_of, work_of
from curate.train.hush import hushed
from curate.train.launch import check_stage, device_number, processes, rank, zero_stage
from curate.train.memory import check_room, fewest_recomputed, free_bytes, need_of, size_of, token_bytes
from curate.train.model import (
    DTYPES,
    autocasts,
    causal,
    check_method,
    end_in_loss,
    fingerprint,
    inputs_of,
    open_config,
    open_model,
    open_tokenizer,
    precision,
    set_attention,
)  # fmt: skip
from curate.train.outcome import Trained, figures_of
from curate.train.plot import draw_loss
from curate.train.probe import check_model
from curate.train.progress import Listener, Metrics, Progress, Speed
from curate.train.samples import answers, prompts_of
from curate.train.settings import Settings, checked, difference
from curate.train.steps import DOCUMENTS, Layout, Steps, whole_packs
from curate.train.trackers import open_trackers
from curate.train.trainer import PackTrainer

LONGEST = 2048
"""Tokens of a document unless told otherwise, or the model's context where that is shorter."""

LOCK = ".lock"

ROOM_FOR_PACKS = {"cuda": 16_384, "cpu": 4_096}
"""Tokens of a pack unless told otherwise: enough to keep a device busy."""


def sft(settings: Settings, listener: Listener | None = None) -> Trained:
    """Train and return what came of it; where `settings.out` has a part of this run, it goes on from there.

    The folder then holds a checkpoint that `transformers` loads, README.md, metrics.jsonl, loss.svg, samples.json,
    training.json (the settings and figures), dropped samples under tokens/, and checkpoints/ to go on from.

    Raises:
        InputError: a setting, dataset or model that cannot be used, too little memory, or a folder with another run.
        RunError: the disk is full, or another process trains into the folder.
    """
    return carry_out(Run, settings, listener)


def carry_out(kind: type[Run], settings: Settings, listener: Listener | None) -> Trained:
    """Do what `sft` does, by this kind of run."""
    check_stage(zero_stage())
    settings, listener = checked(settings), (listener or Listener()) if rank() == 0 else Listener()
    with hushed(), alone(settings.out, "trains into"):
        done = settings.out / "training.json"
        if done.exists():
            _same_run(settings.out, json.loads(done.read_text())["settings"], settings.identity())
            listener.say(f"{settings.out} holds the model of this very run; nothing to do")
            return Trained(**{**json.loads(done.read_text())["figures"], "out": settings.out})
        return kind(settings, listener).go()


@contextlib.contextmanager
def alone(out: Path, does: str) -> Iterator[None]:
    """Make `out` and keep it from other processes in the block; those of one launch come in behind their first.

    `does` says what others do with the folder. Where the block ends in an error and has left no file, the folder it
    made is gone again. Raises RunError where another process has the folder, or it cannot be made.
    """
    if rank():
        out.mkdir(parents=True, exist_ok=True)
        yield
        return
    made = [path for path in (out, *out.parents) if not path.exists()]
    with open_alone(out / LOCK, out, does):
        try:
            yield
        except BaseException:
            if made and all(path.is_dir() or path.name.endswith(LOCK) for path in out.rglob("*")):
                shutil.rmtree(out)
                with contextlib.suppress(OSError):  # another command may have put something there meanwhile
                    for path in made[1:]:
                        path.rmdir()
            raise


def _same_run(out: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    if words := difference(old, new):
        raise InputError(f"{out} holds another run ({words}); name another folder with --out")


class Run:
    """The parts of a run, as they are opened one after the other.

    Another kind of training has its own `coder`, `feed`, `ready`, `layout`, `steps`, `trainer`, `loss_on` or
    `held_out`; all else is the same.
    """

    trainer: type[PackTrainer] = PackTrainer
    layout: Layout = DOCUMENTS

    def __init__(self, settings: Settings, listener: Listener) -> None:
        self.settings, self.listener = settings, listener
        self.device = torch.device("cuda", device_number())
        if not torch.cuda.is_available():
            self.device = torch.device("cpu")
        else:
            # A resumed run is to end with the same bits; what has no such kernel warns.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.utils.deterministic.fill_uninitialized_memory = False
        self.main = rank() == 0

    def go(self) -> Trained:
        """Check, train, write."""
        settings = self.settings
        check_method(settings, self.device)
        self.listener.doing("opens the model")
        config = open_config(settings)
        tokenizer = open_tokenizer(settings, config)
        template = find_template(settings.template, tokenizer, needed=False)
        check_template(parse_sources(settings.datasets, settings.fields or {}), template)
        longest = self._longest(config)
        budget = settings.tokens or max(ROOM_FOR_PACKS[self.device.type], longest)
        if budget < longest:
            raise InputError(f"--tokens {budget}: a pack must hold the longest document, --max-length {longest}")
        size = size_of(config, settings)
        check_room(
            need_of(size, settings, self.device, 0, 0.0), free_bytes(self.device), size, settings, self.device, 1
        )
        coder = self.coder(tokenizer, template, longest)
        for note in coder.notes:
            self.listener.say(note)
        feed = self.feed(coder)
        identity = self._identity(feed, config)
        budget = self.budget(feed, budget)
        _seed(settings.seed)
        self.listener.doing("opens the model")
        model = self._model(config, size, budget)
        if self.main:
            with atomic(settings.out / "settings.json") as file:
                json.dump(identity, file, indent=1)
        self.ready(model, config, budget)
        return self._train(model, config, tokenizer, template, feed, budget)

    def coder(self, tokenizer: Any, template: Template, longest: int) -> Coder:
        """Return what encodes the samples."""
        return Coder(tokenizer, template, longest, self.settings.long)

    def feed(self, coder: Coder) -> Feed:
        """Return the documents."""
        return open_feed(self.settings, coder, self.listener, self.main)

    def budget(self, feed: Feed, budget: int) -> int:
        """Return how many tokens a pack may hold; raises InputError where that cannot be `budget`."""
        return budget

    def ready(self, model: nn.Module, config: Any, budget: int) -> None:
        """Do what there is to do between the opening of the model and its first update; here nothing."""

    def steps(self, feed: Feed, budget: int, pad_id: int) -> Steps:
        """Return the updates that the documents make."""
        settings = self.settings
        return Steps(
            feed.update, feed.in_epoch, layout=self.layout, budget=budget, epochs=settings.epochs, packed=settings.pack,
            pad_to=64 if settings.compile else None, pad_id=pad_id, rank=rank(), world=processes(),
        )  # fmt: skip

    def loss_on(self, model: nn.Module, documents: Sequence[Any], budget: int) -> float:
        """Return the loss of held-out documents."""
        return loss_on(model, documents, self.settings, self.device, budget)

    def held_out(self, model: nn.Module, documents: Sequence[Any], budget: int) -> dict[str, float]:
        """Return the loss of held-out documents and what other figures this kind of training has of them."""
        return {"loss": self.loss_on(model, documents, budget)}

    def _longest(self, config: Any) -> int:
        """Return the most tokens of a document."""
        context = getattr(config.get_text_config(), "max_position_embeddings", None)
        wanted = self.settings.max_length
        if wanted and context and wanted > context:
            raise InputError(
                f"--max-length {wanted}: the context of {self.settings.model} is {context} tokens; "
                f"give {context} or less"
            )
        return wanted or min(LONGEST, context or LONGEST)

    def _identity(self, feed: Feed, config: Any) -> dict[str, Any]:
        """Return what decides the result; refuse a folder where that was something else."""
        path, settings = self.settings.out / "settings.json", self.settings
        names = list(feed.names)
        identity = {**settings.identity(), "data": names, "weights of the model": fingerprint(settings.model, config)}
        if path.exists():
            _same_run(settings.out, json.loads(path.read_text(encoding="utf-8")), identity)
        return identity

    def _model(self, config: Any, size: Any, budget: int) -> nn.Module:
        """Return the model on the device, tried, and with no more layers computed anew than memory asks for."""
        settings, device = self.settings, self.device
        model = open_model(settings, config, device)
        if settings.method != "qlora":
            model.to(device)
        end_in_loss(model, settings.neftune)
        inner = causal(model)
        dtype = torch.bfloat16 if autocasts(settings, device) else DTYPES[settings.weights]
        set_attention(model, attention.choose(device, dtype, config.get_text_config()))
        check_model(model, settings, device)
        each = token_bytes(model, settings, device)
        # What is loaded is no longer free.
        room = free_bytes(device) + sum(weight.numel() * weight.element_size() for weight in model.parameters())
        layers = settings.recompute
        if layers is None:
            layers = fewest_recomputed(size, settings, device, budget, each, room)
        settings = replace(settings, recompute=layers)
        check_room(need_of(size, settings, device, budget, each), room, size, settings, device, budget)
        if layers:
            self.listener.say(f"the activations of {layers} of {size.layers} layers are computed again to save memory")
            _recompute(inner, layers)
        if settings.compile:
            for layer in inner.get_decoder().layers:
                layer.compile()
        return model

    def _train(
        self, model: nn.Module, config: Any, tokenizer: Any, template: Template, feed: Feed, budget: int
    ) -> Trained:
        settings, device = self.settings, self.device
        folder = settings.out / "checkpoints"
        if self.main:
            clear_drafts(folder)
            clear_drafts(settings.out)
        whole = checkpoints(folder)
        start = step_of(whole[-1]) if whole else 0
        steps = self.steps(feed, budget, tokenizer.pad_token_id)
        total = settings.steps or len(steps)
        prompts = prompts_of(feed.shown, settings.samples)
        first = self._before(model, tokenizer, prompts, feed.held_out, budget)
        peak, source = peak_of(device, torch.bfloat16 if device.type == "cuda" else DTYPES[settings.weights])
        metrics = Metrics(settings.out / "metrics.jsonl", start, writes=self.main)
        trackers = open_trackers(settings, start) if self.main else []

        def tell(progress: Progress) -> None:
            metrics.add(progress)
            for add, _ in trackers:
                add(progress)
            self.listener.watch(progress)

        speed = Speed(work_of(model), peak, metrics.rows[-1]["tokens"] if metrics.rows else 0)
        measure = (lambda: self.held_out(model, feed.held_out or (), budget)) if feed.held_out else None
        trainer = self.trainer(
            model, settings, steps, speed, device, total=total, tokenizer=tokenizer, tell=tell, held_out=measure
        )
        self.listener.doing("trains")
        if start:
            self.listener.say(f"goes on after update {start:,} of {total:,}")
        _seed(settings.seed)
        try:
            trainer.train(resume_from_checkpoint=str(whole[-1]) if whole else None)
        finally:
            metrics.close()
            for _, close in trackers:
                close()
        rows = metrics.rows
        counts = feed.counts()
        for note in counts.notes:
            self.listener.say(note)
        figures = figures_of(settings.out, total, model, counts, rows, speed, source, first["held_out_loss"])
        weights = trainer.gathered()
        if self.main:
            if weights is not None:
                model = open_model(settings, config, device).to(device)
                model.load_state_dict(weights)
            self._finish(model, config, tokenizer, template, prompts, first, rows, figures)
        return figures

    def _before(
        self, model: nn.Module, tokenizer: Any, prompts: Sequence[Any], held_out: Any, budget: int
    ) -> dict[str, Any]:
        """Return what the model says and its held-out loss before training; kept, as a resumed run cannot ask again."""
        path = self.settings.out / "before.json"
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return found
        self.listener.doing("answers before training")
        said = answers(model, tokenizer, [prompt for prompt, _ in prompts], self.settings, self.device)
        loss = self.held_out(model, held_out, budget)["loss"] if held_out else None
        first = {"answers": said, "held_out_loss": loss}
        if self.main:
            with atomic(path) as file:
                json.dump(first, file, ensure_ascii=False)
        return first

    def _finish(
        self, model: nn.Module, config: Any, tokenizer: Any, template: Template, prompts: Sequence[Any],
        first: dict[str, Any], rows: Sequence[dict[str, Any]], figures: Trained,
    ) -> None:  # fmt: skip
        """Write the model, and last of all training.json, which says that everything else is there."""
        out, settings = self.settings.out, self.settings
        self.listener.doing("answers after training, and writes the model")
        after = answers(model, tokenizer, [prompt for prompt, _ in prompts], settings, self.device)
        shown = [
            {"prompt": tokenizer.decode(prompt), "expected": tokenizer.decode(answer), "before": old, "after": new}
            for (prompt, answer), old, new in zip(prompts, first["answers"], after, strict=True)
        ]
        with atomic(out / "samples.json") as file:
            json.dump(shown, file, ensure_ascii=False, indent=1)
        start = {"step": 0, "held_out_loss": first["held_out_loss"]}
        draw_loss([start, *rows], out / "loss.svg", f"{Path(settings.model).name} on {', '.join(_names(settings))}")
        draft = out / DRAFT
        with written(draft, str(out), "the checkpoints stay"):
            save_model(model, config, tokenizer, template, settings, draft)
            move_in(draft, out)
        write_card(out, settings, figures.as_json(), shown)
        with atomic(out / "training.json") as file:
            json.dump({"settings": settings.identity(), "figures": figures.as_json()}, file, indent=1)
        (out / "before.json").unlink(missing_ok=True)


def _names(settings: Settings) -> list[str]:
    return [Path(text).name for text in settings.datasets]


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _recompute(model: Any, layers: int) -> None:
    """Compute the activations of the first `layers` layers again in the backward pass."""
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for layer in model.get_decoder().layers[layers:]:
        layer.gradient_checkpointing = False


def loss_on(
    model: nn.Module, documents: Sequence[Encoded], settings: Settings, device: torch.device, budget: int
) -> float:
    """Return the mean loss over all targets of the documents."""
    training, total, targets = model.training, 0.0, 0
    model.eval()
    with torch.no_grad(), precision(settings, device):
        for _, pack in whole_packs(documents, budget):
            total += float(causal(model)(**inputs_of(pack, device)))
            targets += len(pack["targets"])
    model.train(training)
    return total / max(targets, 1) if targets else math.nan
