"""What a turn teaches: one source's rows or a mean of several, as sparse distributions at the target's own places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.train.dists import Dist

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

UNUSED = -1
"""The id of a place that holds no token."""


@dataclass(frozen=True)
class Rows:
    """Distributions to learn from: `ids` and `probabilities` [n, k], `tail` [n] for all other tokens together."""

    ids: Ids
    probabilities: Floats
    tail: Floats

    def __len__(self) -> int:
        return len(self.tail)

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Rows:
        return Rows(self.ids[rows], self.probabilities[rows], self.tail[rows])


def mince(nlls: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return weights [n, S], 1 for the source to which a turn is least surprising, by `nlls` [n, S] in nats for a byte.

    NaN stands for a source without the turn; of equal ones the first is taken. FuseLLM's MinCE, which compares nats for
    a token; tokens differ between tokenizers, bytes do not.
    """
    best = np.argmin(np.where(np.isnan(nlls), np.inf, nlls), 1)
    weights = np.zeros(nlls.shape)
    weights[np.arange(len(nlls)), best] = 1
    return np.where(np.isnan(nlls), 0.0, weights)


def avgce(nlls: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return softmax(exp(-nll)) over the sources that have a turn: FuseLLM's AvgCE, in nats for a byte."""
    scores = np.exp(np.exp(-nlls))
    scores = np.where(np.isnan(scores), 0.0, scores)
    total = scores.sum(1, keepdims=True)
    return scores / np.where(total > 0, total, 1.0)


CHOICES: Mapping[str, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = {"mince": mince, "avgce": avgce}
"""How much each source has to say of a turn."""


def bucket(probabilities: Floats, tail: Floats) -> tuple[Floats, Floats]:
    """Keep the tail as one more bin, so that what is learnt of the k tokens is their true probability."""
    return probabilities, tail


def renormalise(probabilities: Floats, tail: Floats) -> tuple[Floats, Floats]:
    """Give the k tokens all of the probability, as FuseLLM and FuseChat do."""
    return probabilities / probabilities.sum(1, keepdims=True), np.zeros_like(tail)


TAILS: Mapping[str, Callable[[Floats, Floats], tuple[Floats, Floats]]] = {"bucket": bucket, "renormalise": renormalise}
"""What is made of the probability beyond the k tokens."""


def rows_of(dist: Dist, tail: str) -> Rows:
    """Return a turn's distributions as probabilities."""
    ids = np.where(np.isneginf(dist.logprobs), UNUSED, dist.ids.astype(np.int64))
    return Rows(ids, *TAILS[tail](np.exp(dist.logprobs), np.exp(dist.tail)))


def at_offsets(dist: Dist, offsets: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    """Return for each offset [n] the number of the row that stands there, -1 where none does."""
    if not len(dist.offsets):
        return np.full(len(offsets), -1)
    rows = np.minimum(np.searchsorted(dist.offsets, offsets), len(dist.offsets) - 1)
    return np.where(dist.offsets[rows] == offsets, rows, -1)


def blended(sources: Sequence[tuple[Rows, npt.NDArray[np.int64]]], weights: Sequence[float]) -> tuple[Rows, Ids]:
    """Return the mean of several sources' rows, and at which of n places there is one [m].

    Each source comes with the number of its row at each place [n], -1 where it has none; there the others' weights make
    up for it. A token that one source does not name has none of its probability from that one, whose tail holds it.
    """
    at = np.stack([rows for _, rows in sources], 1)
    share = np.where(at >= 0, np.asarray(weights), 0.0)
    places = np.flatnonzero(share.sum(1) > 0)
    share = (share[places] / share[places].sum(1, keepdims=True)).astype(np.float32)
    if len(sources) == 1:
        return sources[0][0][at[places, 0]], places
    parts = [rows[np.maximum(at[places, number], 0)] for number, (rows, _) in enumerate(sources)]
    has = [share[:, number] > 0 for number in range(len(parts))]
    ids = np.concatenate([np.where(one[:, None], part.ids, UNUSED) for part, one in zip(parts, has, strict=True)], 1)
    chances = [part.probabilities * share[:, number, None] for number, part in enumerate(parts)]
    tail = sum(part.tail * share[:, number] for number, part in enumerate(parts))
    return Rows(*_united(ids, np.concatenate(chances, 1)), np.asarray(tail, np.float32)), places


def _united(ids: Ids, chances: Floats) -> tuple[Ids, Floats]:
    """Return the ids of each row once, with all of their probability; places that are not used come last."""
    order = np.argsort(np.where(ids == UNUSED, np.iinfo(np.int64).max, ids), axis=1, kind="stable")
    ids = np.take_along_axis(ids, order, 1)
    chances = np.where(ids == UNUSED, np.float32(0), np.take_along_axis(chances, order, 1))
    fresh = np.concatenate([np.ones((len(ids), 1), np.bool_), ids[:, 1:] != ids[:, :-1]], 1)
    column = np.cumsum(fresh, 1) - 1
    row = np.arange(len(ids))[:, None]
    found = np.full(ids.shape, UNUSED, np.int64)
    found[row, column] = ids
    summed = np.zeros(chances.shape, np.float32)
    np.add.at(summed, (row, column), chances)
    width = int((found != UNUSED).sum(1).max(initial=1))
    return found[:, :width], summed[:, :width]
