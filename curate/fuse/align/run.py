"""`curate fuse align`: the distributions of a source in the tokens of the target.

OUT/shard-00000.dists ...   the records of the captured folder in their order, each shard written whole or not at all
OUT/dists.json              written last: the folder is whole

No model is loaded: the source's vocabulary lies in the captured folder, and of the target the tokenizer is enough.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import InputError
from curate.fuse.align.published import (
    by_pairs,
    counted,
    equal_tokens,
    mapped_tokens,
    most_often,
    published_weight,
    suffixed_tokens,
)
from curate.fuse.capture.run import VOCABULARY
from curate.fuse.settle import settle
from curate.run import RunDirectory
from curate.train.dists import KINDS, Dist, Dists, Header, Record, open_dists
from curate.train.dists.boundaries import by_boundaries
from curate.train.dists.folder import INDEX, finish, read_index, tally_of, write_shard
from curate.train.dists.maps import Map, Maps, Target, exact_map, nearest_map, spelled_map, strict_map
from curate.train.dists.pairing import Pair, pairs_of
from curate.train.dists.reading import Reading
from curate.train.dists.vocabulary import Vocabulary, read_vocabulary

SETTINGS = "align.json"
VERSION = 1
"""Goes up with every change of what an alignment gives."""

METHODS: dict[str, tuple[Callable[..., Map], Callable[[Pair, Maps], Dist]]] = {
    "bytes": (spelled_map, by_boundaries),
    "em": (strict_map, partial(by_pairs, accept=equal_tokens)),
    "mined": (nearest_map, partial(by_pairs, accept=mapped_tokens)),
    "statistics": (most_often, partial(by_pairs, accept=suffixed_tokens)),
    "statistics-published": (published_weight, partial(by_pairs, accept=suffixed_tokens)),
}
"""How ids are mapped and which rows are taken."""

BY_COUNTS = (most_often, published_weight)
"""Maps that are made of what time warping puts together in the whole folder."""


@dataclass(frozen=True)
class Options:
    """What one invocation asks for: the tokens of `model`, by one of METHODS; maps are kept in the folder `cache`."""

    model: str
    out: Path
    method: str = "bytes"
    template: str | None = None
    cache: Path | None = None


@dataclass(frozen=True)
class Aligned:
    """What an alignment came to: of the target's `positions` in the captured turns, `rows` have a distribution.

    `kinds` counts the rows by how they came about; `tail` is the mean probability outside of their tokens, `before`
    that of the captured rows. `dropped` counts the turns without a row, by reason. Turns are whole `documents` where
    such were captured.
    """

    captured: Path
    out: Path
    model: str
    method: str
    records: int
    positions: int
    rows: int
    kinds: dict[str, int]
    tail: float | None
    before: float | None
    dropped: dict[str, int]
    documents: bool
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {**asdict(self), "captured": str(self.captured), "out": str(self.out), "seconds": round(self.seconds, 3)}


Tick = Callable[[int, int | None], None]
Phase = Callable[[str, str], None]


def align(
    captured: str | Path,
    options: Options,
    *,
    tick: Tick = lambda done, total: None,
    phase: Phase = lambda name, unit: None,
) -> Aligned:
    """Align the folder `captured` with the tokens of `options.model`, into the folder `options.out`.

    Raises:
        InputError: no captured folder, a target that cannot be used, an unknown method, or not one aligned row.
        RunError: the folder holds another alignment, another process works there, or the disk is full.
    """
    began = time.monotonic()
    if options.method not in METHODS:
        raise InputError(f"--method {options.method}: it takes {', '.join(METHODS)}")
    dists = open_dists(captured)
    if dists.header.aligned_to is not None:
        raise InputError(f"{captured}: it is aligned already; give the folder that curate fuse capture made")
    vocabulary = read_vocabulary(Path(captured) / VOCABULARY)
    if vocabulary is None or vocabulary.key != dists.header.tokenizer:
        raise InputError(f"{Path(captured) / VOCABULARY}: the file is missing or damaged; capture anew")
    reading, size = _open_target(options, dists.header.documents)
    header = replace(
        dists.header, aligned_to=reading.vocabulary.key, method=options.method, vocab_size=size,
    )  # fmt: skip
    with RunDirectory(options.out) as run:
        settle(run.path / SETTINGS, _identity(header, reading, dists), "alignment")
        if not (run.path / INDEX).exists():
            _Work(dists, vocabulary, reading, header, options, tick, phase).go(run.path)
        figures = read_index(run.path)["figures"]
    return Aligned(Path(captured), options.out, options.model, options.method, **figures, documents=reading.documents,
                   notes=reading.coder.notes, seconds=time.monotonic() - began)  # fmt: skip


def _open_target(options: Options, documents: bool) -> tuple[Reading, int]:
    """Return how the target reads, and how many tokens it knows."""
    from curate.train.data.templates import find_template
    from curate.train.data.tokens import Coder
    from curate.train.model import open_config, open_tokenizer
    from curate.train.settings import Settings

    settings = Settings((), options.model, options.out)
    config = open_config(settings)
    tokenizer = open_tokenizer(settings, config)
    try:
        template = find_template(options.template, tokenizer, needed=not documents)
    except InputError as error:
        raise InputError(f"{options.model}: {error}") from None
    # Turns are read whole: what of them a training run cuts off it will not ask for.
    return Reading(Coder(tokenizer, template, 1 << 30), documents), config.get_text_config().vocab_size


def _identity(header: Header, reading: Reading, dists: Dists) -> dict[str, Any]:
    """Return what makes this alignment another one than any other."""
    return {**asdict(header), "target_template": reading.template_key, "end": reading.vocabulary.end,
            "records": len(dists), "captured": read_index(dists.folder), "version": VERSION}  # fmt: skip


def default_cache() -> Path:
    """Return where maps between vocabularies are kept unless told otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curate" / "maps"


@dataclass
class _Work:
    """The shards of one alignment, one for each of the captured folder."""

    dists: Dists
    source: Vocabulary
    reading: Reading
    header: Header
    options: Options
    tick: Tick
    phase: Phase

    def go(self, folder: Path) -> None:
        """Make what is missing, then close the folder."""
        same = self._same()
        maps = None if same else self._maps()
        self.phase("turns", "turns")
        tallies, done = [], 0
        for number, shard in enumerate(self.dists.shards):
            tally = tally_of(folder, number, self.header)
            if tally is None:
                tally = self._shard(folder, number, maps, done)
            tallies.append(tally)
            done += len(shard)
            self.tick(done, len(self.dists))
        figures = _figures(tallies)
        if not figures["rows"]:
            named = ", ".join(f"{reason} {count:,}" for reason, count in figures["dropped"].items())
            raise InputError(f"{self.dists.folder}: no place of its turns can be aligned ({named})")
        finish(folder, self.header, len(tallies), figures=figures)

    def _same(self) -> bool:
        """Whether source and target have the same tokens, so that nothing is to be aligned."""
        ours = self.reading.vocabulary
        fits = self.dists.header.vocab_size <= self.header.vocab_size
        return fits and (self.source.key, self.source.end) == (ours.key, ours.end)

    def _maps(self) -> Maps:
        make, _ = METHODS[self.options.method]
        target = Target(self.reading.vocabulary, self.reading.coder.tokenizer)
        cache = self.options.cache or default_cache()
        self.phase("vocabulary", "tokens")
        if make not in BY_COUNTS:
            return Maps(self.source, target, make, cache, self.tick)
        exact, _ = exact_map(self.source, target, (False, False))
        self.phase("counting", "turns")
        ids, counts = counted(self._counted())
        table = make(exact, ids, counts, partial(_distance, self.source, target.vocabulary))
        return Maps(self.source, target, partial(_completed_map, table), None)

    def _counted(self) -> Iterator[Pair]:
        done = 0
        for number in range(len(self.dists.shards)):
            for _, pair in self._pairs(number):
                if isinstance(pair, Pair):
                    yield pair
                done += 1
                self.tick(done, len(self.dists))

    def _pairs(self, number: int) -> Iterator[tuple[Record, Pair | str]]:
        shard = self.dists.shards[number]
        return pairs_of([shard.record(place) for place in range(len(shard))], self.source, self.reading)

    def _shard(self, folder: Path, number: int, maps: Maps | None, before: int) -> dict[str, Any]:
        kept: list[Record] = []
        dropped: Counter[str] = Counter()
        kinds: Counter[str] = Counter()
        positions, tail, mass = 0, 0.0, 0.0
        for done, (record, pair) in enumerate(self._pairs(number), before + 1):
            if isinstance(pair, str):
                dropped[pair] += 1
                continue
            dist = record.dist if maps is None else METHODS[self.options.method][1](pair, maps)
            positions += len(pair.target.offsets)
            if not len(dist.offsets):
                dropped["nothing_shared"] += 1
                continue
            kept.append(Record(record.sample, record.turn, dist))
            for kind, count in enumerate(np.bincount(dist.kind, minlength=len(KINDS)).tolist()):
                kinds[KINDS[kind]] += count
            tail += float(np.exp(dist.tail).sum())
            mass += float(np.exp(record.dist.tail).mean()) * len(dist.offsets)
            self.tick(done, len(self.dists))
        tally = {"records": len(kept), "positions": positions, "rows": sum(kinds.values()), "kinds": dict(+kinds),
                 "tail": tail, "before": mass, "dropped": dict(dropped)}  # fmt: skip
        write_shard(folder, number, self.header, kept, tally)
        return tally


def _completed_map(table: Map, source: Vocabulary, target: Target, glued: tuple[bool, bool], tick: Tick) -> Map:
    """Return the exact map of a place, and `table`, which is the same everywhere, for what has no equal there."""
    exact, _ = exact_map(source, target, glued)
    return np.where(exact >= 0, exact, table)


def _distance(source: Vocabulary, target: Vocabulary, one: int, other: int) -> float:
    """Return the edit distance of two tokens' spellings, as FuseChat has it a tenth of it where one is in the other."""
    from rapidfuzz.distance import Levenshtein

    left, right = (source.pieces[one] or b"").strip(), (target.pieces[other] or b"").strip()
    distance = Levenshtein.distance(left.decode("latin-1"), right.decode("latin-1"))
    return distance * (0.1 if left in right or right in left else 1.0)


def _figures(tallies: list[dict[str, Any]]) -> dict[str, Any]:
    rows = sum(tally["rows"] for tally in tallies)
    kinds = sum((Counter(tally["kinds"]) for tally in tallies), Counter[str]())
    dropped = sum((Counter(tally["dropped"]) for tally in tallies), Counter[str]())
    shares = {name: sum(tally[name] for tally in tallies) / rows if rows else None for name in ("tail", "before")}
    sums = {name: sum(tally[name] for tally in tallies) for name in ("records", "positions")}
    return {**sums, "rows": rows, "kinds": dict(kinds), **shares, "dropped": dict(dropped)}
