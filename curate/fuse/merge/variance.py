"""Merging by how much each model changed: VaRM and SCE (FuseChat, arXiv 2402.16107, section 3.3)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np
import torch

from curate.fuse.merge.recipe import Recipe
from curate.fuse.merge.select import SAMPLE, largest
from curate.fuse.merge.tensors import Combine, Tensors, agreeing, divided

Weights = Callable[[str], list[float] | None]
"""Gives the weights of the models for a tensor where they were computed over more than that tensor."""

_LAYER = re.compile(r"^(.*?\.\d+)\.([^.]+)")


def mean_squares(tensors: Tensors, deltas: Callable[[slice], torch.Tensor] | None = None) -> list[float]:
    """Return the mean squared change of each model, or of what `deltas` gives for its change of a block."""

    def squares(block: slice) -> torch.Tensor:
        parts = (deltas or tensors.deltas)(block)
        return parts.mul_(parts).sum(1, dtype=torch.float64)

    total: list[float] = (torch.stack(list(tensors.map(squares))).sum(0) / tensors.size).tolist()
    return total


def shares(squares: list[float]) -> list[float]:
    """Return weights that add up to one, in proportion to `squares`; equal ones where nothing was changed.

    They are ratios: models that were changed by a thousandth as much have the same weights.
    """
    total = sum(squares)
    return [square / total for square in squares] if total else [1 / len(squares)] * len(squares)


def varm(tensors: Tensors, _: Recipe, weights: Weights) -> Combine:
    """Sum of W_j * model_j with W_j in proportion to the mean squared change, by matrix unless coarser is asked."""
    given = weights(tensors.name)
    parts = torch.tensor(given if given is not None else shares(mean_squares(tensors)))

    def combine(block: slice) -> torch.Tensor:
        # W adds up to one, so that the base drops out; by deltas, equal models give exactly their own weights.
        return tensors.origin(block).add_(parts @ tensors.deltas(block))

    return combine


GRANULARITIES = ("matrix", "module", "layer", "model", "total")


def survey(weights: Iterable[tuple[str, int, list[float], list[int]]], granularity: str) -> dict[str, list[float]]:
    """Return each tensor's weights where they are shared by a module, a layer or the model, as FuseChat's code does.

    `weights` gives of each tensor its name, its elements, the mean squared changes and the number of changed elements,
    by model. `layer` and `module` add up the means of their matrices; what lies in no layer has equal weights at
    `layer` and its own at `module`. `model` is the mean over all elements, and `total` that times the share of
    elements that changed at all.
    """
    rows = list(weights)
    models = len(rows[0][2])
    groups: dict[str, list[float]] = defaultdict(lambda: [0.0] * models)
    elements = sum(size for _, size, _, _ in rows)
    changed = [sum(row[3][index] for row in rows) / elements for index in range(models)]
    for name, size, squares, _ in rows:
        group = _group(name, granularity)
        scale = size / elements if granularity in ("model", "total") else 1.0
        groups[group] = [have + scale * square for have, square in zip(groups[group], squares, strict=True)]
    if granularity == "total":
        groups[""] = [square * share for square, share in zip(groups[""], changed, strict=True)]
    found = {group: shares(squares) for group, squares in groups.items()}
    equal = [1 / models] * models
    return {name: found[_group(name, granularity)] if _grouped(name, granularity) else equal for name, *_ in rows}


def _grouped(name: str, granularity: str) -> bool:
    return granularity != "layer" or _LAYER.match(name) is not None


def _group(name: str, granularity: str) -> str:
    if granularity in ("model", "total"):
        return ""
    match = _LAYER.match(name)
    if match is None:
        return name
    return match[1] if granularity == "layer" else f"{match[1]}.{match[2]}"


def sce(tensors: Tensors, recipe: Recipe, _: Weights) -> Combine:
    """Select, calculate, erase (FuseChat, section 3.3).

    Select: the `select_topk` of the places whose changes vary most over the models (population variance, of those
    where it is not 0). Calculate: W_j in proportion to the sum of squares of delta_j there. Erase: at each place, the
    changes against the sign of their sum (0 counts as +). The result is base + sum W_j delta_j / sum W_j over who is
    left. With `select: merge` places that were not selected keep the base, as in mergekit; with `select: weights` the
    selection serves the weights alone and all places are merged, as in the authors' code.
    """
    chosen = _selected(tensors, recipe.shared("select_topk"))

    def selected(block: slice) -> torch.Tensor:
        deltas = tensors.deltas(block)
        return deltas if chosen is None else deltas.mul_(chosen(block))

    weights = torch.tensor(shares(mean_squares(tensors, selected)))[:, None]
    merged = selected if recipe.shared("select") == "merge" else tensors.deltas

    def combine(block: slice) -> torch.Tensor:
        deltas = merged(block)
        agree = agreeing(deltas).mul_(weights)
        return tensors.origin(block).add_(divided(deltas.mul_(agree).sum(0), agree.sum(0)))

    return combine


def _selected(tensors: Tensors, share: float) -> Callable[[slice], torch.Tensor] | None:
    """Return what gives 1 for the selected places of a block and 0 for the others; None where all are selected."""
    if share >= 1:
        return None
    variances = torch.empty(tensors.size)

    def measure(block: slice) -> int:
        deltas = tensors.deltas(block)
        centred = deltas.sub_(deltas.mean(0))
        torch.mean(centred.mul_(centred), 0, out=variances[block])
        return int(np.count_nonzero(variances[block].numpy()))

    k = int(sum(tensors.map(measure)) * share)
    if k == 0:
        return lambda block: torch.zeros(1)
    sample = variances[:: max(1, tensors.size // SAMPLE)]
    selection = largest(tensors, lambda block: variances[block], k, sample)
    return lambda block: selection.mask(variances[block], block)
