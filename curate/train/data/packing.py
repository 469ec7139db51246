"""Packing: which documents share one row of a fixed number of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def pack(lengths: Sequence[int] | npt.NDArray[np.integer], budget: int) -> list[list[int]]:
    """Return packs of document indices, by best-fit decreasing (Johnson et al., 1974): each index once, none split.

    Documents are taken from the longest to the shortest, equal lengths in their own order, and each goes to the pack
    with the least room that still holds it. The result depends on `lengths` and `budget` alone; no pack holds more
    than `budget` tokens, and there are at most 11/9 OPT + 6/9 packs.

    Raises:
        ValueError: a document of no tokens, or of more than `budget`.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if not sizes.size:
        return []
    if (wrong := np.flatnonzero((sizes < 1) | (sizes > budget))).size:
        raise ValueError(f"document {wrong[0]} has {sizes[wrong[0]]} tokens, and a pack takes from 1 to {budget}")
    order = np.argsort(-sizes, kind="stable")
    values, starts = np.unique(-sizes[order], return_index=True)
    ends = [*starts[1:].tolist(), sizes.size]
    packs: list[list[int]] = []
    # Packs by the room they have left, and a number whose bits say where there are any: its lowest bit from `length`
    # on is the best fit.
    rooms: dict[int, list[int]] = {}
    bits = 0
    documents = order.tolist()
    for length, at, end in zip((-values).tolist(), starts.tolist(), ends, strict=True):
        while at < end:
            fitting = bits >> length
            if fitting:
                room = length + (fitting & -fitting).bit_length() - 1
                chosen = rooms[room].pop()
                if not rooms[room]:
                    bits ^= 1 << room
            else:
                room, chosen = budget, len(packs)
                packs.append([])
            # As long as it holds one more of this length, it remains the best fit.
            count = min(room // length, end - at)
            packs[chosen] += documents[at : at + count]
            at += count
            if left := room - count * length:
                rooms.setdefault(left, []).append(chosen)
                bits |= 1 << left
    return packs


def padding_share(lengths: Sequence[int] | npt.NDArray[np.integer], packs: int, budget: int) -> float:
    """Return which share of `packs` rows of `budget` tokens holds no document."""
    return 1 - float(np.sum(lengths, dtype=np.int64)) / (packs * budget) if packs else 0.0
