"""One function per way to merge; each reads what it must know of a weight and returns what combines its blocks."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from curate.fuse.merge.recipe import Recipe
from curate.fuse.merge.select import SAMPLE, Selection, largest
from curate.fuse.merge.tensors import BLOCK, Combine, Tensors, agreeing, divided
from curate.fuse.merge.variance import Weights, sce, varm

COLLINEAR = 0.9995
"""Cosine from which on two weights are interpolated on the line between them: their arc has no direction."""


def linear(tensors: Tensors, recipe: Recipe, _: Weights) -> Combine:
    """Sum of w_j * model_j, by default divided by the sum of w_j (model soups, arXiv 2203.05482)."""
    weights = _normalised(recipe)

    def combine(block: slice) -> torch.Tensor:
        out = tensors.model(0, block) * weights[0]
        for index in range(1, len(weights)):
            out.add_(tensors.model(index, block), alpha=weights[index])
        return out

    return combine


def slerp(tensors: Tensors, recipe: Recipe, _: Weights) -> Combine:
    """The arc from the base (t = 0) to the one model (t = 1); the norms and the cosine are summed in float64."""

    def products(block: slice) -> torch.Tensor:
        a, b = tensors.origin(block).double(), tensors.model(0, block).double()
        return torch.stack([a @ a, b @ b, a @ b])

    aa, bb, ab = torch.stack(list(tensors.map(products))).sum(0).tolist()
    cosine = max(-1.0, min(1.0, ab / math.sqrt(aa * bb))) if aa and bb else 1.0
    t = recipe.shared("t")
    first, second = 1 - t, t
    if abs(cosine) <= COLLINEAR:
        angle = math.acos(cosine)
        first, second = (math.sin(part * angle) / math.sin(angle) for part in (1 - t, t))

    def combine(block: slice) -> torch.Tensor:
        return (tensors.origin(block) * first).add_(tensors.model(0, block), alpha=second)

    return combine


def task_arithmetic(tensors: Tensors, recipe: Recipe, _: Weights) -> Combine:
    """Base + lambda * sum of w_j * delta_j (arXiv 2212.04089)."""
    return _sum_of(tensors, recipe, tensors.deltas)


def ties(tensors: Tensors, recipe: Recipe, _: Weights) -> Combine:
    """Trim each delta to its largest, elect a sign for each place, average who agrees (arXiv 2306.01708, section 4)."""
    kept = [_trimmed(tensors, index, recipe.per_model("density")[index]) for index in range(len(tensors.models))]

    def trimmed(block: slice) -> torch.Tensor:
        deltas = tensors.deltas(block)
        for row, selection in zip(deltas, kept, strict=True):
            if selection is not None:
                row.mul_(selection.mask(row.abs(), block))
        return deltas

    return _elected(tensors, recipe, trimmed)


def dare_linear(tensors: Tensors, recipe: Recipe, _: Weights) -> Combine:
    """Drop elements of each delta at random, divide the others by what is kept, add up (arXiv 2311.03099)."""
    return _sum_of(tensors, recipe, _dropping(tensors, recipe))


def dare_ties(tensors: Tensors, recipe: Recipe, _: Weights) -> Combine:
    """Drop and rescale as `dare_linear` does, then elect signs and average as TIES does."""
    return _elected(tensors, recipe, _dropping(tensors, recipe))


@dataclass(frozen=True)
class Method:
    """A way to merge: how a weight is combined, which parameters it takes, and whether it needs a base model."""

    prepare: Callable[[Tensors, Recipe, Weights], Combine]
    base: bool
    shared: tuple[str, ...] = ()
    per_model: tuple[str, ...] = ()


METHODS = {
    "linear": Method(linear, False, ("normalize",), ("weight",)),
    "slerp": Method(slerp, True, ("t",)),
    "task_arithmetic": Method(task_arithmetic, True, ("lambda", "normalize"), ("weight",)),
    "ties": Method(ties, True, ("lambda", "normalize"), ("weight", "density")),
    "dare_linear": Method(dare_linear, True, ("lambda", "normalize", "seed"), ("weight", "density")),
    "dare_ties": Method(dare_ties, True, ("lambda", "normalize", "seed"), ("weight", "density")),
    "varm": Method(varm, True, ("granularity",)),
    "sce": Method(sce, True, ("select_topk", "select")),
}


def _normalised(recipe: Recipe) -> list[float]:
    weights = recipe.per_model("weight")
    total = sum(weights) if recipe.shared("normalize") else 1.0
    return [weight / total for weight in weights]


def _sum_of(tensors: Tensors, recipe: Recipe, deltas: Callable[[slice], torch.Tensor]) -> Combine:
    weights = torch.tensor(_normalised(recipe)) * recipe.shared("lambda")

    def combine(block: slice) -> torch.Tensor:
        return tensors.origin(block).add_(weights @ deltas(block))

    return combine


def _elected(tensors: Tensors, recipe: Recipe, deltas: Callable[[slice], torch.Tensor]) -> Combine:
    """Of the weighted deltas, sum up those with the sign of their sum (0 counts as +)."""
    weights = torch.tensor(recipe.per_model("weight"))[:, None]
    scale, normalize = recipe.shared("lambda"), recipe.shared("normalize")

    def combine(block: slice) -> torch.Tensor:
        parts = deltas(block).mul_(weights)
        agree = agreeing(parts)
        out = parts.mul_(agree).sum(0)
        if normalize:
            divided(out, agree.mul_(weights).sum(0))
        return tensors.origin(block).add_(out, alpha=scale)

    return combine


def _trimmed(tensors: Tensors, index: int, density: float) -> Selection | None:
    """Return which elements of one model's delta are its largest `density`; None for all of them."""
    if density >= 1:
        return None
    one = Tensors(tensors.name, tensors.base, [tensors.models[index]], tensors.pool)
    sample = one.sampled(SAMPLE).deltas(slice(None))[0].abs()
    k = max(1, int(density * tensors.size))
    return largest(one, lambda block: one.deltas(block)[0].abs_(), k, sample)


def _dropping(tensors: Tensors, recipe: Recipe) -> Callable[[slice], torch.Tensor]:
    densities = recipe.per_model("density")

    def dropped(block: slice) -> torch.Tensor:
        deltas = tensors.deltas(block)
        for index, (row, density) in enumerate(zip(deltas, densities, strict=True)):
            # A block's draw depends on nothing but what it is, so that neither order nor threads can change it.
            name = f"{recipe.shared('seed')}/{tensors.name}/{index}/{block.start // BLOCK}"
            seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest())
            drawn = torch.rand(row.numel(), generator=torch.Generator().manual_seed(seed))
            row.mul_(torch.lt(drawn, density, out=drawn)).div_(density)
        return deltas

    return dropped
