"""The sparse loss against the same computed densely, by autograd, in float64."""

import pytest
import torch
from torch.nn import functional as F

from curate.train.logprobs import Head, Taught, cross_entropy, fused_divergence

HEADS = {"plain": {}, "bias": {"bias": True}, "all": {"bias": True, "scale": 0.5, "softcap": 2.0}}


def parts(kind="plain", n=9, k=4, d=5, v=23, dtype=torch.float64):
    """Return hidden states, a head, targets and rows to learn from: with places unused, one that teaches nothing."""
    generator = torch.Generator().manual_seed(3)
    hidden, weight, bias = (
        (2 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_()
        for shape in ((n, d), (v, d), (v,))
    )
    options = dict(HEADS[kind])
    targets = torch.randint(v, (n,), generator=generator)
    ids = torch.stack([torch.randperm(v, generator=generator)[:k] for _ in range(n)])
    mass = torch.rand(n, k + 1, generator=generator, dtype=torch.float64)
    ids[2, 2:], mass[2, 2:k] = -1, 0
    mass /= mass.sum(1, keepdim=True)
    ids[3], mass[3] = -1, 0
    ids[3, 0] = targets[3]
    head = Head(weight, bias if options.pop("bias", False) else None, **options)
    return hidden, head, targets, Taught(ids, mass[:, :k].to(dtype), mass[:, k].to(dtype))


def logprobs_of(hidden, head):
    logits = F.linear(hidden, head.weight, head.bias) * head.scale
    return torch.log_softmax(head.softcap * torch.tanh(logits / head.softcap) if head.softcap else logits, 1)


def dense(hidden, head, targets, taught):
    """Return both sums, with every distribution over the whole vocabulary and the tail in a bin of its own."""
    logq = logprobs_of(hidden, head)
    fusion = torch.zeros((), dtype=logq.dtype)
    for row, ids, chances, tail in zip(logq, taught.ids, taught.probabilities, taught.tail, strict=True):
        used = ids >= 0
        named = torch.zeros(len(row), dtype=torch.bool).index_fill(0, ids[used], True)
        fusion = fusion - (chances[used] * row[ids[used]]).sum() - tail * torch.logsumexp(row[~named], 0)
    return F.nll_loss(logq, targets, reduction="sum"), fusion


def inputs_of(hidden, head):
    return [hidden, head.weight, *([head.bias] if head.bias is not None else [])]


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("shares", [(0.7, 0.3), (0.0, 1.0), (1.0, 0.0)])
def test_values_and_gradients_are_those_of_dense_distributions(kind, shares):
    hidden, head, targets, taught = parts(kind)
    loss, sums = fused_divergence(hidden, head, targets, taught, shares, chunk=4)
    clm, fusion = dense(hidden, head, targets, taught)
    torch.testing.assert_close(sums, torch.stack([clm, fusion]).detach(), rtol=1e-12, atol=1e-12)
    expected = shares[0] * clm + shares[1] * fusion
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    for left, right in zip(
        torch.autograd.grad(loss / 7, inputs_of(hidden, head)),
        torch.autograd.grad(expected / 7, inputs_of(hidden, head)),
        strict=True,
    ):
        torch.testing.assert_close(left, right, rtol=1e-11, atol=1e-11)


def test_the_model_s_own_distribution_teaches_it_nothing():
    hidden, head, targets, taught = parts()
    logq = logprobs_of(hidden, head).detach()
    values, ids = logq.topk(4)
    own = Taught(ids, values.exp(), 1 - values.exp().sum(1))
    gradients = torch.autograd.grad(
        fused_divergence(hidden, head, targets, own, (0.0, 1.0))[0], inputs_of(hidden, head)
    )
    assert max(float(one.abs().max()) for one in gradients) < 1e-14
    other = torch.autograd.grad(fused_divergence(hidden, head, targets, taught, (0.0, 1.0))[0], hidden)[0]
    assert float(other.abs().max()) > 0.1


def test_rows_of_zeros_leave_the_cross_entropy_alone():
    hidden, head, targets, taught = parts()
    nothing = Taught(torch.full_like(taught.ids, -1), torch.zeros_like(taught.probabilities), torch.zeros(9))
    nothing.ids[:, 0] = targets
    loss, sums = fused_divergence(hidden, head, targets, nothing, (1.0, 5.0))
    plain = cross_entropy(hidden, head, targets)
    assert float(sums[1]) == 0
    torch.testing.assert_close(loss, plain, rtol=1e-13, atol=1e-13)
    for left, right in zip(*(torch.autograd.grad(one, [hidden, head.weight]) for one in (loss, plain)), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


def test_a_row_may_name_the_whole_vocabulary_or_tokens_that_the_model_rules_out():
    hidden = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    head = Head(torch.tensor([[0.0, 1.0], [900.0, 0.0], [0.0, 0.0]], dtype=torch.float64))
    taught = Taught(
        torch.tensor([[0, 1, 2], [1, 2, -1]]),
        torch.tensor([[0.5, 0.5, 0.0], [0.75, 0.0, 0.0]], dtype=torch.float64),
        torch.tensor([0.0, 0.25], dtype=torch.float64),
    )
    loss, sums = fused_divergence(hidden, head, torch.tensor([1, 1]), taught, (0.0, 1.0))
    # Token 0 and the tail both have logit 0 where token 1 has 900.
    assert float(sums[1]) == pytest.approx(0.5 * 900 + 0.25 * 900)
    (by_hidden,) = torch.autograd.grad(loss, hidden)
    assert by_hidden.flatten().tolist() == pytest.approx([450.0, -0.5, 225.0, -0.25])


def test_chunks_and_single_precision_change_rounding_alone():
    hidden, head, targets, taught = parts(n=30, dtype=torch.float32)
    found = []
    for chunk in (1, 7, 4096):
        loss, _ = fused_divergence(hidden, head, targets, taught, (0.9, 0.1), chunk)
        found.append([loss, *torch.autograd.grad(loss, [hidden, head.weight])])
    for one in found[1:]:
        for left, right in zip(one, found[0], strict=True):
            torch.testing.assert_close(left, right, rtol=2e-5, atol=2e-5)
