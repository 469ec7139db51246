"""All figures of one dataset: what stats, the report, the dataset card, compare and diff show.

They are taken of the first user message (verbs of its instruction alone, lengths of the response too). Figures over all
pairs are taken on a random sample of at most PAIRS, the others on everything; each says on how many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from curate.measure.bootstrap import Places, Replicates, Z, halves, interval, resampled
from curate.measure.figure import Diverse, Figure, Figures
from curate.measure.lexical import NGrams, compression_ratio, distinct, lengths_of, self_repetition
from curate.measure.pairs import Pairs, compare, cosine_blocks, rouge_blocks
from curate.measure.tree import (
    Leaves,
    empty_leaves,
    held_out_right,
    leaf_entropy,
    leaves_of,
    purity,
    sibling_overlap,
)
from curate.measure.vectors import Vectors, novel_sum, vendi_error, vendi_score
from curate.text import rouge_tokens, words
from curate.types import Sample

if TYPE_CHECKING:
    from curate.tree import TaskTree

PAIRS = 10_000
"""Samples of which all pairs are compared."""

Tell = Callable[[str], None]
"""Told what is measured next."""


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
    tree: TaskTree | None = None,
    language: str = "en",
    seed: int = 0,
    intervals: bool = True,
    tell: Tell = untold,
) -> Figures:
    """Return the figures of a dataset, each with its 95 % interval.

    `vectors` holds one row of unit length for each sample, [n, d], of its first user message; without them the figures
    of embeddings are left out. Rows of zeros, of texts that the encoder does not know, do not count in those. `tree` is
    the task tree of a run; without one, figures of the tree are taken where the samples have tasks. `intervals=False`
    is faster, for a random subset that `Figures.against` puts beside the figures.
    """
    work = _Work(samples, vectors, language, seed, intervals)
    rows: list[Figure] = []
    for name, part in (("words", _lexical), ("ROUGE-L", _rouge), ("embeddings", _embedded)):
        tell(name)
        rows += part(work)
    rows += _lengths(work)
    if tree is not None or len({sample.task for sample in samples}) > 1:
        tell("tree")
        rows += _tree(work, leaves_of([sample.task for sample in samples], tree))
    return Figures(
        tuple(rows), len(samples), lengths={name: lengths_of(counts) for name, counts in _counts(work).items()}
    )


@dataclass
class _Work:
    """A dataset being measured, and what several of its figures share."""

    samples: Sequence[Sample]
    vectors: Vectors | None
    language: str
    seed: int
    intervals: bool

    def __post_init__(self) -> None:
        self.texts = [sample.instruction for sample in self.samples]
        self.tokens = [rouge_tokens(text, self.language) for text in self.texts]
        self.known = np.zeros(0, dtype=np.int64)
        """Places of the samples whose vector says something; `near` are PAIRS of them at most."""
        if self.vectors is not None:
            if len(self.vectors) != len(self.samples):
                raise ValueError(f"{len(self.samples)} samples and {len(self.vectors)} vectors")
            self.known = np.flatnonzero(np.abs(self.vectors).max(axis=1, initial=0) > 0)
        self.near = self.known[random_places(len(self.known), PAIRS, self.seed)]
        self.cosines: Pairs | None = None

    def row(
        self,
        name: str,
        label: str,
        figure: Callable[[Places], float],
        n: int,
        *,
        diverse: Diverse = "",
        source: str = "",
        unit: str = "",
        at_most: int | None = None,
    ) -> Figure:
        """Return a figure that can be taken on any of n places, with its interval; `at_most` as for `resampled`."""
        if not n:
            return Figure(name, label, None, 0, unit=unit, diverse=diverse, source=source, note="no samples")
        value = figure(np.arange(n))
        low, high = (
            resampled(figure, value, n, self.seed, at_most=at_most) if self.intervals and n > 3 else (None, None)
        )
        return Figure(name, label, value, n, low, high, unit=unit, diverse=diverse, source=source)

    def halves(self, n: int) -> list[Places]:
        """Return the halves of n on which a figure of all pairs is taken again; none where no interval is wanted."""
        return list(halves(n, self.seed)) if self.intervals and n > 3 else []


def _lexical(work: _Work) -> Iterator[Figure]:
    n = len(work.samples)
    for size in (1, 2):
        ngrams = NGrams(work.tokens, size)
        yield work.row(
            f"distinct_{size}",
            f"distinct-{size}",
            partial(distinct, ngrams),
            n,
            diverse="high",
            source="Li et al. 2016",
        )
    yield work.row(
        "self_repetition",
        "self-repetition (4-grams)",
        partial(self_repetition, NGrams(work.tokens, 4).once()),
        n,
        diverse="low",
        source="Salkar et al. 2022",
    )
    # gzip sees 32 KB back: what holds for a thousand texts holds for more.
    yield work.row(
        "compression_ratio",
        "compression ratio (gzip)",
        lambda places: compression_ratio(work.texts[place] for place in places.tolist()),
        n,
        diverse="low",
        source="Shaib et al. 2024",
        at_most=1_000,
    )


def _rouge(work: _Work) -> Iterator[Figure]:
    places = random_places(len(work.samples), PAIRS, work.seed)
    n = len(places)
    if n < 2:
        return
    within = work.halves(n)
    pairs = compare(rouge_blocks([work.tokens[place] for place in places.tolist()]), n, within)
    source = "Lin 2004; Wang et al. 2023"
    low, high = _interval(pairs.mean, pairs.half_means, n)
    yield Figure("rouge_mean", "ROUGE-L, mean of all pairs", pairs.mean, n, low, high, diverse="low", source=source)
    nearest = [float(pairs.nearest_within(half)[0].mean(dtype=np.float64)) for half in within]
    low, high = _interval(pairs.nearest_mean(), nearest, n)
    yield Figure(
        "rouge_nearest", "ROUGE-L, nearest neighbour", pairs.nearest_mean(), n, low, high, diverse="low", source=source
    )


def _interval(value: float, replicates: Sequence[float] | Replicates, n: int) -> tuple[float | None, float | None]:
    """Return the interval of a figure of which there are replicates on halves; none without any."""
    return interval(value, np.asarray(replicates), n // 2, n) if len(replicates) else (None, None)


def _embedded(work: _Work) -> Iterator[Figure]:
    if work.vectors is None or len(work.near) < 2:
        return
    known, near = work.vectors[work.known], work.vectors[work.near]
    value = vendi_score(known)
    half = Z * vendi_error(known) if work.intervals else None
    low, high = (None, None) if half is None else (value - half, value + half)
    yield Figure("vendi", "Vendi score", value, len(known), low, high, diverse="high", source="Friedman & Dieng 2023")
    yield work.row(
        "novelsum",
        "NovelSum",
        lambda places: novel_sum(near[places]),
        len(near),
        diverse="high",
        source="Yang et al. 2025",
        at_most=1_000,
    )
    within = work.halves(len(near))
    work.cosines = compare(cosine_blocks(near), len(near), within)
    value = 1 - work.cosines.nearest_mean()
    nearest = [1 - float(work.cosines.nearest_within(half)[0].mean(dtype=np.float64)) for half in within]
    low, high = _interval(value, nearest, len(near))
    yield Figure(
        "nearest_distance", "nearest neighbour, by embedding", value, len(near), low, high,
        unit="cosine distance", diverse="high", source="mean over samples",
    )  # fmt: skip


def _counts(work: _Work) -> dict[str, Places]:
    """Return the lengths of instructions and responses in words, [n] each."""
    return {
        "instruction": np.array([len(words(text, work.language)) for text in work.texts], dtype=np.int64),
        "response": np.array([len(words(sample.response, work.language)) for sample in work.samples], dtype=np.int64),
    }


def _lengths(work: _Work) -> Iterator[Figure]:
    for name, counts in _counts(work).items():
        yield work.row(f"{name}_words", f"{name}, median length", partial(_median, counts), len(counts), unit="words")


def _median(counts: Places, places: Places) -> float:
    return float(np.median(counts[places]))


def _tree(work: _Work, leaves: Leaves) -> Iterator[Figure]:
    placed = leaves.of[leaves.of >= 0]
    n = len(placed)
    yield work.row(
        "leaf_entropy", "evenness of leaves", lambda places: leaf_entropy(placed[places], leaves.count), n,
        source="entropy / log(leaves)",
    )  # fmt: skip
    yield work.row(
        "empty_leaves", "empty leaves", lambda places: empty_leaves(placed[places], leaves.count), n, unit="share"
    )
    if work.cosines is None:
        return
    yield from _neighbourhood(work, work.cosines, leaves)
    inside = work.known[leaves.of[work.known] >= 0]
    assert work.vectors is not None
    inside = inside[random_places(len(inside), PAIRS, work.seed)]
    right = held_out_right(leaves.of[inside], work.vectors[inside], work.seed)
    yield work.row(
        "held_out_right",
        "held-out samples nearest to their leaf",
        lambda places: float(right[places].mean()),
        len(right),
        unit="share",
    )


def _neighbourhood(work: _Work, cosines: Pairs, leaves: Leaves) -> Iterator[Figure]:
    """Yield purity and overlap, from the leaf of each sample and that of its nearest other."""
    of = leaves.of[work.near]
    n = len(of)

    def both(places: Places, nearest: Places) -> tuple[float, float]:
        own, other = of[places], of[nearest]
        placed = own >= 0
        own, other = own[placed], other[placed]
        if not len(own):
            return 0.0, 0.0
        return purity(own, other), sibling_overlap(own, other, leaves.parents)

    values = both(np.arange(n), cosines.places[:, 0])
    replicates = [both(half, cosines.nearest_within(half)[1]) for half in work.halves(n)]
    names = (("leaf_purity", "purity of leaves"), ("sibling_overlap", "overlap of siblings"))
    for place, (name, label) in enumerate(names):
        low, high = _interval(values[place], [both[place] for both in replicates], n)
        yield Figure(
            name, label, values[place], int((of >= 0).sum()), low, high, unit="share", source="nearest neighbour"
        )
