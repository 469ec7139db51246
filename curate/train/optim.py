"""AdamW for weights in bfloat16: updates are rounded stochastically, and the two moments can take a byte each.

A weight in bfloat16 has 8 bits of mantissa, so that an update below 1/256 of it is lost in plain rounding. Rounding up
with a probability equal to the part cut off keeps the update on average (Zamirai et al., arXiv 2010.06192). With the
moments in 8 bits (Dettmers et al., arXiv 2110.02861: blocks of their own scale), training takes 6 bytes for each
weight, gradient included, instead of 16.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

BLOCK = 256
"""Elements that share one scale."""

PIECE = 1 << 24
"""Elements of a tensor updated at a time: what the step needs in float32 then never takes more than some 500 MB."""


def round_stochastically(values: Tensor, generator: torch.Generator) -> Tensor:
    """Return float32 `values` in bfloat16, each rounded to one of its two neighbours so that the mean is the value."""
    bits = values.contiguous().view(torch.int32)
    noise = torch.randint(1 << 16, bits.shape, dtype=torch.int32, device=values.device, generator=generator)
    # What is above the lowest 16 bits is the bfloat16; the noise carries into it with the probability wanted. Integers
    # count magnitudes, so the same holds for negative values. Infinity and NaN must stay what they are.
    rounded = torch.where(torch.isfinite(values), (bits + noise) & -65536, bits)
    return rounded.view(torch.float32).to(torch.bfloat16)


class Bytes:
    """A tensor in 8 bits an element: x = scale * sign * (code / top) ** power, with one scale to each block.

    The power spreads the codes evenly over the orders of magnitude. The second moment has no sign and is rounded up, so
    that what is divided by is never too small.
    """

    def __init__(self, signed: bool) -> None:
        self.signed = signed
        self.top, self.power = (127, 2) if signed else (255, 4)

    def empty(self, like: Tensor) -> dict[str, Tensor]:
        """Return zeros for a tensor of as many elements as `like`."""
        count = like.numel()
        kind = torch.int8 if self.signed else torch.uint8
        return {
            "codes": torch.zeros(count, dtype=kind, device=like.device),
            "scale": torch.zeros(math.ceil(count / BLOCK), device=like.device),
        }

    def read(self, state: dict[str, Tensor], start: int, end: int) -> Tensor:
        """Return the elements from `start` (a multiple of BLOCK) to `end` in float32."""
        codes = state["codes"][start:end].float()
        scale = state["scale"][start // BLOCK : math.ceil(end / BLOCK)].repeat_interleave(BLOCK)[: end - start]
        return codes.div_(self.top).abs_().pow_(self.power).mul_(scale) * torch.sign(state["codes"][start:end])

    def write(self, state: dict[str, Tensor], start: int, values: Tensor) -> None:
        """Put float32 `values` to the elements from `start` (a multiple of BLOCK)."""
        count = values.numel()
        blocks = torch.nn.functional.pad(values, (0, -count % BLOCK)).view(-1, BLOCK)
        scale = blocks.abs().amax(1)
        bent = (blocks / scale.clamp_min(torch.finfo(torch.float32).tiny)[:, None]).abs_().pow_(1 / self.power)
        codes = bent.mul_(self.top).round_() if self.signed else bent.mul_(self.top).ceil_().clamp_max_(self.top)
        signed = codes * torch.sign(blocks) if self.signed else codes
        state["codes"][start : start + count] = signed.view(-1)[:count].to(state["codes"].dtype)
        state["scale"][start // BLOCK : start // BLOCK + len(scale)] = scale


class Floats:
    """A tensor kept in float32: the moments as they are."""

    def empty(self, like: Tensor) -> dict[str, Tensor]:
        """Return zeros for a tensor of as many elements as `like`."""
        return {"values": torch.zeros(like.numel(), device=like.device)}

    def read(self, state: dict[str, Tensor], start: int, end: int) -> Tensor:
        """Return the elements from `start` to `end`; they may be changed in place."""
        return state["values"][start:end]

    def write(self, state: dict[str, Tensor], start: int, values: Tensor) -> None:
        """Put `values` to the elements from `start`."""
        state["values"][start : start + values.numel()] = values


STATES: dict[str, Callable[[bool], Bytes | Floats]] = {"float32": lambda signed: Floats(), "8bit": Bytes}
"""How the moments are kept, by the setting's value; each is told whether its values have a sign."""


class LeanAdamW(torch.optim.Optimizer):  # type: ignore[misc]
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2) computed in float32, whatever the weights are.

    Weights in bfloat16 are rounded stochastically. The noise depends on `seed`, the step and the weight's place alone,
    so that a run that is resumed draws what it would have drawn.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        states: str = "8bit",
        seed: int = 0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.first, self.second = STATES[states](True), STATES[states](False)
        self.seed = seed

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Any = None) -> None:
        """Update every weight that has a gradient."""
        place = 0
        for group in self.param_groups:
            for weight in group["params"]:
                place += 1
                if weight.grad is not None:
                    self._update(weight, group, place)

    def _update(self, weight: Tensor, group: dict[str, Any], place: int) -> None:
        state = self.state[weight]
        if not state:
            state.update(step=0, first=self.first.empty(_local(weight)), second=self.second.empty(_local(weight)))
        state["step"] += 1
        values, gradients = _local(weight).view(-1), _local(weight.grad).reshape(-1)
        generator = torch.Generator(values.device)
        # Hashed, as the generator of a CPU looks at the lower half of its seed alone.
        name = f"{self.seed} {state['step']} {place}".encode()
        generator.manual_seed(int.from_bytes(hashlib.blake2b(name, digest_size=7).digest(), "little"))
        for start in range(0, values.numel(), PIECE):
            end = min(start + PIECE, values.numel())
            moments = (self.first.read(state["first"], start, end), self.second.read(state["second"], start, end))
            new, first, second = _adamw(values[start:end], gradients[start:end], *moments, state["step"], group)
            self.first.write(state["first"], start, first)
            self.second.write(state["second"], start, second)
            values[start:end] = round_stochastically(new, generator) if values.dtype == torch.bfloat16 else new

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` gave; the moments keep their types, which the base class would make the weights'."""
        super().load_state_dict(state_dict)
        order = [weight for group in self.param_groups for weight in group["params"]]
        for number, weight in enumerate(order):
            if number in state_dict["state"]:
                saved = state_dict["state"][number]
                self.state[weight] = {
                    "step": int(saved["step"]),
                    **{name: _moved(saved[name], weight.device) for name in ("first", "second")},
                }


def _moved(part: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device, copy=True) for name, tensor in part.items()}


def _local(tensor: Tensor) -> Tensor:
    """Return the part of a sharded tensor that this process holds; a whole one is its own."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _adamw(
    weight: Tensor, gradient: Tensor, first: Tensor, second: Tensor, step: int, group: dict[str, Any]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the new weight and moments, all in float32."""
    beta1, beta2 = group["betas"]
    gradient = gradient.float()
    first = first.lerp_(gradient, 1 - beta1)
    second = second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    spread = (second / (1 - beta2**step)).sqrt_().add_(group["eps"])
    decayed = weight.float() * (1 - group["lr"] * group["weight_decay"])
    return decayed.addcdiv_(first, spread, value=-group["lr"] / (1 - beta1**step)), first, second
