"""Documents that know which bytes of which turn their tokens begin at, so that distributions find their place in them.

Beside the tokens of a dataset, which are those of plain fine-tuning, lie

turns-KEY.arrays   whose sample each document is of, its turns, and where in them the tokens begin
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.io.arrays import read_arrays, write_arrays
from curate.train.data.cache import BATCH, Progress, Tokens, samples_of, tokenised
from curate.train.data.sources import Source
from curate.train.data.tokens import LONG, Coder, Encoded
from curate.train.dists import turn_key
from curate.train.dists.places import Located, locate
from curate.train.dists.vocabulary import Vocabulary

VERSION = 1
"""Goes up with every change of what the arrays hold."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn in a document: its number among the assistant's, and n of its tokens.

    They begin at `offsets` [n] of its text and stand at `positions` [n] of the document, ascending; neither has a
    document's first token, which nothing predicts.
    """

    number: int
    offsets: npt.NDArray[np.uint32]
    positions: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lesson(Encoded):
    """A document of a sample, by its `turn_key`, with its turns."""

    sample: str
    turns: tuple[Turn, ...]


class Lessons(Tokens):
    """The documents of one dataset, mapped from the disk, as lessons."""

    def __init__(self, folder: Path, source: str, arrays: dict[str, npt.NDArray[Any]]) -> None:
        super().__init__(folder, source)
        self.samples, self.numbers = arrays["samples"], arrays["numbers"]
        self._turn_ends, self._row_ends = arrays["turn_ends"], arrays["row_ends"]
        self._offsets, self._positions = arrays["offsets"], arrays["positions"]

    @property
    def keys(self) -> npt.NDArray[np.uint64]:
        """The sample of each turn of each document [n], beside `numbers` [n]."""
        return np.repeat(self.samples, np.diff(self._turn_ends, prepend=0))

    def __getitem__(self, index: int) -> Lesson:
        document = super().__getitem__(index)
        turns = []
        for at in range(*_part(self._turn_ends, index)):
            rows = slice(*_part(self._row_ends, at))
            turns.append(Turn(int(self.numbers[at]), self._offsets[rows], self._positions[rows].astype(np.int64)))
        sample = f"{int(self.samples[index]):016x}"
        return Lesson(document.input_ids, document.labels, document.source, sample, tuple(turns))


def _part(ends: npt.NDArray[np.int64], place: int) -> tuple[int, int]:
    return int(ends[place - 1]) if place else 0, int(ends[place])


def lessons_of(
    source: Source, coder: Coder, vocabulary: Vocabulary, cache: Path, progress: Progress | None = None
) -> Lessons:
    """Return the documents of a dataset as lessons: those in `cache`, else made now.

    Raises:
        InputError: the dataset cannot be read, is empty, or has not one sample to train on.
        RunError: the disk is full.
    """
    tokens = tokenised(source, coder, cache, progress)
    path = tokens.folder / f"turns-{vocabulary.key}.arrays"
    found = read_arrays(path)
    if found is None or found[0] != {"version": VERSION}:
        _make(source, coder, vocabulary, tokens, path)
        found = read_arrays(path)
    assert found is not None
    return Lessons(tokens.folder, source.path, found[1])


def _make(source: Source, coder: Coder, vocabulary: Vocabulary, tokens: Tokens, path: Path) -> None:
    samples: list[int] = []
    turn_ends: list[int] = []
    turns: list[Turn] = []
    documents = iter(tokens[index] for index in range(len(tokens)))
    document = next(documents, None)
    read = samples_of(source)
    while batch := list(islice(read, BATCH)):
        for one in locate(coder, vocabulary, batch):
            key = int(turn_key(one.sample.messages), 16)
            for ids, found in _parts(one, coder):
                # A part without a target is no document.
                if document is not None and document.input_ids == ids:
                    samples.append(key)
                    turns += found
                    turn_ends.append(len(turns))
                    document = next(documents, None)
    assert document is None, f"{source.path}: its samples are not those that its tokens are of"
    write_arrays(path, {"version": VERSION}, {
        "samples": np.array(samples, np.uint64),
        "turn_ends": np.array(turn_ends, np.int64),
        "numbers": np.array([turn.number for turn in turns], np.uint32),
        "row_ends": np.cumsum([len(turn.offsets) for turn in turns], dtype=np.int64),
        "offsets": np.concatenate([np.empty(0, np.uint32), *(turn.offsets for turn in turns)]),
        "positions": np.concatenate([np.empty(0, np.int64), *(turn.positions for turn in turns)]).astype(np.int32),
    })  # fmt: skip


def _parts(one: Located, coder: Coder) -> Iterator[tuple[list[int], list[Turn]]]:
    """Yield the tokens of each document that a sample may have become, with what it has of the turns."""
    if not one.verdict.keep:
        # The template writes other words than the sample's: its documents stay, and nothing is known of their turns.
        (coded,) = coder.encode([one.sample], "")
        yield from ((document.input_ids, []) for document in coded.documents)
        return
    for start, end in LONG[coder.long](len(one.ids), coder.max_length):
        yield one.ids[start:end].tolist(), list(_within(one, start, end))


def _within(one: Located, start: int, end: int) -> Iterator[Turn]:
    """Yield what a part of a sample's tokens has of its turns."""
    for turn in one.turns:
        inside = (turn.positions > start) & (turn.positions < end)
        if inside.any():
            yield Turn(turn.turn, turn.offsets[inside], turn.positions[inside] - start)
