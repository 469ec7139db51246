import copy

import pytest
import torch

from curate.train.optim import BLOCK, Bytes, LeanAdamW, round_stochastically


def test_rounding_is_unbiased_and_goes_to_the_two_neighbours():
    generator = torch.Generator().manual_seed(0)
    low, high = 1.0, 1.0078125  # neighbours in bfloat16
    for value in (1.001, -1.001, 1.004, 3.0e-39):
        rounded = round_stochastically(torch.full((200_000,), value), generator).float()
        step = (high - low) if abs(value) > 0.5 else 2.0**-133  # the smallest bfloat16
        # The mean of n roundings is off by less than five of its standard deviations, at most step / 2 / sqrt(n).
        assert abs(rounded.double().mean().item() - value) < 5 * step / 2 / 200_000**0.5
        assert len(rounded.unique()) == 2


def test_what_bfloat16_holds_and_what_is_not_finite_stays():
    values = torch.tensor([0.0, 1.0, -2.5, 256.0, float("inf"), float("-inf"), float("nan")])
    rounded = round_stochastically(values, torch.Generator().manual_seed(0)).float()
    torch.testing.assert_close(rounded, values, rtol=0, atol=0, equal_nan=True)


def test_float32_steps_are_those_of_torch():
    torch.manual_seed(0)
    start = [torch.randn(3, 100), torch.randn(7)]
    ours, theirs = ([part.clone().requires_grad_() for part in start] for _ in range(2))
    options = {"lr": 1e-2, "weight_decay": 0.1}
    lean, plain = LeanAdamW(ours, states="float32", **options), torch.optim.AdamW(theirs, **options)
    for _ in range(20):
        for left, right in zip(ours, theirs, strict=True):
            left.grad = right.grad = torch.randn(left.shape)
        lean.step()
        plain.step()
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("signed", [True, False])
def test_bytes_keep_values_over_many_orders_of_magnitude(signed):
    torch.manual_seed(0)
    values = 10 ** torch.empty(3 * BLOCK + 5).uniform_(-3, 0)
    values = values * torch.where(torch.rand(values.shape) < 0.5, -1, 1) if signed else values
    form = Bytes(signed)
    state = form.empty(values)
    form.write(state, 0, values)
    back = form.read(state, 0, len(values))
    error = (back - values).abs() / values.abs()
    assert error.max() < (0.26 if signed else 0.09)
    assert error.mean() < (0.04 if signed else 0.03)
    assert torch.equal(torch.sign(back), torch.sign(values))
    if not signed:
        assert (back >= values * (1 - 1e-5)).all()


def regression(states, dtype, steps=300):
    """Return the loss before and after fitting a small network to a fixed task."""
    torch.manual_seed(1)
    inputs, teacher = torch.randn(256, 16), torch.randn(16, 4)
    model = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.Tanh(), torch.nn.Linear(64, 4)).to(dtype)
    optimiser = LeanAdamW(model.parameters(), lr=3e-3, states=states)
    losses = []
    for _ in range(steps):
        loss = (model(inputs.to(dtype)).float() - inputs @ teacher).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses[0], sum(losses[-20:]) / 20


def test_bfloat16_weights_and_bytes_for_states_learn_as_well():
    first, reference = regression("float32", torch.float32)
    _, lean = regression("8bit", torch.bfloat16)
    assert reference < first / 20
    # Weights of 8 bits of mantissa jitter by what they cannot hold: that noise is all that may be left between them.
    assert lean < reference + first / 200


def test_a_saved_state_goes_on_to_the_bit():
    torch.manual_seed(0)
    weight = torch.randn(3, 300).bfloat16().requires_grad_()
    gradients = [torch.randn(weight.shape).bfloat16() for _ in range(6)]
    straight = weight.detach().clone().requires_grad_()

    def steps(parameter, optimiser, some):
        for gradient in some:
            parameter.grad = gradient
            optimiser.step()

    steps(straight, LeanAdamW([straight], lr=1e-2, seed=5), gradients)
    before = LeanAdamW([weight], lr=1e-2, seed=5)
    steps(weight, before, gradients[:3])
    again = weight.detach().clone().requires_grad_()
    after = LeanAdamW([again], lr=1e-2, seed=5)
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    steps(again, after, gradients[3:])
    assert torch.equal(again, straight)


def test_another_seed_draws_other_noise():
    results = []
    for seed in (0, 1):
        weight = torch.ones(1000).bfloat16().requires_grad_()
        weight.grad = torch.linspace(0.1, 1, 1000).bfloat16()
        LeanAdamW([weight], lr=1e-3, seed=seed).step()
        results.append(weight.detach().clone())
    assert not torch.equal(*results)
