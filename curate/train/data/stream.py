"""Datasets larger than memory or patience: rows are read, encoded and dealt to updates while the model trains.

Rows come in windows of a fixed number. A window is a pure function of the datasets, the seed, the epoch and its
number, so that a run goes on from any update by its number alone, without reading what came before. Within an epoch, a
dataset's files come in an order of their own and their rows one after the other; a window's documents are shuffled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

import numpy as np

from curate.errors import InputError
from curate.io.read import Placed, as_samples
from curate.train.data.cache import Progress, place_of
from curate.train.data.mixture import held, shares
from curate.train.data.shards import count_rows, rows_from
from curate.train.data.sources import Source
from curate.train.data.tokens import Coded, Coder, Encoded
from curate.types import Sample

WINDOW = 4_096
"""Rows that are in memory at a time: enough for packs with next to no padding, few enough to wait for."""

T = TypeVar("T")


class Stream:
    """Datasets as the documents of any update.

    `rows` counts those of an epoch, `counts` each dataset's among them (with weights its share, from an endless row of
    passes through it), `windows` how many windows that makes, `in_epoch` how many updates of about `batch` documents.
    `tell` is called with the number of each window of the first epoch and what became of its rows,
    whenever the window is read. `counting` is called with the files whose rows are counted, and how many there are.

    Raises:
        InputError: a dataset that is empty, or whose rows cannot be counted without reading it whole.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        coder: Coder,
        batch: int,
        *,
        epochs: int = 1,
        held_out: float = 0.0,
        seed: int = 0,
        window: int = WINDOW,
        tell: Callable[[int, list[Coded]], object] | None = None,
        counting: Progress | None = None,
    ) -> None:
        self.coder, self.epochs, self.held_out, self.seed, self.tell = coder, epochs, held_out, seed, tell
        files = [len(source.files) for source in sources]
        self.readers = []
        for number, source in enumerate(sources):
            self.readers.append(_Reader(source, (seed, number)))
            if counting:
                counting(sum(files[: number + 1]), sum(files))
        self.rows = sum(reader.rows for reader in self.readers)
        weights = [source.weight for source in sources if source.weight is not None]
        self.counts = shares(self.rows, weights) if weights else [reader.rows for reader in self.readers]
        self.windows = -(-self.rows // window)
        self._in_window = max(math.ceil(self.rows * (1 - held_out) / (self.windows * batch)), 1)
        self.in_epoch = self.windows * self._in_window
        # One worker, so that the files are read by one thread; it makes the window after the one that is trained on.
        self._worker = ThreadPoolExecutor(1, "curate-stream")
        self._next: dict[int, Future[list[Coded]]] = {}
        self._last: tuple[int, list[Encoded]] = (-1, [])

    def update(self, number: int) -> list[Encoded]:
        """Return the documents of update `number`, counted over all epochs: any of them, without those before it.

        A window's documents are dealt evenly over its updates; where so many of its rows are dropped that there are
        fewer documents than updates, some come twice. Raises InputError where not even every second update has one.
        """
        window, part = divmod(number, self._in_window)
        documents, parts = self._documents(window), self._in_window
        if len(documents) * 2 < parts or not documents:
            raise InputError(
                f"only {len(documents)} documents come of the rows of window {window % self.windows + 1} of "
                f"{self.windows}, which are to make {parts} updates; the others are dropped or held out"
            )
        start, end = (len(documents) * one // parts for one in (part, part + 1))
        return documents[start : max(end, start + 1)]

    def held_out_documents(self, limit: int) -> list[Encoded]:
        """Return the first documents that are held out, at most `limit` of each dataset."""
        found: list[Encoded] = []
        for reader in self.readers:
            apart = (sample for sample in reader.samples() if self._is_held(sample))
            coded = (one for part in _batches(apart, 100) for one in self.coder.encode(part, reader.source.path))
            found += islice((document for one in coded for document in one.documents), limit)
        return found

    def _documents(self, number: int) -> list[Encoded]:
        """Return the documents of a window, counted over all epochs, in a random order."""
        if self._last[0] != number:
            made = self._next.pop(number, None) or self._worker.submit(self._window, number)
            if number + 1 < self.windows * self.epochs:
                self._next = {number + 1: self._worker.submit(self._window, number + 1)}
            coded = made.result()
            if self.tell and number < self.windows:
                self.tell(number, coded)
            documents = [document for one in coded for document in one.documents]
            draw = np.random.default_rng((self.seed, *divmod(number, self.windows)))
            self._last = number, [documents[place] for place in draw.permutation(len(documents)).tolist()]
        return self._last[1]

    def _window(self, number: int) -> list[Coded]:
        """Return what becomes of the rows of a window that are not held out."""
        epoch, window = divmod(number, self.windows)
        coded: list[Coded] = []
        for reader, count in zip(self.readers, self.counts, strict=True):
            start, end = (epoch * count + count * one // self.windows for one in (window, window + 1))
            samples = [sample for sample in reader.take(start, end - start) if not self._is_held(sample)]
            coded += self.coder.encode(samples, reader.source.path)
        return coded

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
            raise InputError(
                f"{file}: only files of JSON lines and of Parquet can be streamed; leave --stream out, or convert it: "
                f"curate export {file} --out DIR"
            )
        return rows

    def take(self, start: int, count: int) -> list[Sample]:
        """Return the samples of `count` rows from row `start` on."""
        if start != self._at:
            self._open = self._from(start)
        self._at = start + count
        return list(as_samples(islice(self._open, count), self.source.fields or None, documents=True))

    def samples(self) -> Iterator[Sample]:
        """Yield the samples of one pass, in the order of the files."""
        rows = chain.from_iterable(rows_from(file, 0) for file, _ in self.files)
        return as_samples(rows, self.source.fields or None, documents=True)

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
