"""A turn as the source and the target read it, side by side: what every way of alignment starts from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.train.dists import Dist, Record
from curate.train.dists.reading import Reading
from curate.train.dists.vocabulary import SPACE, Vocabulary
from curate.types import Sample

ASKED = "Question"
"""The question that a turn's text is put after, so that the target reads it where an answer stands; a document has
none."""

PLAIN, GLUED, CHANGED = 0, 1, 2
"""How a token stands for its text: byte by byte, without its first space, or not (lower-cased, unknown, special)."""


@dataclass(frozen=True)
class Side:
    """The tokens of one model in a turn: n of them begin at the bytes `offsets` of its text, perhaps one at its end.

    `how` [n] says how each stands for its text, up to where the next begins.
    """

    tokens: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    how: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """One turn: what the source finds probable in it, and how the target reads the same text."""

    dist: Dist
    source: Side
    target: Side


def side_of(
    tokens: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], text: bytes, vocabulary: Vocabulary, until: int
) -> Side:
    """Return how tokens stand in a text that is read up to the byte `until`."""
    ends = np.append(offsets[1:], until) if len(offsets) else offsets
    how = np.full(len(tokens), CHANGED, np.uint8)
    begins, stops, numbers = offsets.tolist(), ends.tolist(), tokens.tolist()
    asked: Sequence[int] = range(len(numbers))
    inner = [vocabulary.pieces[number] or b"" for number in numbers[1:-1]]
    # Most texts stand there byte by byte, but for a first space and the end: that is seen at once.
    exact = inner and b"".join(inner) == text[begins[1] : stops[-2]]
    if exact and list(map(len, inner)) == [stop - begin for begin, stop in zip(begins[1:-1], stops[1:-1], strict=True)]:
        how[1:-1] = PLAIN
        asked = [0, len(numbers) - 1, *np.flatnonzero(np.isin(tokens[1:-1], list(vocabulary.special))) + 1]
    for at in asked:
        number = numbers[at]
        part, piece = text[begins[at] : stops[at]], vocabulary.pieces[number]
        if number in vocabulary.special:
            # In the midst of a text it is what somebody has written about, and no end of anything.
            how[at] = PLAIN if number == vocabulary.end and not part else CHANGED
        elif piece == part:
            how[at] = PLAIN
        elif piece and piece[0] == SPACE and piece[1:] == part:
            how[at] = GLUED
    return Side(tokens, offsets, how, ends)


def pairs_of(
    records: Sequence[Record], vocabulary: Vocabulary, reading: Reading
) -> Iterator[tuple[Record, Pair | str]]:
    """Yield each record of a source with its pair, or the reason why there is none; `reading` is the target's."""
    before = () if reading.documents else ({"role": "user", "content": ASKED},)
    texts = [record.dist.text.decode() for record in records]
    samples = [Sample("", (*before, {"role": "assistant", "content": text})) for text in texts]
    for record, one in zip(records, reading.locate(samples), strict=True):
        if not one.verdict.keep:
            yield record, one.verdict.reason
            continue
        dist, places = record.dist, one.turns[0]
        last = vocabulary.pieces[int(dist.tokens[-1])] or b""
        until = min(int(dist.offsets[-1]) + len(last), len(dist.text))
        tokens, offsets = dist.tokens.astype(np.int64), dist.offsets.astype(np.int64)
        source = side_of(tokens, offsets, dist.text, vocabulary, until)
        ids = one.ids[places.positions].astype(np.int64)
        target = side_of(ids, places.offsets.astype(np.int64), dist.text, reading.vocabulary, len(dist.text))
        yield record, Pair(dist, source, target)
