"""English: its people and its small grammar; its sentences are in words/en."""

from __future__ import annotations

import re
from collections.abc import Sequence


def people(women: Sequence[str], men: Sequence[str]) -> tuple[dict[str, str], ...]:
    """Return casts of four: `A` and `B` act in the problem, `P` and `Q` in the sentences around it."""
    casts = []
    n = len(women)
    for i in range(2 * n):
        a = women if i % 2 else men
        p = a if i >= n else men if a is women else women
        first, asker = a[i % n], p[(i * 7 + 11) % n]
        cast = {"A": first, "B": men[(i * 11 + 5) % n] if a is women else women[(i * 11 + 5) % n]}
        cast |= {"P": asker, "Q": women[(i * 13 + 2) % n] if p is men else men[(i * 13 + 2) % n]}
        cast |= dict(zip(("he", "him", "his"), _HER if a is women else _HIS, strict=True))
        cast |= dict(zip(("phe", "phim", "phis"), _HER if p is women else _HIS, strict=True))
        if len({cast[k] for k in "ABPQ"}) == 4:
            casts.append(cast)
    return tuple(casts)


_HER, _HIS = ("she", "her", "her"), ("he", "him", "his")

_VOWEL = re.compile(r"\b([Aa]) (?=[aeiouAEIO]|8|11\b|18\b)")


def polish(text: str) -> str:
    """Repair articles, sentence capitals and stray spaces."""
    text = re.sub(r"[ ]{2,}", " ", text).strip()
    text = re.sub(r" ([.,;:?!])", r"\1", text)
    text = _VOWEL.sub(r"\1n ", text)
    text = re.sub(r"\b([Aa])n (?=(?:uni[tfvq]|use|one\b|euro))", r"\1 ", text)
    return re.sub(r"(^|[.?!]\s+)([a-z])(?=[a-z ])", lambda m: m[1] + m[2].upper(), text)
