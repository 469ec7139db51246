"""Log-probabilities of chosen tokens straight from hidden states: the logits of all tokens never exist at once.

`selected_logprobs` is the one primitive under every loss: K = 1 serves fine-tuning, preferences and cached references,
K > 1 distillation. `cross_entropy` is its case for fine-tuning: the gradient is taken in the forward pass, while a
chunk's logits are at hand, so that the head costs three matrix products instead of four (Liger Kernel, arXiv
2410.10989, section 3.2). `fused_divergence` is that with sparse distributions beside the targets. Logits, sums and the
gradient of the head are kept in float32 whatever the weights are: adding up in bfloat16 biases training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

CHUNK = 4096
"""Tokens whose logits exist at the same time: fewer leave a GPU waiting for the weights, more only take memory."""

CPU_CHUNK = 512
"""The same on a processor, where logits that leave its caches take longer than the products they come of."""


SMALL = 0.01
"""The share of a row's probability below which it is not told as a difference to 1."""


@dataclass(frozen=True)
class Head:
    """The last layer of a language model: logits = softcap(scale * (hidden @ weight.T + bias)).

    `weight` is [V, d], which tied models share with their embedding; `bias` is [V]. `softcap` c stands for
    c * tanh(x / c) (Gemma 2, arXiv 2408.00118, section 2).
    """

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None


@dataclass(frozen=True)
class Taught:
    """Distributions to learn from, a row for each position: `probabilities` of the tokens `ids`, both [N, K].

    `tail` [N] is the probability of all other tokens together. The first place of a row holds a token, perhaps of
    probability 0, tokens stand once, and -1 fills places that are not used. A row of zeros teaches nothing.
    """

    ids: Tensor
    probabilities: Tensor
    tail: Tensor


def chunk_on(device: torch.device) -> int:
    """Return how many tokens' logits exist at the same time."""
    return CPU_CHUNK if device.type == "cpu" else CHUNK


def selected_logprobs(hidden: Tensor, head: Head, ids: Tensor, chunk: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities of `ids` [N, K] after `hidden` [N, d], and the logsumexp [N] of each row's logits.

    The k-th logit is `logp[:, k] + logsumexp`. Both are float32 (float64 for a float64 model) and differentiable in
    `hidden`, the weight and the bias; the backward pass computes the logits anew.
    """
    chunk = chunk or chunk_on(hidden.device)
    logp, logsumexp = _SelectedLogprobs.apply(hidden, head.weight, head.bias, ids, head, chunk)
    return logp, logsumexp


def cross_entropy(hidden: Tensor, head: Head, ids: Tensor, chunk: int | None = None) -> Tensor:
    """Return the summed negative log-likelihood of `ids` [N] after `hidden` [N, d]; its gradient is computed at once.

    The sum is what `-selected_logprobs(hidden, head, ids[:, None])[0].sum()` is. Without gradients (under `no_grad`)
    nothing but the loss is computed.
    """
    needed = torch.is_grad_enabled()
    chunk = chunk or chunk_on(hidden.device)
    loss: Tensor = _CrossEntropy.apply(hidden, head.weight, head.bias, ids, head, chunk, needed)
    return loss


def fused_divergence(
    hidden: Tensor,
    head: Head,
    targets: Tensor,
    taught: Taught,
    shares: tuple[float, float],
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return shares[0] * C + shares[1] * F, and the two sums [C, F] by themselves, without a gradient.

    C is `cross_entropy` of `targets` [N] after `hidden` [N, d]. F is the cross-entropy of the distributions `taught`
    and the model's, q, over the places of each row and one bin for all other tokens:
    - sum_k p_k log q_k - p_tail log(1 - sum_k q_k). Its gradient comes of the same logits as that of C, for K more
    numbers a row; neither distribution is ever dense.
    """
    needed = torch.is_grad_enabled()
    chunk = chunk or chunk_on(hidden.device)
    loss, parts = _FusedDivergence.apply(hidden, head.weight, head.bias, targets, taught, head, shares, chunk, needed)
    return loss, parts


@torch.no_grad()  # type: ignore[untyped-decorator]
def top_logprobs(hidden: Tensor, head: Head, k: int, ids: Tensor, chunk: int = CHUNK) -> tuple[Tensor, ...]:
    """Return what is most probable after `hidden` [N, d], without gradients, in float32 (float64 for float64).

    That is the `k` most probable tokens [N, k], their log-probabilities [N, k] descending, the logarithm [N] of all
    other tokens' probability (-inf where there are no others), and the log-probabilities of `ids` [N].
    """
    kind, device = _wide(hidden), hidden.device
    top = torch.empty(len(ids), k, dtype=torch.int64, device=device)
    logp = torch.empty(len(ids), k, dtype=kind, device=device)
    tail, own = torch.empty(len(ids), dtype=kind, device=device), torch.empty(len(ids), dtype=kind, device=device)
    used = head.weight.to(hidden.dtype)
    for start in range(0, len(ids), chunk):
        rows = slice(start, start + chunk)
        logits, _ = _logits(hidden[rows], used, head.bias, head)
        logsumexp = torch.logsumexp(logits, 1, keepdim=True)
        own[rows] = (logits.gather(1, ids[rows, None]) - logsumexp)[:, 0]
        found, top[rows] = logits.topk(k, 1)
        logp[rows] = found - logsumexp
        mass = logp[rows].exp().sum(1)
        tail[rows] = torch.log1p(-mass)
        # 1 minus the sum of the k loses a small rest in rounding; there the others are added up.
        small = (mass > 1 - SMALL).nonzero()[:, 0]
        if len(small):
            others = logits[small].scatter_(1, top[rows][small], -torch.inf)
            tail[start + small] = others.logsumexp(1) - logsumexp[small, 0]
    return top, logp, tail, own


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return left @ right, added up and given in float32 (in float64 for float64)."""
    if left.dtype == torch.float64:
        return left @ right.to(left.dtype)
    if left.is_cuda and left.dtype != torch.float32:
        return torch.mm(left, right.to(left.dtype), out_dtype=torch.float32)
    return left.float() @ right.float()


def _logits(rows: Tensor, weight: Tensor, bias: Tensor | None, head: Head) -> tuple[Tensor, Tensor | None]:
    """Return the logits of one chunk, and their derivative by the product where that is not the scale alone."""
    logits = product(rows, weight.t())
    if bias is not None:
        logits += bias
    if head.scale != 1.0:
        logits *= head.scale
    if head.softcap is None:
        return logits, None
    bent = torch.tanh_(logits.div_(head.softcap))
    return bent * head.softcap, 1 - bent * bent


def _push_back(gradient: Tensor, slope: Tensor | None, head: Head) -> Tensor:
    """Take the gradient by the logits back to the one by the product."""
    if slope is not None:
        gradient *= slope
    if head.scale != 1.0:
        gradient *= head.scale
    return gradient


class _Gradients:
    """The gradients of the three inputs, as the chunks add to them."""

    def __init__(self, hidden: Tensor, weight: Tensor, bias: Tensor | None, needs: tuple[bool, bool, bool]) -> None:
        kind = _wide(hidden)
        self.weight_used = weight.to(hidden.dtype)
        self.hidden = torch.empty_like(hidden) if needs[0] else None
        self.weight = torch.zeros(weight.shape, dtype=kind, device=hidden.device) if needs[1] else None
        self.bias = torch.zeros(bias.shape, dtype=kind, device=hidden.device) if bias is not None and needs[2] else None

    def add(self, rows: slice, hidden: Tensor, logits: Tensor) -> None:
        """Add what the rows' gradient by the logits [n, V] gives."""
        # The products take the precision of the model, as they would in its own backward pass; the sums do not.
        narrow = logits.to(hidden.dtype)
        if self.hidden is not None:
            self.hidden[rows] = product(narrow, self.weight_used).to(self.hidden.dtype)
        if self.weight is not None and self.weight.dtype == hidden.dtype:
            self.weight.addmm_(narrow.t(), hidden)
        elif self.weight is not None:
            self.weight += product(narrow.t(), hidden)
        if self.bias is not None:
            self.bias += logits.sum(0)


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


class _SelectedLogprobs(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, ids: Tensor, head: Head, chunk: int
    ) -> tuple[Tensor, Tensor]:
        logp = torch.empty(ids.shape, dtype=_wide(hidden), device=hidden.device)
        logsumexp = torch.empty(len(ids), dtype=_wide(hidden), device=hidden.device)
        used = weight.to(hidden.dtype)
        for start in range(0, len(ids), chunk):
            rows = slice(start, start + chunk)
            logits, _ = _logits(hidden[rows], used, bias, head)
            logsumexp[rows] = torch.logsumexp(logits, 1)
            logp[rows] = logits.gather(1, ids[rows]) - logsumexp[rows, None]
        ctx.save_for_backward(hidden, weight, bias, ids, logsumexp)
        ctx.head, ctx.chunk = head, chunk
        return logp, logsumexp

    @staticmethod
    def backward(ctx: Any, by_logp: Tensor, by_logsumexp: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, ids, logsumexp = ctx.saved_tensors
        sums = _Gradients(hidden, weight, bias, ctx.needs_input_grad[:3])
        for start in range(0, len(ids), ctx.chunk):
            rows = slice(start, start + ctx.chunk)
            logits, slope = _logits(hidden[rows], sums.weight_used, bias, ctx.head)
            # d logp_k = d logit_k - softmax · d logits, and d logsumexp = softmax · d logits.
            softmax = logits.sub_(logsumexp[rows, None]).exp_()
            gradient = softmax.mul_((by_logsumexp[rows] - by_logp[rows].sum(1))[:, None])
            gradient.scatter_add_(1, ids[rows], by_logp[rows])
            sums.add(rows, hidden[rows], _push_back(gradient, slope, ctx.head))
        return (*_finished(sums, weight, bias), None, None, None)


class _CrossEntropy(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, ids: Tensor, head: Head, chunk: int, needed: bool
    ) -> Tensor:
        needs = tuple(needed and need for need in ctx.needs_input_grad[:3])
        sums = _Gradients(hidden, weight, bias, (needs[0], needs[1], needs[2]))
        loss = torch.zeros((), dtype=_wide(hidden), device=hidden.device)
        for start in range(0, len(ids), chunk):
            rows, chosen = slice(start, start + chunk), ids[start : start + chunk, None]
            logits, slope = _logits(hidden[rows], sums.weight_used, bias, head)
            by_target = logits.gather(1, chosen)
            # One exponential for loss and gradient, in the place of the logits.
            most = logits.amax(1, keepdim=True)
            gradient = logits.sub_(most).exp_()
            total = gradient.sum(1, keepdim=True)
            loss += (total.log() + most - by_target).sum()
            if any(needs):
                gradient.div_(total).scatter_add_(1, chosen, torch.full_like(total, -1.0))
                sums.add(rows, hidden[rows], _push_back(gradient, slope, head))
        ctx.gradients = _finished(sums, weight, bias)
        return loss

    @staticmethod
    def backward(ctx: Any, by_loss: Tensor) -> tuple[Tensor | None, ...]:
        # In place: the gradient of a large head is gigabytes, and no one else holds it.
        by_hidden, by_weight, by_bias = (each.mul_(by_loss) if each is not None else None for each in ctx.gradients)
        del ctx.gradients
        return by_hidden, by_weight, by_bias, None, None, None, None


class _FusedDivergence(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, taught: Taught, head: Head,
        shares: tuple[float, float], chunk: int, needed: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        needs = tuple(needed and need for need in ctx.needs_input_grad[:3])
        sums = _Gradients(hidden, weight, bias, (needs[0], needs[1], needs[2]))
        parts = torch.zeros(2, dtype=_wide(hidden), device=hidden.device)
        for start in range(0, len(targets), chunk):
            rows = slice(start, start + chunk)
            logits, slope = _logits(hidden[rows], sums.weight_used, bias, head)
            part, gradient = _divergence(logits, targets[rows, None], taught, rows, shares, any(needs))
            parts += part
            if any(needs):
                sums.add(rows, hidden[rows], _push_back(gradient, slope, head))
        ctx.gradients = _finished(sums, weight, bias)
        ctx.mark_non_differentiable(parts)
        return shares[0] * parts[0] + shares[1] * parts[1], parts

    @staticmethod
    def backward(ctx: Any, by_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        by_hidden, by_weight, by_bias = (each.mul_(by_loss) if each is not None else None for each in ctx.gradients)
        del ctx.gradients
        return by_hidden, by_weight, by_bias, None, None, None, None, None, None


def _divergence(
    logits: Tensor, targets: Tensor, taught: Taught, rows: slice, shares: tuple[float, float], needed: bool
) -> tuple[Tensor, Tensor]:
    """Return the two sums of a chunk, and in the place of its `logits` [n, V] the gradient by them.

    With r the softmax over the tokens that a row does not name, M = sum_k p_k + p_tail and shares a, b, the gradient is
    r_v * ((a + b M) q_rest - b p_tail) for those, (a + b M) q_k - b p_k for the others, and -a more for the target:
    one exponential for each logit, and nothing divided by a probability.
    """
    own, other = shares
    ids, tail = taught.ids[rows], taught.tail[rows, None].to(logits.dtype)
    used = ids >= 0
    # An unused place stands for the first one, where it changes nothing.
    ids = torch.where(used, ids, ids[:, :1])
    chance = taught.probabilities[rows].to(logits.dtype).masked_fill(~used, 0.0)
    by_target = logits.gather(1, targets)
    named = logits.gather(1, ids).masked_fill_(~used, -torch.inf)
    logits.scatter_(1, ids, -torch.inf)
    # One exponential for loss and gradient, in the place of the logits; finite where a row names the whole vocabulary.
    most = logits.amax(1, keepdim=True).clamp_(min=torch.finfo(logits.dtype).min)
    gradient = logits.sub_(most).exp_()
    total = gradient.sum(1, keepdim=True).clamp_(min=torch.finfo(logits.dtype).tiny)
    rest = total.log() + most
    logsumexp = torch.logaddexp(rest, torch.logsumexp(named, 1, keepdim=True))
    named -= logsumexp
    log_rest = rest - logsumexp
    # A token that is not named, or bears nothing, adds nothing, however improbable it is.
    crossed = torch.where(chance > 0, chance * named, 0.0).sum() + torch.where(tail > 0, tail * log_rest, 0.0).sum()
    parts = torch.stack(((logsumexp - by_target).sum(), -crossed))
    if not needed:
        return parts, gradient
    mass = own + other * (chance.sum(1, keepdim=True) + tail)
    gradient.mul_((mass * log_rest.exp() - other * tail) / total)
    gradient.scatter_add_(1, ids, (mass * named.exp() - other * chance).masked_fill_(~used, 0.0))
    gradient.scatter_add_(1, targets, torch.full_like(by_target, -own))
    return parts, gradient


def _finished(sums: _Gradients, weight: Tensor, bias: Tensor | None) -> tuple[Tensor | None, ...]:
    """Return the gradients in the precision of what they belong to."""
    by_weight = sums.weight.to(weight.dtype) if sums.weight is not None else None
    by_bias = sums.bias.to(bias.dtype) if sums.bias is not None and bias is not None else None
    return sums.hidden, by_weight, by_bias
