"""The index of kept vectors: exact inner products on FAISS, with scores that no block size can change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096
DECIMALS = 6
"""A matrix product in float32 is off by less than this many decimals, by an amount that depends on its shape."""

_NEAREST = 4
_MARGIN = 1e-5


def cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Return the cosine of two unit vectors, summed in float64 and rounded to six decimals: the score that decides."""
    return round(float((left.astype(np.float64) * right).sum()), DECIMALS)


class VectorIndex:
    """Unit vectors under ids, with the nearest of them to others, by `faiss.IndexFlatIP` (exact, nothing to train).

    Memory: 4 d bytes per vector. The first vectors added set d.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._index: Any = None

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Add one row of `vectors`, [n, d] float32, under each id."""
        if len(ids) != len(vectors):
            raise ValueError(f"{len(ids)} ids and {len(vectors)} vectors")
        if self._index is None:
            import faiss

            # Blocks here are small and the caller's other thread is busy: OpenMP's waiting threads made a loop of
            # rounds three times as slow on two cores as one thread does.
            faiss.omp_set_num_threads(1)
            self._index = faiss.IndexFlatIP(vectors.shape[1])
        self._index.add(np.ascontiguousarray(vectors, dtype=np.float32))
        self.ids.extend(ids)

    def best(self, vectors: NDArray[np.float32]) -> tuple[list[float], list[str]]:
        """Return for each row, [n, d], its highest cosine and the id it is with, among equals the first added.

        While the index is empty they are -1.0 and "".
        """
        scores, ids = [-1.0] * len(vectors), [""] * len(vectors)
        if not self.ids:
            return scores, ids
        for start in range(0, len(vectors), BLOCK):
            block = np.ascontiguousarray(vectors[start : start + BLOCK], dtype=np.float32)
            inner, places = self._index.search(block, min(_NEAREST, len(self.ids)))
            # FAISS orders equals by the last bit of its float32 sums; those that could be first are compared anew.
            level = inner >= inner[:, :1] - _MARGIN
            for row in range(len(block)):
                found = places[row, level[row]].tolist()
                score, place = max((cosine(block[row], self._index.reconstruct(p)), -p) for p in found)
                scores[start + row], ids[start + row] = score, self.ids[-place]
        return scores, ids
