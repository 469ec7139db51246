"""Near-duplicates by ROUGE-L, decided exactly as `rouge-score` 0.1.2 (no stemming) decides, far faster.

Explore-Instruct (Wan et al. 2023, section 3) drops an instruction whose ROUGE-L F-measure with a kept one is above 0.7.
With a longest common subsequence of length L between n and m tokens, F = 2L / (n + m), and L is at most the overlap of
the two bags of tokens. Three exact filters leave few pairs for the LCS itself, which rapidfuzz computes bit-parallel:

- length: 2 min(n, m) >= t (n + m);
- prefix (Xiao et al. 2008, PPJoin; k tokens as in Wang et al. 2012, AdaptJoin): an overlap of at least c between two
  bags, each sorted by one common order, means that at least k tokens are shared within the first n - c + k of the one
  and the first m - c + k of the other. With rare tokens first, few texts share K of them;
- the score cutoff inside the LCS.
"""

from __future__ import annotations

from array import array
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Indel, LCSseq
from rapidfuzz.process import cdist

from curate.text import rouge_tokens
from curate.types import KEEP, Verdict, drop

K = 4
"""Tokens that two prefixes must share. Measured on 100,000 texts of 26 tokens: 3, 4, 5 take 16.7, 11.2, 12.5 s."""

_EDGE = 1e-6
"""Half-width of the band around the threshold in which the float arithmetic of rouge-score decides."""

_FIRST_REORDER = 64
_DENSE = 20
"""From one posting per so many kept texts on, counting in an array over all texts is faster than sorting."""

_FEW = 64
"""Up to so many candidates the LCS's own cutoff is as fast as the length filter."""

_LAST_CODE_POINT = 0x10FFFF

Sequence = str | list[int]
"""A text for rapidfuzz: one code point per token, or plain numbers where a token's is beyond Unicode's last.

rapidfuzz reads a character as its code point, so that the two compare with each other.
"""


def f_measure(lcs: int, n: int, m: int) -> float:
    """Return ROUGE-L's F as rouge-score's floats give it: at F = 0.7 exactly they may land above 0.7."""
    if not lcs:
        return 0.0
    precision, recall = lcs / n, lcs / m
    return 2 * precision * recall / (precision + recall)


class _Numbers(dict[str | tuple[int, int], int]):
    """Numbers keys in the order they are first met: a token, or a token's number with its further occurrence."""

    def __missing__(self, key: str | tuple[int, int]) -> int:
        self[key] = number = len(self)
        return number


class RougeIndex:
    """The texts kept so far, asked one text at a time whether it is too close to one of them.

    `check` drops a text whose ROUGE-L F with an added one is above `threshold` (strictly) and names the closest, among
    equals the first added. Memory: about 30 bytes per token.
    """

    def __init__(self, threshold: float = 0.7, language: str = "en") -> None:
        self.threshold = threshold
        self.language = language
        self._names: list[str] = []
        self._sequences: list[Sequence] = []
        self._equal: dict[str, int] = {}
        self._bags: list[list[int]] = []
        self._lengths: NDArray[np.int32] = np.zeros(1024, dtype=np.int32)
        self._numbers = _Numbers()
        # By number: the kept texts that have it in their prefix, its frequency, its place in the common order.
        self._postings: list[array[int]] = []
        self._counts: list[int] = []
        self._ranks: list[int] = []
        self._plans: dict[int, tuple[int, int]] = {}
        self._reorder_at = _FIRST_REORDER
        self._last: tuple[str | list[str], Sequence, list[int]] | None = None

    def __len__(self) -> int:
        return len(self._names)

    def check(self, text: str | list[str]) -> Verdict:
        """Return KEEP, or a drop with reason `rouge`, the F-measure as score and the `neighbour`'s id as detail.

        A list is taken as the text's tokens.
        """
        sequence, bag = self._read(text)
        if self.threshold < 1 and isinstance(sequence, str) and sequence in self._equal:
            return drop("rouge", 1.0, neighbour=self._names[self._equal[sequence]])
        candidates = self._candidates(bag)
        if not candidates:
            return KEEP
        choices = [self._sequences[i] for i in candidates]
        cutoff = max(self.threshold - _EDGE, 0.0)
        scores = cdist([sequence], choices, scorer=Indel.normalized_similarity, score_cutoff=cutoff)[0]
        highest = scores[scores.argmax()]
        if not highest:
            return KEEP
        best, neighbour = self.threshold, -1
        # Those scores are float32; what is level with the highest is scored as rouge-score does.
        for place in (scores >= highest - _EDGE).nonzero()[0].tolist():
            kept = choices[place]
            score = f_measure(int(LCSseq.similarity(sequence, kept)), len(sequence), len(kept))
            if score > best:
                best, neighbour = score, candidates[place]
        return drop("rouge", best, neighbour=self._names[neighbour]) if neighbour >= 0 else KEEP

    def worded(self, number: int) -> bool:
        """Whether an added text, by its number, has a token at all: one without is near to none."""
        return bool(self._bags[number])

    def near(self, text: str | list[str]) -> list[tuple[int, float]]:
        """Return all added texts that are too close, as the number of each in the order they came and its F."""
        sequence, bag = self._read(text)
        candidates = self._candidates(bag)
        if not candidates:
            return []
        choices = [self._sequences[i] for i in candidates]
        cutoff = max(self.threshold - _EDGE, 0.0)
        scores = cdist([sequence], choices, scorer=Indel.normalized_similarity, score_cutoff=cutoff)[0]
        found = []
        for place in scores.nonzero()[0].tolist():
            kept = choices[place]
            score = f_measure(int(LCSseq.similarity(sequence, kept)), len(sequence), len(kept))
            if score > self.threshold:
                found.append((candidates[place], score))
        return found

    def add(self, name: str, text: str | list[str]) -> None:
        """Add a kept text under its id. Usually the one just checked, whose tokens are then still at hand."""
        sequence, bag = self._read(text)
        number = len(self._names)
        if number == len(self._lengths):
            self._lengths = np.concatenate([self._lengths, np.zeros_like(self._lengths)])
        self._lengths[number] = len(bag)
        for token in bag[: self._plan(len(bag))[0]]:
            self._postings[token].append(number)
        for token in bag:
            self._counts[token] += 1
        self._names.append(name)
        self._sequences.append(sequence)
        if sequence and isinstance(sequence, str):
            self._equal.setdefault(sequence, number)
        self._bags.append(bag)
        if len(self._names) == self._reorder_at:
            self._reorder()

    def _read(self, text: str | list[str]) -> tuple[Sequence, list[int]]:
        """Return the tokens' numbers in their order, and as a bag sorted with the rarest first.

        In the bag, the second occurrence of a token has a number of its own, so that bags are sets.
        """
        if self._last is not None and self._last[0] == text:
            return self._last[1], self._last[2]
        tokens = rouge_tokens(text, self.language) if isinstance(text, str) else text
        numbers = [self._numbers[token] for token in tokens]
        bag = numbers
        if len(set(numbers)) < len(numbers):
            seen: dict[int, int] = {}
            bag = []
            for token in numbers:
                seen[token] = times = seen.get(token, 0) + 1
                bag.append(token if times == 1 else self._numbers[token, times])
        for number in range(len(self._ranks), len(self._numbers)):
            self._postings.append(array("i"))
            self._counts.append(0)
            self._ranks.append(-number)
        sequence = numbers if max(numbers, default=0) > _LAST_CODE_POINT else "".join(map(chr, numbers))
        bag = sorted(bag, key=self._ranks.__getitem__)
        self._last = text if isinstance(text, str) else list(text), sequence, bag
        return sequence, bag

    def _plan(self, n: int) -> tuple[int, int]:
        """Return the length of the prefix of a bag of n and how many of its tokens a near text's prefix shares.

        The least overlap with any text above the threshold is that with the shortest such text.
        """
        if n not in self._plans:
            t = self.threshold - _EDGE
            overlap = max(ceil(n * t / (2 - t) - _EDGE), 1)
            self._plans[n] = min(n, n - overlap + K), min(K, overlap)
        return self._plans[n]

    def _candidates(self, bag: list[int]) -> list[int]:
        """Return the numbers of the texts that pass the prefix and length filters, ascending."""
        n = len(bag)
        prefix, shared = self._plan(n)
        lists = [numbers for token in bag[:prefix] if (numbers := self._postings[token])]
        views = [np.frombuffer(numbers, dtype=np.int32) for numbers in lists]
        if not views:
            return []
        found: NDArray[np.integer[Any]] = np.concatenate(views)
        # The views must go before the next append: an array cannot grow while its memory is lent.
        del views
        if len(self._names) < _DENSE * len(found):
            found = (np.bincount(found) >= shared).nonzero()[0]
        else:
            found.sort()
            found = found[shared - 1 :][found[shared - 1 :] == found[: max(len(found) - shared + 1, 0)]]
            if len(found) > 1:
                found = np.concatenate([found[:1], found[1:][found[1:] != found[:-1]]])
        if len(found) > _FEW:
            m = self._lengths[found]
            found = found[2 * np.minimum(m, n) >= (self.threshold - _EDGE) * (m + n)]
        candidates: list[int] = found.tolist()
        return candidates

    def _reorder(self) -> None:
        """Sort every bag anew by how often its tokens occur, at each doubling: the order they came in is a guess."""
        self._reorder_at *= 2
        for rank, token in enumerate(sorted(range(len(self._counts)), key=self._counts.__getitem__)):
            self._ranks[token] = rank
        self._postings = [array("i") for _ in self._counts]
        for number, bag in enumerate(self._bags):
            bag.sort(key=self._ranks.__getitem__)
            for token in bag[: self._plan(len(bag))[0]]:
                self._postings[token].append(number)
        self._last = None
