"""Figures of the task tree: how evenly its leaves are filled, and whether leaves are apart from each other.

No published definition exists for these; each docstring is one. A leaf is a task without sub-tasks; a sample belongs to
the leaf whose path it carries, and samples of tasks higher up belong to none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curate.tree import name_key

if TYPE_CHECKING:
    from curate.tree import TaskTree

Path = tuple[str, ...]

HELD_OUT = 5
"""One of so many samples of a leaf is held out."""


@dataclass(frozen=True)
class Leaves:
    """The leaf of each sample.

    `of`, [n], is the number of each sample's leaf, -1 for none; `count` is the number of leaves, those without samples
    included; `parents`, [count], has the same number for leaves of the same parent.
    """

    of: NDArray[np.int64]
    count: int
    parents: NDArray[np.int64]


def leaves_of(paths: Sequence[Path], tree: TaskTree | None = None) -> Leaves:
    """Return the leaves of samples with these paths of task names.

    Without a tree, the leaves are the paths that none of the others goes through.
    """
    keys = [tuple(map(name_key, path)) for path in paths]
    found = sorted(_ends(keys) if tree is None else _leaves(tree))
    numbers = {leaf: number for number, leaf in enumerate(found)}
    parents: dict[Path, int] = {}
    return Leaves(
        np.array([numbers.get(key, -1) for key in keys], dtype=np.int64),
        len(found),
        np.array([parents.setdefault(leaf[:-1], len(parents)) for leaf in found], dtype=np.int64),
    )


def _ends(keys: Iterable[Path]) -> set[Path]:
    every = {key for key in keys if key}
    return every - {key[:depth] for key in every for depth in range(1, len(key))}


def _leaves(tree: TaskTree) -> set[Path]:
    return {tuple(map(name_key, tree.path(task.id))) for task in tree.walk() if not tree.children(task.id)}


def leaf_entropy(leaves: NDArray[np.int64], count: int) -> float:
    """Return the entropy of the samples over the leaves, over log `count` (Pielou's evenness over all leaves).

    1 where every leaf has as many samples, 0 where one has them all. `leaves`, [n], are numbers from 0 to `count` - 1.
    """
    if count < 2 or not len(leaves):
        return 0.0
    shares = np.bincount(leaves, minlength=count) / len(leaves)
    filled = shares[shares > 0]
    return float(-np.sum(filled * np.log(filled)) / np.log(count)) + 0.0


def empty_leaves(leaves: NDArray[np.int64], count: int) -> float:
    """Return the share of the `count` leaves that have no sample."""
    return 1 - len(np.unique(leaves)) / count


def purity(leaves: NDArray[np.int64], nearest: NDArray[np.int64]) -> float:
    """Return the share of samples whose nearest other sample is of the same leaf.

    `leaves`, [n], are the leaves of the samples, `nearest`, [n], those of their nearest others by embedding, -1 where
    that one is of no leaf.
    """
    return float(np.mean(leaves == nearest))


def sibling_overlap(leaves: NDArray[np.int64], nearest: NDArray[np.int64], parents: NDArray[np.int64]) -> float:
    """Return the share of samples whose nearest other sample is of another leaf with the same parent.

    Together with `purity`, what is missing to 1 are neighbours from elsewhere in the tree. Arguments as for `purity`;
    `parents` as in `Leaves`.
    """
    return float(np.mean((nearest >= 0) & (leaves != nearest) & (parents[leaves] == parents[nearest])))


def held_out_right(leaves: NDArray[np.int64], vectors: NDArray[np.float32], seed: int) -> NDArray[np.bool_]:
    """Return for each held-out sample whether the nearest leaf centroid is its own leaf's, [held out].

    Of every leaf with two samples or more, a fifth (at least one) are held out at random; a centroid is the mean of the
    vectors of a leaf's others, scaled to length 1, and the nearest has the highest cosine.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(leaves))
    order = order[np.argsort(leaves[order], kind="stable")]
    counts = np.bincount(leaves)
    # The place of each sample in its leaf's random order.
    rank = np.empty(len(leaves), dtype=np.int64)
    rank[order] = np.arange(len(leaves)) - np.repeat(np.cumsum(counts) - counts, counts)
    held = (counts[leaves] > 1) & (rank < np.maximum(counts[leaves] // HELD_OUT, 1))
    numbers, codes = np.unique(leaves[~held], return_inverse=True)
    centroids = np.zeros((len(numbers), vectors.shape[1]), dtype=np.float64)
    np.add.at(centroids, codes, vectors[~held])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True).clip(min=1e-12)
    best = np.concatenate(
        [np.argmax(part @ centroids.T.astype(np.float32), axis=1) for part in _parts(vectors[held])]
        or [np.zeros(0, int)]
    )
    right: NDArray[np.bool_] = numbers[best] == leaves[held]
    return right


def _parts(vectors: NDArray[np.float32], rows: int = 512) -> list[NDArray[np.float32]]:
    return [vectors[start : start + rows] for start in range(0, len(vectors), rows)]
