"""Figures of the embeddings: nearest neighbours, Vendi score, NovelSum. Vectors are rows of unit length, [n, d]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

ROWS = 512
"""Rows of a block of inner products."""

NEIGHBOURS = 16
"""Neighbours kept of each sample: one of them is in a random half of the samples, but for 1 in 65,536 times."""


def nearest(vectors: Vectors, k: int = NEIGHBOURS) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the cosines and places, [n, k] each, of the k nearest others of each row, the nearest first."""
    n = len(vectors)
    k = min(k, n - 1)
    cosines = np.empty((n, k), dtype=np.float32)
    places = np.empty((n, k), dtype=np.int64)
    for start in range(0, n, ROWS):
        block = vectors[start : start + ROWS] @ vectors.T
        rows = np.arange(len(block))
        block[rows, start + rows] = -np.inf
        near = np.argpartition(-block, min(k, n - 1) - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(block, near, axis=1), axis=1, kind="stable")
        places[start : start + ROWS] = np.take_along_axis(near, order, axis=1)
        cosines[start : start + ROWS] = np.take_along_axis(block, places[start : start + ROWS], axis=1)
    return cosines, places


def vendi_score(vectors: Vectors) -> float:
    """Return the Vendi score: the effective number of different samples (Friedman & Dieng 2023, TMLR, definition 3.1).

    It is exp(-sum l log l) over the eigenvalues l of K / n, with K the cosines of all pairs. K = V V' has the non-zero
    eigenvalues of the d x d matrix V' V (their section 3.2), so that the cost is linear in n. From 1, where all are
    equal, to min(n, d). Rows must have unit length; float64 inside.
    """
    v = vectors.astype(np.float64)
    gram = v.T @ v if v.shape[0] >= v.shape[1] else v @ v.T
    eigenvalues = np.linalg.eigvalsh(gram / len(v))
    positive = eigenvalues[eigenvalues > 1e-12]
    return float(np.exp(-np.sum(positive * np.log(positive))))


def novel_sum(vectors: Vectors, densities: NDArray[np.float64] | None = None) -> float:
    """Return NovelSum: the mean over samples of their proximity-weighted, density-aware novelty.

    Yang et al. 2025 (ACL; arXiv 2502.17184), section 4, at alpha = 1, in the form of the authors' code: the novelty of
    sample i is the average of its cosine distances to all samples (itself the first, at 0) with weights 1 / rank by
    distance, times the density at i. `densities`, [n], come from `density` and a reference dataset. Without one they
    are 1, which the authors recommend over taking the dataset as its own reference: near-duplicates would then raise
    the figure.
    """
    n = len(vectors)
    weights = (1 / np.arange(1, n + 1)).astype(np.float32)
    weights /= weights.sum()
    novelty = np.empty(n)
    for start in range(0, n, ROWS):
        distances = 1 - vectors[start : start + ROWS] @ vectors.T
        distances.sort(axis=1)
        # Float32 products give a sample a distance to itself of 1e-7, on either side of zero.
        novelty[start : start + ROWS] = np.maximum(distances, 0) @ weights
    return float(np.mean(novelty if densities is None else novelty * densities))


def density(vectors: Vectors, reference: Vectors, k: int = 10, beta: float = 0.5) -> NDArray[np.float64]:
    """Return the density factor of NovelSum at each row, [n]: 1 / (mean squared distance to k neighbours) ** beta.

    The neighbours are the nearest of the different rows of `reference`, the row itself left out, as in the authors'
    code (arXiv 2502.17184, section 4: K = 10, beta = 0.5, and squared Euclidean distances there).
    """
    reference = np.unique(reference, axis=0)
    k = min(k, len(reference) - 1)
    factors = np.empty(len(vectors))
    for start in range(0, len(vectors), ROWS):
        squared = np.maximum(2 - 2 * (vectors[start : start + ROWS] @ reference.T), 0)
        # The nearest of k + 1 is the row itself, or stands for it.
        near = np.sort(np.partition(squared, k, axis=1)[:, : k + 1], axis=1)[:, 1:]
        factors[start : start + ROWS] = (near.mean(axis=1, dtype=np.float64) + 1e-9) ** -beta
    return factors
