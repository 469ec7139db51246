"""The index of kept vectors: exact inner products on FAISS, with scores that no block size can change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS = 256
COLUMNS = 4096
"""Rows and vectors in one matrix product: 4 MB of inner products, which stay in the processor's cache."""

DECIMALS = 6
"""A matrix product in float32 is off by less than this many decimals, by an amount that depends on its shape."""

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
        for start in range(0, len(vectors), ROWS):
            block = np.ascontiguousarray(vectors[start : start + ROWS], dtype=np.float32)
            for row, place in enumerate(self._places(block)):
                scores[start + row] = cosine(block[row], self._stored[place])
                ids[start + row] = self.ids[place]
        return scores, ids

    @property
    def _stored(self) -> NDArray[np.float32]:
        """The index's own memory, [n, d]: a view, valid until the next `add`."""
        import faiss

        stored: NDArray[np.float32] = faiss.rev_swig_ptr(self._index.get_xb(), len(self.ids) * self._index.d)
        return stored.reshape(len(self.ids), self._index.d)

    def _places(self, block: NDArray[np.float32]) -> list[int]:
        """Return for each row of a block the place of its nearest vector.

        The inner products are numpy's: its matrix product is 7 times as fast as the one in FAISS's wheel on one thread.
        They are float32 and propose; what is within _MARGIN of the highest is compared anew in float64.
        """
        stored = self._stored
        # A row of zeros is equally near to all: it has no place of its own, and the first will do.
        known: NDArray[np.bool_] = np.abs(block).max(axis=1) > 0
        highest = np.full(len(block), -np.inf, dtype=np.float32)
        found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
        for start in range(0, len(stored), COLUMNS):
            inner = block @ stored[start : start + COLUMNS].T
            top = inner.max(axis=1)
            better = np.flatnonzero((top >= highest - _MARGIN) & known)
            highest = np.maximum(highest, top)
            rows, columns = np.nonzero(inner[better] >= (highest[better] - _MARGIN)[:, None])
            rows = better[rows]
            found.append((rows, columns + start, inner[rows, columns]))
        rows, places, inner = (np.concatenate(part) for part in zip(*found, strict=True))
        near = inner >= highest[rows] - _MARGIN
        rows, places = rows[near], places[near]
        exact = np.round(np.einsum("ij,ij->i", block[rows].astype(np.float64), stored[places]), DECIMALS)
        # By row, then the highest, then the first added; the first of each row is its nearest.
        order = np.lexsort((places, -exact, rows))
        first = np.unique(rows[order], return_index=True)[1]
        nearest = np.zeros(len(block), dtype=np.int64)
        nearest[known] = places[order][first]
        return [int(place) for place in nearest]
