"""From the items of an exam to rows of token ids, tokenised as the whole text would be.

An ending is scored on the tokens that the joint tokenisation of prompt and ending has beyond the prompt's own: a
tokenizer may merge a letter with its space or with what stands before it, or cut it into several tokens (the boundary
of Pimentel and Meister 2024, "How to Compute the Probability of a Word", in its simplest form).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from curate.io import whole
from curate.models.students.student import CONTEXT, Item

SEAM = 48
"""Characters before the end of a text from which on it is tokenised anew with what follows."""

TRIES = 8
KEPT = 8
"""Beginnings whose tokens are remembered: those of the window that is being marked."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as token ids. From the token `cut` on they are those of `rest` alone; without such a place `cut` is 0."""

    ids: tuple[int, ...]
    text: str
    cut: int
    rest: str


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids to be read, and those (ending, place) whose probability is wanted: the token that follows a place."""

    ids: tuple[int, ...]
    wanted: tuple[tuple[int, int, int], ...]
    """(ending, place in `ids`, token that follows it), place by place."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """An item as rows. `start` is what all prompts with its demonstrations begin with.

    `tokens` counts those of each ending; `shots` demonstrations are in the prompt.
    """

    rows: tuple[Row, ...]
    start: tuple[int, ...]
    tokens: tuple[int, ...]
    shots: int


class Words:
    """Tokenises items for one student, which reads `limit` tokens; None is no bound."""

    def __init__(self, tokenizer: Any, limit: int | None) -> None:
        self.limit = limit
        self._tokenizer = tokenizer
        # The package's own call takes five times as long for a short text as what it calls.
        self._fast = tokenizer.backend_tokenizer if getattr(tokenizer, "is_fast", False) else None
        begin = tokenizer("a")["input_ids"][:1]
        bos = getattr(tokenizer, "bos_token_id", None)
        self._begin = tuple(begin) if bos is not None and list(begin) == [bos] else ()
        self._starts: OrderedDict[tuple[str, tuple[str, ...]], Encoded] = OrderedDict()

    def sheet(self, item: Item) -> Sheet | str:
        """Return an item's rows with as many demonstrations as fit, or why there are none."""
        length = 0
        for shots in range(len(item.shots), -1, -1):
            start = self._start(item.head, item.shots[:shots])
            prompt = self._extended(start, item.tail)
            joint = [self._after(prompt, ending) for ending in item.endings]
            length = max(len(ids) for ids in joint)
            if self.limit is None or length - 1 <= self.limit:
                return _sheet(item, shots, start, prompt, joint)
        return f"{CONTEXT}: {length:,} tokens without any demonstration, and the student reads {self.limit:,}"

    def _start(self, head: str, shots: tuple[str, ...]) -> Encoded:
        key = (head, shots)
        found = self._starts.get(key)
        if found is None:
            text = head + "".join(shots)
            ids, spans = self._spans(text)
            found = self._starts[key] = self._sealed(self._begin + ids, text, spans, len(self._begin), 0)
            if len(self._starts) > KEPT:
                self._starts.popitem(last=False)
        self._starts.move_to_end(key)
        return found

    def _extended(self, before: Encoded, more: str) -> Encoded:
        """Return the tokens of a text with more after it."""
        text = before.text + more
        if not before.cut:
            ids, spans = self._spans(text)
            return self._sealed(self._begin + ids, text, spans, len(self._begin), 0)
        ids, spans = self._spans(before.rest + more)
        return self._sealed(
            before.ids[: before.cut] + ids, text, spans, before.cut, len(text) - len(before.rest + more)
        )

    def _after(self, before: Encoded, ending: str) -> tuple[int, ...]:
        if not before.cut:
            return self._begin + self._ids(before.text + ending)
        return before.ids[: before.cut] + self._ids(before.rest + ending)

    def _sealed(
        self, ids: tuple[int, ...], text: str, spans: list[tuple[int, int]], skipped: int, offset: int
    ) -> Encoded:
        """Find a token near the end of a text from which on it is tokenised alike without what stands before.

        `spans` are the characters of the tokens from `skipped` on, counted from the character `offset` of the text.
        """
        tried = 0
        for place in range(len(spans) - 1, 0, -1):
            begin = offset + spans[place][0]
            if len(text) - begin < SEAM or spans[place][0] < spans[place - 1][1]:
                continue
            rest, cut = text[begin:], skipped + place
            if self._ids(rest) == ids[cut:]:
                return Encoded(ids, text, cut, rest)
            tried += 1
            if tried == TRIES:
                break
        return Encoded(ids, text, 0, "")

    def _spans(self, text: str) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
        if self._fast is None:
            return self._ids(text), []
        read = self._fast.encode(whole(text), add_special_tokens=False)
        return tuple(read.ids), read.offsets

    def _ids(self, text: str) -> tuple[int, ...]:
        if self._fast is None:
            return tuple(self._tokenizer(whole(text), add_special_tokens=False)["input_ids"])
        return tuple(self._fast.encode(whole(text), add_special_tokens=False).ids)


def _sheet(item: Item, shots: int, start: Encoded, prompt: Encoded, joint: list[tuple[int, ...]]) -> Sheet | str:
    """Return the rows that give the probability of every ending; endings that share all but their last share one."""
    begin = max(shared([prompt.ids, *joint]), 1)
    for ending, ids in zip(item.endings, joint, strict=True):
        if len(ids) <= begin:
            return f"tokens: the student's tokenizer leaves nothing of the ending {ending!r}"
    wanted: dict[tuple[int, ...], list[tuple[int, int, int]]] = {}
    for number, ids in enumerate(joint):
        places = wanted.setdefault(ids[:-1], [])
        places += [(number, place - 1, ids[place]) for place in range(begin, len(ids))]
    rows = tuple(Row(ids, tuple(places)) for ids, places in wanted.items())
    return Sheet(rows, start.ids, tuple(len(ids) - begin for ids in joint), shots)


def shared(rows: list[tuple[int, ...]]) -> int:
    """Return how many tokens all rows begin with."""
    low, high = min(rows), max(rows)
    for place, (one, other) in enumerate(zip(low, high, strict=False)):
        if one != other:
            return place
    return min(len(low), len(high))
