"""The losses of preference training, one function each.

All take the summed log-probabilities [G, A] of the answers to G prompts under the model and under the reference, and
the answers' lengths [G, A] in tokens with loss. The last two columns are the chosen and the rejected answer; with a
third, the first is the source's. The loss of a pair is -log sigmoid of by how much better the chosen answer is rewarded
(the Bradley-Terry model); what differs is the reward.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid


@dataclass(frozen=True)
class Weights:
    """The numbers in a loss: the scale of its rewards, SimPO's margin, the weight of the source's answer in WRPO."""

    beta: float
    gamma: float = 0.0
    alpha: float = 0.0


@dataclass(frozen=True)
class Scored:
    """The loss [G] of each group, by how much more the chosen answer is rewarded [G], and the rewards [G, A]."""

    losses: Tensor
    margins: Tensor
    rewards: Tensor


Loss = Callable[[Tensor, Tensor, Tensor, Weights], Scored]


def dpo(policy: Tensor, reference: Tensor, lengths: Tensor, weights: Weights) -> Scored:
    """Reward beta * log(pi / pi_ref) of the whole answer (Rafailov et al., arXiv 2305.18290, equation 7)."""
    rewards = weights.beta * (policy - reference)
    margins = rewards[:, -2] - rewards[:, -1]
    return Scored(-logsigmoid(margins), margins, rewards)


def length_normalised_dpo(policy: Tensor, reference: Tensor, lengths: Tensor, weights: Weights) -> Scored:
    """Reward beta / |y| * log(pi / pi_ref), the mean over the answer's tokens (FuseChat-3.0, arXiv 2503.04222)."""
    rewards = weights.beta * (policy - reference) / lengths
    margins = rewards[:, -2] - rewards[:, -1]
    return Scored(-logsigmoid(margins), margins, rewards)


def simpo(policy: Tensor, reference: Tensor, lengths: Tensor, weights: Weights) -> Scored:
    """Reward beta / |y| * log(pi) without a reference, better by gamma (Meng et al., arXiv 2405.14734, equation 6)."""
    rewards = weights.beta * policy / lengths
    margins = rewards[:, -2] - rewards[:, -1]
    return Scored(-logsigmoid(margins - weights.gamma), margins, rewards)


def wrpo(policy: Tensor, reference: Tensor, lengths: Tensor, weights: Weights) -> Scored:
    """DPO's reward, the chosen one being alpha of the source's answer and 1 - alpha of the target's (arXiv 2412.03187).

    The three columns are y_ws, y_wt and y_l.
    """
    rewards = weights.beta * (policy - reference)
    margins = weights.alpha * rewards[:, 0] + (1 - weights.alpha) * rewards[:, 1] - rewards[:, 2]
    return Scored(-logsigmoid(margins), margins, rewards)


LOSSES: dict[str, Loss] = {"dpo": dpo, "ln-dpo": length_normalised_dpo, "simpo": simpo, "wrpo": wrpo}

WITHOUT_REFERENCE = ("simpo",)
"""The losses that do not look at the reference."""
