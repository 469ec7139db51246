"""What a reader asks for: words, filters and an order."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import numpy as np

from curate.errors import InputError
from curate.io import whole
from curate.view.columns import DECIDED, Columns, Mask, Numbers
from curate.view.index import CJK, spaced

ORDERS: dict[str, Callable[[Columns], Numbers | None]] = {
    "order": lambda columns: None,
    "near": lambda columns: -columns.near,
    "novel": lambda columns: columns.near,
    "best": lambda columns: -columns.judge,
    "worst": lambda columns: columns.judge,
    "long": lambda columns: -columns.length,
    "short": lambda columns: columns.length,
    "decided": lambda columns: -columns.at,
}
"""How samples can be sorted: as they lie, by likeness to the nearest kept one, grade, length, time of the decision.

Each gives what grows along the list; what is not a number comes last.
"""

WHICH = ("kept", "dropped", "all")

REVIEWS = ("any", *DECIDED)

LONGEST = 500
"""Characters of a query."""

_PARTS = re.compile(r'"([^"]*)"|([^\s"]+)')
_WORDS = re.compile(r"[^\W_]+")
ID = re.compile(r"[0-9a-f]{16}|call-\S+")
"""A sample's id, which is looked up as such."""


@dataclass(frozen=True)
class Wish:
    """What a reader asks for; "" asks for nothing in particular. `task` is the id of a node of the tree."""

    q: str = ""
    which: str = "kept"
    task: str = ""
    stage: str = ""
    reason: str = ""
    review: str = "any"
    order: str = "order"

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Wish:
        """Return the wish in a request's query.

        Raises:
            InputError: a value that is none of those there are, or too long a query.
        """
        wish = cls(**{field.name: given[field.name] for field in fields(cls) if field.name in given})
        for name, value, known in (
            ("which", wish.which, WHICH),
            ("review", wish.review, REVIEWS),
            ("order", wish.order, ORDERS),
        ):
            if value not in known:
                raise InputError(f"{name} is {value[:40]!r}; it takes {', '.join(known)}")
        if len(wish.q) > LONGEST:
            raise InputError(f"the search has {len(wish.q):,} characters; {LONGEST} are the most")
        return wish


@dataclass(frozen=True)
class Term:
    """A word or phrase that is searched for: its tokens, and whether the last may go on (`inte` finds `integral`)."""

    tokens: tuple[str, ...]
    open: bool


def terms_of(query: str) -> list[Term]:
    """Return the terms of a query: words find their continuations, "quoted words" stand for themselves."""
    terms = []
    for quoted, bare in _PARTS.findall(whole(query)):
        tokens = tuple(_WORDS.findall(spaced(quoted or bare)))
        if tokens:
            # A lone letter begins half of all words: nobody looks for those.
            terms.append(Term(tokens, bool(bare) and len(tokens[-1]) > 1))
    return terms


def match_of(terms: list[Term]) -> str:
    """Return the terms as an FTS5 expression; they hold no quotes, so nothing in them is an operator."""
    return " AND ".join(f'"{" ".join(term.tokens)}"{"*" if term.open else ""}' for term in terms)


def pattern_of(terms: list[Term]) -> re.Pattern[str] | None:
    """Return a pattern that finds the terms in a text, for the excerpt that a list shows."""
    if not terms:
        return None
    parts = [r"[\W_]*".join(map(re.escape, term.tokens)) for term in terms]
    return re.compile("|".join(part if CJK.match(part) else rf"(?<![^\W_]){part}" for part in parts), re.IGNORECASE)


def masks(
    wish: Wish, columns: Columns, span: tuple[int, int] | None, positions: Numbers, found: Mask | None
) -> dict[str, Mask]:
    """Return which samples fit each part of a wish, by the part's name; a part that asks for nothing is left out.

    `span` is where the wish's task and what is below it stand in the tree, first and last position; `positions` is the
    position of every place, -1 for none; `found` are the samples that the words are in.
    """
    parts: dict[str, Mask] = {}
    if wish.which != "all":
        parts["which"] = columns.kept == (wish.which == "kept")
    if wish.review != "any":
        parts["review"] = columns.decision == DECIDED.index(wish.review)
    if wish.stage or wish.reason:
        fitting = [number for number, cause in enumerate(columns.causes) if _fits(cause, wish)]
        parts["cause"] = np.isin(columns.cause, fitting)
    if span is not None:
        at = positions[columns.place]
        parts["task"] = (at >= span[0]) & (at <= span[1])
    if found is not None:
        parts["words"] = found
    return parts


def _fits(cause: tuple[str, str], wish: Wish) -> bool:
    return wish.stage in ("", cause[0]) and wish.reason in ("", cause[1])
