"""Vectors to look for near pairs in, for several tests."""

from __future__ import annotations

import numpy as np

from curate.embed.pairs import Pairs


def unit(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0).astype(np.float32)


def clustered(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Vectors with near pairs at every cosine: few topics, a falling spectrum, copies, and rows of zeros."""
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, d + 1) ** -0.5
    rows = rng.standard_normal((8, d))[rng.integers(0, 8, n)] + rng.uniform(0, 1.5, (n, 1)) * rng.standard_normal(
        (n, d)
    )
    rows *= spectrum
    rows[rng.integers(0, n, n // 10)] = rows[rng.integers(0, n, n // 10)]
    rows[rng.integers(0, n, n // 50)] = 0
    return unit(rows)


def told(pairs: Pairs) -> list[tuple[int, int, int]]:
    return list(zip(pairs.left.tolist(), pairs.right.tolist(), pairs.score.tolist(), strict=True))
