"""The losses by hand, against TRL's, and WRPO at both ends of its weight."""

import math
from types import SimpleNamespace

import pytest
import torch

from curate.train.preference.losses import LOSSES, Weights

POLICY = torch.tensor([[-12.0, -30.0], [-7.5, -4.0], [-50.0, -51.0]], dtype=torch.float64)
REFERENCE = torch.tensor([[-13.0, -29.0], [-7.0, -4.5], [-48.0, -55.0]], dtype=torch.float64)
LENGTHS = torch.tensor([[4, 9], [3, 2], [20, 21]])


def losses(name, weights, policy=POLICY, reference=REFERENCE, lengths=LENGTHS):
    return LOSSES[name](policy, reference, lengths, weights)


def softplus(value):
    return math.log1p(math.exp(-value))


@pytest.mark.parametrize(
    ("name", "weights", "margins"),
    [
        # 0.1 * ((1) - (-1)), ...
        ("dpo", Weights(0.1), [0.2, -0.1, -0.6]),
        # 10 * (1 / 4 - -1 / 9), 10 * (-0.5 / 3 - 0.5 / 2), 10 * (-2 / 20 - 4 / 21)
        ("ln-dpo", Weights(10.0), [3.611111111, -4.166666667, -2.904761905]),
        # 2.5 * (-12 / 4 - -30 / 9), 2.5 * (-7.5 / 3 - -4 / 2), 2.5 * (-50 / 20 - -51 / 21)
        ("simpo", Weights(2.5, gamma=1.0), [0.833333333, -1.25, -0.178571429]),
    ],
)
def test_margins_and_losses_are_those_of_the_formula(name, weights, margins):
    scored = losses(name, weights)
    assert scored.margins.tolist() == pytest.approx(margins)
    assert (scored.rewards[:, 0] - scored.rewards[:, 1]).tolist() == pytest.approx(margins)
    expected = [softplus(margin - weights.gamma) for margin in margins]
    assert scored.losses.tolist() == pytest.approx(expected)


def test_simpo_is_trls(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    cpo = pytest.importorskip("trl.experimental.cpo")
    told = SimpleNamespace(
        loss_type="simpo", label_smoothing=0.0, simpo_gamma=1.0, alpha=0.0, beta=2.5,
        accelerator=SimpleNamespace(device="cpu"),
    )  # fmt: skip
    means = POLICY / LENGTHS
    expected = cpo.CPOTrainer.cpo_loss(told, means[:, 0], means[:, 1])[0]
    torch.testing.assert_close(losses("simpo", Weights(2.5, gamma=1.0)).losses, expected)


@pytest.mark.parametrize(("alpha", "chosen"), [(0.0, 1), (1.0, 0)])
def test_wrpo_at_its_ends_is_dpo_on_one_chosen_answer(alpha, chosen):
    torch.manual_seed(0)
    policy, reference = (-50 * torch.rand(2, 8, 3, dtype=torch.float64)).unbind()
    lengths = torch.randint(1, 40, (8, 3))
    three = losses("wrpo", Weights(0.01, alpha=alpha), policy, reference, lengths)
    pair = [chosen, 2]
    two = losses("dpo", Weights(0.01), policy[:, pair], reference[:, pair], lengths[:, pair])
    torch.testing.assert_close(three.losses, two.losses, rtol=0, atol=0)


def test_wrpo_mixes_the_rewards():
    policy = torch.tensor([[-5.0, -8.0, -9.0]], dtype=torch.float64)
    reference = torch.tensor([[-9.0, -9.0, -8.0]], dtype=torch.float64)
    scored = losses("wrpo", Weights(0.5, alpha=0.25), policy, reference, torch.ones(1, 3))
    # 0.25 * 0.5 * 4 + 0.75 * 0.5 * 1 - 0.5 * -1
    assert scored.margins.tolist() == [1.375]
    assert scored.rewards.tolist() == [[2.0, 0.5, -0.5]]
    assert scored.losses.tolist() == pytest.approx([softplus(1.375)])
