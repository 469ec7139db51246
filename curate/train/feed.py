"""Where the documents of every update come from: tokens on the disk, or a stream."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from curate.errors import InputError
from curate.train.data.cache import Summary, key_of, notes_of
from curate.train.data.mixture import Data, Indices, load_datasets
from curate.train.data.sources import Source, parse_sources
from curate.train.data.stream import WINDOW, Stream
from curate.train.data.tally import Tally
from curate.train.data.tokens import Coded, Coder, Encoded
from curate.train.progress import Listener
from curate.train.settings import Settings

T = TypeVar("T")

MEASURED = 1_000
"""Held-out documents of each dataset of a stream on which the loss is measured."""


@dataclass(frozen=True)
class Counts:
    """What became of the samples: documents trained on in an epoch, samples dropped, tokens; notes on the losses."""

    documents: int
    dropped: int
    tokens: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Feed:
    """The documents of a run, of whatever kind its steps take.

    `update` gives those of update n (from 0, over all epochs), of which an epoch has `in_epoch`; it depends on n
    alone. `shown` are the documents whose prompts are answered before and after, `held_out` those that the loss is
    measured on (None unless asked for), `names` stand for the datasets' contents. `counts` is right at the end.
    """

    update: Callable[[int], Sequence[Any]]
    in_epoch: int
    shown: Sequence[Encoded]
    held_out: Sequence[Any] | None
    names: tuple[str, ...]
    counts: Callable[[], Counts]


def open_feed(settings: Settings, coder: Coder, listener: Listener, writes: bool) -> Feed:
    """Return the documents that the settings name; of several processes the first `writes` what is dropped.

    Raises:
        InputError: a dataset that cannot be trained on.
        RunError: the disk is full.
    """
    sources = parse_sources(settings.datasets, settings.fields or {})
    if settings.stream:
        return _streamed(sources, settings, coder, listener, writes)
    return _kept(sources, settings, coder, listener)


def _kept(sources: Sequence[Source], settings: Settings, coder: Coder, listener: Listener) -> Feed:
    """Return the documents as tokens on the disk, made now where they are not there."""
    listener.doing("reads the samples")
    data = load_datasets(
        sources, coder, settings.out / "tokens",
        held_out=settings.held_out, seed=settings.seed, progress=listener.reading,
    )  # fmt: skip
    return fed(data, data.held_out or data.train, settings, listener)


def fed(data: Data[Any], shown: Sequence[Encoded], settings: Settings, listener: Listener) -> Feed:
    """Return documents on the disk as those of a run, and say what is to be known of them."""
    for note in data.notes:
        listener.say(note)
    summaries = [part.summary for part in data.parts]
    tokens = int(data.train.lengths[data.train.epoch(0)].sum())
    counts = Counts(len(data.train), sum(map(_dropped, summaries)), tokens)
    update, in_epoch = dealt(data.train, data.train.epoch, settings.batch)
    names = tuple(part.folder.name for part in data.parts)
    return Feed(update, in_epoch, shown, data.held_out, names, lambda: counts)


def dealt(
    documents: Sequence[T], epoch: Callable[[int], Sequence[int] | Indices], batch: int
) -> tuple[Callable[[int], list[T]], int]:
    """Return what gives the documents of an update, and the number of updates in an epoch.

    An update takes the next `batch` documents of its epoch, whose order `epoch(number)` is; the last one what is left.
    """
    order, in_epoch = lru_cache(maxsize=2)(epoch), -(-len(documents) // batch)

    def update(number: int) -> list[T]:
        epoch, at = divmod(number, in_epoch)
        return [documents[int(place)] for place in order(epoch)[at * batch : (at + 1) * batch]]

    return update, in_epoch


def _streamed(sources: Sequence[Source], settings: Settings, coder: Coder, listener: Listener, writes: bool) -> Feed:
    """Return the documents as they are read and encoded while the model trains."""
    listener.doing("counts the rows of the files")
    names = tuple(key_of(source, coder, [_sketch(Path(file)) for file in source.files]) for source in sources)
    folder = settings.out / "tokens" / hashlib.blake2b("".join(names).encode(), digest_size=8).hexdigest()
    tally = Tally(folder, coder, writes)
    dropped = folder / "dropped.jsonl"

    def tell(window: int, coded: list[Coded]) -> None:
        known = len(tally.windows)
        tally.add(window, coded)
        if not window and not known:
            for note in notes_of(tally.summary, f"the first {len(coded):,} rows", dropped):
                listener.say(note)

    stream = Stream(
        sources, coder, settings.batch, epochs=settings.epochs, held_out=settings.held_out, seed=settings.seed,
        tell=tell, counting=listener.reading,
    )  # fmt: skip
    listener.doing(f"reads the first {min(WINDOW, stream.rows):,} of {stream.rows:,} rows")
    shown, held_out = stream.update(0), None
    if settings.held_out:
        listener.doing("looks for the samples that are held out")
        shown = held_out = stream.held_out_documents(MEASURED)
        if not held_out:
            raise InputError(f"a held-out share of {settings.held_out:g} has none of the documents; take a larger one")

    def counts() -> Counts:
        summary = tally.summary
        notes = tuple(notes_of(summary, ", ".join(source.path for source in sources), dropped))
        return Counts(summary.documents, _dropped(summary), summary.tokens, notes)

    return Feed(stream.update, stream.in_epoch, shown, held_out, names, counts)


def _dropped(summary: Summary) -> int:
    return sum(summary.dropped.values())


def _sketch(path: Path) -> str:
    """Return what stands for a large file's content without reading it whole: its size, its first and last MiB."""
    if not path.is_file():
        return str(path)
    digest, size = hashlib.blake2b(digest_size=16), path.stat().st_size
    with path.open("rb") as file:
        digest.update(file.read(1 << 20))
        file.seek(max(size - (1 << 20), 0))
        digest.update(file.read())
    return f"{size}:{digest.hexdigest()}"
