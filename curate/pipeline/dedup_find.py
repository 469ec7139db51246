"""What makes the samples of a dataset the same: found once, and remembered for another threshold."""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from errno import EACCES, EROFS
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from curate.embed import NO_EMBEDDER, Encoder, open_encoder, threshold_of
from curate.embed.pairs import MILLION, MOST, STEP, TooManyPairs
from curate.errors import InputError, RunError
from curate.io import read_samples, row_to_sample
from curate.io.arrays import read_arrays, write_arrays
from curate.io.files import DISK
from curate.pipeline.dataset import Fields, Tick, count_rows, make_folder
from curate.pipeline.dedup_files import Files, Rows, check_own, fingerprint, row_line
from curate.pipeline.dedup_paid import Plan, paid, unplanned
from curate.pipeline.dedup_quality import Quality
from curate.stages.dedup import BLOCK, Compared, Comparisons, Corpus, Field
from curate.stages.gather import Comparing, Gathering
from curate.stages.greedy import REASONS, Decisions, Edges, Relations, curve, decide
from curate.stages.order import Keep, Order, ordered

if TYPE_CHECKING:
    from curate.models import Budget

VERSION = 2

PROBES = ("Write a short poem about the sea at night.", "Is 1,001 a prime number?", "列出三种意大利奶酪。")
"""What an encoder without an identity of its own is known by: its vectors of these."""

Phase = Callable[[str], None]
"""Told what begins: "read", "compare", "write"."""

Curve = list[tuple[float, int]]


@dataclass(frozen=True)
class Owner:
    """The encoder that a calibrated threshold belongs to: its name and fingerprint, and the file that says so."""

    encoder: str
    fingerprint: str
    path: Path

    def check(self, encoder: str, fingerprint: str) -> None:
        """Raise InputError for another encoder, or the same one with other weights."""
        if encoder != self.encoder:
            raise InputError(
                f"{self.path}: the threshold was calibrated for the encoder '{self.encoder}', and this is '{encoder}', "
                f"whose cosines mean something else; calibrate for '{encoder}', or give --embedder {self.encoder}"
            )
        if fingerprint != self.fingerprint:
            raise InputError(
                f"{self.path}: the threshold was calibrated for the encoder '{encoder}' with other weights "
                f"({self.fingerprint}, and these are {fingerprint}); calibrate anew: the marks are kept"
            )


@dataclass(frozen=True)
class Job:
    """What is asked for: which samples, compared how, and who of its like is kept.

    `owner` is the encoder that `threshold` was calibrated for, None for a number that was given. `fields` names the
    columns of `source`, where it is in no known format.
    """

    source: str
    against: str = ""
    add_to: str = ""
    keep: Keep = "best"
    score: str = ""
    rouge: float | None = 0.7
    embedder: str = "static"
    threshold: float | None = None
    language: str = "en"
    field: Field = "text"
    exact: bool = False
    owner: Owner | None = None
    fields: Fields = None


@dataclass
class Found:
    """A job's rows and what makes them the same; `threshold` is the cosine that decides, None without an encoder.

    `decided` holds the decisions where near pairs were too many to be held, and each sample was decided when its turn
    came; there is then no curve, and nothing to decide again. `replaced` is the encoder, in words, whose pairs an
    earlier run had left; it is empty where they were this one's.
    """

    job: Job
    rows: Rows
    relations: Relations
    threshold: float | None
    encoder: str
    encoder_print: str
    search: str
    curve: Curve
    again: bool = False
    decided: Decisions | None = None
    replaced: str = ""

    def decide(self) -> Decisions:
        """Return the decisions at the job's thresholds."""
        return self.decided or decide(self.relations.at(self.job.rouge, self.threshold), self.order())

    def order(self) -> Order:
        """Return the order in which samples are decided."""
        return ordered(self.relations, self.job.keep)


def find(
    job: Job, files: Files, tick: Tick, phase: Phase, budget: Budget | None = None, plan: Plan = unplanned
) -> Found:
    """Read, encode and compare; what was found is kept beside the output."""
    if job.add_to:
        check_own(job.add_to)
    folder = files.folder()
    encoder, cosine = opened(job, files.cache)
    name, mark = (encoder.name, encoder_print(encoder)) if encoder else ("", "")
    if job.owner is not None:
        job.owner.check(name, mark)
    with ExitStack() as stack:
        stack.enter_context(_disk(folder))
        stack.enter_context(paid(job, encoder, files.cache, budget, plan))
        spool = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        vectors = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        gathering = Gathering(Comparing(job.language, job.field, job.rouge, encoder, job.exact, most=MOST), vectors)
        phase("read")
        rows = _read(job, gathering, spool, tick)
        phase("compare")
        count = len(gathering)

        def told(done: int, total: int) -> None:
            tick(count * done // max(total, 1), count)

        try:
            relations, search = gathering.relations(cosine, told)
            found = Found(job, rows, relations, cosine, name, mark, search, [])
        except TooManyPairs:
            bare = gathering.bare()
            comparisons = Comparisons(job.language, job.rouge, job.field, encoder, cosine, job.field)
            decided = _one_by_one(job, rows, bare, comparisons)
            search = "exact, one by one: too many near pairs to hold, so that another threshold takes another run"
            return Found(job, rows, bare, cosine, name, mark, search, [], decided=decided)
    found.curve = _curve(found)
    _remember(found, files, getattr(encoder, "default_threshold", None))
    return found


@contextmanager
def _disk(folder: Path | None) -> Iterator[None]:
    """Say in one line that the disk of the rows and vectors in between is full, or cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno in (*DISK, EACCES, EROFS):
            place = folder or tempfile.gettempdir()
            raise RunError(
                f"{place}: cannot be written ({error.strerror}); free space or name another --out"
            ) from error
        raise


def remembered(job: Job, files: Files) -> Found | None:
    """Return what an earlier run found, if it was of the same content, compared the same way."""
    stored = None if files.pairs is None else read_arrays(files.pairs)
    if stored is None:
        return None
    head, arrays = stored
    if head.get("version") != VERSION or head["of"] is None or head["of"] != _of(job):
        return None
    if job.owner is not None:
        job.owner.check(head["encoder"], head["encoder_print"])
    rouge, cosine = job.rouge, job.threshold if job.threshold is not None else head["own_threshold"]
    if (rouge is None) != (head["rouge"] is None) or (rouge is not None and rouge < head["rouge"]):
        return None
    if head["encoder"] and (cosine is None or cosine < head["floor"]):
        return None
    parts = {
        name: arrays[name]
        for name in ("ids", "content", "row", "group", "text", "quality", "length", "worded", "known")
    }
    parts["worded"], parts["known"] = (parts[name].astype(bool) for name in ("worded", "known"))
    relations = Relations(
        **parts,
        fixed=head["fixed"],
        rouge=_edges(arrays, "rouge", head["rouge"]),
        semantic=_edges(arrays, "semantic", head["floor"]),
    )
    rows = Rows(arrays["rows"], arrays["ends"])
    known = cosine if head["encoder"] else None
    found = Found(job, rows, relations, known, head["encoder"], head["encoder_print"], head["search"], [], True)
    if head["curve_of"] == [job.keep, job.rouge]:
        found.curve = [(level, kept) for level, kept in head["curve"]]
    else:
        found.curve = _curve(found)
    return found


def encoder_print(encoder: Encoder) -> str:
    """Return 16 hex digits that change with an encoder's weights.

    They are of its identity, where it has one: for local weights that is their hash, for a server the model's name.
    Else they are of its vectors of PROBES, to two digits, which the last bits of a processor's sums do not reach.
    """
    inner = getattr(encoder, "encoder", encoder)  # what a store keeps the vectors of
    identity = getattr(inner, "identity", None)
    said = identity.encode() if identity else (np.rint(inner.encode(list(PROBES)) * 100) + 0.0).tobytes()
    return blake2b(said, digest_size=8).hexdigest()


def opened(job: Job, folder: Path | None) -> tuple[Encoder | None, float | None]:
    """Return the encoder, with its vectors in `folder` where keeping them pays, and the cosine that decides."""
    if job.embedder == NO_EMBEDDER:
        return None, None
    encoder = open_encoder(job.embedder)
    cosine = threshold_of(encoder, job.threshold)
    if folder is not None:
        from curate.embed.store import stored

        encoder = stored(folder, encoder)
    return encoder, cosine


def _edges(arrays: dict[str, Any], name: str, floor: float | None) -> Edges | None:
    if floor is None:
        return None
    left, right, score = (arrays[f"{name}_{part}"] for part in ("left", "right", "score"))
    return Edges(left, right, score, floor)


def _remember(found: Found, files: Files, own_threshold: float | None) -> None:
    if files.pairs is None:
        return
    relations = found.relations
    arrays: dict[str, Any] = {"rows": found.rows.text, "ends": found.rows.ends}
    for name in ("ids", "content", "row", "group", "text", "quality", "length"):
        arrays[name] = getattr(relations, name)
    arrays |= {"worded": relations.worded.astype(np.uint8), "known": relations.known.astype(np.uint8)}
    for name, edges in (("rouge", relations.rouge), ("semantic", relations.semantic)):
        if edges is not None:
            arrays |= {f"{name}_left": edges.left, f"{name}_right": edges.right, f"{name}_score": edges.score}
    head = {
        "version": VERSION,
        "of": _of(found.job),
        "fixed": relations.fixed,
        "rouge": None if relations.rouge is None else relations.rouge.floor,
        "floor": None if relations.semantic is None else relations.semantic.floor,
        "own_threshold": own_threshold,
        "encoder": found.encoder,
        "encoder_print": found.encoder_print,
        "search": found.search,
        "curve": found.curve,
        "curve_of": [found.job.keep, found.job.rouge],
    }
    make_folder(files.pairs.parent)
    found.replaced = _replaced(files.pairs, found)
    write_arrays(files.pairs, head, arrays)


def _replaced(pairs: Path, found: Found) -> str:
    """Say whose pairs are there, where another encoder's, or this one's with other weights."""
    stored = read_arrays(pairs)
    name, mark = (stored[0].get("encoder"), stored[0].get("encoder_print")) if stored else ("", "")
    if not name or (name, mark) == (found.encoder, found.encoder_print):
        return ""
    return f"'{name}' with other weights" if name == found.encoder else f"'{name}'"


def _of(job: Job) -> dict[str, Any] | None:
    """Return what pairs belong to: the content they are of, and how it was compared, but for thresholds and order.

    None where nobody can say whether the content is still the same, as on the Hub.
    """
    from importlib.metadata import version

    settings = {name: getattr(job, name) for name in ("score", "embedder", "language", "field", "fields", "exact")}
    contents = {"source": fingerprint(job.source), "against": fingerprint(job.against) if job.against else "none"}
    model = Path(job.embedder).expanduser()
    # A folder of weights is known by its files' sizes and times: reading them would take longer than deciding.
    stamp = (
        [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(model.rglob("*"))] if model.is_dir() else []
    )
    return (
        None
        if not all(contents.values())
        else {**settings, **contents, "model": str(stamp), "curate": version("curate-llm")}
    )


def _read(job: Job, gathering: Gathering, spool: IO[bytes], tick: Tick) -> Rows:
    """Take in the samples of all files, the old ones first."""
    ends = array("q")
    at = 0

    def take(samples: Iterable[Any], fixed: bool, quality: Quality, total: int | None) -> None:
        nonlocal at
        for done, sample in enumerate(samples, 1):
            line = row_line(sample)
            gathering.add(sample, line, quality.of(sample), fixed=fixed)
            spool.write(line)
            at += len(line)
            ends.append(at)
            tick(done, total)

    old = job.against or (job.add_to if job.add_to and Path(job.add_to).exists() else "")
    if old:
        take(read_samples(old), True, Quality(""), count_rows(old))
    quality = Quality(job.score)
    take(read_samples(job.source, fields=job.fields), False, quality, count_rows(job.source))
    quality.check(job.source)
    spool.flush()
    text = np.memmap(spool, np.uint8, "r") if at else np.zeros(0, dtype=np.uint8)
    return Rows(np.asarray(text), np.array(ends, dtype=np.int64))


def _curve(found: Found) -> Curve:
    """Return how many samples each hundredth keeps, from the lowest at which all pairs are known."""
    edges = found.relations.semantic
    if edges is None or found.threshold is None:
        return []
    lowest = -(-round(edges.floor * MILLION) // STEP)
    levels = sorted({level / 100 for level in range(lowest, 101)} | {found.threshold})
    counts = curve(found.relations, found.order(), found.job.rouge, levels)
    return [(level, count - found.relations.fixed) for level, count in zip(levels, counts, strict=True)]


def _one_by_one(job: Job, rows: Rows, bare: Relations, comparisons: Comparisons) -> Decisions:
    """Decide each sample against the kept ones when its turn comes: nothing is held but what is kept."""
    if job.keep in ("center", "facility"):
        raise InputError(
            f"keep '{job.keep}' needs all near pairs, and there are too many of them; take 'best', 'longest' or 'first'"
        )

    def samples() -> Iterator[Compared]:
        for place in ordered(bare, job.keep).tolist():
            # Named by its place, so that a neighbour is one row and not all its copies.
            yield Compared(replace(row_to_sample(json.loads(rows.line(place))), id=str(place)))

    corpus = Corpus(comparisons)
    reason = np.zeros(len(bare), dtype=np.int8)
    neighbour = np.full(len(bare), -1, dtype=np.int32)
    score = np.zeros(len(bare))
    stream = samples()
    while block := list(islice(stream, BLOCK)):
        for item, verdict in corpus.decide(block):
            place = int(item.sample.id)
            if verdict.keep or place < bare.fixed:
                corpus.add(item)
            else:
                reason[place] = REASONS.index(verdict.reason)
                neighbour[place] = int(verdict.detail["neighbour"])
                score[place] = verdict.score or 0.0
    return Decisions(reason, neighbour, score)
