"""The map's points: where they lie in two dimensions, and the bytes in which the page gets them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import InputError, MissingExtraError
from curate.io import whole
from curate.measure import random_places

if TYPE_CHECKING:
    from curate.embed import Vectors
    from curate.export.report.gather import Points

HEAD = 160
"""Characters of a sample that the map shows."""

HEADS = 24_000_000
"""Bytes of all heads together; where they are more, each is cut shorter."""

UMAP_POINTS = 10_000
"""Points of a UMAP at most: its time grows faster than they do."""

GRID = 65_535
"""Steps of a quantised coordinate."""


@dataclass
class PointMap:
    """The map for the page: `about` in its overview, `points` and `heads` as blocks of bytes and of text."""

    about: dict[str, Any] = field(default_factory=dict)
    points: bytes = b""
    heads: bytes = b""


def point_map(points: Points, vectors: Vectors, *, umap: bool = False) -> PointMap | None:
    """Lay the points out and pack them; None for fewer than three with a vector.

    `vectors` holds one row for each point, [n, d]; a text that the encoder does not know has a row of zeros.

    `points` (bytes, little endian): x and y (uint16 each, [0, 65535], the same scale for both), tasks (uint32), reasons
    (uint8), and of a UMAP its places among the points (uint32), x and y. `heads` is JSON: ids and texts.

    Raises MissingExtraError where a UMAP is wanted and umap-learn is missing.
    """
    known = np.flatnonzero(vectors.any(axis=1))
    if len(known) < 3:
        return None
    vectors = vectors[known] if len(known) < len(vectors) else vectors
    flat, share = pca(vectors)
    columns: list[NDArray[Any]] = [
        *_quantised(flat),
        np.array(points.tasks, dtype="<u4")[known],
        np.array(points.reasons, dtype="<u1")[known],
    ]
    mapped = np.arange(0)
    if umap:
        mapped = random_places(len(known), UMAP_POINTS, seed=0)
        columns += [mapped.astype("<u4"), *_quantised(umapped(vectors[mapped]))]
    heads, length = _heads([points.texts[place] for place in known])
    about = {
        "n": len(known),
        "total": points.total,
        "umap": len(mapped),
        "explained": [round(float(part), 4) for part in share],
        "head": length,
    }
    return PointMap(about, b"".join(column.tobytes() for column in columns), _told(points, known, heads))


def _told(points: Points, known: NDArray[np.int64], heads: list[str]) -> bytes:
    return "\n".join([*(whole(points.ids[place]).replace("\n", " ") for place in known), *heads]).encode()


def _heads(texts: list[str]) -> tuple[list[str], int]:
    """Return the head of each text on one line, and how many characters a head has at most."""
    heads = [" ".join(text[: 4 * HEAD].split())[: HEAD + 1] for text in texts]
    size = sum(len(head.encode()) for head in heads)
    length = HEAD if size <= HEADS else max(HEAD * HEADS // size, 24)
    return [head if len(head) <= length else f"{head[: length - 1].rstrip()}…" for head in heads], length


def pca(vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the two principal components of `vectors` [n, d] as [n, 2], and their shares of the variance.

    Pearson (1901). Of each axis the direction is the one in which its largest weight is positive.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    # The covariance from the raw products: a centred copy of the vectors would take their memory once more.
    spread = (vectors.T @ vectors).astype(np.float64) / len(vectors) - np.outer(mean, mean)
    values, axes = _largest(spread)
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    flat = vectors.astype(np.float32) @ axes.astype(np.float32) - (mean @ axes)
    whole_spread = max(float(np.trace(spread)), 1e-12)
    return np.asarray(flat, dtype=np.float64), np.maximum(values, 0) / whole_spread


def _largest(spread: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the two largest eigenvalues of a symmetric matrix and their vectors as columns, by subspace iteration.

    A full decomposition of a few hundred columns waits a second for its threads where other work keeps them busy.
    """
    width = min(len(spread), 12)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(len(spread), width)))[0]
    for _ in range(80):
        basis = np.linalg.qr(spread @ basis)[0]
    values, turn = np.linalg.eigh(basis.T @ spread @ basis)
    return values[[-1, -2]], basis @ turn[:, [-1, -2]]


def umapped(vectors: Vectors) -> NDArray[np.float64]:
    """Return the UMAP (McInnes, Healy, Melville 2018) of `vectors` by cosine, [n, 2]; seeded, so always the same.

    Raises MissingExtraError where umap-learn is missing.
    """
    try:
        from umap import UMAP
    except ImportError as error:
        raise MissingExtraError("a UMAP of the samples", "umap") from error
    if len(vectors) < 15:
        raise InputError(f"a UMAP needs 15 samples or more; here are {len(vectors)}")
    return np.asarray(UMAP(metric="cosine", random_state=0, n_jobs=1).fit_transform(vectors), dtype=np.float64)


def _quantised(flat: NDArray[np.float64]) -> list[NDArray[np.uint16]]:
    """Return x and y on a grid of 65,536 steps; the wider of the two spans it, the other lies in its middle."""
    low, high = flat.min(axis=0), flat.max(axis=0)
    width = max(float((high - low).max()), 1e-12)
    scaled = (flat - (low + high) / 2) / width + 0.5
    return [np.clip(np.rint(scaled[:, axis] * GRID), 0, GRID).astype("<u2") for axis in (0, 1)]
