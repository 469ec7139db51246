"""Does a model, as we run it, compute what it computes by itself? Asked before the first step, with a few tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from curate.errors import InputError
from curate.train.data.tokens import Encoded
from curate.train.model import as_it_came, autocasts, causal, inputs_of, precision
from curate.train.settings import Settings
from curate.train.steps import make_pack

LENGTHS = (5, 9, 7)
"""Tokens of the documents that are tried."""

EXACT, ROUGH = 1e-4, 0.01
"""Shares by which two ways to add up the same loss may differ, in float32 and in bfloat16."""


def check_model(model: nn.Module, settings: Settings, device: torch.device) -> None:
    """Compare our loss of a pack of random documents with the model's own logits of each of them alone.

    Raises:
        InputError: documents of a pack see each other (state-space models and some hybrids carry on their state), or
            the model does more to its logits than we know.
    """
    inner: Any = causal(model)
    generator = torch.Generator().manual_seed(0)
    size = inner.config.get_text_config().vocab_size
    rows = [torch.randint(size, (length,), generator=generator).tolist() for length in LENGTHS]
    with as_it_came(model), precision(settings, device):
        alone = [_own_loss(inner, row, device) for row in rows]
    training = model.training
    model.eval()
    with torch.no_grad(), precision(settings, device):
        single = [_our_loss(inner, [row], device) for row in rows]
        together = _our_loss(inner, rows, device) if settings.pack else sum(single)
    model.train(training)
    exact = next(inner.parameters()).dtype == torch.float32 and not autocasts(settings, device)
    tolerance = (EXACT if exact else ROUGH) * sum(alone)
    if abs(sum(single) - sum(alone)) > tolerance:
        raise InputError(
            f"--model {settings.model}: its own loss of a short text is {sum(alone):.5g}, ours {sum(single):.5g}; it "
            f"does more to its logits or its attention than curate knows ({type(inner).__name__})"
        )
    if abs(together - sum(alone)) > tolerance:
        raise InputError(
            f"--model {settings.model}: documents packed together change each other ({type(inner).__name__}: loss "
            f"{together:.5g} instead of {sum(alone):.5g}); add --no-pack"
        )


def _own_loss(model: Any, row: list[int], device: torch.device) -> float:
    ids = torch.tensor([row], device=device)
    logits = model(input_ids=ids).logits[0, :-1].float()
    return float(nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))


def _our_loss(model: Any, rows: list[list[int]], device: torch.device) -> float:
    pack = make_pack([Encoded(row, row, "") for row in rows], None, 0)
    return float(model(**inputs_of(pack, device)))
