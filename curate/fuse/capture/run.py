"""`curate fuse capture`: the distributions of a source at every place of what the assistant says, kept on disk.

Of plain documents, at every place of the document; those longer than the source reads are read in pieces.

OUT/shard-00000.dists ...   each has GROUP samples of the dataset in their order, and is written whole or not at all
OUT/vocabulary.tokens       the bytes that each of the source's tokens stands for: an alignment needs no source
OUT/dropped.jsonl           the samples without distributions, each with its reason
OUT/capture.json            what is captured by whom; another capture is refused
OUT/dists.json              written last: the folder is whole

A killed capture goes on behind its last whole shard and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.fuse.capture.asking import Asking
from curate.fuse.settle import settle
from curate.io import atomic, read_samples, sample_to_row
from curate.io.files import to_line
from curate.run import RunDirectory, dropped_row
from curate.train.data.formats import document_of
from curate.train.dists.codec import high_bits
from curate.train.dists.folder import INDEX, finish, read_index, tally_of, write_shard
from curate.train.dists.places import Located
from curate.train.dists.reading import Reading, Rows
from curate.train.dists.records import Header, Record, turn_key
from curate.train.dists.vocabulary import write_vocabulary
from curate.types import Sample, Verdict, drop

GROUP = 256
"""Samples of a shard, fewer where they are long."""

ROOM = 1 << 22
"""Characters of a shard's samples: its rows are in memory at the same time, some 100 bytes for each token."""

SURVEYED = 512
"""Samples that an estimate is made from."""

VOCABULARY = "vocabulary.tokens"
SETTINGS = "capture.json"
DROPPED = "dropped.jsonl"
VERSION = 1
"""Goes up with every change of what is captured."""

PER_ROW = 13
"""Bytes of a row's own columns: its offset, its token, that token's improbability and its kind."""


@dataclass(frozen=True)
class Options:
    """What one invocation asks for: `k` tokens of each place, the first `limit` samples, `max_length` tokens of each.

    `tokenizer` is for a model behind a server, whose own tokenizer is not to be had from there, and `asking` says how
    the server is asked.
    """

    model: str
    out: Path
    k: int = 10
    limit: int | None = None
    max_length: int | None = None
    template: str | None = None
    tokenizer: str | None = None
    asking: Asking = field(default_factory=Asking)


@dataclass(frozen=True)
class Plan:
    """An estimate of a capture: samples, their tokens, the rows kept and what they take on the disk (bytes)."""

    samples: int
    tokens: int
    rows: int
    bytes: int
    shards: int
    done: int

    def as_json(self) -> dict[str, Any]:
        """Return the estimate as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Captured:
    """What a capture came to; `bytes` are those of all shards.

    `cut` counts samples longer than the source reads, `max_length` tokens: of conversations an end is lost, `documents`
    are read in pieces. `nats_per_byte` is the source's mean over all bytes, None where there are none.
    """

    source: str
    out: Path
    model: str
    samples: int
    records: int
    rows: int
    bytes: int
    dropped: dict[str, int]
    cut: int
    nats_per_byte: float | None
    documents: bool
    max_length: int
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {**asdict(self), "out": str(self.out), "seconds": round(self.seconds, 3)}


class Source(Protocol):
    """Who says what is probable: a model in process or behind a server."""

    header: Header
    reading: Reading

    def rows(
        self, located: Sequence[Located], wanted: Sequence[npt.NDArray[np.int64]], tick: Callable[[int], None]
    ) -> Iterator[Rows | Verdict]:
        """Yield each sample's rows at the positions wanted, or why there are none; `tick` is told how many are read."""

    def close(self) -> None:
        """Let go of what is open."""


def capture(
    dataset: str | Path,
    options: Options,
    *,
    tick: Callable[[int, int | None], None] = lambda done, total: None,
    doing: Callable[[str], None] = lambda name: None,
    planned: Callable[[Plan], None] = lambda plan: None,
) -> Captured:
    """Capture what `options.model` finds probable in the assistant's turns of `dataset`, into the folder `options.out`.

    `doing` is told what begins, and `planned` is shown what it will take before the model is loaded or asked. The same
    call again computes what is missing.

    Raises:
        InputError: a dataset, model, template or value that cannot be used, or nothing that can be captured.
        RunError: the folder holds another capture, another process works there, or the disk is full.
        ModelError: a server cannot be asked.
        Stopped: the budget of asking it is spent.
    """
    began = time.monotonic()
    _check(options)
    doing("reads the dataset")
    source = open_source(options, _documents(dataset))
    try:
        survey = _Survey(dataset, options.limit, source)
        with RunDirectory(options.out) as run:
            identity = _identity(options, source, survey)
            settle(run.path / SETTINGS, identity, "capture")
            planned(survey.plan(run.path, source.header))
            doing(Path(source.header.model).name)
            if not (run.path / INDEX).exists():
                _Work(dataset, options, source, survey.samples, tick).go(run.path)
            return _result(str(dataset), run.path, source, time.monotonic() - began)
    finally:
        source.close()


def _check(options: Options) -> None:
    for name, value, least in (
        ("top-k", options.k, 1),
        ("limit", options.limit, 1),
        ("max-length", options.max_length, 2),
    ):
        if value is not None and value < least:
            raise InputError(f"--{name} {value}: it takes {least} or more")


def _documents(dataset: str | Path) -> bool:
    """Whether a dataset has plain documents. Raises InputError where it is empty."""
    for sample in _samples(dataset, 1):
        return document_of(sample) is not None
    raise InputError(f"{dataset}: the dataset is empty")


def open_source(options: Options, documents: bool = False) -> Source:
    """Return the source that a capture is of; neither is a model loaded nor a server asked yet.

    Raises:
        InputError: a model, tokenizer or template that cannot be used.
    """
    from curate.models.students import is_served

    if is_served(options.model):
        from curate.fuse.capture.served import Served

        return Served(
            options.model, options.tokenizer, options.template, options.max_length, options.k, documents,
            options.asking,
        )  # fmt: skip
    if options.tokenizer is not None:
        raise InputError(f"--tokenizer {options.tokenizer}: {options.model} is read in process, with its own")
    from curate.train.dists.local import Local

    return Local(options.model.removeprefix("hf:"), options.template, options.max_length, options.k, documents)


def _samples(dataset: str | Path, limit: int | None) -> Iterator[Sample]:
    return islice(read_samples(dataset, documents=True), limit)


def _groups(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    """Yield the samples of each shard."""
    group: list[Sample] = []
    held = 0
    for sample in samples:
        length = sum(len(message["content"]) for message in sample.messages)
        if group and (len(group) == GROUP or held + length > ROOM):
            yield group
            group, held = [], 0
        group.append(sample)
        held += length
    if group:
        yield group


class _Survey:
    """The dataset before anything is asked: how many samples, what they are, and how long the first ones are."""

    def __init__(self, dataset: str | Path, limit: int | None, source: Source) -> None:
        digest, first = hashlib.blake2b(digest_size=16), list[Sample]()
        self.samples = self.shards = 0
        for group in _groups(_samples(dataset, limit)):
            for sample in group:
                digest.update(to_line(sample_to_row(sample)).encode())
            first += group[: SURVEYED - len(first)]
            self.samples += len(group)
            self.shards += 1
        self.content = digest.hexdigest()
        reading = source.reading
        every = reading.locate(first)
        located = [one for one in every if one.verdict.keep]
        if not located and len(first) == self.samples:
            reasons = Counter(one.verdict.reason for one in every)
            named = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
            raise InputError(f"{dataset}: none of its {self.samples:,} samples can be captured ({named})")
        share = self.samples / len(first)
        self.tokens = round(share * sum(end - start for one in located for start, end in reading.parts(one)))
        self.rows = round(share * sum(len(reading.wanted(one)) for one in located))
        self.text = round(share * sum(len(turn.text) for one in located for turn in one.turns))

    def plan(self, folder: Path, header: Header) -> Plan:
        """Return what the capture will take; a shard that is there takes nothing."""
        shards = self.shards
        done = next((number for number in range(shards) if tally_of(folder, number, header) is None), shards)
        per_row = header.k * (3 + high_bits(header.vocab_size) / 8) + 2 + PER_ROW
        return Plan(self.samples, self.tokens, self.rows, round(self.rows * per_row) + self.text, shards, done)


def _identity(options: Options, source: Source, survey: _Survey) -> dict[str, Any]:
    return {
        **asdict(source.header),
        "max_length": source.reading.coder.max_length,
        "dataset": survey.content,
        "samples": survey.samples,
        "version": VERSION,
    }


@dataclass
class _Work:
    """The shards of one capture, made in the order of the dataset."""

    dataset: str | Path
    options: Options
    source: Source
    samples: int
    tick: Callable[[int, int | None], None]

    def go(self, folder: Path) -> None:
        """Make what is missing, then close the folder."""
        write_vocabulary(folder / VOCABULARY, self.source.reading.vocabulary)
        header, seen = self.source.header, set[str]()
        done = shards = 0
        tallies = []
        for group in _groups(_samples(self.dataset, self.options.limit)):
            fresh = [self._fresh(sample, seen) for sample in group]
            tally = tally_of(folder, shards, header)
            if tally is None:
                tally = self._shard(folder, shards, group, fresh, done)
            tallies.append(tally)
            done, shards = done + len(group), shards + 1
            self.tick(done, self.samples)
        if not any(tally["records"] for tally in tallies):
            reasons = Counter(reason for tally in tallies for _, reason, _ in tally["dropped"])
            named = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
            raise InputError(f"{self.dataset}: none of its {done:,} samples can be captured ({named})")
        self._write_dropped(folder, [one for tally in tallies for one in tally["dropped"]])
        finish(folder, header, shards, figures=_figures(tallies))

    def _fresh(self, sample: Sample, seen: set[str]) -> bool:
        key = turn_key(sample.messages)
        known = key in seen
        seen.add(key)
        return not known

    def _shard(self, folder: Path, number: int, group: list[Sample], fresh: list[bool], before: int) -> dict[str, Any]:
        """Write a shard and return its figures; `before` samples stand before it in the dataset."""
        reading = self.source.reading
        located = [
            one if new else Located(one.sample, one.ids, verdict=drop("duplicate"))
            for one, new in zip(reading.locate(group), fresh, strict=True)
        ]
        asked = [place for place, one in enumerate(located) if one.verdict.keep]
        given = [located[place] for place in asked]
        rows = reading.asked(given, self.source.rows, lambda done: self.tick(before + done, self.samples))
        records: list[Record] = []
        for place, found in zip(asked, rows, strict=True):
            if isinstance(found, Verdict):
                located[place] = replace(located[place], verdict=found)
            else:
                records += reading.records(located[place], found)
        kept = [one for one in located if one.verdict.keep]
        dists = [record.dist for record in records]
        tally = {
            "samples": len(group),
            "records": len(records),
            "rows": sum(len(dist.offsets) for dist in dists),
            "cut": sum(len(one.ids) > reading.coder.max_length for one in kept),
            "nats": sum(dist.nll_per_byte * len(dist.text) for dist in dists),
            "bytes": sum(len(dist.text) for dist in dists),
            "dropped": [
                [before + place, one.verdict.reason, dict(one.verdict.detail)]
                for place, one in enumerate(located)
                if not one.verdict.keep
            ],
        }
        write_shard(folder, number, self.source.header, records, tally)
        return tally

    def _write_dropped(self, folder: Path, dropped: list[Any]) -> None:
        reasons = {place: (reason, detail) for place, reason, detail in dropped}
        with atomic(folder / DROPPED) as file:
            for place, sample in enumerate(_samples(self.dataset, self.options.limit) if reasons else ()):
                if place in reasons:
                    reason, detail = reasons[place]
                    file.write(to_line(dropped_row(sample, "capture", Verdict(False, reason, None, detail))))


def _figures(tallies: list[dict[str, Any]]) -> dict[str, Any]:
    sums = {name: sum(tally[name] for tally in tallies) for name in ("samples", "records", "rows", "cut", "bytes")}
    nats = sum(tally["nats"] for tally in tallies)
    dropped = Counter(reason for tally in tallies for _, reason, _ in tally["dropped"])
    return {**sums, "nats_per_byte": nats / sums["bytes"] if sums["bytes"] else None, "dropped": dict(dropped)}


def _notes(reading: Reading) -> list[str]:
    if reading.documents and reading.vocabulary.end is None:
        return [*reading.coder.notes, "the source's tokenizer has no eos_token; it says nothing of where documents end"]
    return reading.coder.notes


def _result(dataset: str, folder: Path, source: Source, seconds: float) -> Captured:
    figures, reading = read_index(folder)["figures"], source.reading
    return Captured(
        dataset, folder, source.header.model, figures["samples"], figures["records"], figures["rows"],
        sum(path.stat().st_size for path in folder.glob("shard-*.dists")), figures["dropped"], figures["cut"],
        figures["nats_per_byte"], reading.documents, reading.coder.max_length, _notes(reading), seconds,
    )  # fmt: skip
