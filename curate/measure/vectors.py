"""Figures of the embeddings: Vendi score and NovelSum. Vectors are rows of unit length, [n, d]."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from curate.measure.pairs import ahead

Vectors = NDArray[np.float32]

ROWS = 512
"""Rows of a block of inner products."""

ZERO = 1e-12
"""Eigenvalues below are rounding."""


def vendi_score(vectors: Vectors) -> float:
    """Return the Vendi score: the effective number of different samples (Friedman & Dieng 2023, TMLR, definition 3.1).

    It is exp(-sum l log l) over the eigenvalues l of K / n, with K the cosines of all pairs. K = V V' has the non-zero
    eigenvalues of the d x d matrix V' V (their section 3.2), so that the cost is linear in n. From 1, where all are
    equal, to min(n, d). Rows must have unit length; float64 inside.
    """
    v = vectors.astype(np.float64)
    gram = v.T @ v if v.shape[0] >= v.shape[1] else v @ v.T
    eigenvalues = np.linalg.eigvalsh(gram / len(v))
    positive = eigenvalues[eigenvalues > ZERO]
    return float(np.exp(-np.sum(positive * np.log(positive))))


def vendi_error(vectors: Vectors) -> float:
    """Return the standard error of the Vendi score by the infinitesimal jackknife (Efron 1982, chapter 6).

    With R = V' V / n, the entropy changes by -v' log(R) v - H for one more sample v: the influence of v. One
    decomposition gives those of all samples, where half-sampling would need one for each half. The two agree on
    thousands of samples; on about as many as d it is a quarter too small, as the score itself then still grows with n.
    """
    v = vectors.astype(np.float64)
    eigenvalues, directions = np.linalg.eigh(v.T @ v / len(v))
    some = eigenvalues > ZERO
    influence = (v @ directions[:, some]) ** 2 @ -np.log(eigenvalues[some])
    return vendi_score(vectors) * float(np.std(influence)) / math.sqrt(len(v))


def novel_sum(vectors: Vectors, densities: NDArray[np.float64] | None = None) -> float:
    """Return NovelSum: the mean over samples of their proximity-weighted, density-aware novelty.

    Yang et al. 2025 (ACL; arXiv 2502.17184), section 4, at alpha = 1, in the form of the authors' code: the novelty of
    sample i is the average of its cosine distances to all samples (itself the first, at 0) with weights 1 / rank by
    distance, times the density at i. `densities`, [n], come from `density` and a reference dataset. Without one they
    are 1, which the authors recommend over taking the dataset as its own reference: near-duplicates would then raise
    the figure.
    """
    weights = (1 / np.arange(1, len(vectors) + 1)).astype(np.float32)
    weights /= weights.sum()

    def novelty(start: int) -> Vectors:
        cosines = vectors[start : start + ROWS] @ vectors.T
        # Ascending distances are descending cosines, and the distance of a sample to itself can be 1e-7 below zero.
        cosines.sort(axis=1)
        np.subtract(1, cosines, out=cosines)
        found: Vectors = np.maximum(cosines, 0, out=cosines) @ weights[::-1]
        return found

    each = np.concatenate(list(ahead(novelty, range(0, len(vectors), ROWS)))).astype(np.float64)
    return float(np.mean(each if densities is None else each * densities))


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
