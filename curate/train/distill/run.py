"""Token-level fusion, from its settings to a model on the disk: behind `curate train fuse`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from curate.errors import InputError
from curate.train.data.mixture import mixed
from curate.train.data.sources import parse_sources
from curate.train.data.tokens import Coder
from curate.train.distill.lessons import Lessons, lessons_of
from curate.train.distill.live import Live
from curate.train.distill.settings import Fusion, check_fusion
from curate.train.distill.teaching import Stored, TaughtPack, Teaching
from curate.train.dists.folder import INDEX
from curate.train.dists.vocabulary import vocabulary_of
from curate.train.feed import Feed, fed
from curate.train.logprobs import Head, Taught, cross_entropy, fused_divergence
from curate.train.model import inputs_of, open_config
from curate.train.sft import Run
from curate.train.trainer import PackTrainer


class FusionTrainer(PackTrainer):
    """Updates weights by λ times the mean loss of an update's targets and (1 - λ) times that of those that are taught.

    Both means are over the whole update, however its documents lie in packs and whichever process has them.
    """

    settings: Fusion

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Compute the gradient of one update and return its loss, this process's part times the processes."""
        packs: list[TaughtPack] = inputs["packs"]
        names = list(packs[0]["chosen"])
        counts = torch.zeros(2 + len(names), dtype=torch.float64, device=self.args.device)
        for pack in packs:
            numbers = [pack["rows"], pack["turns"], *(pack["chosen"][name] for name in names)]
            counts += pack["weight"] * torch.tensor(numbers, dtype=torch.float64).to(counts)
        self.rows, self.turns, *shares = self.accelerator.reduce(counts, "sum").tolist()
        self.chosen = dict(zip(names, shares, strict=True))
        self.targets, self.sums = inputs["targets"], torch.zeros(2, device=self.args.device)
        return super().training_step(model, inputs, num_items_in_batch)

    def compute_loss(self, model: nn.Module, inputs: Any, num_items_in_batch: int = 1, **_: Any) -> Tensor:
        """Return a pack's share of the update's loss; processes' shares are averaged."""
        device = self.args.device
        taught = Taught(*(inputs[name].to(device, non_blocking=True) for name in ("ids", "probabilities", "tail")))
        weight, scale = self.settings.weight, inputs["weight"] * self.args.world_size
        own, other = scale / max(num_items_in_batch, 1), scale / max(self.rows, 1)

        def ending(hidden: Tensor, head: Head, targets: Tensor) -> tuple[Tensor, Tensor]:
            if weight < 1:
                return fused_divergence(hidden, head, targets, taught, (weight * own, (1 - weight) * other))
            # To the last bit what fine-tuning does; the other part is looked at alone.
            loss = cross_entropy(hidden, head, targets)
            with torch.no_grad():
                _, parts = fused_divergence(hidden, head, targets, taught, (0.0, 0.0))
            return loss * own, parts

        loss, parts = model(**inputs_of(inputs, device), ending=ending)
        self.sums = self.sums + parts.float() * inputs["weight"]
        return loss

    def own_figures(self) -> dict[str, float]:
        """Return both parts of the last update's loss, how many of its targets were taught, and by whom its turns."""
        clm, fusion = self.accelerator.reduce(self.sums, "sum").tolist()
        return {
            "clm_loss": clm / max(self.targets, 1),
            "fusion_loss": fusion / max(self.rows, 1),
            "taught": self.rows / max(self.targets, 1),
            **{f"by_{name}": share / max(self.turns, 1) for name, share in self.chosen.items()},
        }


class FusionRun(Run):
    """A run whose documents are lessons: what their targets are taught comes with their packs."""

    settings: Fusion
    trainer = FusionTrainer

    def feed(self, coder: Coder) -> Feed:
        """Return the documents, and open what teaches them."""
        settings, listener = self.settings, self.listener
        check_fusion(settings)
        vocabulary = vocabulary_of(coder.tokenizer, coder.end_ids[0] if len(coder.end_ids) == 1 else None)
        size = open_config(settings).get_text_config().vocab_size
        stored = [Stored(folder, vocabulary, size, settings.model) for folder in settings.dists]
        live = [Live(model, settings.top_k, coder, size) for model in settings.teacher]
        sources = parse_sources(settings.datasets, settings.fields or {})
        listener.doing("reads the samples")
        parts = [lessons_of(one, coder, vocabulary, settings.out / "tokens", listener.reading) for one in sources]
        for source in stored:
            for note in _missing(source, parts):
                listener.say(note)
        for one in live:
            listener.doing(f"opens {one.name}")
            one.open(sources)
        self.layout = Teaching([*stored, *live], settings.choose, settings.tail).layout
        data = mixed(sources, parts, held_out=settings.held_out, seed=settings.seed)
        feed = fed(data, data.held_out or data.train, settings, listener)
        contents = [*map(_content, stored), *(one.local.header.revision for one in live)]
        return replace(feed, names=(*feed.names, *contents))


def _missing(source: Stored, parts: Sequence[Lessons]) -> list[str]:
    """Return what is to be said of turns that a source has not seen. Raises InputError where it has seen none."""
    missing, total = map(sum, zip(*(source.missing(part) for part in parts), strict=True))
    if missing == total:
        raise InputError(
            f"--dists {source.folder}: none of the {total:,} turns of the dataset is in it; it was captured on other "
            "samples (messages must be the same to the letter)"
        )
    if not missing:
        return []
    return [f"{source.folder} has {total - missing:,} of the {total:,} turns; it has no part in the others"]


def _content(source: Stored) -> str:
    """Return what stands for the content of a folder of distributions."""
    digest = hashlib.blake2b((source.dists.folder / INDEX).read_bytes(), digest_size=8)
    for shard in source.dists.shards:
        digest.update(shard.columns["nll_per_byte"].tobytes())
    return digest.hexdigest()
