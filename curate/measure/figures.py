"""All figures of one dataset: what stats, the report, the dataset card, compare and diff show.

Figures over all pairs are taken on a random sample of at most PAIRS samples, the others on everything; each says on how
many. They are taken of the first user message, lengths of the response too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from curate.measure.bootstrap import Places, resampled
from curate.measure.figure import Diverse, Figure, Figures, Lengths
from curate.measure.lexical import NGrams, compression_ratio, distinct, lengths_of, self_repetition
from curate.measure.vectors import Vectors, novel_sum, vendi_score
from curate.text import rouge_tokens, words
from curate.types import Sample

PAIRS = 10_000
"""Samples of which all pairs are compared."""

Tell = Callable[[str], None]
"""Told what is being measured, as each part begins."""


def untold(part: str) -> None:
    """Tell nobody."""


def random_places(n: int, size: int, seed: int) -> Places:
    """Return `size` random places of `range(n)`, ascending; all of them where there are no more."""
    if size >= n:
        return np.arange(n)
    return np.sort(np.random.default_rng([seed, n, size]).choice(n, size, replace=False))


def figures(
    samples: Sequence[Sample],
    *,
    vectors: Vectors | None = None,
    language: str = "en",
    seed: int = 0,
    tell: Tell = untold,
) -> Figures:
    """Return the figures of a dataset, each with its 95 % interval.

    `vectors` holds one row of unit length for each sample, [n, d], of its first user message; without them the figures
    of embeddings are left out. Rows of zeros, of texts that the encoder does not know, are left out of those. Hold the
    figures against those of a random subset with `Figures.against`.
    """
    lengths = {
        "instruction": np.array([len(words(sample.instruction, language)) for sample in samples], dtype=np.int64),
        "response": np.array([len(words(sample.response, language)) for sample in samples], dtype=np.int64),
    }
    rows = list(_lexical([sample.instruction for sample in samples], language, seed, tell))
    rows += _lengths(lengths, seed)
    if vectors is not None:
        rows += _embedded(vectors, seed, tell)
    distributions: dict[str, Lengths] = {name: lengths_of(counts) for name, counts in lengths.items()}
    return Figures(tuple(rows), len(samples), lengths=distributions)


def _lexical(texts: Sequence[str], language: str, seed: int, tell: Tell) -> Iterator[Figure]:
    tell("words")
    n = len(texts)
    tokens = [rouge_tokens(text, language) for text in texts]

    def row(
        name: str, label: str, figure: Callable[[Places], float], value: float, source: str, diverse: Diverse,
        at_most: int | None = None,
    ) -> Figure:  # fmt: skip
        low, high = resampled(figure, value, n, seed, at_most=at_most) if n > 1 else (None, None)
        return Figure(name, label, value, n, low, high, diverse=diverse, source=source)

    for size in (1, 2):
        ngrams = NGrams(tokens, size)
        yield row(
            f"distinct_{size}", f"distinct-{size}", partial(distinct, ngrams),
            distinct(ngrams), "Li et al. 2016", "high",
        )  # fmt: skip
    four = NGrams(tokens, 4)
    yield row(
        "self_repetition", "self-repetition (4-grams)", partial(self_repetition, four),
        self_repetition(four), "Salkar et al. 2022", "low",
    )  # fmt: skip
    yield row(
        "compression_ratio", "compression ratio (gzip)",
        lambda places: compression_ratio(texts[place] for place in places.tolist()),
        compression_ratio(texts), "Shaib et al. 2024", "low", 1_000,
    )  # fmt: skip


def _lengths(lengths: dict[str, Places], seed: int) -> Iterator[Figure]:
    for name, counts in lengths.items():
        n = len(counts)
        value = float(np.median(counts)) if n else None
        low, high = (None, None)
        if value is not None and n > 1:
            low, high = resampled(partial(_median, counts), value, n, seed)
        yield Figure(f"{name}_words", f"{name} length (median)", value, n, low, high, unit="words")


def _median(counts: Places, places: Places) -> float:
    return float(np.median(counts[places]))


def _embedded(vectors: Vectors, seed: int, tell: Tell) -> Iterator[Figure]:
    tell("embeddings")
    known = vectors[np.abs(vectors).max(axis=1) > 0] if len(vectors) else vectors
    n = len(known)
    if n < 2:
        return
    value = vendi_score(known)
    low, high = resampled(lambda places: vendi_score(known[places]), value, n, seed, at_most=PAIRS // 2)
    yield Figure("vendi", "Vendi score", value, n, low, high, diverse="high", source="Friedman & Dieng 2023")
    some = known[random_places(n, PAIRS, seed)]
    value = novel_sum(some)
    low, high = resampled(lambda places: novel_sum(some[places]), value, len(some), seed, at_most=1_000)
    yield Figure("novelsum", "NovelSum", value, len(some), low, high, diverse="high", source="Yang et al. 2025")
