"""What an evaluation came to: figures with their intervals, and models side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Z = 1.959964
"""Standard errors on each side of a 95 % interval."""


@dataclass(frozen=True)
class Share:
    """A share `right` / `of` with its 95 % interval, by Wilson's score (1927), which holds for few and for none too."""

    right: int
    of: int

    @property
    def value(self) -> float:
        """The share itself."""
        return self.right / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """Its lower and upper bound."""
        centre = (self.value + Z * Z / (2 * self.of)) / (1 + Z * Z / self.of)
        spread = math.sqrt(self.value * (1 - self.value) / self.of + (Z / (2 * self.of)) ** 2)
        half = Z * spread / (1 + Z * Z / self.of)
        return max(centre - half, 0.0), min(centre + half, 1.0)

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {"right": self.right, "of": self.of, "share": self.value, "interval": list(self.interval)}


@dataclass(frozen=True)
class Mean:
    """A mean for each target token with the half width of its 95 % interval (None for a single sample).

    Tokens of a sample are not independent, so samples are what is drawn: the interval is that of a ratio of two sums
    over samples (Cochran, Sampling Techniques, 1977, section 6.4).
    """

    value: float
    half: float | None


def mean_of(sums: Sequence[float], counts: Sequence[int]) -> Mean:
    """Return sum(sums) / sum(counts), of one entry for each sample."""
    total, number = sum(counts), len(sums)
    ratio = math.fsum(sums) / total
    if number < 2:
        return Mean(ratio, None)
    residue = math.fsum((one - ratio * count) ** 2 for one, count in zip(sums, counts, strict=True))
    return Mean(ratio, Z * math.sqrt(number / (number - 1) * residue) / total)


@dataclass(frozen=True)
class Scores:
    """What one model came to on one dataset.

    `loss` is the mean negative log-likelihood (nats) of a target token over `samples`, `targets` of them; `dropped`
    counts samples without a target by reason, and `cut` those that are longer than a document may be. Of the samples
    with a known answer, `exact` is the share in which the answer that the model marked (boxed, or after `Answer:` or
    `####`) equals it as mathematics, `lenient` the same with the last number where none is marked, and `unmarked` the
    share without a mark; all None where no sample has an answer.
    """

    model: str
    data: str
    samples: int
    dropped: dict[str, int]
    cut: int
    targets: int
    loss: Mean
    exact: Share | None
    lenient: Share | None
    unmarked: Share | None

    @property
    def perplexity(self) -> float:
        """The exponential of the loss."""
        return math.exp(min(self.loss.value, 700.0))

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        shares = {name: getattr(self, name) for name in ("exact", "lenient", "unmarked")}
        return {
            **{name: value for name, value in asdict(self).items() if name not in shares},
            "perplexity": self.perplexity,
            **{name: share.as_json() if share else None for name, share in shares.items()},
        }


@dataclass(frozen=True)
class Difference:
    """What a model has more than the first one, sample by sample.

    `loss` is None where the two cut the samples into different tokens: a loss for each token then says nothing.
    `gained` counts the samples that only this model answers right, `lost` those that only the first does.
    """

    model: str
    data: str
    loss: Mean | None
    gained: int | None
    lost: int | None

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return asdict(self)


def difference(
    names: tuple[str, str],
    first: tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]],
    other: tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]],
) -> Difference:
    """Return how the rows of losses and of answers of a second model differ from those of the first.

    `names` are those of the second model and the dataset.
    """
    losses = None
    counts = [row["targets"] for row in first[0]]
    if [row["sample"] for row in first[0]] == [row["sample"] for row in other[0]] and counts == [
        row["targets"] for row in other[0]
    ]:
        losses = mean_of([new["loss"] - old["loss"] for old, new in zip(first[0], other[0], strict=True)], counts)
    right = [{row["number"] for row in rows if row["exact"]} for _, rows in (first, other)]
    asked = [[row["number"] for row in rows] for _, rows in (first, other)]
    same = asked[0] == asked[1] and bool(asked[0])
    return Difference(
        *names,
        losses,
        len(right[1] - right[0]) if same else None,
        len(right[0] - right[1]) if same else None,
    )
