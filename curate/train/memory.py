"""What a run will take of the memory, said before its first step.

Weights, gradients and the optimiser's moments are counted. Activations are measured: one pass with a few tokens tells
what autograd keeps for each, whatever the architecture, and that grows with the tokens of a pack (attention keeps no
matrix of T x T here).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from curate.errors import InputError
from curate.train.data.tokens import Encoded
from curate.train.launch import shards
from curate.train.logprobs import chunk_on
from curate.train.model import causal, inputs_of, precision
from curate.train.optim import BLOCK, PIECE
from curate.train.settings import Settings
from curate.train.steps import make_pack

USABLE = 0.92
"""Share of the free memory that a run may count on: allocators lose some to gaps, libraries take some."""

TRIED = 256
"""Tokens of the pass that is measured."""

SIZES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class Size:
    """What decides the memory of a model: its parameters, trained ones among them, its vocabulary, width and layers."""

    parameters: int
    trained: int
    vocabulary: int
    width: int
    layers: int


@dataclass(frozen=True)
class Need:
    """Bytes that a run takes; `activations` are those of the largest pack, `head` those of the loss."""

    weights: float
    gradients: float
    states: float
    activations: float
    head: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.gradients + self.states + self.activations + self.head

    def words(self) -> str:
        """Return the parts in gigabytes."""
        parts = ("weights", "gradients", "states", "activations", "head")
        return ", ".join(f"{name} {getattr(self, name) / 1e9:.2g} GB" for name in parts)


def size_of(config: Any, settings: Settings) -> Size:
    """Return the size of a model that is not loaded yet."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    parameters, text = sum(parameter.numel() for parameter in model.parameters()), config.get_text_config()
    trained = parameters if settings.method == "full" else sum(_adapters(model, settings.lora_rank))
    head = model.get_output_embeddings().weight
    return Size(parameters, trained, head.shape[0], head.shape[1], text.num_hidden_layers)


def _adapters(model: Any, rank: int) -> Iterator[int]:
    head = model.get_output_embeddings()
    for module in model.modules():
        if isinstance(module, nn.Linear) and module is not head:
            yield rank * (module.in_features + module.out_features)


def need_of(size: Size, settings: Settings, device: torch.device, budget: int, token_bytes: float) -> Need:
    """Return what a run takes whose packs hold `budget` tokens, of each of which autograd keeps `token_bytes`.

    Of a launch that deals weights, gradients or moments over its processes, this is one process's share; each has read
    the whole weights before.
    """
    full = settings.method == "full"
    base = SIZES[settings.weights] if full else (0.55 if settings.method == "qlora" else _frozen_bytes(device))
    own = SIZES[settings.weights] if full else 4
    moment = (1 + 4 / BLOCK) if settings.states == "8bit" else 4
    # The step in float32, piece by piece.
    scratch = 6 * 4 * min(size.trained, PIECE) if settings.lean else 0
    if settings.recompute:
        kept = size.width * (2 if device.type == "cuda" else own)
        share = min(settings.recompute, size.layers) / size.layers
        token_bytes = token_bytes * (1 - share + 1 / size.layers) + settings.recompute * kept
    # Logits, and what softmax and the narrow copy of their gradient need beside them.
    head = 3 * 4 * min(budget, chunk_on(device)) * size.vocabulary + (8 if full else 4) * size.vocabulary * size.width
    weights = base * size.parameters + (0 if full else own * size.trained)
    by_weights, by_others = shards()
    gradients, states = own * size.trained / by_others, 2 * moment * size.trained / by_others + scratch
    # While it is read, a model is whole and has no gradients or moments yet.
    at_rest = max(weights / by_weights, weights - gradients - states)
    return Need(at_rest, gradients, states, token_bytes * budget, head)


def _frozen_bytes(device: torch.device) -> int:
    return 2 if device.type != "cpu" else 4


def token_bytes(model: nn.Module, settings: Settings, device: torch.device) -> float:
    """Return how many bytes autograd keeps for each token of a pack, by a pass with TRIED of them."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    row = [number % 7 for number in range(TRIED)]
    pack = make_pack([Encoded(row, row, "")], None, 0)
    training = model.training
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), precision(settings, device):
        causal(model)(**inputs_of(pack, device))
    model.train(training)
    return sum(kept.values()) / TRIED


def free_bytes(device: torch.device) -> float:
    """Return the memory that is free on `device`, of this process's limits too."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024.0
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (most := limit.read_text().strip()).isdigit():
        free = min(free, float(int(most) - int(used.read_text())))
    return free


def peak_bytes(device: torch.device) -> int:
    """Return the most memory that was in use: on a GPU by tensors, on a CPU by the process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource
    import sys

    # Kilobytes on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def check_room(need: Need, room: float, size: Size, settings: Settings, device: torch.device, budget: int) -> None:
    """Raise InputError where a run takes more than `room` bytes; its message says what would fit."""
    if need.total <= room * USABLE:
        return
    each = need.activations / budget
    leaner = {
        "--weights bfloat16 --states 8bit": replace(settings, weights="bfloat16", states="8bit"),
        "--method lora": replace(settings, method="lora", weights="float32", states="float32"),
        "--method qlora": replace(settings, method="qlora", weights="float32", states="float32"),
    }
    advice = []
    for words, other in leaner.items():
        if other.method == settings.method and other.weights == settings.weights and other.states == settings.states:
            continue
        if other.method == "qlora" and device.type != "cuda":
            continue
        adapters = size if other.method == "full" else replace(size, trained=size.parameters // 100)
        total = need_of(adapters, other, device, budget, each).total
        if total <= room * USABLE:
            advice.append(f"{words} ({total / 1e9:.2g} GB)")
    least = settings.max_length or 512
    if least < budget and need_of(size, settings, device, least, each).total <= room * USABLE:
        advice.append(f"--tokens {least}")
    fits = f"; what fits: {', '.join(advice)}" if advice else "; a smaller model, or more devices, would fit"
    raise InputError(
        f"--model {settings.model}: training takes about {need.total / 1e9:.3g} GB ({need.words()}), and "
        f"{room / 1e9:.3g} GB are free on this {device.type}{fits}"
    )


def fewest_recomputed(
    size: Size, settings: Settings, device: torch.device, budget: int, each: float, room: float
) -> int:
    """Return the smallest number of layers to compute anew with which a run fits into `room` bytes; all if none do."""
    for layers in range(size.layers + 1):
        if need_of(size, replace(settings, recompute=layers), device, budget, each).total <= room * USABLE:
            return layers
    return size.layers
