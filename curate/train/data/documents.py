"""Plain documents: a text that is learnt from whole, without a template.

A document is what the tokenizer makes of its text, behind the token with which that tokenizer begins every text
(Llama's and Gemma's do, GPT-2's and Qwen's do not) and before its `eos_token`. What is spelled like a special token in
a text is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

ROOM = 1 << 20
"""Characters that are encoded at a time."""

Spelled = tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_], npt.NDArray[np.int64]]
"""The tokens [n] of a text, which of them have loss, and the characters [n, 2] that each stands for."""


Place = tuple[int, int]
"""A token's first character and the one after its last."""


class Edge(NamedTuple):
    """A token before or behind every document, by its id and its spelling; none where there are no ids."""

    ids: tuple[int, ...] = ()
    text: str = ""


class Documents:
    """How a tokenizer reads documents: between the tokens `begin` and `end`, either of which it may not have."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        begins = bos is not None and tokenizer("a")["input_ids"][:1] == [bos]
        self.begin = Edge((bos,), tokenizer.bos_token) if begins else Edge()
        self.end = Edge((eos,), tokenizer.eos_token) if eos is not None else Edge()
        added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        named = (added | set(tokenizer.all_special_tokens)) - {tokenizer.unk_token}
        self._special = {tokenizer.convert_tokens_to_ids(name): name for name in named if name}

    def written(self, text: str) -> str:
        """Return a document's text as it is read, with the spellings of its edges."""
        return self.begin.text + text + self.end.text

    def spelled(self, texts: Sequence[str]) -> Iterator[Spelled]:
        """Yield each of the texts `written` as tokens, all of which have loss but the one that begins it."""
        first, last = len(self.begin.text), len(self.end.text)
        for group in _groups(texts):
            inner = [text[first : len(text) - last] for text in group]
            found = self.tokenizer(
                inner, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True,
                return_attention_mask=False, verbose=False,
            )  # fmt: skip
            for text, ids, offsets in zip(inner, found["input_ids"], found["offset_mapping"], strict=True):
                if not self._special.keys().isdisjoint(ids):
                    ids, offsets = self._apart(text)
                yield self._between(len(text), np.array(ids, np.int32), np.array(offsets, np.int64).reshape(-1, 2))

    def _apart(self, text: str) -> tuple[list[int], list[Place]]:
        """Return the tokens of a text and their characters, no special token among them.

        A unigram model knows special tokens as words of its own and finds them in a text; here each is cut behind its
        first character.
        """
        names = "|".join(map(re.escape, sorted(self._special.values(), key=len, reverse=True)))
        cuts = [0, *(one.start() + 1 for one in re.finditer(names, text)), len(text)]
        ids: list[int] = []
        places: list[Place] = []
        for start, end in pairwise(cuts):
            found = self.tokenizer(
                text[start:end], add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True,
                verbose=False,
            )  # fmt: skip
            ids += found["input_ids"]
            places += [(first + start, last + start) for first, last in found["offset_mapping"]]
        return ids, places

    def _between(self, length: int, ids: npt.NDArray[np.int32], places: npt.NDArray[np.int64]) -> Spelled:
        """Return a document's tokens with those at its edges."""
        first, last = len(self.begin.text), len(self.end.text)
        before = np.array([[0, first]] * len(self.begin.ids), np.int64).reshape(-1, 2)
        behind = np.array([[first + length, first + length + last]] * len(self.end.ids), np.int64).reshape(-1, 2)
        whole = np.concatenate([np.array(self.begin.ids, np.int32), ids, np.array(self.end.ids, np.int32)])
        loss = np.ones(len(whole), np.bool_)
        loss[: len(before)] = False
        return whole, loss, np.concatenate([before, places + first, behind])


def _groups(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield texts in their order, together as many as there is room for, or one that is longer."""
    group: list[str] = []
    held = 0
    for text in texts:
        if group and held + len(text) > ROOM:
            yield group
            group, held = [], 0
        group.append(text)
        held += len(text)
    if group:
        yield group
