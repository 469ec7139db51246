"""Training on preferences, from its settings to a model on the disk: behind `curate train dpo` and `wrpo`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from curate.errors import InputError
from curate.train.data.cache import encoded
from curate.train.data.mixture import mixed
from curate.train.data.sources import parse_sources
from curate.train.data.templates import Template
from curate.train.data.tokens import Coder
from curate.train.feed import Feed, fed
from curate.train.launch import processes, rank
from curate.train.model import autocasts, causal, fingerprint, precision
from curate.train.preference.groups import Groups
from curate.train.preference.losses import WITHOUT_REFERENCE
from curate.train.preference.packs import LAYOUTS, PairPack
from curate.train.preference.pairs import PairCoder
from curate.train.preference.reference import key_of, read_or_compute
from curate.train.preference.scoring import answer_logprobs, choose_layout, named, score, sums_of, weights_of
from curate.train.preference.settings import Preference, Wrpo, checked_preference
from curate.train.progress import Listener
from curate.train.sft import Run
from curate.train.steps import whole_packs
from curate.train.trainer import PackTrainer

Figures = dict[str, float]


class PreferenceTrainer(PackTrainer):
    """Updates weights by the mean loss of an update's groups, and counts how well the model tells their answers apart.

    A group's answers are in one pack, as its loss is a function of all of them.
    """

    settings: Preference

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Compute the gradient of one update and return its loss, this process's part times the processes."""
        self.units, self.sums = inputs["units"], torch.zeros(0)
        return super().training_step(model, inputs, num_items_in_batch)

    def compute_loss(self, model: nn.Module, inputs: Any, num_items_in_batch: int = 1, **_: Any) -> Tensor:
        """Return a pack's share of the mean loss over all groups of the update; processes' shares are averaged."""
        policy = answer_logprobs(model, inputs, self.args.device)
        weights = weights_of(self.settings, self.state.global_step, self.state.max_steps)
        scored = score(self.settings, policy, inputs, weights)
        sums = sums_of(scored, policy) * inputs["weight"]
        self.sums = self.sums + sums if len(self.sums) else sums
        return scored.losses.sum() * (inputs["weight"] * self.args.world_size / max(num_items_in_batch, 1))

    def own_figures(self) -> Figures:
        """Return the means of the last update over its groups, and WRPO's weight in it."""
        means = self.accelerator.reduce(self.sums.to(self.args.device), "sum") / self.units
        found = named(means, self.settings.sides)
        del found["loss"]
        if isinstance(self.settings, Wrpo):
            found["alpha"] = self.settings.weight(self.state.global_step - 1, self.state.max_steps)
        return found


class PreferenceRun(Run):
    """A run whose documents are groups: a prompt with a chosen and a rejected answer, perhaps with a source's too."""

    settings: Preference
    trainer = PreferenceTrainer

    def __init__(self, settings: Preference, listener: Listener) -> None:
        super().__init__(checked_preference(settings), listener)
        self.parts: list[Groups] = []

    def coder(self, tokenizer: Any, template: Template, longest: int) -> Coder:
        """Return what encodes the samples."""
        settings = self.settings
        verb = f"curate train {settings.verb}"
        return PairCoder(tokenizer, template, longest, settings.long, settings.sides, verb)

    def feed(self, coder: Coder) -> Feed:
        """Return the groups, on the disk."""
        settings, listener = self.settings, self.listener
        sources = parse_sources(settings.datasets, settings.fields or {})
        listener.doing("reads the samples")
        for source in sources:
            folder = encoded(source, coder, settings.out / "tokens", listener.reading)
            self.parts.append(Groups(folder, source.path, len(settings.sides)))
        data = mixed(sources, self.parts, held_out=settings.held_out, seed=settings.seed)
        chosen = settings.sides.index("chosen")
        shown = [group.document(chosen) for group in islice(data.held_out or data.train, settings.samples)]
        return fed(data, shown, settings, listener)

    def budget(self, feed: Feed, budget: int) -> int:
        """Return how many tokens a pack may hold: as many as the largest group at least."""
        largest = max(int(part.apart.max()) for part in self.parts)
        if self.settings.tokens and largest > budget:
            raise InputError(
                f"--tokens {budget}: a pack must hold a prompt with all its answers, the largest of which are "
                f"{largest:,} tokens; a smaller --max-length cuts them"
            )
        return max(budget, largest)

    def ready(self, model: nn.Module, config: Any, budget: int) -> None:
        """Choose how groups lie in packs, and have what the model says of the answers before it is trained."""
        layout, note = choose_layout(model, self.settings, self.device)
        self.layout = LAYOUTS[layout]
        if layout == "shared":
            once, each = (sum(int(getattr(part, name).sum()) for part in self.parts) for name in ("lengths", "apart"))
            saved = f"{once:,} tokens instead of {each:,} ({each / once:.2f} times as many)"
            note = f"a prompt is encoded once for all its answers: {saved}"
        if note:
            self.listener.say(note)
        if self.settings.loss in WITHOUT_REFERENCE:
            return
        folder, name = self.settings.references, fingerprint(self.settings.model, config)
        assert folder is not None
        precise = str(next(model.parameters()).dtype) + (" bfloat16" if autocasts(self.settings, self.device) else "")
        self.listener.doing("asks the model for its log-probabilities before training")

        def logprobs(pack: PairPack) -> npt.NDArray[np.float64]:
            with torch.no_grad(), precision(self.settings, self.device):
                found: npt.NDArray[np.float64] = answer_logprobs(causal(model), pack, self.device).cpu().numpy()
            return found

        training = model.training
        model.eval()
        for part in self.parts:
            part.references = read_or_compute(
                part, folder / key_of(part, name, precise), logprobs, self.layout, budget,
                packed=self.settings.pack, rank=rank(), world=processes(), progress=self.listener.reading,
            )  # fmt: skip
        model.train(training)

    def held_out(self, model: nn.Module, documents: Sequence[Any], budget: int) -> Figures:
        """Return the figures of held-out groups; WRPO's weight is there the highest, as at the end."""
        training, sums, settings = model.training, torch.zeros(0), self.settings
        model.eval()
        packs = whole_packs(documents, budget, layout=self.layout, packed=settings.pack)
        with torch.no_grad(), precision(settings, self.device):
            for _, pack in packs:
                policy = answer_logprobs(causal(model), pack, self.device)
                part = sums_of(score(settings, policy, pack, weights_of(settings, 1, 1)), policy)
                sums = sums + part if len(sums) else part
        model.train(training)
        return named(sums / len(documents), settings.sides)
