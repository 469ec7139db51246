"""All pairs of a sample of texts or vectors: the mean similarity, and each one's nearest others."""

from __future__ import annotations

import os
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, chain, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

Item = TypeVar("Item")
Result = TypeVar("Result")
Floats = NDArray[np.float32]
Block = tuple[int, Floats]
"""The place of its first row, and the similarities, [rows, n], of its rows to all."""

NEIGHBOURS = 16
"""Nearest others kept of each: one of them is in a random half of the dataset, but for 1 time in 65,536."""

ROWS = 256
"""Rows of a block of similarities."""


@dataclass(frozen=True)
class Pairs:
    """What was learnt of all pairs of n.

    `similarities` and `places`, [n, k], are those of the k nearest others of each, the nearest first; `mean` is that
    over all pairs of two different places, and `half_means`, [replicates], the same within each half.
    """

    similarities: Floats
    places: NDArray[np.int64]
    mean: float
    half_means: NDArray[np.float64]

    def nearest_mean(self) -> float:
        """Return the mean similarity of each to its nearest other."""
        return float(self.similarities[:, 0].mean(dtype=np.float64))

    def nearest_within(self, half: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
        """Return similarity and place of the nearest other within a half, for each place in it.

        Where none of the nearest others is in the half, the last one stands for those that are farther.
        """
        inside = np.zeros(len(self.places), dtype=bool)
        inside[half] = True
        found = inside[self.places[half]]
        first = np.where(found.any(axis=1), found.argmax(axis=1), found.shape[1] - 1)[:, None]
        return (
            np.take_along_axis(self.similarities[half], first, axis=1)[:, 0],
            np.take_along_axis(self.places[half], first, axis=1)[:, 0],
        )


def compare(blocks: Iterable[Callable[[], Block]], n: int, halves: Sequence[NDArray[np.int64]] = ()) -> Pairs:
    """Compare all pairs of n, at least 2, block by block on all processors; see `rouge_blocks`, `cosine_blocks`."""
    k = min(NEIGHBOURS, n - 1)
    similarities = np.empty((n, k), dtype=np.float32)
    places = np.empty((n, k), dtype=np.int64)
    masks = np.zeros((n, 1 + len(halves)), dtype=np.float32)
    masks[:, 0] = 1
    for number, half in enumerate(halves, 1):
        masks[half, number] = 1
    sums = np.zeros(masks.shape[1])

    def learn(block: Callable[[], Block]) -> Block:
        start, rows = block()
        own = np.arange(len(rows))
        rows[own, start + own] = -np.inf
        near = np.argpartition(rows, n - k, axis=1)[:, n - k :]
        values = np.take_along_axis(rows, near, axis=1)
        # By similarity, and among equals by place: the order must not depend on the partition.
        order = np.lexsort((near, -values), axis=1)
        similarities[start : start + len(rows)] = np.take_along_axis(values, order, axis=1)
        places[start : start + len(rows)] = np.take_along_axis(near, order, axis=1)
        rows[own, start + own] = 0
        return start, rows

    # The sums are added here, in the order of the blocks: so they are the same on any machine.
    for start, rows in ahead(learn, blocks):
        sums += np.einsum("ij,ij->j", rows @ masks, masks[start : start + len(rows)], dtype=np.float64)
    counts = masks.sum(axis=0, dtype=np.float64)
    means = sums / (counts * (counts - 1)).clip(min=1)
    return Pairs(similarities, places, float(means[0]), means[1:])


def ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the results of `work` in order, computed by a thread per processor and few of them ahead of their use."""
    threads = os.cpu_count() or 1
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def cosine_blocks(vectors: Floats) -> Iterator[Callable[[], Block]]:
    """Yield the blocks of the cosines of unit vectors, [n, d]."""

    def block(start: int) -> Block:
        return start, vectors[start : start + ROWS] @ vectors.T

    for start in range(0, len(vectors), ROWS):
        yield partial(block, start)


def rouge_blocks(texts: Sequence[Sequence[str]]) -> Iterator[Callable[[], Block]]:
    """Yield the blocks of ROUGE-L F (Lin 2004, section 3.1, at beta = 1) between tokenised texts.

    F = 2 LCS / (n + m) is the normalised Indel similarity of the token sequences. rapidfuzz is four times as fast on
    bytes as on other sequences, so a block is done in parts that have 255 different tokens at most: each token has a
    byte of its own, and 0 stands for every one that is not in the part and hence matches nothing of it.
    """
    corpus = _Corpus(texts)
    for start in range(0, len(texts), ROWS):
        yield partial(corpus.block, start, min(start + ROWS, len(texts)))


class _Corpus:
    """Texts as numbers of their tokens."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        words: dict[str, int] = {}
        self.numbers = [[words.setdefault(token, len(words)) for token in text] for text in texts]
        lengths = [len(text) for text in self.numbers]
        self._words = len(words)
        self._flat = np.fromiter(chain.from_iterable(self.numbers), dtype=np.int64, count=sum(lengths))
        self._edges = [0, *accumulate(lengths)]
        self._empty = np.array(lengths) == 0

    def block(self, start: int, stop: int) -> Block:
        """Return ROUGE-L of the texts from `start` to before `stop` with all."""
        parts = [self._rouge(one, end, tokens) for one, end, tokens in self._parts(start, stop)]
        rows = np.concatenate(parts)
        # Two texts without tokens are equal to rapidfuzz; to ROUGE they have nothing in common.
        rows[:, self._empty] = 0
        return start, rows

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, int, set[int]]]:
        """Yield parts of a block with the tokens of each, which are at most 255 or those of one text."""
        tokens: set[int] = set()
        for place in range(start, stop):
            if place > start and len(tokens.union(self.numbers[place])) > 255:
                yield start, place, tokens
                start, tokens = place, set()
            tokens.update(self.numbers[place])
        yield start, stop, tokens

    def _rouge(self, start: int, stop: int, tokens: set[int]) -> Floats:
        codes = np.zeros(self._words, dtype=np.uint8 if len(tokens) < 256 else np.uint32)
        codes[list(tokens)] = np.arange(1, len(tokens) + 1)
        coded = codes[self._flat]
        # One text may have more different tokens than a byte has values.
        whole: bytes | array[int] = coded.tobytes() if coded.itemsize == 1 else array("I", coded.tolist())
        every = [whole[one:end] for one, end in pairwise(self._edges)]
        rows: Floats = cdist(every[start:stop], every, scorer=Indel.normalized_similarity, dtype=np.float32)
        return rows
