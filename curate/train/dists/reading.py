"""How a source reads samples, and what comes of it: rows of the positions that its turns have.

A conversation is read up to a limit, a plain document all of it, in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from curate.text import text_hash
from curate.train.data.tokens import PROBE, Coder, Span, split, truncate
from curate.train.dists import Dist, Record, turn_key
from curate.train.dists.places import Located, Places, locate
from curate.train.dists.records import DOCUMENTS
from curate.train.dists.vocabulary import Vocabulary, vocabulary_of
from curate.types import Sample, Verdict, drop


@dataclass(frozen=True)
class Rows:
    """What a source says of n tokens: ids [n, k], logprobs [n, k] descending, tail [n], nll [n] of the true token."""

    ids: npt.NDArray[np.uint32]
    logprobs: npt.NDArray[np.float32]
    tail: npt.NDArray[np.float32]
    nll: npt.NDArray[np.float32]

    def __getitem__(self, part: npt.NDArray[np.bool_]) -> Rows:
        return Rows(self.ids[part], self.logprobs[part], self.tail[part], self.nll[part])


Tick = Callable[[int], None]

Ask = Callable[[Sequence[Located], Sequence[npt.NDArray[np.int64]], Tick], Iterator[Rows | Verdict]]
"""Says what is probable at positions of samples, in their order."""


def nobody(done: int) -> None:
    """Tell nobody."""


class Reading:
    """A tokenizer and a template: where the turns of samples lie in its tokens, `vocabulary.end` being what ends one.

    With `documents` the samples are plain documents, which need no template: each is one turn, and another token may
    end it.
    """

    def __init__(self, coder: Coder, documents: bool = False) -> None:
        self.coder, self.documents = coder, documents
        found = vocabulary_of(coder.tokenizer)
        self.vocabulary: Vocabulary = replace(found, end=self._end(found))

    def _end(self, vocabulary: Vocabulary) -> int | None:
        if self.documents:
            return next(iter(self.coder.documents.end.ids), None)
        probe = locate(self.coder, vocabulary, [Sample("", tuple(dict(turn) for turn in PROBE))])[0]
        places = probe.turns[0]
        ended = bool(len(places.offsets)) and places.offsets[-1] == len(places.text)
        return int(probe.ids[places.positions[-1]]) if ended else None

    @property
    def template_key(self) -> str:
        """A hash of the template and the tokens it names."""
        if self.documents:
            return DOCUMENTS
        template = self.coder.template
        return text_hash(repr((template.text, sorted(template.tokens.items()))))[:16]

    def locate(self, samples: Sequence[Sample]) -> list[Located]:
        """Return where the turns of samples lie; what has none within the limit is dropped as `answer_cut_away`."""
        return [self._fitted(one) for one in locate(self.coder, self.vocabulary, samples)]

    def _fitted(self, one: Located) -> Located:
        end = self.parts(one)[-1][1]
        if not one.verdict.keep or any((turn.positions < end).any() for turn in one.turns):
            return one
        limit = self.coder.max_length
        if len(one.ids) <= limit:
            return replace(one, verdict=drop("no_text", tokens=len(one.ids)))
        return replace(one, verdict=drop("answer_cut_away", tokens=len(one.ids), limit=limit))

    def parts(self, one: Located) -> list[Span]:
        """Return which tokens of a sample are read: of a conversation its beginning, of a document all, in pieces.

        The pieces are those that training makes with the same limit: each is read without what is before it, and begins
        with the last token of the one before.
        """
        return (split if self.documents else truncate)(len(one.ids), self.coder.max_length)

    def wanted(self, one: Located, near: Span | None = None) -> npt.NDArray[np.int64]:
        """Return the positions of all tokens of a sample's turns that are read.

        With `near`, those of the pieces of a document that have a token which begins in these bytes, both included.
        """
        found = [part for turn in one.turns for part in (turn.positions, turn.skipped)]
        every = np.sort(np.concatenate([np.empty(0, np.int64), *found]))
        parts = self.parts(one)
        if near is not None:
            (turn,) = one.turns
            asked = turn.positions[(turn.offsets >= near[0]) & (turn.offsets <= near[1])]
            first, last = (int(asked[0]), int(asked[-1])) if len(asked) else (0, -1)
            parts = [(start, end) for start, end in parts if start < last and first < end] or [(0, 0)]
        return every[(every > parts[0][0]) & (every < parts[-1][1])]

    def asked(
        self, located: Sequence[Located], ask: Ask, tick: Tick = nobody, near: Sequence[Span | None] | None = None
    ) -> Iterator[Rows | Verdict]:
        """Yield what `ask` says of each sample at the positions `wanted`, or why it says nothing.

        It is asked about pieces, all at once; `tick` is told how many samples are read.
        """
        groups = [self._pieces(one, part) for one, part in zip(located, near or [None] * len(located), strict=True)]
        ends = np.cumsum([len(group) for group in groups])
        pieces = [piece for group in groups for piece in group]
        if not pieces:
            return
        said = ask(
            [piece for piece, _ in pieces],
            [positions for _, positions in pieces],
            lambda done: tick(int(np.searchsorted(ends, done, side="right"))),
        )
        for group in groups:
            found = [next(said) for _ in group]
            yield next((one for one in found if isinstance(one, Verdict)), None) or joined(found)

    def _pieces(self, one: Located, near: Span | None) -> list[tuple[Located, npt.NDArray[np.int64]]]:
        """Return the pieces of a sample that are read, each with the positions wanted in it."""
        positions, found = self.wanted(one, near), []
        for start, end in self.parts(one):
            inside = positions[np.searchsorted(positions, start, side="right") : np.searchsorted(positions, end)]
            if len(inside):
                found.append((replace(one, ids=one.ids[start:end]), inside - start))
        return found

    def records(self, one: Located, rows: Rows, near: Span | None = None) -> Iterator[Record]:
        """Yield the records of a sample whose rows at the positions `wanted` are given."""
        key, positions = turn_key(one.sample.messages), self.wanted(one, near)
        for turn in one.turns:
            if (dist := self._dist(one, turn, positions, rows)) is not None:
                yield Record(key, turn.turn, dist)

    def _dist(self, one: Located, turn: Places, positions: npt.NDArray[np.int64], rows: Rows) -> Dist | None:
        """Return the distributions of a turn, None where none of its tokens is read."""
        length = len(turn.text)
        kept = np.isin(turn.positions, positions)
        if not kept.any():
            return None
        # A token's text ends where the next one's begins, that of the last before the turn's end where the text does.
        lengths = np.diff(turn.offsets.astype(np.int64), append=length)
        mine = rows[np.isin(positions, turn.positions[kept])]
        aside = rows[np.isin(positions, turn.skipped)]
        offsets = turn.offsets[kept]
        nll = float(mine.nll[offsets < length].sum(dtype=np.float64) + aside.nll.sum(dtype=np.float64))
        return Dist(
            offsets=offsets,
            ids=mine.ids,
            logprobs=mine.logprobs,
            tail=mine.tail,
            nll_per_byte=nll / max(int(lengths[kept].sum()), 1),
            kind=np.zeros(len(offsets), np.uint8),
            tokens=one.ids[turn.positions[kept]].astype(np.uint32),
            nll=mine.nll,
            text=turn.text,
        )


def joined(parts: Sequence[Rows | Verdict]) -> Rows:
    """Return rows one after the other."""
    rows = [part for part in parts if isinstance(part, Rows)]
    if len(rows) == 1:
        return rows[0]
    names = Rows.__dataclass_fields__
    return Rows(**{name: np.concatenate([getattr(part, name) for part in rows]) for name in names})
