"""Figures of the words themselves: distinct-n, compression ratio, self-repetition, lengths. All linear in the text."""

from __future__ import annotations

import copy
import gzip
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from curate.measure.figure import Lengths

BINS = 40
"""Bins of a length histogram."""


class NGrams:
    """The n-grams of a corpus as numbers, so that figures over any of its texts need no strings.

    An n-gram lies within one text. `codes`, [total] int64, holds the number of each n-gram in the order of the corpus;
    those of text i are `codes[starts[i] : starts[i + 1]]`. Equal n-grams have equal numbers, from 0 to `types` - 1.
    """

    def __init__(self, texts: Iterable[Sequence[str]], n: int) -> None:
        """Number the n-grams of tokenised texts."""
        words: dict[str, int] = {}
        numbers = [[words.setdefault(token, len(words)) for token in text] for text in texts]
        lengths = np.array([len(text) for text in numbers], dtype=np.int64)
        flat = np.fromiter((number for text in numbers for number in text), dtype=np.int64, count=int(lengths.sum()))
        text_of = np.repeat(np.arange(len(lengths)), lengths)
        codes = flat
        for length in range(2, n + 1):
            # The n-gram at a place is the (n-1)-gram there with the token after it. Renumbering at each length keeps
            # the product of the two within 64 bits.
            codes = codes[:-1] * (len(words) + 1) + flat[length - 1 :]
            codes = np.unique(codes, return_inverse=True)[1]
        within = text_of[: len(codes)] == text_of[n - 1 :]
        self.codes: NDArray[np.int64] = np.unique(codes[within], return_inverse=True)[1].astype(np.int64)
        self.starts: NDArray[np.int64] = np.concatenate([[0], np.cumsum(np.maximum(lengths - n + 1, 0))])
        self.types = int(self.codes.max(initial=-1)) + 1

    def once(self) -> NGrams:
        """Return the different n-grams of each text, each once."""
        texts = len(self.starts) - 1
        text_of = np.repeat(np.arange(texts), np.diff(self.starts))
        different = copy.copy(self)
        text_of, different.codes = np.divmod(np.unique(text_of * max(self.types, 1) + self.codes), max(self.types, 1))
        different.starts = np.concatenate([[0], np.cumsum(np.bincount(text_of, minlength=texts))])
        return different

    def of(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the numbers of the n-grams of the texts at `places`, one after the other, and how many each has."""
        counts = self.starts[places + 1] - self.starts[places]
        ends = np.cumsum(counts)
        offsets = np.repeat(self.starts[places] - (ends - counts), counts)
        return self.codes[np.arange(len(offsets)) + offsets], counts


def distinct(ngrams: NGrams, places: NDArray[np.int64] | None = None) -> float:
    """Return distinct-n: unique n-grams over all n-grams of the corpus (Li et al. 2016, NAACL, section 5.2).

    It falls with the size of the corpus, so only corpora of equal size compare. 0.0 where no text has n tokens.
    """
    codes = ngrams.codes if places is None else ngrams.of(places)[0]
    if not len(codes):
        return 0.0
    met = np.zeros(ngrams.types, dtype=bool)
    met[codes] = True
    return float(np.count_nonzero(met) / len(codes))


def self_repetition(once: NGrams, places: NDArray[np.int64] | None = None) -> float:
    """Return how much texts repeat each other's n-grams (Salkar et al. 2022, AACL; n = 4), given `NGrams.once`.

    Of each text: log(1 + sum over its different n-grams of the number of other texts that have it); the mean over the
    texts. This is what the package `diversity` of Shaib et al. (2024, arXiv 2403.00553) computes, of which both the
    sum in the logarithm and the added one are taken. It grows with the number of texts.
    """
    places = np.arange(len(once.starts) - 1) if places is None else places
    if not len(places):
        return 0.0
    codes, counts = once.of(places)
    others = np.bincount(codes, minlength=once.types)[codes] - 1
    text_of = np.repeat(np.arange(len(places)), counts)
    return float(np.mean(np.log1p(np.bincount(text_of, weights=others, minlength=len(places)))))


def compression_ratio(texts: Iterable[str]) -> float:
    """Return the size of all texts, joined by spaces, over their size as gzip (Shaib et al. 2024, arXiv 2403.00553).

    High is repetitive. In UTF-8 bytes, at gzip's level 9. Texts are taken in the order given, and gzip sees repeats up
    to 32 KB back, so that shuffled data compress less than sorted ones. The package `diversity` 0.3 compresses twice,
    which differs by a fraction of a percent. 0.0 for no text.
    """
    joined = " ".join(texts).encode("utf-8", "surrogatepass")
    # A fixed time stamp: the header must not depend on the clock.
    return len(joined) / len(gzip.compress(joined, mtime=0)) if joined else 0.0


def lengths_of(counts: NDArray[np.int64]) -> Lengths:
    """Return the distribution of lengths, [n] in words, over BINS whole-numbered bins of equal width at most.

    The last bin takes in the longest 1 %, of which one can be a hundred times as long as the rest.
    """
    if not len(counts):
        return Lengths((0.0,) * 5, (0.0, 1.0), (0,))
    low, top = int(counts.min()), int(np.quantile(counts, 0.99))
    width = -(-(top - low + 1) // BINS)
    edges = np.arange(low, top + width + 1, width)
    histogram = np.histogram(np.minimum(counts, top), bins=edges)[0]
    percentiles = np.quantile(counts, [0.05, 0.25, 0.5, 0.75, 0.95])
    return Lengths(tuple(percentiles.tolist()), tuple(map(float, edges)), tuple(histogram.tolist()))


def rarefied(counts: NDArray[np.int64], n: int, size: int) -> float:
    """Return how many kinds a random `size` of n samples hold, on average (rarefaction: Hurlbert 1971, Ecology 52(4)).

    `counts`, [kinds], says how many of the n samples are of each kind; samples of no kind count in n alone. Unlike
    kinds per sample, this compares datasets of different sizes.
    """
    if not len(counts):
        return 0.0
    # The chance that none of the `size` is of a kind is a ratio of binomials: C(n - count, size) / C(n, size).
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    rest = n - counts
    possible = rest >= size
    missed = np.zeros(len(counts))
    missed[possible] = np.exp(logs[rest[possible]] - logs[rest[possible] - size] - (logs[n] - logs[n - size]))
    return float(np.sum(1 - missed))


def kinds_error(counts: NDArray[np.int64], n: int) -> float:
    """Return the standard error of the number of kinds among n samples; `counts` as for `rarefied`.

    Another n samples have f1 - f2 + f3 - ... new kinds, with fk the number of kinds met k times (Good & Toulmin 1956,
    Biometrika 43). That is the variance of the number of kinds where each comes as a Poisson process; that n is fixed
    takes f1^2 / n off. Half-sampling does not serve here: a number of kinds is no mean.
    """
    times = np.bincount(counts)[1:]
    if not len(times):
        return 0.0
    signs = np.where(np.arange(len(times)) % 2, -1.0, 1.0)
    return math.sqrt(max(float(signs @ times) - float(times[0]) ** 2 / n, 0.0))
