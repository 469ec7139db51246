"""When two names are the same task, and what a task's id is."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

from curate.errors import InputError
from curate.text import normalise

MAX_NAME = 200
"""Longest name in characters: what is longer is a description."""

# Signs that carry the meaning of a name, and would be lost as punctuation: C# is not C, A* is not A, -1 is not 1.
_SPOKEN = (
    (re.compile("[&＆]"), " and "),
    (re.compile("#"), " sharp "),
    (re.compile(r"\+"), " plus "),
    (re.compile(r"(?<=\b\w)\*"), " star "),
    (re.compile(r"(?<!\w)[-−](?=\d)"), " minus "),
)
_SIGNS = re.compile(r"[&#+*!-]")
_APOSTROPHES = "'’ʼ＇`´"


class _Fold(dict[int, str]):
    """Translation table, filled as characters are met: punctuation becomes a space, what is invisible vanishes."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        if character in _APOSTROPHES or kind in ("Cf", "Cs") or (kind == "Cc" and not character.isspace()):
            folded = ""
        elif kind[0] == "P" and character != "!":  # n! is a factorial; normalise() strips the exclamation mark
            folded = " "
        else:
            folded = character
        self[code] = folded
        return folded


_FOLD = _Fold()


def clean_name(name: str) -> str:
    """Return the name with whitespace collapsed.

    Raises:
        InputError: nothing that could name a task is left, or it is longer than MAX_NAME characters.
    """
    cleaned = " ".join(name.split())
    if len(cleaned) > MAX_NAME:
        raise InputError(f"task name {cleaned[:40]!r}… has {len(cleaned)} characters; {MAX_NAME} is the longest one")
    if not name_key(cleaned):
        raise InputError(f"{name!r} is not a task name; give it at least one letter, digit or sign")
    return cleaned


@lru_cache(maxsize=1 << 17)
def name_key(name: str) -> str:
    """Return what two names of the same task share: "Non-linear  Equations." and "non linear equations" are one."""
    if name.isascii() and not _SIGNS.search(name):
        # Most names. The long way gives the same in six times the time.
        return " ".join(name.lower().translate(_FOLD).split())
    return _long_key(name)


def _long_key(name: str) -> str:
    text = unicodedata.normalize("NFKC", name)
    for pattern, word in _SPOKEN:
        text = pattern.sub(word, text)
    return normalise(text.translate(_FOLD))


def task_id(parent: str | None, key: str) -> str:
    """Return 12 hex characters of the parent's id and the name's key (the root: the key alone)."""
    return digest(key if parent is None else f"{parent}/{key}")


def digest(text: str) -> str:
    """Return 12 hex characters for a text."""
    # A lone surrogate (half an emoji cut by a model) has no UTF-8 form of its own.
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
