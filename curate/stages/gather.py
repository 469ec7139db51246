"""From samples to what makes them the same: one pass over a dataset, then all pairs of its different texts."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import IO

import numpy as np
from numpy.typing import NDArray

from curate.embed import Encoder
from curate.embed.cells import cell_pairs
from curate.embed.heads import Floats, let_go
from curate.embed.heads_int8 import best_proposer
from curate.embed.pairs import FLOOR, MILLION, MOST, Pairs, TooManyPairs, all_pairs, check, worth
from curate.stages.dedup import Field, text_of
from curate.stages.greedy import Edges, Relations
from curate.stages.numbers import Numbers
from curate.stages.rouge import RougeIndex
from curate.text import content_id, normalise, text_hash
from curate.types import Sample

BATCH = 4096
"""Texts encoded at a time."""

MOST_LEXICAL = 2_000_000
"""Edges by ROUGE-L held at most, 300 MB while they come in."""

Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Comparing:
    """What is compared, and how: None leaves a comparison out. `rouge` is the ROUGE-L from which texts are near.

    Near pairs are searched for exactly up to the texts that the proposer compares in minutes, beyond only if `exact`.
    """

    language: str = "en"
    field: Field = "text"
    rouge: float | None = None
    encoder: Encoder | None = None
    exact: bool = False
    most: int = MOST


@dataclass
class _Columns:
    """The columns of `Relations` while samples come in."""

    ids: array[int] = field(default_factory=lambda: array("Q"))
    content: array[int] = field(default_factory=lambda: array("Q"))
    row: array[int] = field(default_factory=lambda: array("Q"))
    group: array[int] = field(default_factory=lambda: array("i"))
    text: array[int] = field(default_factory=lambda: array("i"))
    quality: array[float] = field(default_factory=lambda: array("d"))
    length: array[int] = field(default_factory=lambda: array("q"))


class Gathering:
    """Takes samples one by one; `relations` then compares all of them.

    Texts are encoded while they come, each different one once; the vectors lie in `file`, an empty one that is open for
    as long as this is used, so that memory is some hundred bytes for a sample. With ROUGE-L it is 30 for each token
    more.
    """

    def __init__(self, comparing: Comparing, file: IO[bytes]) -> None:
        self.comparing = comparing
        self._columns = _Columns()
        self._groups, self._texts = Numbers(), Numbers()
        self._fixed = 0
        self._old_texts = 0
        self._rouge = None if comparing.rouge is None else RougeIndex(comparing.rouge, comparing.language)
        self._worded = bytearray()
        self._lexical: list[tuple[int, int, float]] = []
        self.crowded = False
        self._pending: list[str] = []
        self._file = file
        self._dim = 0

    def __len__(self) -> int:
        return len(self._columns.ids)

    def add(self, sample: Sample, row: bytes, quality: float = 0.0, *, fixed: bool = False) -> None:
        """Take a sample; `row` is all that is known of it. The fixed ones, decided before, come first."""
        self._fixed += fixed
        columns, content = self._columns, content_id(sample.messages)
        columns.ids.append(int(sample.id, 16))
        columns.content.append(int(content, 16))
        columns.row.append(int.from_bytes(blake2b(row, digest_size=8).digest()))
        plain = normalise(sample.instruction)
        columns.group.append(self._groups.of(text_hash(plain) if plain else f"{content:0>32}"))
        columns.quality.append(quality)
        columns.length.append(sum(len(message["content"]) for message in sample.messages))
        text = text_of(sample, self.comparing.field)
        number = self._texts.of(text_hash(text))
        columns.text.append(number)
        if number == len(self._worded):
            self._old_texts += fixed
            self._take(text, fixed)

    def relations(self, needed: float | None = None, tick: Tick | None = None) -> tuple[Relations, str]:
        """Compare all texts and return what is the same, and how it was searched for, in words.

        `needed` is the cosine above which edges must be known; they are known from 0.7 up, if that is not too many for
        `pairs.worth`.

        Raises:
            TooManyPairs: even the needed ones are too many.
            ModelError: the encoder gave what no encoder should.
        """
        self._encode()
        if self.crowded:
            raise TooManyPairs
        texts = len(self._texts)
        known: NDArray[np.bool_] = np.zeros(texts, dtype=bool)
        semantic, words = None, ""
        if self.comparing.encoder is not None and texts:
            vectors = np.memmap(self._file, np.float32, "r", shape=(texts, self._dim))
            for start in range(0, texts, 65_536):
                known[start : start + 65_536] = vectors[start : start + 65_536].any(axis=1)
                let_go(vectors)
            pairs, words = self._pairs(vectors, needed, tick)
            semantic = _edges(pairs)
        elif self.comparing.encoder is not None:
            none = np.zeros(0, dtype=np.int32)
            semantic = Edges(none, none, none, FLOOR)
        relations = replace(self.bare(), known=known, rouge=self._lexical_edges(), semantic=semantic)
        return relations, words

    def _pairs(self, vectors: Floats, needed: float | None, tick: Tick | None) -> tuple[Pairs, str]:
        """Return all near pairs, or nearly all where comparing all takes too long, and how they were found."""
        floor, since, most = worth(vectors, 1.0 if needed is None else needed), self._old_texts, self.comparing.most
        proposer = best_proposer(vectors, floor)
        work = len(vectors) ** 2 - since**2
        if work > proposer.many**2 and not self.comparing.exact:
            return cell_pairs(vectors, floor, proposer, needed=needed, most=most, since=since, tick=tick)
        found = all_pairs(vectors, floor, since=since, needed=needed, most=most, proposer=proposer, tick=tick)
        return found, proposer.words

    def bare(self) -> Relations:
        """Return what is known without comparing: the samples and their texts, and no edge."""
        c = self._columns
        return Relations(
            ids=np.array(c.ids, dtype=np.uint64),
            content=np.array(c.content, dtype=np.uint64),
            row=np.array(c.row, dtype=np.uint64),
            group=np.array(c.group, dtype=np.int32),
            text=np.array(c.text, dtype=np.int32),
            quality=np.array(c.quality, dtype=np.float64),
            length=np.array(c.length, dtype=np.int64),
            worded=np.array(self._worded).astype(bool),
            known=np.zeros(len(self._texts), dtype=bool),
            fixed=self._fixed,
        )

    def _take(self, text: str, fixed: bool) -> None:
        """Compare a text seen for the first time by ROUGE-L with all before it, and have it encoded soon."""
        self._worded.append(0)
        number = len(self._worded) - 1
        if self._rouge is not None and not self.crowded:
            for other, score in () if fixed else self._rouge.near(text):
                self._lexical.append((other, number, score))
            self._rouge.add("", text)
            self._worded[number] = self._rouge.worded(number)
            self.crowded = len(self._lexical) > min(self.comparing.most, MOST_LEXICAL)
        if self.comparing.encoder is not None:
            self._pending.append(text)
            if len(self._pending) == BATCH:
                self._encode()

    def _encode(self) -> None:
        if self._pending and self.comparing.encoder is not None:
            vectors = self.comparing.encoder.encode(self._pending)
            check(vectors, self._pending)
            self._dim = vectors.shape[1]
            self._file.write(np.ascontiguousarray(vectors, dtype=np.float32).tobytes())
            self._file.flush()
            self._pending = []

    def _lexical_edges(self) -> Edges | None:
        if self._rouge is None:
            return None
        found = sorted(self._lexical, key=lambda edge: (-edge[2], edge[1], edge[0]))
        left, right = (np.array([edge[side] for edge in found], dtype=np.int32) for side in (0, 1))
        score = np.array([edge[2] for edge in found], dtype=np.float64)
        return Edges(left, right, score, self._rouge.threshold)


def _edges(pairs: Pairs) -> Edges:
    """Return pairs as edges, the nearest first, so that those above a threshold are the first ones."""
    order = np.argsort(-pairs.score, kind="stable")
    return Edges(pairs.left[order], pairs.right[order], pairs.score[order], max(pairs.floor - 1, 0) / MILLION)
