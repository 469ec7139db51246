"""From a source's tokens to the target's, by the bytes they stand for.

A token that the target has too, whatever its spelling, is mapped to it. Others are mapped as the method says: to the
first token of the target's own spelling of those bytes, to the token at the least edit distance (MinED: Wan et al.,
FuseLLM, arXiv 2401.10491, section 3.2), or to none. The end of a turn is mapped to the end of a turn, and no other
special token to anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import RunError
from curate.io.arrays import read_arrays, write_arrays
from curate.train.dists.project import NONE
from curate.train.dists.vocabulary import SPACE, Vocabulary

Map = npt.NDArray[np.int64]
"""The target's id of each of the source's ids, or NONE."""

Tick = Callable[[int, int | None], None]

Make = Callable[[Vocabulary, "Target", tuple[bool, bool], Tick], Map]

VERSION = 1
"""Goes up with every change of what a map says."""

BLOCK = 256
"""Tokens whose edit distances to a whole vocabulary exist at the same time."""


def no_tick(done: int, total: int | None) -> None:
    """Tell nobody."""


class Target:
    """The target's vocabulary, to be looked up by bytes; `tokenizer` spells what it has no token for."""

    def __init__(self, vocabulary: Vocabulary, tokenizer: Any) -> None:
        self.vocabulary, self.tokenizer = vocabulary, tokenizer
        self.ids: dict[bytes, int] = {}
        for number, piece in vocabulary.texts():
            self.ids.setdefault(piece, number)
        self._longest = max(map(len, self.ids), default=0)

    def first_tokens(self, wanted: list[bytes]) -> list[int]:
        """Return the token with which the target begins to spell each text, NONE where it cannot spell it.

        Where its tokenizer would put a space before a text that has none, the longest token that the text begins with
        is taken.
        """
        texts = [text.decode(errors="replace") for text in wanted]
        found = [NONE] * len(wanted)
        # A tokenizer that puts a space before every text spells " a" when it is given "a".
        for strip in (False, True):
            open_ = [at for at, one in enumerate(found) if one == NONE and (not strip or texts[at][:1] == " ")]
            given = [texts[at][strip:] for at in open_]
            encoded = self.tokenizer(given, add_special_tokens=False)["input_ids"] if given else []
            for at, ids in zip(open_, encoded, strict=True):
                pieces = [self.vocabulary.pieces[number] for number in ids]
                if ids and None not in pieces and b"".join(pieces) == wanted[at]:
                    found[at] = ids[0]
        return [self._longest_prefix(text) if one == NONE else one for text, one in zip(wanted, found, strict=True)]

    def _longest_prefix(self, text: bytes) -> int:
        for length in range(min(len(text), self._longest), 0, -1):
            if (number := self.ids.get(text[:length])) is not None:
                # A lone space would stand for any word.
                return NONE if text[:length] == b" " and len(text) > 1 else number
        return NONE


def exact_map(source: Vocabulary, target: Target, glued: tuple[bool, bool]) -> tuple[Map, list[tuple[int, bytes]]]:
    """Return the map by equal bytes, and the tokens that have no equal, with the bytes to be looked for.

    `glued` says of source and target whether the first space of a token is not in the text, as at the beginning of a
    text before which a tokenizer puts one: there the source's " a" means "a", and the target's " a" does too.
    Where both leave it out they mean the same again.
    """
    found: Map = np.full(len(source.pieces), NONE, np.int64)
    others = []
    for number, piece in source.texts():
        text = piece[1:] if glued == (True, False) and piece[0] == SPACE else piece
        if not text:
            continue
        wanted = b" " + text if glued == (False, True) else text
        if (equal := target.ids.get(wanted)) is not None:
            found[number] = equal
        else:
            others.append((number, wanted))
    if source.end is not None and target.vocabulary.end is not None:
        found[source.end] = target.vocabulary.end
    return found, others


def spelled_map(source: Vocabulary, target: Target, glued: tuple[bool, bool], tick: Tick) -> Map:
    """Return the exact map, and for other tokens the first of the target's spelling."""
    found, others = exact_map(source, target, glued)
    for at in range(0, len(others), 4096):
        part = others[at : at + 4096]
        for (number, _), first in zip(part, target.first_tokens([text for _, text in part]), strict=True):
            found[number] = first
        tick(at, len(others))
    return found


def strict_map(source: Vocabulary, target: Target, glued: tuple[bool, bool], tick: Tick) -> Map:
    """Return the exact map alone."""
    return exact_map(source, target, glued)[0]


def nearest_map(source: Vocabulary, target: Target, glued: tuple[bool, bool], tick: Tick) -> Map:
    """Return the exact map, and for other tokens the target's at the least edit distance in bytes, the first of them.

    The published distance is that of the spellings; bytes are what the spellings of two tokenizers have in common.
    """
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    found, others = exact_map(source, target, glued)
    known = sorted((number, piece) for piece, number in target.ids.items())
    spellings = [piece.decode("latin-1") for _, piece in known]
    numbers = np.array([number for number, _ in known], np.int64)
    for at in range(0, len(others) if known else 0, BLOCK):
        part = others[at : at + BLOCK]
        words = [text.decode("latin-1") for _, text in part]
        distances = cdist(words, spellings, scorer=Levenshtein.distance, dtype=np.uint16)
        found[[number for number, _ in part]] = numbers[distances.argmin(1)]
        tick(at + len(part), len(others))
    return found


class Maps:
    """The maps of one method between two vocabularies: made when they are first needed and kept in the folder `cache`.

    `make` is one of the functions above, whose name and the hashes of both tokenizers name the file, or another that
    depends on more than those, without a cache.
    """

    def __init__(
        self, source: Vocabulary, target: Target, make: Make, cache: Path | None, tick: Tick = no_tick
    ) -> None:
        self.source, self.target, self.make, self.cache, self.tick = source, target, make, cache, tick
        self._made: dict[tuple[bool, bool], Map] = {}

    def __getitem__(self, glued: tuple[bool, bool]) -> Map:
        if glued not in self._made:
            self._made[glued] = self._kept(glued) if self.cache is not None else self._new(glued)
        return self._made[glued]

    def _new(self, glued: tuple[bool, bool]) -> Map:
        return self.make(self.source, self.target, glued, self.tick)

    def _kept(self, glued: tuple[bool, bool]) -> Map:
        assert self.cache is not None
        path = self.cache / f"{self._key(glued)}.map"
        found = read_arrays(path)
        if found is not None and len(found[1].get("ids", ())) == len(self.source.pieces):
            return found[1]["ids"]
        made = self._new(glued)
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"{self.cache}: cannot be made ({error.strerror}); name another place with --cache"
            ) from error
        write_arrays(path, {}, {"ids": made})
        return made

    def _key(self, glued: tuple[bool, bool]) -> str:
        theirs, ours = self.source, self.target.vocabulary
        parts = (VERSION, theirs.key, theirs.end, ours.key, ours.end, getattr(self.make, "__name__", ""), glued)
        return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()
