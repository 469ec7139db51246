"""Datasets larger than memory or patience: rows are read, encoded and packed while the model trains.

Rows come in windows of a fixed number. A window is a pure function of the datasets, the seed, the epoch and its
number, so that a run goes on from any place by its position alone, without reading what came before. Within an epoch, a
dataset's files come in an order of their own and their rows one after the other; a window's documents are shuffled.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TypeVar

import numpy as np

from curate.errors import InputError
from curate.io.read import Placed, as_samples
from curate.train.data.cache import place_of
from curate.train.data.mixture import held, shares
from curate.train.data.packing import pack
from curate.train.data.shards import count_rows, rows_from
from curate.train.data.sources import Source
from curate.train.data.tokens import Coded, Coder, Encoded
from curate.types import Sample

WINDOW = 4_096
"""Rows that are in memory at a time: enough for packs with next to no padding, few enough to wait for."""

T = TypeVar("T")


@dataclass(frozen=True, order=True)
class Position:
    """How far a stream was read: so many whole epochs, windows of the next one, and items of the next window."""

    epoch: int = 0
    window: int = 0
    item: int = 0


START = Position()


class Stream:
    """Datasets as a stream of documents, of packs of them, or of the documents of any update.

    `rows` counts those of an epoch, `counts` each dataset's among them (with weights its share, from an endless row of
    passes through it), `windows` how many windows that makes. `dropped` counts samples by reason, from the beginning of
    this object; `on_drop` is called with each, in the first epoch alone.

    Raises:
        InputError: a dataset that is empty, or whose rows cannot be counted without reading it whole; documents that
            may be longer than a pack.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        coder: Coder,
        *,
        held_out: float = 0.0,
        seed: int = 0,
        window: int = WINDOW,
        on_drop: Callable[[Coded], object] | None = None,
    ) -> None:
        self.coder, self.held_out, self.seed, self.on_drop = coder, held_out, seed, on_drop
        self.readers = [_Reader(source, (seed, number)) for number, source in enumerate(sources)]
        self.rows = sum(reader.rows for reader in self.readers)
        weights = [source.weight for source in sources if source.weight is not None]
        self.counts = shares(self.rows, weights) if weights else [reader.rows for reader in self.readers]
        self.windows = -(-self.rows // window)
        self.dropped: Counter[str] = Counter()
        self._last: tuple[tuple[int, int], list[Encoded]] = ((-1, -1), [])

    def documents(self, epochs: int, start: Position = START) -> Iterator[tuple[Position, Encoded]]:
        """Yield the documents of all epochs from `start` on, each with the position behind it."""
        return self._items(epochs, start, lambda documents, _: documents)

    def packs(self, epochs: int, budget: int, start: Position = START) -> Iterator[tuple[Position, list[Encoded]]]:
        """Yield packs of at most `budget` tokens from `start` on, each with the position behind it.

        A window is packed by itself, best-fit decreasing, and its packs come in a random order.
        """
        if budget < self.coder.max_length:
            raise InputError(
                f"a pack of {budget:,} tokens cannot hold a document of {self.coder.max_length:,}; raise the one or "
                "lower the other"
            )

        def packed(documents: list[Encoded], draw: np.random.Generator) -> list[list[Encoded]]:
            packs = pack([len(one.input_ids) for one in documents], budget)
            draw.shuffle(packs)
            return [[documents[place] for place in one] for one in packs]

        return self._items(epochs, start, packed)

    def in_epoch(self, batch: int) -> int:
        """Return the number of updates of an epoch where each takes about `batch` documents, and never more rows."""
        return self.windows * self._in_window(batch)

    def update(self, number: int, batch: int) -> list[Encoded]:
        """Return the documents of update `number`, counted over all epochs: any of them, without those before it.

        A window's documents are dealt evenly over its updates. Raises InputError where hardly any of a window's rows
        can be trained on.
        """
        epoch, at = divmod(number, self.in_epoch(batch))
        window, part = divmod(at, self._in_window(batch))
        if self._last[0] != (epoch, window):
            documents = self._shuffled(epoch, window, tell=part == 0)[0]
            self._last = ((epoch, window), documents)
        documents, parts = self._last[1], self._in_window(batch)
        if len(documents) < parts:
            raise InputError(
                f"only {len(documents)} documents come of the rows of window {window + 1} of {self.windows}, which are "
                f"to make {parts} updates; dropped so far: {dict(self.dropped)}"
            )
        return documents[part * len(documents) // parts : (part + 1) * len(documents) // parts]

    def _in_window(self, batch: int) -> int:
        return -(-self.rows // (self.windows * batch))

    def held_out_documents(self, limit: int) -> list[Encoded]:
        """Return the first documents that are held out, at most `limit` of each dataset."""
        found: list[Encoded] = []
        for reader in self.readers:
            apart = (sample for sample in reader.samples() if self._is_held(sample))
            documents = (one for part in _batches(apart, 100) for one in self._encoded(part, reader, None))
            found += islice(documents, limit)
        return found

    def _items(
        self, epochs: int, start: Position, made: Callable[[list[Encoded], np.random.Generator], list[T]]
    ) -> Iterator[tuple[Position, T]]:
        for epoch in range(start.epoch, epochs):
            first = start.window if epoch == start.epoch else 0
            for window in range(first, self.windows):
                done = start.item if (epoch, window) == (start.epoch, start.window) else 0
                items = made(*self._shuffled(epoch, window, tell=not done))
                for number, item in enumerate(items[done:], done + 1):
                    last = number == len(items)
                    after = Position(epoch, window + 1) if last else Position(epoch, window, number)
                    yield Position(epoch + 1) if last and window + 1 == self.windows else after, item

    def _shuffled(self, epoch: int, window: int, tell: bool) -> tuple[list[Encoded], np.random.Generator]:
        """Return a window's documents and a generator for what follows; with `tell`, say what is dropped."""
        draw = np.random.default_rng((self.seed, epoch, window))
        documents = self._window(epoch, window, self.on_drop if epoch == 0 and tell else None)
        return [documents[place] for place in draw.permutation(len(documents)).tolist()], draw

    def _window(self, epoch: int, window: int, on_drop: Callable[[Coded], object] | None) -> list[Encoded]:
        documents: list[Encoded] = []
        for reader, count in zip(self.readers, self.counts, strict=True):
            start, end = (epoch * count + count * one // self.windows for one in (window, window + 1))
            samples = [sample for sample in reader.take(start, end - start) if not self._is_held(sample)]
            documents += self._encoded(samples, reader, on_drop)
        return documents

    def _encoded(
        self, samples: list[Sample], reader: _Reader, on_drop: Callable[[Coded], object] | None
    ) -> list[Encoded]:
        coded = self.coder.encode(samples, reader.source.path)
        for one in coded:
            if not one.verdict.keep:
                self.dropped[one.verdict.reason] += 1
                if on_drop:
                    on_drop(one)
        return [document for one in coded for document in one.documents]

    def _is_held(self, sample: Sample) -> bool:
        if not self.held_out:
            return False
        return bool(held(np.array([place_of(sample)], dtype=np.uint64), self.held_out, self.seed)[0])


class _Reader:
    """The rows of one dataset as an endless row of passes, in which any place can be read."""

    def __init__(self, source: Source, seed: tuple[int, ...]) -> None:
        self.source, self.seed = source, seed
        self.files = [(file, self._counted(file)) for file in source.files]
        self.rows = sum(rows for _, rows in self.files)
        if not self.rows:
            raise InputError(f"{source.path}: the dataset is empty")
        self._at, self._open = 0, self._from(0)

    def _counted(self, file: str) -> int:
        rows = count_rows(file)
        if rows is None:
            raise InputError(f"{file}: only files of JSON lines and of Parquet can be streamed; convert it first")
        return rows

    def take(self, start: int, count: int) -> list[Sample]:
        """Return the samples of `count` rows from row `start` on."""
        if start != self._at:
            self._open = self._from(start)
        self._at = start + count
        return list(as_samples(islice(self._open, count), self.source.fields or None))

    def samples(self) -> Iterator[Sample]:
        """Yield the samples of one pass, in the order of the files."""
        rows = chain.from_iterable(rows_from(file, 0) for file, _ in self.files)
        return as_samples(rows, self.source.fields or None)

    def _from(self, start: int) -> Iterator[Placed]:
        turn, skip = divmod(start, self.rows)
        while True:
            for number in np.random.default_rng((*self.seed, turn)).permutation(len(self.files)).tolist():
                file, rows = self.files[number]
                if skip < rows:
                    yield from rows_from(file, skip)
                skip = max(skip - rows, 0)
            turn += 1


def _batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while batch := list(islice(items, size)):
        yield batch


def ahead(items: Iterator[T], count: int = 1) -> Iterator[T]:
    """Yield `items`, of which another thread makes up to `count` in advance; its errors are raised here."""
    made: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(count)
    left = threading.Event()

    def put(more: bool, item: T | BaseException | None) -> None:
        while not left.is_set():
            try:
                made.put((more, item), timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put(True, item)
                if left.is_set():
                    return
            put(False, None)
        except BaseException as error:
            put(False, error)

    thread = threading.Thread(target=work, daemon=True, name="curate-ahead")
    thread.start()
    try:
        while True:
            more, item = made.get()
            if more:
                yield item  # type: ignore[misc]  # an item, since there is more
            elif item is None:
                return
            else:
                raise item  # type: ignore[misc]  # the error that ended the thread
    finally:
        left.set()
        thread.join()
