"""Which of many given texts a text repeats, token by token: an index of n-grams, with the passage that both have.

The rule is that of two published ones, joined:

- Brown et al. 2020 (GPT-3, appendix C) look for 13 tokens in a row, without case and punctuation. Of a shorter text all
  tokens are one gram, if there are 8 (their minimum, "to avoid spurious collisions"). N-grams that are everywhere are
  no evidence.
- Lambert et al. 2024 (Tülu 3, section 3.2) count the tokens of the given text that lie in a shared n-gram, as n-grams
  in a row stand for one long passage and a single one may be chance; half of them is too much.

A gram is *telling* if it occurs in one item only of its collection: what several exam questions have in common, as
"which of the following is the most likely cause of this patient's", says nothing. A text's share counts only tokens
that lie in telling grams, so that a question of which half is such a phrase is found by its other half. A short text is
no evidence if most of it are such phrases, of five tokens or more: "Which of the following is a correct statement?" may
stand in one item only, its parts stand in many.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise, repeat

import numpy as np
from numpy.typing import NDArray

from curate.text import passage_spans, passage_tokens

LONGEST = 13
"""Tokens of a gram."""

SHORTEST = 8
"""Tokens of a text that is one gram in whole; of shorter ones chance repeats too many."""

PHRASE = 5
"""Tokens of a phrase that makes a short text commonplace where other items have it too."""

_MULTIPLIER = 0x9E3779B97F4A7C15
_WORD = 2**64 - 1

Hashes = NDArray[np.uint64]
Numbers = NDArray[np.int64]
Matches = dict[int, int]
"""Where a gram starts in a given text, and where the same one first starts in the text that is looked at, in tokens."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a text has of the given one with this `number`.

    `share` is the share of the given text's telling tokens that lie in shared grams, `of_text` the share of all tokens
    of the text that was looked at. `passage` and `given` are the longest passage they share, as each of them spells it.
    """

    number: int
    share: float
    of_text: float
    passage: str
    given: str


@dataclass
class _Columns:
    """The given texts while they come in: their tokens in a row, and of each text its end, its item and its minimum."""

    tokens: array[int] = field(default_factory=lambda: array("i"))
    ends: array[int] = field(default_factory=lambda: array("q", [0]))
    items: array[int] = field(default_factory=lambda: array("q"))
    least: array[int] = field(default_factory=lambda: array("q"))


class PassageIndex:
    """The telling grams of collections of items, each item one or several texts.

    `collections` holds for each collection its items, for each item its texts, and for each text the tokens that it
    must have to be compared. Texts are numbered as they come. Items of the same texts are one. Memory: about 150 bytes
    for each token.
    """

    def __init__(self, collections: Iterable[Iterable[Sequence[tuple[str, int]]]]) -> None:
        self._vocabulary: dict[str, int] = {}
        self._texts: list[str] = []
        columns = _Columns()
        borders = [0]
        for collection in collections:
            same: dict[bytes, int] = {}
            for texts in collection:
                self._add(columns, texts, same)
            borders.append(len(self._texts))
        self._tokens = np.array(columns.tokens, dtype=np.int32)
        self._ends = np.array(columns.ends, dtype=np.int64)
        lengths = np.diff(self._ends)
        self._grams = np.where(lengths >= np.array(columns.least, dtype=np.int64), np.minimum(lengths, LONGEST), 0)
        # A token's value is a function of its number alone, and its number of the order of the given texts.
        self._values = _mixed(len(self._vocabulary) + 1)
        self._fill(np.array(columns.items, dtype=np.int64), borders)

    def _add(self, columns: _Columns, texts: Sequence[tuple[str, int]], same: dict[bytes, int]) -> None:
        vocabulary, start = self._vocabulary, len(columns.tokens)
        for text, least in texts:
            columns.tokens.extend(vocabulary.setdefault(token, len(vocabulary) + 1) for token in passage_tokens(text))
            columns.ends.append(len(columns.tokens))
            columns.least.append(least)
            self._texts.append(text)
        item = same.setdefault(columns.tokens[start:].tobytes(), len(same))
        columns.items.extend(repeat(item, len(texts)))

    def _fill(self, items: Numbers, borders: list[int]) -> None:
        """Keep the telling grams, sorted by hash: `_hash`, and of each the `_text` and the `_place` of its start."""
        owner = np.repeat(np.arange(len(self._texts)), np.diff(self._ends))
        left = self._ends[1:][owner] - np.arange(len(owner))
        self._grams[self._commonplace(items, borders, owner, left)] = 0
        self._lengths = frozenset(map(int, np.unique(self._grams[self._grams > 0])))
        parts = [(np.zeros(0, np.uint64), np.zeros(0, np.int64))]
        for length, hashes in self._rolling(self._tokens, self._lengths):
            here = np.flatnonzero((self._grams[owner] == length) & (left >= length))
            parts.append((hashes[here], here))
        hashes, places = (np.concatenate(part) for part in zip(*parts, strict=True))
        telling = _alone(hashes, places, items[owner[places]], self._ends[borders])
        order = np.lexsort((places[telling], hashes[telling]))
        self._hash, self._place = hashes[telling][order], places[telling][order]
        self._text = owner[self._place]
        self._telling = self._covered()
        bits = max(16, min(25, int(len(self._hash) * 8).bit_length()))
        self._shift = np.uint64(64 - bits)
        self._maybe = np.zeros(2**bits, dtype=bool)
        self._maybe[self._hash >> self._shift] = True

    def _commonplace(self, items: Numbers, borders: list[int], owner: Numbers, left: Numbers) -> Numbers:
        """Return the numbers of the short texts of which more than half are phrases that other items have too."""
        short = (self._grams > 0) & (self._grams < LONGEST)
        for _, hashes in self._rolling(self._tokens, frozenset([PHRASE])):
            here = np.flatnonzero(left >= PHRASE)
            # Only what is somewhere in a short text matters.
            here = here[np.isin(hashes[here], hashes[here[short[owner[here]]]])]
            common = here[~_alone(hashes[here], here, items[owner[here]], self._ends[borders])]
            stock = self._inside(common, common + PHRASE)
            return np.flatnonzero(short & (stock > np.diff(self._ends) / 2))
        return np.zeros(0, dtype=np.int64)

    def _covered(self) -> Numbers:
        """Return how many tokens of each text lie in a telling gram."""
        return self._inside(self._place, self._place + self._grams[self._text])

    def _inside(self, starts: Numbers, ends: Numbers) -> Numbers:
        """Return how many tokens of each text lie in one of the stretches; none reaches over a text's end."""
        size = len(self._tokens) + 1
        steps = np.bincount(starts, minlength=size) - np.bincount(ends, minlength=size)
        inside = np.concatenate([[0], np.cumsum(np.cumsum(steps[:-1]) > 0)])
        covered: Numbers = inside[self._ends[1:]] - inside[self._ends[:-1]]
        return covered

    def tells(self, number: int) -> bool:
        """Does a given text have a telling gram? Without one, nothing is ever found of it."""
        return bool(self._telling[number])

    def find(self, texts: Sequence[str], least: float) -> list[Overlap | None]:
        """Return for each text what it has most of, by share, if that is at least `least`; of equals the first given.

        What is found of a text does not depend on the texts beside it.
        """
        get = self._vocabulary.get
        split = [passage_tokens(text) for text in texts]
        ends = np.cumsum([0, *map(len, split)])
        ids = np.fromiter(map(get, chain.from_iterable(split), repeat(0)), dtype=np.int32, count=int(ends[-1]))
        owner = np.repeat(np.arange(len(texts)), np.diff(ends))
        left = ends[1:][owner] - np.arange(len(ids))
        found: dict[int, dict[int, Matches]] = {}
        for length, hashes in self._rolling(ids, self._lengths):
            there = np.flatnonzero(self._maybe[hashes >> self._shift] & (left >= length))
            low = np.searchsorted(self._hash, hashes[there], "left")
            high = np.searchsorted(self._hash, hashes[there], "right")
            for hit in np.flatnonzero(high > low):
                place = int(there[hit])
                matches = found.setdefault(int(owner[place]), {})
                self._match(ids[place : place + length], place, int(low[hit]), int(high[hit]), matches)
        result: list[Overlap | None] = [None] * len(texts)
        for number, by_text in found.items():
            own = slice(int(ends[number]), int(ends[number + 1]))
            result[number] = self._best(texts[number], ids[own], own.start, by_text, least)
        return result

    def _match(self, gram: NDArray[np.int32], place: int, low: int, high: int, found: dict[int, Matches]) -> None:
        """Note a gram with those of the same hash, if its tokens are the same."""
        for entry in range(low, high):
            start, text = int(self._place[entry]), int(self._text[entry])
            matches = found.setdefault(text, {})
            if start in matches:  # a text that says the same again and again
                return
            if self._grams[text] == len(gram) and np.array_equal(self._tokens[start : start + len(gram)], gram):
                matches[start] = place

    def _best(
        self, text: str, ids: NDArray[np.int32], begin: int, found: dict[int, Matches], least: float
    ) -> Overlap | None:
        shares = {
            number: _union(matches, int(self._grams[number])) / int(self._telling[number])
            for number, matches in found.items()
            if matches
        }
        number = max(shares, key=lambda number: (shares[number], -number), default=-1)
        if number < 0 or shares[number] < least:
            return None
        matches = {start - int(self._ends[number]): place - begin for start, place in found[number].items()}
        given = self._tokens[self._ends[number] : self._ends[number + 1]]
        there, here, length = _longest(matches, given, ids)
        of_text = _union(matches.values(), int(self._grams[number])) / len(ids)
        passage, passage_given = _cut(text, here, length), _cut(self._texts[number], there, length)
        return Overlap(number, shares[number], of_text, passage, passage_given)

    def _rolling(self, ids: NDArray[np.int32], lengths: frozenset[int]) -> Iterator[tuple[int, Hashes]]:
        """Yield for each of the lengths the hashes of the grams that start at each token, valid until the next one.

        At the end, where no whole gram starts, they mean nothing.
        """
        values = self._values[ids]
        hashes = np.zeros(len(ids), dtype=np.uint64)
        power = 1
        for step in range(min(LONGEST, len(ids))):
            hashes[: len(ids) - step] += values[step:] * np.uint64(power)
            power = power * _MULTIPLIER & _WORD
            if step + 1 in lengths:
                yield step + 1, hashes


def _mixed(count: int) -> Hashes:
    """Return a well-mixed 64-bit value for each number: the finaliser of SplitMix64 (Steele et al. 2014)."""
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_MULTIPLIER)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = z ^ (z >> np.uint64(31))
    return mixed


def _alone(hashes: Hashes, places: Numbers, items: Numbers, borders: Numbers) -> NDArray[np.bool_]:
    """Return for each gram whether those with its hash, in its collection, are all of one item.

    `borders` are the places where a collection starts, and the end of the last.
    """
    alone = np.zeros(len(hashes), dtype=bool)
    for begin, end in pairwise(borders):
        of = np.flatnonzero((places >= begin) & (places < end))
        order = of[np.lexsort((items[of], hashes[of]))]
        if len(order):
            new = hashes[order][1:] != hashes[order][:-1]
            first = np.flatnonzero(np.concatenate([[True], new]))
            last = np.concatenate([first[1:], [len(order)]])
            # Items are sorted within a hash: the same at both ends is the same throughout.
            same = items[order[first]] == items[order[last - 1]]
            alone[order] = np.repeat(same, last - first)
    return alone


def _union(starts: Iterable[int], length: int) -> int:
    """Return how many tokens lie in grams of this length that start there."""
    covered, end = 0, 0
    for start in sorted(starts):
        covered += start + length - max(start, end)
        end = start + length
    return covered


def _longest(matches: Matches, given: NDArray[np.int32], ids: NDArray[np.int32]) -> tuple[int, int, int]:
    """Return the longest passage around matching grams: its start in the given text, in the other, and its length."""
    best = (0, 0, 0)
    done: dict[int, int] = {}  # by distance of the two starts, how far the given text is compared
    for there, here in sorted(matches.items()):
        if done.get(there - here, 0) > there:
            continue
        back = _equal(given[:there][::-1], ids[:here][::-1])
        ahead = _equal(given[there:], ids[here:])
        done[there - here] = there + ahead
        if back + ahead > best[2]:
            best = (there - back, here - back, back + ahead)
    return best


def _equal(left: NDArray[np.int32], right: NDArray[np.int32]) -> int:
    """Return how many tokens two texts have in common from their start on."""
    size = min(len(left), len(right))
    other = np.flatnonzero(left[:size] != right[:size])
    return int(other[0]) if len(other) else size


def _cut(text: str, start: int, length: int) -> str:
    spans = passage_spans(text)
    return text[spans[start][0] : spans[start + length - 1][1]]
