"""`curate stats`: the figures of datasets side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.errors import InputError
from curate.finished import is_run, open_run
from curate.measure import Figures, figures, random_places
from curate.pipeline.reviews import decided
from curate.pipeline.table import Table, table_of
from curate.types import Sample

if TYPE_CHECKING:
    from curate.embed import Encoder, Vectors
    from curate.tree import TaskTree

Tell = Callable[[str, int, int], None]
"""Told what is measured of which file, and how many samples of how many are done."""

BLOCK = 1024
"""Texts encoded between two words on how far it is."""

REFERENCE = 10_000
"""Samples of all files together that NovelSum takes its densities from."""

PARTS = 7
"""Parts of a file's work: encoding, and those that `figures` tells of."""


def untold(what: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Measured:
    """One file's figures. `source` is the file as it was named, `subset` says what `random_value` is taken on."""

    source: str
    figures: Figures
    subset: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {"source": self.source, "random_subset": self.subset, **self.figures.as_json()}


@dataclass(frozen=True)
class Stats:
    """The figures of one or more files. `settings` are embedder, language and seed; `seconds` is the time taken."""

    files: tuple[Measured, ...]
    settings: dict[str, Any]
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values: per file its figures, each with interval, n and random subset."""
        files = [measured.as_json() for measured in self.files]
        return {"files": files, "settings": self.settings, "seconds": round(self.seconds, 3)}

    def table(self) -> str:
        """Return the figures side by side as plain text."""
        return "\n".join(self.cells().lines())

    def cells(self) -> Table:
        """Return the figures side by side as a table of texts."""
        return table_of([(measured.source, measured.subset, measured.figures) for measured in self.files])

    def plot(self, path: str | Path) -> Path:
        """Draw root verbs, figures and lengths to `path`, a .png or .svg file, and return it.

        Raises:
            InputError: another kind of file.
            MissingExtraError: matplotlib is not installed.
        """
        from curate.pipeline.plot import draw

        return draw([(measured.source, measured.figures) for measured in self.files], Path(path))


@dataclass(frozen=True)
class _File:
    """A file on its way. `candidates` are its samples and those that were dropped, where there are any."""

    source: str
    samples: Sequence[Sample]
    tree: TaskTree | None = None
    language: str = ""
    candidates: Sequence[Sample] = ()
    vectors: Vectors | None = None

    def some(self, places: Sequence[int]) -> _File:
        """Return the file with the samples at these places alone."""
        vectors = None if self.vectors is None else self.vectors[list(places)]
        return replace(self, samples=[self.samples[place] for place in places], vectors=vectors)


def stats(
    files: Sequence[str | Path],
    *,
    embedder: str | None = None,
    language: str = "",
    seed: int = 0,
    tell: Tell = untold,
) -> Stats:
    """Return the figures of each file or run, with 95 % intervals, against a random subset.

    Where several files differ in size, each is also measured on a random subset as large as the smallest. A single run,
    or a file with its dropped samples beside it, is held against a random subset, of equal size, of all that was
    written before anything was dropped. Hand decisions count. `embedder` is the language's default unless named
    ("none": no figures of embeddings); `language` is that of the runs among the files unless given, else "en".

    Raises:
        InputError: no file, one that cannot be read or holds no sample, runs of different languages, or a wrong value.
        MissingExtraError: the embedder needs a package that is not installed.
    """
    from curate.embed import NO_EMBEDDER, default_encoder, open_encoder

    if not files:
        raise InputError("no file to measure; name one or more datasets or run directories")
    began = time.monotonic()
    opened = [_open(str(source)) for source in files]
    spoken = _language(opened, language)
    named = embedder or default_encoder(spoken)
    encoder = None if named == NO_EMBEDDER else open_encoder(named)
    progress = _Progress(tell, len(opened), sum(len(file.samples) for file in opened))
    opened = [_encoded(file, encoder, progress) for file in opened]
    reference = _reference(opened, seed)

    def measure(file: _File, intervals: bool) -> Figures:
        progress.source = file.source
        return figures(
            file.samples, vectors=file.vectors, reference=reference, tree=file.tree, language=spoken, seed=seed,
            intervals=intervals, tell=progress.next if intervals else progress.again,
        )  # fmt: skip

    measured = []
    for file in opened:
        whole = measure(file, True)
        subset, words = _subset(file, opened, seed)
        if subset is not None:
            whole = whole.against(measure(_encoded(subset, encoder, None), False))
        measured.append(Measured(file.source, whole, words))
    settings = {"embedder": encoder and encoder.name, "language": spoken, "seed": seed}
    return Stats(tuple(measured), settings, time.monotonic() - began)


def _open(source: str) -> _File:
    """Read a file or a run, as hand decisions leave it. Raises InputError where it holds no sample."""
    data = decided(source)
    samples = list(data)
    if not samples:
        raise InputError(f"{source}: no sample is in it, so there is nothing to measure")
    dropped = [Sample(row["id"], tuple(row["messages"]), tuple(row["task"]), row["meta"]) for row in data.dropped()
               if row["messages"]]  # fmt: skip
    run = open_run(source) if is_run(source) else None
    return _File(
        source,
        samples,
        tree=run.tree if run else None,
        language=str(run.identity["language"]) if run else "",
        candidates=[*samples, *dropped] if dropped else [],
    )


def _language(opened: Sequence[_File], language: str) -> str:
    """Return the language all files are measured in. Raises InputError where runs disagree, or it is not known."""
    from curate.prompt import LANGUAGES

    spoken = {file.language: file.source for file in opened if file.language}
    if not language and len(spoken) > 1:
        told = " and ".join(f"{source} is '{name}'" for name, source in sorted(spoken.items()))
        raise InputError(f"{told}, and a word is not the same in both: choose one with --language")
    language = language or next(iter(spoken), "en")
    if language not in LANGUAGES:
        raise InputError(f"the language is {language!r}; known are {', '.join(LANGUAGES)}")
    return language


def _encoded(file: _File, encoder: Encoder | None, progress: _Progress | None) -> _File:
    """Return a file with the vectors of its samples, unless it has them or there is no encoder."""
    from curate.embed.store import stored

    if encoder is None or file.vectors is not None:
        return file
    if is_run(file.source):
        encoder = stored(Path(file.source), encoder)
    blocks = []
    for start in range(0, len(file.samples), BLOCK):
        blocks.append(encoder.encode([sample.instruction for sample in file.samples[start : start + BLOCK]]))
        if progress is not None:
            progress.encoded(file, len(blocks[-1]))
    return replace(file, vectors=np.concatenate(blocks))


def _reference(opened: Sequence[_File], seed: int) -> Vectors | None:
    """Return what NovelSum takes its densities from: as many vectors of each file; None for one file."""
    if len(opened) < 2 or any(file.vectors is None for file in opened):
        return None
    size = min(REFERENCE // len(opened), *(len(file.samples) for file in opened))
    vectors = [
        file.vectors[random_places(len(file.samples), size, seed)] for file in opened if file.vectors is not None
    ]
    every = np.concatenate(vectors)
    known: Vectors = every[np.abs(every).max(axis=1) > 0]
    return known


def _subset(file: _File, opened: Sequence[_File], seed: int) -> tuple[_File | None, str]:
    """Return the random subset that a file is held against, None for none, and what it is in words."""
    if len(opened) > 1:
        size = min(len(other.samples) for other in opened)
        places = random_places(len(file.samples), size, seed)
        return (file.some(places.tolist()), f"{size:,} of its own") if size < len(file.samples) else (None, "")
    if not file.candidates:
        return None, ""
    every, size = len(file.candidates), len(file.samples)
    pool = replace(file, samples=file.candidates, vectors=None)
    return pool.some(random_places(every, size, seed).tolist()), f"{size:,} of all {every:,} written"


class _Progress:
    """How far the work is, in samples: each file's count as encoded and as measured, part by part."""

    def __init__(self, tell: Tell, files: int, samples: int) -> None:
        self.source = ""
        self._tell = tell
        self._samples = samples
        self._steps = files * PARTS
        self._done = 0.0

    def encoded(self, file: _File, count: int) -> None:
        """Count samples that were encoded, which is one of a file's parts."""
        self.source = file.source
        self._add("encoding", count / self._samples / PARTS)

    def next(self, part: str) -> None:
        """Name the part that begins."""
        self._add(part, 1 / self._steps)

    def again(self, part: str) -> None:
        """Name the part of a random subset that begins."""
        self._add(f"{part} of a random subset", 0)

    def _add(self, part: str, share: float) -> None:
        self._tell(f"{self.source}, {part}", int(self._done * self._samples), self._samples)
        self._done = min(self._done + share, 1.0)
