"""Dynamic time warping of two rows of tokens, the alignment of FuseLLM and FuseChat, with numpy's arithmetic.

The cost of a pair is the edit distance of its spellings without spaces; moves go to the next token of both, of the
first, or of the second. Rows of the table are made whole: D[i, j] = c[i, j] + min(D[i-1, j-1], D[i-1, j], D[i, j-1])
is, with sums C of a row's costs, C[j] + the least of (min(D[i-1, j'-1], D[i-1, j']) - C[j'-1]) for j' up to j, which a
running minimum gives in integers, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FAR = 1 << 29


def warped(first: Sequence[bytes], second: Sequence[bytes]) -> npt.NDArray[np.int64]:
    """Return the pairs [p, 2] of the cheapest path from the beginnings of two rows of tokens to their ends, in order.

    Of equally cheap steps the one from both tokens before is taken, then the one from the first's, as published.
    """
    if not first or not second:
        return np.empty((0, 2), np.int64)
    table = _table(_costs(first, second))
    left, right = len(first) - 1, len(second) - 1
    path = [(left, right)]
    while left or right:
        both = table[left - 1][right - 1] if left and right else FAR
        up = table[left - 1][right] if left else FAR
        aside = table[left][right - 1] if right else FAR
        least = min(both, up, aside)
        if both == least:
            left, right = left - 1, right - 1
        elif up == least:
            left -= 1
        else:
            right -= 1
        path.append((left, right))
    return np.array(path[::-1], np.int64)


def _costs(first: Sequence[bytes], second: Sequence[bytes]) -> npt.NDArray[np.int32]:
    """Return the edit distances [n, m]; those of equal tokens are computed once."""
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    ours, mine = np.unique([_spelling(piece) for piece in first], return_inverse=True)
    others, theirs = np.unique([_spelling(piece) for piece in second], return_inverse=True)
    distances = cdist(ours.tolist(), others.tolist(), scorer=Levenshtein.distance, dtype=np.int32)
    return np.asarray(distances[mine][:, theirs], np.int32)


def _spelling(piece: bytes) -> str:
    return piece.replace(b" ", b"").decode("latin-1")


def _table(costs: npt.NDArray[np.int32]) -> list[npt.NDArray[np.int32]]:
    """Return the least cost of a path from the first pair to every pair, row by row."""
    sums = np.cumsum(costs, 1, dtype=np.int32)
    rows = [sums[0]]
    before = np.empty_like(sums[0])
    for row, total in zip(costs[1:], sums[1:], strict=True):
        last = rows[-1]
        before[0] = last[0]
        np.minimum(last[1:], last[:-1], out=before[1:])
        before -= total
        before += row
        np.minimum.accumulate(before, out=before)
        rows.append(before + total)
    return rows
