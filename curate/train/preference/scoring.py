"""What a model says of a pack's answers, and what the loss makes of it."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from curate.train import attention
from curate.train.data.tokens import Encoded
from curate.train.logprobs import Head, selected_logprobs
from curate.train.model import autocasts, causal, inputs_of, precision
from curate.train.preference.groups import Group
from curate.train.preference.losses import LOSSES, Scored, Weights
from curate.train.preference.packs import LAYOUTS, PairPack
from curate.train.preference.settings import Dpo, Preference, Wrpo
from curate.train.probe import EXACT, ROUGH

LENGTHS = (6, 5, 8, 3)
"""Tokens of a prompt and of the answers with which it is tried whether they can share it."""


def answer_logprobs(model: nn.Module, pack: PairPack, device: torch.device) -> Tensor:
    """Return the summed log-probabilities [G, A] of the answers, in float64: sums of thousands would lose digits."""
    ending = partial(_summed, owners=pack["owners"].to(device), answers=pack["lengths"].numel())
    sums: Tensor = model(**inputs_of(pack, device), ending=ending)
    return sums.view(pack["lengths"].shape)


def _summed(hidden: Tensor, head: Head, targets: Tensor, owners: Tensor, answers: int) -> Tensor:
    logprobs, _ = selected_logprobs(hidden, head, targets[:, None])
    return torch.zeros(answers, dtype=torch.float64, device=hidden.device).index_add(0, owners, logprobs[:, 0].double())


def weights_of(settings: Preference, step: int, steps: int) -> Weights:
    """Return the numbers in the loss of the update after `step` of `steps`."""
    gamma = settings.margin if isinstance(settings, Dpo) else None
    alpha = settings.weight(step, steps) if isinstance(settings, Wrpo) else 0.0
    return Weights(settings.scale, gamma or 0.0, alpha)


def score(settings: Preference, policy: Tensor, pack: PairPack, weights: Weights) -> Scored:
    """Return the losses of a pack's groups by the log-probabilities [G, A] of their answers."""
    reference, lengths = (pack[name].to(policy.device) for name in ("reference", "lengths"))
    return LOSSES[settings.loss](policy, reference, lengths, weights)


def sums_of(scored: Scored, policy: Tensor) -> Tensor:
    """Return what `named` names, summed over the groups."""
    right = (scored.margins > 0).double()
    columns = [scored.losses[:, None], scored.margins[:, None], right[:, None], scored.rewards, policy]
    return torch.cat(columns, 1).detach().sum(0)


def named(means: Tensor, sides: tuple[str, ...]) -> dict[str, float]:
    """Return the figures by name.

    `margin` is how much better the chosen answer is rewarded, `accuracy` the share of groups in which it is; then the
    reward and the log-probability of each side.
    """
    names = ["loss", "margin", "accuracy", *(f"{side}_reward" for side in sides), *(f"{side}_logp" for side in sides)]
    return dict(zip(names, means.tolist(), strict=True))


def choose_layout(model: nn.Module, settings: Preference, device: torch.device) -> tuple[str, str]:
    """Return how groups are to lie in packs, and what a user should know of it, "" for nothing."""
    if not settings.pack:
        return "padded", ""
    if not settings.share_prompts:
        return "apart", ""
    inner: Any = causal(model)
    if inner.config._attn_implementation == attention.NAMES["flex"]:
        why = "flex_attention, which this model needs here, is told of no shared prompts"
    elif not _can_share(model, settings, device):
        why = f"the attention of {type(inner).__name__} cannot share it"
    else:
        return "shared", ""
    return "apart", f"a prompt is encoded again for each of its answers: {why}"


def _can_share(model: nn.Module, settings: Preference, device: torch.device) -> bool:
    """Whether two groups give the same log-probabilities with their prompts shared as apart."""
    inner: Any = causal(model)
    generator, size = torch.Generator().manual_seed(0), inner.config.get_text_config().vocab_size
    groups = []
    for lengths in (LENGTHS, LENGTHS[1:]):
        rows = [torch.randint(size, (length,), generator=generator).tolist() for length in lengths]
        prompt, *answers = (Encoded(row, row, "") for row in rows)
        groups.append(Group(prompt, tuple(answers[:2]), (0.0, 0.0)))
    training = model.training
    model.eval()
    with torch.no_grad(), precision(settings, device):
        shared, apart = (
            answer_logprobs(inner, LAYOUTS[name].make(groups, None, 0), device) for name in ("shared", "apart")
        )
    model.train(training)
    exact = next(inner.parameters()).dtype == torch.float32 and not autocasts(settings, device)
    return bool(((shared - apart).abs() <= (EXACT if exact else ROUGH) * apart.abs()).all())
