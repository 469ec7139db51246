import pytest
import torch
from torch.nn import functional as F

from curate.train.logprobs import Head, cross_entropy, selected_logprobs, top_logprobs

HEADS = {
    "plain": {},
    "bias": {"bias": True},
    "scaled": {"scale": 0.25},
    "softcap": {"softcap": 3.0},
    "all": {"bias": True, "scale": 0.5, "softcap": 2.0},
}


def parts(kind, n=7, k=1, d=5, v=11, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    hidden, weight, bias = (
        (2 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_()
        for shape in ((n, d), (v, d), (v,))
    )
    options = dict(HEADS[kind])
    ids = torch.randint(v, (n, k), generator=generator)
    return hidden, weight, bias if options.pop("bias", False) else None, ids, options


def plain(hidden, weight, bias, ids, scale=1.0, softcap=None):
    logits = F.linear(hidden, weight, bias) * scale
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    return torch.log_softmax(logits, 1).gather(1, ids), torch.logsumexp(logits, 1)


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("k", [1, 3])
def test_values_and_gradients_are_those_of_plain_torch(kind, k):
    hidden, weight, bias, ids, options = parts(kind, k=k)
    inputs = [hidden, weight, *([bias] if bias is not None else [])]
    ours = selected_logprobs(hidden, Head(weight, bias, **options), ids, chunk=3)
    theirs = plain(hidden, weight, bias, ids, **options)
    weights = [torch.randn(part.shape, dtype=part.dtype) for part in theirs]
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)
    ours, theirs = (
        torch.autograd.grad(sum((part * w).sum() for part, w in zip(both, weights, strict=True)), inputs)
        for both in (ours, theirs)
    )
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("k", [1, 4])
def test_gradcheck(k):
    hidden, weight, bias, ids, options = parts("all", n=4, k=k)
    assert torch.autograd.gradcheck(
        lambda h, w, b: selected_logprobs(h, Head(w, b, **options), ids, chunk=3), (hidden, weight, bias)
    )


@pytest.mark.parametrize("kind", HEADS)
def test_cross_entropy_takes_the_same_gradient_in_its_forward_pass(kind):
    hidden, weight, bias, ids, options = parts(kind)
    inputs = [hidden, weight, *([bias] if bias is not None else [])]
    loss = cross_entropy(hidden, Head(weight, bias, **options), ids[:, 0], chunk=2)
    expected = -plain(hidden, weight, bias, ids, **options)[0].sum()
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    # A factor behind the loss (1 / tokens) reaches the gradient, which was computed before it was known.
    for left, right in zip(
        torch.autograd.grad(loss / 7, inputs), torch.autograd.grad(expected / 7, inputs), strict=True
    ):
        torch.testing.assert_close(left, right, rtol=1e-11, atol=1e-11)


def test_the_size_of_the_chunks_changes_rounding_alone():
    hidden, weight, _, ids, _ = parts("plain", n=50, dtype=torch.float32)
    losses, gradients = [], []
    for chunk in (1, 7, 50, 4096):
        loss = cross_entropy(hidden, Head(weight), ids[:, 0], chunk)
        losses.append(loss)
        gradients.append(torch.autograd.grad(loss, [hidden, weight]))
    for loss, (by_hidden, by_weight) in zip(losses[1:], gradients[1:], strict=True):
        torch.testing.assert_close(loss, losses[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(by_hidden, gradients[0][0])
        torch.testing.assert_close(by_weight, gradients[0][1], rtol=1e-4, atol=1e-4)


def test_a_tied_head_adds_to_the_gradient_of_its_embedding():
    table = torch.randn(11, 5, dtype=torch.float64, requires_grad=True)
    ids = torch.tensor([1, 4, 4])
    ours = cross_entropy(F.embedding(ids, table).tanh(), Head(table), ids)
    theirs = F.cross_entropy(F.linear(F.embedding(ids, table).tanh(), table), ids, reduction="sum")
    torch.testing.assert_close(*(torch.autograd.grad(loss, table)[0] for loss in (ours, theirs)))


def test_frozen_parts_get_no_gradient_and_cost_none():
    hidden, weight, _, ids, _ = parts("plain")
    loss = cross_entropy(hidden, Head(weight.detach()), ids[:, 0])
    loss.backward()
    assert hidden.grad is not None
    assert weight.grad is None
    with torch.no_grad():
        assert not cross_entropy(hidden, Head(weight), ids[:, 0]).requires_grad


def test_sums_of_bfloat16_weights_are_kept_in_float32():
    # 4,000 equal rows: added one after the other in bfloat16 the sum would stop growing at 256 times one row's part.
    hidden = torch.ones(4000, 1, dtype=torch.bfloat16)
    weight = torch.zeros(2, 1, dtype=torch.bfloat16, requires_grad=True)
    loss = cross_entropy(hidden, Head(weight), torch.zeros(4000, dtype=torch.long), chunk=1)
    loss.backward()
    assert loss.dtype == torch.float32
    assert weight.grad.tolist() == [[-2000.0], [2000.0]]


def test_no_rows_give_no_loss():
    hidden = torch.zeros(0, 5, requires_grad=True)
    loss = cross_entropy(hidden, Head(torch.ones(3, 5)), torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert (loss.item(), hidden.grad.shape) == (0.0, (0, 5))


@pytest.mark.parametrize("chunk", [3, 4096])
def test_the_most_probable_tokens_and_the_mass_of_the_rest(chunk):
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(11, 8, generator=generator), torch.randn(23, 8, generator=generator) * 3
    hidden[::2] *= 0.05
    ids = torch.arange(11)
    head = Head(weight, softcap=20.0)
    top, logp, tail, own = top_logprobs(hidden, head, 5, ids, chunk)
    exact = torch.log_softmax(20 * torch.tanh(hidden.double() @ weight.double().T / 20), 1)
    expected, places = exact.topk(5, 1)
    assert torch.equal(top, places)
    assert torch.allclose(logp.double(), expected, atol=1e-5)
    assert torch.allclose(own.double(), exact.gather(1, ids[:, None])[:, 0], atol=1e-5)
    rest = exact.scatter(1, places, -torch.inf).logsumexp(1)
    assert torch.allclose(tail.double(), rest, atol=1e-4)
    assert rest.min() < -6 < -1 < rest.max()  # of both kinds: told as a difference to 1, and added up


def test_where_all_tokens_are_given_nothing_is_left():
    top, logp, tail, _ = top_logprobs(torch.ones(2, 4), Head(torch.eye(4)), 4, torch.zeros(2, dtype=torch.long))
    assert torch.isneginf(tail).all()
    assert torch.allclose(logp.exp().sum(1), torch.ones(2))
    assert top.sort(1).values.tolist() == [[0, 1, 2, 3]] * 2
