"""The people of a language and the small grammar of its finished texts; its sentences are in words/LANGUAGE."""

from __future__ import annotations

import re
from collections.abc import Sequence


def people(
    women: Sequence[str], men: Sequence[str], her: Sequence[str], his: Sequence[str]
) -> tuple[dict[str, str], ...]:
    """Return casts of four: `A` and `B` act in the problem, `P` and `Q` in the sentences around it."""
    casts = []
    n = len(women)
    for i in range(2 * n):
        a = women if i % 2 else men
        p = a if i >= n else men if a is women else women
        first, asker = a[i % n], p[(i * 7 + 11) % n]
        cast = {"A": first, "B": men[(i * 11 + 5) % n] if a is women else women[(i * 11 + 5) % n]}
        cast |= {"P": asker, "Q": women[(i * 13 + 2) % n] if p is men else men[(i * 13 + 2) % n]}
        cast |= dict(zip(("he", "him", "his"), her if a is women else his, strict=True))
        cast |= dict(zip(("phe", "phim", "phis"), her if p is women else his, strict=True))
        if len({cast[k] for k in "ABPQ"}) == 4:
            casts.append(cast)
    return tuple(casts)


PRONOUNS = {"en": (("she", "her", "her"), ("he", "him", "his")), "zh": (("她", "她", "她的"), ("他", "他", "他的"))}
"""She and he: as subject, as object, as possessive."""

# Numbers are read aloud: an eight, an eleven, an eighteen.
_VOWEL = re.compile(r"\b([Aa]) (?=[aeiouAEIO]|\$?(?:8|11\b|18\b))")


def polish_en(text: str) -> str:
    """Repair articles, sentence capitals and stray spaces."""
    text = re.sub(r"[ ]{2,}", " ", text).strip()
    text = re.sub(r" ([.,;:?!])", r"\1", text)
    text = _VOWEL.sub(r"\1n ", text)
    text = re.sub(r"\b([Aa])n (?=(?:uni[tfvq]|use|one\b|euro|[b-df-gj-np-tv-z][a-z]))", r"\1 ", text)
    return re.sub(r"(^|[.?!]\s+)([a-z])(?=[a-z ])", lambda m: m[1] + m[2].upper(), text)


def polish_zh(text: str) -> str:
    """Close the gaps beside Chinese signs, and keep one stop where two sentences meet."""
    text = re.sub(r" *([，。；：？！、“”（）]) *", r"\1", text)
    text = re.sub(r"(?<=[\u4e00-\u9fff]) +(?=[\u4e00-\u9fff])", "", text)
    return re.sub(r"([。？！])[。]", r"\1", re.sub(r"[ ]{2,}", " ", text)).strip()
