"""A source in process: a causal model of Hugging Face, read as the trainer would read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers.utils import logging

from curate.errors import InputError
from curate.train import attention
from curate.train.data.packing import pack
from curate.train.data.templates import find_template
from curate.train.data.tokens import NO_LOSS, Coder, Encoded
from curate.train.dists import Header
from curate.train.dists.places import Located
from curate.train.dists.reading import Reading, Rows, Tick, nobody
from curate.train.hush import hushed
from curate.train.launch import device_number
from curate.train.logprobs import top_logprobs
from curate.train.model import (
    autocasts,
    causal,
    end_in_loss,
    fingerprint,
    head_of,
    inputs_of,
    open_config,
    open_model,
    open_tokenizer,
    precision,
    set_attention,
)
from curate.train.probe import check_model
from curate.train.settings import Settings
from curate.train.steps import make_pack

ROOM = {"cuda": 16_384, "cpu": 4_096}
"""Tokens of a pack."""

LOGITS = {"cuda": 4_096, "cpu": 512}
"""Rows whose logits exist at the same time."""


class Local:
    """A model that is loaded when the first rows are asked of it: what is captured already needs none.

    With `documents` it reads plain documents, for which it needs no template.

    Raises:
        InputError: no such model, tokenizer or template, or one that cannot be read.
    """

    def __init__(
        self, model: str, template: str | None, max_length: int | None, k: int, documents: bool = False
    ) -> None:
        logging.disable_progress_bar()
        self.device = torch.device("cuda", device_number()) if torch.cuda.is_available() else torch.device("cpu")
        weights = "bfloat16" if self.device.type == "cuda" else "float32"
        self.settings = Settings((), model, Path(), weights=weights, template=template)
        self.config = open_config(self.settings)
        tokenizer = open_tokenizer(self.settings, self.config)
        try:
            found = find_template(template, tokenizer, needed=not documents)
        except InputError as error:
            raise InputError(f"{model}: {error}") from None
        text = self.config.get_text_config()
        context = getattr(text, "max_position_embeddings", None)
        self.reading = Reading(Coder(tokenizer, found, limit_of(model, max_length, context)), documents)
        self.header = Header(
            model, fingerprint(model, self.config), self.reading.vocabulary.key, self.reading.template_key, k,
            text.vocab_size,
        )  # fmt: skip
        if k > text.vocab_size:
            raise InputError(f"--top-k {k}: {model} has {text.vocab_size:,} tokens")
        self._model: nn.Module | None = None
        self._packs = True

    def rows(
        self, located: Sequence[Located], wanted: Sequence[npt.NDArray[np.int64]], tick: Tick = nobody
    ) -> Iterator[Rows]:
        """Yield the rows of each sample: those that predict its tokens at the positions `wanted`, in their order.

        `tick` is told how many samples are read.
        """
        found: dict[int, Rows] = {}
        model = self.opened()
        limit = self.reading.coder.max_length
        lengths = [min(len(one.ids), limit) for one in located]
        for group in pack(lengths, max(ROOM[self.device.type], limit)):
            for part in [group] if self._packs else [[number] for number in group]:
                found.update(self._of_pack(model, located, wanted, part))
                tick(len(found))
        for number in range(len(located)):
            yield found.pop(number)

    def _of_pack(
        self, model: nn.Module, located: Sequence[Located], wanted: Sequence[npt.NDArray[np.int64]], group: list[int]
    ) -> Iterator[tuple[int, Rows]]:
        limit, inner = self.reading.coder.max_length, causal(model)
        documents = [located[number].ids[:limit].tolist() for number in group]
        given: dict[str, Any] = inputs_of(
            make_pack([Encoded(ids, [NO_LOSS] * len(ids), "") for ids in documents], None, 0), self.device
        )
        del given["places"], given["targets"]
        starts = np.cumsum([0, *map(len, documents)])
        states = np.concatenate([wanted[number] + start - 1 for number, start in zip(group, starts, strict=False)])
        tokens = np.concatenate([located[number].ids[wanted[number]] for number in group])
        # A document that ends with the token that also pads would be warned about.
        with torch.no_grad(), precision(self.settings, self.device), hushed():
            hidden = inner.get_decoder()(**given, use_cache=False).last_hidden_state[0]
        chosen = hidden[torch.from_numpy(states).to(self.device)]
        following = torch.from_numpy(tokens.astype(np.int64)).to(self.device)
        with torch.autocast(self.device.type, enabled=False):
            head = head_of(inner)
            parts = top_logprobs(chosen, head, self.header.k, following, LOGITS[self.device.type])
        ids, logp, tail, own = (part.cpu().numpy() for part in parts)
        if not np.isfinite(own).all() or np.isnan(tail).any():
            raise InputError(
                f"{self.header.model}: its log-probabilities are no numbers; are there NaN in its weights?"
            )
        ends = np.cumsum([len(wanted[number]) for number in group])[:-1]
        for number, *split in zip(group, *(np.split(part, ends) for part in (ids, logp, tail, own)), strict=True):
            yield number, Rows(split[0].astype(np.uint32), split[1], split[2], -split[3])

    def opened(self) -> nn.Module:
        """Return the model, loaded and tried."""
        if self._model is None:
            settings, device, config = self.settings, self.device, self.config
            model = open_model(settings, config, device).to(device).eval()
            end_in_loss(model)
            dtype = torch.bfloat16 if device.type == "cuda" or autocasts(settings, device) else torch.float32
            set_attention(model, attention.choose(device, dtype, config.get_text_config()))
            try:
                check_model(model, settings, device)
            except InputError:
                self._packs = False  # its documents may not share a pack; each alone must then be right
                check_model(model, replace(settings, pack=False), device)
            self._model = model
        return self._model

    def close(self) -> None:
        """Let go of the model."""
        self._model = None


def limit_of(model: str, max_length: int | None, context: int | None) -> int:
    """Return how many tokens of a sample are read. Raises InputError where the model reads fewer."""
    if max_length and context and max_length > context:
        raise InputError(
            f"--max-length {max_length}: the context of {model} is {context} tokens; give {context} or less"
        )
    return max_length or min(LONGEST, context or LONGEST)


LONGEST = 2048
"""Tokens of a sample unless told otherwise, or the model's context where that is shorter."""
