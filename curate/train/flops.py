"""How much arithmetic training is, and how much a device can do.

For each token, a matrix of n parameters takes 2n operations in the forward pass, 2n for the gradient of its input and
2n for its own, the last only if it is trained. Attention within a document of l tokens is causal, so that half of
12 * layers * width * l is counted (torchtitan counts all of it). The head is counted for tokens with a target alone,
as it is computed for no other. Activations computed anew are never counted: that makes it model FLOP utilisation
(Chowdhery et al., arXiv 2204.02311, appendix B), over real tokens without padding.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from curate.train.model import causal

PEAKS = {"H200": 989e12, "H100": 989e12, "GH200": 989e12, "B200": 2250e12, "A100": 312e12, "A800": 312e12,
         "H800": 989e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12, "RTX 4090": 165e12}  # fmt: skip
"""Dense bfloat16 operations a second by the makers' data sheets; the longest name found in the device's counts."""


@dataclass(frozen=True)
class Work:
    """Operations of training: for each token, for each target, and for each squared token of a document."""

    token: float
    target: float
    square: float

    def of(self, tokens: int, targets: int, squares: int) -> float:
        """Return the operations of so many."""
        return self.token * tokens + self.target * targets + self.square * squares


def work_of(model: nn.Module) -> Work:
    """Return what a model's training takes."""
    inner = causal(model)
    config, head = inner.config.get_text_config(), inner.get_output_embeddings()
    shares = _expert_share(config)
    token = 0.0
    for name, module in model.named_modules():
        if module is head:
            continue
        if isinstance(module, nn.Linear):
            token += _operations(module.in_features * module.out_features, module.weight.requires_grad)
        for own, parameter in module.named_parameters(recurse=False):
            # Experts are matrices of three dimensions, of which a token meets a few; other models' linear layers
            # (GPT-2's) are parameters of two dimensions called weight.
            if parameter.ndim == 3 and "expert" in f"{name}.{own}":
                token += shares * _operations(parameter.numel(), parameter.requires_grad)
            elif parameter.ndim == 2 and type(module).__name__ == "Conv1D":
                token += _operations(parameter.numel(), parameter.requires_grad)
    width = config.num_attention_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    target = _operations(head.weight.shape[0] * head.weight.shape[1], head.weight.requires_grad)
    return Work(token, target, 6.0 * config.num_hidden_layers * width)


def _operations(parameters: int, trained: bool) -> float:
    return (6.0 if trained else 4.0) * parameters


def _expert_share(config: Any) -> float:
    """Return which share of a layer's experts a token meets."""
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    experts = next((value for name in names if (value := getattr(config, name, None))), None)
    return float(getattr(config, "num_experts_per_tok", experts) or experts) / experts if experts else 1.0


def peak_of(device: torch.device, dtype: torch.dtype) -> tuple[float, str]:
    """Return the operations a second that `device` can do, and where that is from.

    For a device that is not in PEAKS (a CPU) it is the speed of a product of two matrices, tried here.
    """
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        known = max((key for key in PEAKS if key in name), key=len, default=None)
        if known:
            return PEAKS[known], f"{known}, dense bfloat16"
    return _tried(device, dtype), f"a product of matrices tried on this {device.type}"


@functools.cache
def _tried(device: torch.device, dtype: torch.dtype, size: int = 1024, times: int = 5) -> float:
    left = torch.ones(size, size, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        (left @ left)[0, 0].item()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
