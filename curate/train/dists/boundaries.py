"""Alignment on shared byte boundaries: the method that needs no dynamic programming and no guess.

Where both tokenizers have a boundary at the same byte of the text, the source's distribution of what follows is taken,
its tokens mapped by the bytes they stand for. Three cases, by the tokens that do follow there:

- both end at the same byte: the row is mapped token by token
- the source's goes further: likewise; the target spells that token by several, and the first of them is meant
- the target's goes further: the source says of its one token in several steps how probable it is. Their product is the
  token's probability if they end where it ends. How the target would go on from the source's other tokens nobody says,
  so that their mass goes to the tail; where the ends do not meet there is no row.

A place where a tokenizer changed the text (lower-casing, unknown characters) has no row: the distribution is about
another text. Nothing falls back to a one-hot row.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from curate.train.dists import KINDS, Dist
from curate.train.dists.maps import Maps
from curate.train.dists.pairing import CHANGED, GLUED, Pair
from curate.train.dists.project import NONE, Mass, gathered


def by_boundaries(pair: Pair, maps: Maps) -> Dist:
    """Return the rows of a turn at the boundaries that both sides have, in the target's ids."""
    dist, source, target = pair.dist, pair.source, pair.target
    _, mine, theirs = np.intersect1d(source.offsets, target.offsets, assume_unique=True, return_indices=True)
    usable = (source.how[mine] != CHANGED) & (target.how[theirs] != CHANGED)
    mine, theirs = mine[usable], theirs[usable]
    longer = target.ends[theirs] > source.ends[mine]
    chained, reached = _chains(pair, mine, theirs)
    kept = ~longer | reached
    mine, theirs, longer, chained = mine[kept], theirs[kept], longer[kept], chained[kept]
    mass = np.exp(dist.logprobs[mine].astype(np.float64))
    ids = mapped(pair, mine, theirs, maps)
    own = dist.ids[mine] == source.tokens[mine][:, None]
    ids = np.where(own, target.tokens[theirs][:, None], ids)
    end = NONE if maps.target.vocabulary.end is None else maps.target.vocabulary.end
    ids = np.where(longer[:, None] & (ids != end), NONE, ids)
    # The chain's product is a part of the mass of the source's own token, wherever that is: in the row or in its tail.
    extra = np.where(longer, chained, 0.0)
    ids = np.concatenate([ids, np.where(longer, target.tokens[theirs], NONE)[:, None]], 1)
    mass = np.concatenate([mass, extra[:, None]], 1)
    rest = np.exp(dist.tail[mine].astype(np.float64))
    found, logprobs, tail = gathered(_without(Mass(ids, mass, rest), own, extra), dist.ids.shape[1])
    kind = np.where(longer, KINDS.index("several"), KINDS.index("boundary"))
    return rows_of(pair, mine, theirs, found, logprobs, tail, kind)


def rows_of(
    pair: Pair, mine: npt.NDArray[np.int64], theirs: npt.NDArray[np.int64], ids: npt.NDArray[np.uint32],
    logprobs: npt.NDArray[np.float32], tail: npt.NDArray[np.float32], kind: npt.NDArray[np.int64],
) -> Dist:  # fmt: skip
    """Return the distributions of those rows in which any token has a counterpart."""
    said = np.isfinite(logprobs[:, 0])
    mine, theirs = mine[said], theirs[said]
    return Dist(
        offsets=pair.target.offsets[theirs].astype(np.uint32),
        ids=ids[said],
        logprobs=logprobs[said],
        tail=tail[said],
        nll_per_byte=pair.dist.nll_per_byte,
        kind=kind[said].astype(np.uint8),
        tokens=pair.target.tokens[theirs].astype(np.uint32),
        nll=pair.dist.nll[mine],
        text=pair.dist.text,
    )


def mapped(pair: Pair, mine: npt.NDArray[np.int64], theirs: npt.NDArray[np.int64], maps: Maps) -> npt.NDArray[np.int64]:
    """Return the target's ids of the source's rows `mine`, which stand where the target's `theirs` do."""
    ids = np.full((len(mine), pair.dist.ids.shape[1]), NONE, np.int64)
    left, right = pair.source.how[mine] == GLUED, pair.target.how[theirs] == GLUED
    for one, other in product((False, True), repeat=2):
        these = (left == one) & (right == other)
        if not these.any():
            continue
        table = np.append(maps[one, other], NONE)  # a model may have more rows than its tokenizer has tokens
        ids[these] = table[np.minimum(pair.dist.ids[mine[these]], len(table) - 1)]
    return ids


def _chains(
    pair: Pair, mine: npt.NDArray[np.int64], theirs: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return the probability of the source's tokens up to where the target's ends, and whether they end there too."""
    starts, nll = pair.source.offsets, pair.dist.nll.astype(np.float64)
    ends = pair.target.ends[theirs]
    stop = np.searchsorted(pair.source.ends, ends) + 1
    reached = (stop <= len(starts)) & (pair.source.ends[np.minimum(stop, len(starts)) - 1] == ends)
    sums = np.append(0.0, np.cumsum(nll))
    chained = np.exp(-(sums[np.minimum(stop, len(starts))] - sums[mine]))
    return chained, reached


def _without(given: Mass, own: npt.NDArray[np.bool_], extra: npt.NDArray[np.float64]) -> Mass:
    """Take `extra` [n], the last column's mass, from where the row counts it already: its own token, else the tail."""
    mass, rest = given.mass.copy(), given.rest.copy()
    held = own.any(1)
    mass[:, :-1] -= np.where(own, extra[:, None], 0.0)
    rest -= np.where(held, 0.0, extra)
    return Mass(given.ids, np.maximum(mass, 0.0), np.maximum(rest, 0.0))
