"""All figures of one dataset: what stats, the report, the dataset card, compare and diff show.

They are taken of the first user message (verbs of its instruction alone, lengths of the response too). Figures over all
pairs are taken on a random sample of at most PAIRS, the others on everything; each says on how many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from curate.measure.bootstrap import Places, Replicates, Z, halves, interval, resampled
from curate.measure.figure import Diverse, Figure, Figures
from curate.measure.lexical import (
    NGrams,
    compression_ratio,
    distinct,
    kinds_error,
    lengths_of,
    rarefied,
    self_repetition,
)
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
from curate.measure.vectors import Vectors, density, novel_sum, vendi_error, vendi_score
from curate.measure.verbs import Pair, count_pairs, root_verb
from curate.stages.rules import split_input
from curate.text import rouge_tokens, words
from curate.types import Sample

if TYPE_CHECKING:
    from curate.tree import TaskTree

PAIRS = 10_000
"""Samples of which all pairs are compared."""

THOUSAND = 1_000
"""Samples in which verb-noun pairs are counted, so that datasets of different sizes compare."""

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
    reference: Vectors | None = None,
    tree: TaskTree | None = None,
    language: str = "en",
    seed: int = 0,
    intervals: bool = True,
    tell: Tell = untold,
) -> Figures:
    """Return the figures of a dataset, each with its 95 % interval.

    `vectors` holds one row of unit length for each sample, [n, d], of its first user message; without them the figures
    of embeddings are left out. Rows of zeros, of texts that the encoder does not know, do not count in those.
    `reference`, [m, d], adds NovelSum with its densities. `tree` is the task tree of a run; without one, figures of the
    tree are taken where the samples have tasks. `intervals=False` is faster, for a random subset that `Figures.against`
    puts beside the figures.
    """
    work = _Work(samples, vectors, reference, language, seed, intervals)
    tell("verbs")
    verbs = _verbs(work)
    rows = list(_pairs_of_verbs(work, verbs))
    for name, part in (("words", _lexical), ("ROUGE-L", _rouge), ("embeddings", _embedded), ("lengths", _lengths)):
        tell(name)
        rows += part(work)
    if tree is not None or len({sample.task for sample in samples}) > 1:
        tell("tree")
        rows += map(_share, _tree(work, leaves_of([sample.task for sample in samples], tree)))
    lengths = {name: lengths_of(counts) for name, counts in work.lengths.items()}
    return Figures(tuple(rows), len(samples), tuple(count_pairs(verbs or [])), lengths)


@dataclass
class _Work:
    """A dataset being measured, and what several of its figures share."""

    samples: Sequence[Sample]
    vectors: Vectors | None
    reference: Vectors | None
    language: str
    seed: int
    intervals: bool

    def __post_init__(self) -> None:
        self.texts = [sample.instruction for sample in self.samples]
        self.tokens = [rouge_tokens(text, self.language) for text in self.texts]
        responses = [sample.response for sample in self.samples]
        self.lengths = {
            name: np.array([len(words(text, self.language)) for text in texts], dtype=np.int64)
            for name, texts in (("instruction", self.texts), ("response", responses))
        }
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
        figure: Callable[[Places], float] | None,
        n: int,
        *,
        diverse: Diverse = "",
        source: str = "",
        unit: str = "",
        note: str = "",
        at_most: int | None = None,
        resample: bool = True,
    ) -> Figure:
        """Return a figure that can be taken on any of n places, with its interval; `at_most` as for `resampled`.

        None for `figure`, or no samples, is a figure without a value.
        """
        if figure is None or not n:
            note = note or "no samples"
            return Figure(name, label, None, n, unit=unit, diverse=diverse, source=source, note=note)
        value = figure(np.arange(n))
        low, high = None, None
        if self.intervals and resample and n > 3:
            low, high = resampled(figure, value, n, self.seed, at_most=at_most)
        return Figure(name, label, value, n, low, high, unit=unit, diverse=diverse, source=source)

    def halves(self, n: int) -> list[Places]:
        """Return the halves of n on which a figure of all pairs is taken again; none where no interval is wanted."""
        return list(halves(n, self.seed)) if self.intervals and n > 3 else []


def _verbs(work: _Work) -> list[Pair] | None:
    """Return root verb and object of each instruction, None for a language without a lexicon."""
    if not work.language.lower().startswith("en"):
        return None
    return [root_verb(split_input(sample)[0]) for sample in work.samples]


def _pairs_of_verbs(work: _Work, verbs: list[Pair] | None) -> Iterator[Figure]:
    n = len(work.samples)
    total, thousand = (
        ("verb_noun", "unique verb–noun pairs"),
        ("verb_noun_per_1000", "verb–noun pairs in 1,000 samples"),
    )
    row = partial(work.row, diverse="high", source="Wang et al. 2023", unit="pairs")
    if verbs is None:
        for name in (total, thousand):
            yield row(*name, None, n, note="not measured: only English has a lexicon")
        return
    numbers: dict[Pair, int] = {}
    kinds = np.array([numbers.setdefault(p, len(numbers)) if p.verb and p.noun else -1 for p in verbs], dtype=np.int64)

    def unique(places: Places) -> float:
        return float(len(np.unique(kinds[places][kinds[places] >= 0])))

    def per_thousand(places: Places) -> float:
        found = kinds[places]
        return rarefied(np.bincount(found[found >= 0]), len(places), THOUSAND)

    figure = row(*total, unique, n, resample=False)
    if work.intervals and figure.value is not None:
        half = Z * kinds_error(np.bincount(kinds[kinds >= 0]), n)
        figure = replace(figure, low=max(figure.value - half, 0.0), high=figure.value + half)
    yield figure
    if n < THOUSAND:
        yield row(*thousand, None, n, note=f"fewer than {THOUSAND:,} samples")
    else:
        # Halves of fewer than 2,000 samples have no 1,000 to look at.
        yield row(*thousand, per_thousand, n, resample=n >= 2 * THOUSAND)


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
        at_most=500,
    )
    if work.reference is not None and len(work.reference) > 1:
        densities = density(near, work.reference)
        yield work.row(
            "novelsum_density",
            "NovelSum, with density",
            lambda places: novel_sum(near[places], densities[places]),
            len(near),
            diverse="high",
            source="Yang et al. 2025",
            at_most=500,
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


def _lengths(work: _Work) -> Iterator[Figure]:
    for name, counts in work.lengths.items():
        yield work.row(f"{name}_words", f"{name}, median length", partial(_median, counts), len(counts), unit="words")


def _share(figure: Figure) -> Figure:
    """Return a figure that lies between 0 and 1 with an interval that does too."""
    if figure.low is None or figure.high is None:
        return figure
    return replace(figure, low=max(figure.low, 0.0), high=min(figure.high, 1.0))


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
