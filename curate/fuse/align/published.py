"""The alignments of FuseLLM (EM, MinED) and FuseChat (statistics-based), for comparison.

All pair tokens by dynamic time warping over a turn and take, for a target's token that a pair accepts, the source's row
behind its partner: both predict what follows. What differs is which pairs are accepted and how ids are mapped.

What the published code does and this does not: an unmatched place gets no one-hot row of its own token (it has no row),
mass of ids that fall together is summed and what has no counterpart is in the tail, pairs that do not end at the same
byte are left out, and no token's mass goes to the unknown token. `statistics` maps by the highest count;
`statistics-published` has the published weight, which is lowest where pairs are rare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from curate.fuse.align.dtw import warped
from curate.train.dists import KINDS, Dist
from curate.train.dists.boundaries import mapped, rows_of
from curate.train.dists.maps import Map, Maps
from curate.train.dists.pairing import Pair, Side
from curate.train.dists.project import NONE, Mass, gathered

Accepted = list[tuple[int, int, int]]
"""Places of the source's and the target's tokens that are taken for the same, and a number in `KINDS`."""

EQUAL, MAPPED, SEVERAL = (KINDS.index(name) for name in ("equal", "mapped", "several"))


def by_pairs(pair: Pair, maps: Maps, accept: Callable[[Pair, Maps], Accepted]) -> Dist:
    """Return the rows behind the tokens that `accept` takes for the same, and that before the first of the turn."""
    source, target = pair.source, pair.target
    begins = len(source.offsets) and len(target.offsets) and source.offsets[0] == target.offsets[0]
    chosen: dict[int, tuple[int, int]] = {0: (0, EQUAL)} if begins else {}
    for one, other, kind in accept(pair, maps):
        if one + 1 < len(source.offsets) and other + 1 < len(target.offsets):
            chosen.setdefault(other + 1, (one + 1, kind))
    theirs = np.array(sorted(chosen), np.int64)
    mine = np.array([chosen[other][0] for other in theirs.tolist()], np.int64)
    kinds = np.array([chosen[other][1] for other in theirs.tolist()], np.int64)
    shared = source.offsets[mine] == target.offsets[theirs]
    mine, theirs, kinds = mine[shared], theirs[shared], kinds[shared]
    mass = Mass(mapped(pair, mine, theirs, maps), np.exp(pair.dist.logprobs[mine].astype(np.float64)),
                np.exp(pair.dist.tail[mine].astype(np.float64)))  # fmt: skip
    return rows_of(pair, mine, theirs, *gathered(mass, pair.dist.ids.shape[1]), kinds)


def equal_tokens(pair: Pair, maps: Maps) -> Accepted:
    """Accept a target's token with exactly one partner that is spelled alike (EM)."""
    ours, others = _spelled(pair, pair.source), _spelled(pair, pair.target)
    return [(one, other, EQUAL) for one, other in _single(pair) if ours[one] == others[other]]


def mapped_tokens(pair: Pair, maps: Maps) -> Accepted:
    """Accept a target's token with exactly one partner that is spelled alike or mapped to it (MinED)."""
    ours, others = _spelled(pair, pair.source), _spelled(pair, pair.target)
    table = maps[False, False]
    found = []
    for one, other in _single(pair):
        if ours[one] == others[other]:
            found.append((one, other, EQUAL))
        elif table[pair.source.tokens[one]] == pair.target.tokens[other]:
            found.append((one, other, MAPPED))
    return found


def suffixed_tokens(pair: Pair, maps: Maps) -> Accepted:
    """Accept by FuseChat's rules: a single partner where one is the other's end; of several, the one that is the
    token's end, or the last where all of them spell the token."""
    ours, others = _spelled(pair, pair.source), _spelled(pair, pair.target)
    found = []
    for other, ones in _partners(pair).items():
        word = others[other].strip()
        pieces = [ours[one].strip() for one in ones]
        if len(ones) == 1:
            if word.endswith(pieces[0]) or pieces[0].endswith(word):
                found.append((ones[0], other, EQUAL if word == pieces[0] else MAPPED))
            continue
        ends = [one for one, piece in zip(ones, pieces, strict=True) if piece and word.endswith(piece)]
        if ends or b"".join(ours[one] for one in ones).strip() == word:
            found.append(((ends or ones)[-1], other, SEVERAL))
    return found


def counted(pairs: Iterable[Pair]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the pairs of ids (source, target) [p, 2] that time warping puts together, and how often [p]."""
    found: dict[tuple[int, int], int] = {}
    for pair in pairs:
        for one, other in _path(pair).tolist():
            key = (int(pair.source.tokens[one]), int(pair.target.tokens[other]))
            found[key] = found.get(key, 0) + 1
    keys = sorted(found)
    return np.array(keys, np.int64).reshape(-1, 2), np.array([found[key] for key in keys], np.int64)


def most_often(exact: Map, ids: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], distance: Distance) -> Map:
    """Complete an exact map by the target's token that was put together most often, of several the nearest."""
    return _completed(exact, ids, [(-int(count), distance(*pair)) for pair, count in zip(ids, counts, strict=True)])


def published_weight(exact: Map, ids: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], distance: Distance) -> Map:
    """Complete an exact map by the least sigmoid(count) * distance, as FuseChat's released code has it."""
    weights = 1 / (1 + np.exp(-counts.astype(np.float64)))
    return _completed(
        exact, ids, [(float(weight) * distance(*pair), 0.0) for pair, weight in zip(ids, weights, strict=True)]
    )


Distance = Callable[[int, int], float]
"""How far the spellings of a source's and a target's id are from each other."""


def _completed(exact: Map, ids: npt.NDArray[np.int64], costs: list[tuple[float, float]]) -> Map:
    found = exact.copy()
    best: dict[int, tuple[tuple[float, float], int]] = {}
    for (one, other), cost in zip(ids.tolist(), costs, strict=True):
        if exact[one] == NONE and (one not in best or (cost, other) < best[one]):
            best[one] = (cost, other)
    for one, (_, other) in best.items():
        found[one] = other
    return found


def _path(pair: Pair) -> npt.NDArray[np.int64]:
    """Return the pairs of places of a turn's tokens; the token that ends it is no part of the text."""
    length = len(pair.dist.text)
    ours = [piece for piece, at in zip(_spelled(pair, pair.source), pair.source.offsets, strict=True) if at < length]
    others = [piece for piece, at in zip(_spelled(pair, pair.target), pair.target.offsets, strict=True) if at < length]
    return warped(ours, others)


def _spelled(pair: Pair, side: Side) -> list[bytes]:
    text = pair.dist.text
    return [text[begin:end] for begin, end in zip(side.offsets.tolist(), side.ends.tolist(), strict=True)]


def _partners(pair: Pair) -> dict[int, list[int]]:
    """Return the places of the source's tokens that each of the target's is put together with."""
    found: dict[int, list[int]] = {}
    for one, other in _path(pair).tolist():
        found.setdefault(other, []).append(one)
    return found


def _single(pair: Pair) -> list[tuple[int, int]]:
    return [(ones[0], other) for other, ones in _partners(pair).items() if len(ones) == 1]
