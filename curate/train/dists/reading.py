"""How a source reads samples, and what comes of it: rows of the positions that its turns have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from curate.text import text_hash
from curate.train.data.tokens import PROBE, Coder
from curate.train.dists import Dist, Record, turn_key
from curate.train.dists.places import Located, Places, locate
from curate.train.dists.vocabulary import Vocabulary, vocabulary_of
from curate.types import Sample, drop


@dataclass(frozen=True)
class Rows:
    """What a source says of n tokens: ids [n, k], logprobs [n, k] descending, tail [n], nll [n] of the true token."""

    ids: npt.NDArray[np.uint32]
    logprobs: npt.NDArray[np.float32]
    tail: npt.NDArray[np.float32]
    nll: npt.NDArray[np.float32]

    def __getitem__(self, part: npt.NDArray[np.bool_]) -> Rows:
        return Rows(self.ids[part], self.logprobs[part], self.tail[part], self.nll[part])


class Reading:
    """A tokenizer and a template: where the turns of samples lie in its tokens, `end` being what ends one."""

    def __init__(self, coder: Coder) -> None:
        self.coder = coder
        vocabulary = vocabulary_of(coder.tokenizer)
        probe = locate(coder, vocabulary, [Sample("", tuple(dict(turn) for turn in PROBE))])[0]
        places = probe.turns[0]
        ended = bool(len(places.offsets)) and places.offsets[-1] == len(places.text)
        end = int(probe.ids[places.positions[-1]]) if ended else None
        self.vocabulary: Vocabulary = replace(vocabulary, end=end)

    @property
    def template_key(self) -> str:
        """A hash of the template and the tokens it names."""
        template = self.coder.template
        return text_hash(repr((template.text, sorted(template.tokens.items()))))[:16]

    def locate(self, samples: Sequence[Sample]) -> list[Located]:
        """Return where the turns of samples lie; what has none within the limit is dropped as `answer_cut_away`."""
        return [self._fitted(one) for one in locate(self.coder, self.vocabulary, samples)]

    def _fitted(self, one: Located) -> Located:
        limit = self.coder.max_length
        if not one.verdict.keep or any((turn.positions < limit).any() for turn in one.turns):
            return one
        if len(one.ids) <= limit:
            return replace(one, verdict=drop("no_text", tokens=len(one.ids)))
        return replace(one, verdict=drop("answer_cut_away", tokens=len(one.ids), limit=limit))

    def wanted(self, one: Located) -> npt.NDArray[np.int64]:
        """Return the positions of all tokens of a sample's turns that are within the limit."""
        parts = [part for turn in one.turns for part in (turn.positions, turn.skipped)]
        every = np.concatenate([np.empty(0, np.int64), *parts])
        return np.sort(every[every < self.coder.max_length])

    def records(self, one: Located, rows: Rows) -> Iterator[Record]:
        """Yield the records of a sample whose rows at the positions `wanted` are given."""
        key, positions = turn_key(one.sample.messages), self.wanted(one)
        for turn in one.turns:
            if (dist := self._dist(one, turn, positions, rows)) is not None:
                yield Record(key, turn.turn, dist)

    def _dist(self, one: Located, turn: Places, positions: npt.NDArray[np.int64], rows: Rows) -> Dist | None:
        """Return the distributions of a turn, None where the limit cut all of it away."""
        limit, length = self.coder.max_length, len(turn.text)
        kept = turn.positions < limit
        if not kept.any():
            return None
        # Where the turn is cut, the first token that is lost begins where the text that was read ends.
        covered = length if kept.all() else int(turn.offsets[~kept][0])
        mine = rows[np.isin(positions, turn.positions[kept])]
        aside = rows[np.isin(positions, turn.skipped)]
        offsets = turn.offsets[kept]
        nll = float(mine.nll[offsets < length].sum(dtype=np.float64) + aside.nll.sum(dtype=np.float64))
        return Dist(
            offsets=offsets,
            ids=mine.ids,
            logprobs=mine.logprobs,
            tail=mine.tail,
            nll_per_byte=nll / max(covered - int(offsets[0]), 1),
            kind=np.zeros(len(offsets), np.uint8),
            tokens=one.ids[turn.positions[kept]].astype(np.uint32),
            nll=mine.nll,
            text=turn.text,
        )
