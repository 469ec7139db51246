"""What a student's answers say of a sample: does the student know what the sample needs to be known?

Wan et al. 2024 (KCA, arXiv 2401.10768, section 3.2) call a sample consistent where at least two of its three questions
are answered right. A guesser passes that for 15.6 % of what it does not know, and a student that is nearly sure of the
right option counts like one that has just preferred it. So the default rule is another:

- `mean`: the mean, over the sample's questions, of the log-probability that the student gives to the right option among
  the options. The threshold is the probability that this is the logarithm of (a geometric mean), HALF unless given:
  the right option then has, on the geometric mean, as much as all others together. An even guess among four has .25 and
  never passes; one confident error outweighs two right answers, as it would in what the student writes.
- `votes`: the paper's, the share of questions answered right, at least TWO_THIRDS. Its code asks for more than .6,
  which is the same for one to three questions.

A student answers by `letter` (the options shown, its letter), by `text` (the options' own words after the question), or
by written letters alone (`votes`); these are the three ways.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from curate.stages.exam.take import Taken
    from curate.types import Question

RULES = ("mean", "votes")

WAYS = ("letter", "text", "votes")

HALF = 0.5
"""The threshold of the rule `mean`: a geometric mean of probabilities."""

TWO_THIRDS = 2 / 3
"""The threshold of the rule `votes`: a share of right answers."""

THRESHOLDS: Mapping[str, tuple[float, ...]] = {
    "mean": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    "votes": (1 / 3, TWO_THIRDS, 1.0),
}
"""The thresholds of each rule for which a report says how many samples would be consistent."""

Z = 1.959964
"""The 97.5th percentile of the normal distribution."""

SLACK = 1e-9
"""Two thirds are no binary number."""

MOST = 8
"""Questions of a sample at most: the leak of a sure guesser goes through all their answers."""


@dataclass(frozen=True, slots=True)
class Score:
    """What came of a sample's questions in one way. Of `questions` that could be put, `right` were answered right.

    `mean` is the mean log-probability of the right option in nat, None where the student gives no log-probabilities.
    """

    questions: int
    right: int
    mean: float | None = None

    @property
    def share(self) -> float:
        """The share of right answers."""
        return self.right / self.questions

    @property
    def probability(self) -> float | None:
        """The geometric mean of the right option's probabilities."""
        return None if self.mean is None else math.exp(self.mean)

    def passes(self, rule: str, threshold: float) -> bool:
        """Is the sample consistent by this rule and threshold? Without log-probabilities `votes` decides as it does."""
        if rule == "mean" and self.mean is not None:
            return self.mean > math.log(threshold) if threshold > 0 else True
        return self.share >= threshold - SLACK

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def given(taken: Taken, way: str) -> tuple[float, ...] | None:
    """Return what a student gave to each option in a way: log-probabilities or votes; None where it has none."""
    values: tuple[float, ...] | None = getattr(taken, way)
    return values


def is_right(values: Sequence[float], answer: int) -> bool:
    """Is the right option before all others? Level with another it is not: nobody can say that it was chosen."""
    return all(values[answer] > value for number, value in enumerate(values) if number != answer)


def score_of(questions: Sequence[Question], taken: Sequence[Taken], way: str) -> Score | None:
    """Return the score of a sample's questions in one way, over those that could be put; None where none could."""
    pairs = [
        (values, question.answer)
        for question, one in zip(questions, taken, strict=True)
        if (values := given(one, way)) is not None
    ]
    if not pairs:
        return None
    right = sum(is_right(values, answer) for values, answer in pairs)
    if way == "votes":
        return Score(len(pairs), right)
    return Score(len(pairs), right, math.fsum(values[answer] for values, answer in pairs) / len(pairs))


def wilson(right: int, put: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval (1927) of a share; 0 to 1 for a share of nothing."""
    if not put:
        return 0.0, 1.0
    share, z2 = right / put, Z**2
    middle = (share + z2 / (2 * put)) / (1 + z2 / put)
    half = Z * math.sqrt(share * (1 - share) / put + z2 / (4 * put * put)) / (1 + z2 / put)
    # At the ends the two square roots cancel but for the last digit.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def right_by_chance(options: int, votes: int = 0) -> float:
    """Return how often a guesser is right: 1/options; by several votes, how often the right letter has the most.

    Exact: all ways to share out `votes` equal votes over the options, with the right option before each other one.
    """
    return _most_votes(options, votes) if votes else 1 / options


@cache
def _most_votes(options: int, votes: int) -> float:
    ways = 0
    for own in range(1, votes + 1):
        # Sequences of the other votes in which no other option has as many as `own`, by the exponential generating
        # function of each option cut at own - 1.
        row = [0] * (votes - own + 1)
        row[0] = 1
        for _ in range(options - 1):
            row = [
                sum(math.comb(total, part) * row[total - part] for part in range(min(own - 1, total) + 1))
                for total in range(len(row))
            ]
        ways += math.comb(votes, own) * row[-1]
    return float(ways / options**votes)


def votes_leak(questions: int, threshold: float, chance: float = 0.25) -> float:
    """Return how often a guesser passes the rule `votes` with so many questions: 5/32 for two of three and 1/4.

    It takes the guesses for independent. Where all questions of a sample ask one fact they are not, and more pass: 20 %
    in the made-up world of scripts/exam_world.
    """
    return math.fsum(
        math.comb(questions, right) * chance**right * (1 - chance) ** (questions - right)
        for right in range(questions + 1)
        if right / questions >= threshold - SLACK
    )


def mean_leak(rows: Sequence[Sequence[float]], threshold: float) -> float:
    """Return how often a sample passes the rule `mean` by luck, given the log-probabilities of each question's options.

    The student is as sure as it is, and what is right is drawn anew: the share of all choices of one option for each
    question whose mean is above the threshold. An even guesser passes none, one that is always sure as many as `votes`
    with all right. As there, this is a lower bound.
    """
    if threshold <= 0:
        return 1.0
    sums = np.zeros(1)
    for row in rows[:MOST]:
        sums = np.add.outer(sums, np.asarray(row, dtype=np.float64)).ravel()
    return float(np.mean(sums / len(rows[:MOST]) > math.log(threshold)))
