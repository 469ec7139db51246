"""Which responses become a training sample: pure functions of the responses to one prompt.

The protocol is FuseChat-3.0's (fusion.md, section 3) and WRPO's (section 4). A choice that cannot be made has a reason.
Equal scores are decided by the response's id, so that the same collection gives the same samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from curate.fuse.folder import Response

Kind = Literal["none", "math", "code"]

SLACK = 1e-9
"""What a margin may be outside of its window: scores are decimal fractions in binary."""


@dataclass(frozen=True, slots=True)
class Window:
    """The margins, chosen minus rejected score, that a pair may have; both ends belong to it."""

    low: float
    high: float

    def holds(self, margin: float) -> bool:
        """Is this margin inside?"""
        return self.low - SLACK <= margin <= self.high + SLACK

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}"


@dataclass(frozen=True, slots=True)
class Pair:
    """A better and a worse response of one model; `margin` is None where they have no scores."""

    chosen: Response
    rejected: Response
    margin: float | None


@dataclass(frozen=True, slots=True)
class Rules:
    """How responses are chosen.

    Where they were `scored`, one without a score is not chosen. Without `verdicts`, what rules said is not looked at,
    and the scores alone decide.
    """

    scored: bool
    verdicts: bool = True
    window: Window | None = None


def best_of_all(responses: Sequence[Response], kind: Kind, rules: Rules) -> Response | str:
    """Return the best response: the right one with the highest score, or where nothing checks them the highest score.

    Without scores, of several right ones the first by id is taken; where nothing checks them there must be but one.

    Reasons: "no_response" (all failed, timed out or were cut), "all_fail" (none is right), "unscored", "no_scores".
    """
    usable = _usable(responses)
    if not usable:
        return "no_response"
    good = usable if _unchecked(kind, rules) else [one for one in usable if one.status == "pass"]
    if not good:
        return "all_fail"
    ranked = _ranked(good, rules)
    if not ranked:
        return "unscored"
    if not rules.scored and _unchecked(kind, rules) and len({one.content for one in good}) > 1:
        return "no_scores"
    return ranked[0]


def pairs_of(responses: Sequence[Response], kind: Kind, rules: Rules) -> list[Pair] | str:
    """Return a pair of each model that gives one, whatever its margin: the best and the worst of its responses.

    Where responses are checked, chosen is the right one with the highest score, rejected the wrong one with the lowest.

    Reasons: "no_response", "all_fail", "all_pass", "no_model_has_both" (right and wrong ones, never of the same model),
    "no_scores" (nothing checks them and nothing scored them), "unscored" (as `best_of_all`), "no_difference".
    """
    usable = _usable(responses)
    if not usable:
        return "no_response"
    statuses = {one.status for one in usable}
    checked = not _unchecked(kind, rules)
    if checked and statuses != {"pass", "fail"}:
        return "all_fail" if "fail" in statuses else "all_pass"
    if not checked and not rules.scored:
        return "no_scores"
    models = sorted({one.model for one in usable})
    sides = [_sides([one for one in usable if one.model == model], checked) for model in models]
    if not any(good and bad for good, bad in sides):
        return "no_model_has_both"
    ranked = [(_ranked(good, rules), _ranked(bad, rules)) for good, bad in sides]
    ends = [(good[0], bad[-1]) for good, bad in ranked if good and bad]
    if not ends:
        return "unscored"
    pairs = [Pair(good, bad, _margin(good, bad)) for good, bad in ends if _differ(good, bad, checked)]
    return pairs or "no_difference"


def best_pair(responses: Sequence[Response], kind: Kind, rules: Rules) -> tuple[Pair | str, list[Pair]]:
    """Return the pair of a prompt, or the reason why there is none, and all pairs that it was taken from.

    Of the pairs inside the window it is the one whose chosen response has the highest score. Further reason:
    "margin_outside_window".
    """
    pairs = pairs_of(responses, kind, rules)
    if isinstance(pairs, str):
        return pairs, []
    inside = [pair for pair in pairs if rules.window is None or pair.margin is None or rules.window.holds(pair.margin)]
    if not inside:
        return "margin_outside_window", pairs
    return min(inside, key=lambda pair: _rank(pair.chosen)), pairs


def _usable(responses: Sequence[Response]) -> list[Response]:
    return [one for one in responses if one.status in ("pass", "fail", "skip")]


def _unchecked(kind: Kind, rules: Rules) -> bool:
    return kind == "none" or not rules.verdicts


def _sides(responses: Sequence[Response], checked: bool) -> tuple[list[Response], list[Response]]:
    """Return those that can be chosen and those that can be rejected."""
    if not checked:
        return list(responses), list(responses)
    return [one for one in responses if one.status == "pass"], [one for one in responses if one.status == "fail"]


def _ranked(responses: Sequence[Response], rules: Rules) -> list[Response]:
    """Return them from the best to the worst."""
    return sorted((one for one in responses if one.score is not None or not rules.scored), key=_rank)


def _rank(one: Response) -> tuple[float, str]:
    return -(one.score or 0.0), one.id


def _differ(good: Response, bad: Response, checked: bool) -> bool:
    return good.content != bad.content and (checked or good.score != bad.score)


def _margin(good: Response, bad: Response) -> float | None:
    return None if good.score is None or bad.score is None else good.score - bad.score
