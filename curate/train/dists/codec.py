"""Rows of log-probabilities in few bytes: 8 bits for each by a fixed law, ids in planes of bits, the tail in 16 bits.

Only differences to the row's highest log-probability are kept; reading makes each row sum to 1 again, so that the level
need not be stored. A difference d is rounded in sqrt(d), to REACH * (code / LAST)². Its error is then at most
sqrt(d * REACH) / LAST, small where probability lies: in a row with probabilities p the divergence KL(exact || decoded)
is at most about sum(p * d) * REACH / (2 * LAST²), which no row of k = 10 brings over 2.1e-4 nats and none of k = 50
over 4.1e-4 (the sum is largest, 1.1 and 2.2, where all but one of the tokens are equally probable).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

REACH = 24.0
"""The largest difference that is told from larger ones: e^-24 of the highest probability is as good as nothing."""

LAST = 254
ABSENT = 255
"""The code of a place that is not used."""

DROPS = np.append(REACH * (np.arange(LAST + 1) / LAST) ** 2, np.inf).astype(np.float32)
"""The difference that each code stands for [256]."""

LOW_BITS = 16


def encode(
    logprobs: npt.NDArray[np.float32], tail: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]:
    """Return codes [n, k] and tails [n]; a row's highest log-probability is finite."""
    top = logprobs.max(1)
    drop = np.minimum(top[:, None] - logprobs, REACH)
    codes = np.rint(np.sqrt(drop / REACH) * LAST).astype(np.uint8)
    codes[np.isneginf(logprobs)] = ABSENT
    return codes, (tail - top).astype(np.float16)


def decode(
    codes: npt.NDArray[np.uint8], tails: npt.NDArray[np.float16]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return log-probabilities [n, k] and tails [n] whose exponentials sum to 1 in each row."""
    logprobs, tail = -DROPS[codes], tails.astype(np.float32)
    total = np.log(np.exp(logprobs).sum(1) + np.exp(tail))
    return logprobs - total[:, None], tail - total


def high_bits(vocab_size: int) -> int:
    """Return how many bits an id has beyond the lower 16."""
    return max((vocab_size - 1).bit_length() - LOW_BITS, 0)


def encode_ids(ids: npt.NDArray[np.uint32], vocab_size: int) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """Return the lower 16 bits of the ids, flat, and the planes of their higher bits, one after the other."""
    flat = ids.reshape(-1)
    planes = [np.packbits((flat >> (LOW_BITS + bit)) & 1) for bit in range(high_bits(vocab_size))]
    return flat.astype(np.uint16), np.concatenate([np.empty(0, np.uint8), *planes])


def decode_ids(
    low: npt.NDArray[np.uint16], planes: npt.NDArray[np.uint8], vocab_size: int, part: slice
) -> npt.NDArray[np.uint32]:
    """Return the ids of a part of what `encode_ids` was given, flat."""
    ids = low[part].astype(np.uint32)
    width = -(-len(low) // 8)
    first = part.start // 8
    for bit in range(high_bits(vocab_size)):
        plane = planes[bit * width + first : bit * width - (-part.stop // 8)]
        bits = np.unpackbits(plane)[part.start - 8 * first : part.stop - 8 * first]
        ids |= bits.astype(np.uint32) << (LOW_BITS + bit)
    return ids
