"""A dataset's tokens on disk: made once for a dataset, a tokenizer, a template and a length, then mapped into memory.

KEY/ids.npy, loss.npy, ends.npy, places.npy   one row of tokens, whether each has loss, where documents end
KEY/dropped.jsonl                             the samples that are not trained on, each with its reason
KEY/summary.json                              what became of how many
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError, RunError
from curate.io import read_samples, sample_to_row
from curate.io.files import DISK, to_line
from curate.text import normalise
from curate.train.data.formats import document_of
from curate.train.data.shards import count_rows
from curate.train.data.sources import Source
from curate.train.data.templates import Template
from curate.train.data.tokens import NO_LOSS, Coded, Coder, Encoded
from curate.types import Sample

VERSION = 3
"""Goes up with every change of what a dataset becomes."""

BATCH = 1_000
"""Samples that are encoded at a time."""

Progress = Callable[[int, int | None], object]
"""Takes the number of samples done, and of all where it is known."""


@dataclass(frozen=True)
class Summary:
    """What became of a dataset: `samples` read, of which `dropped` by reason, the rest in `documents`.

    `tokens` and `targets` (tokens with loss) are those of the documents; `cut` counts the samples of which a part is
    lost or which were split, being longer than a document may be (`max_length`; `long` says what became of them), and
    `lost` the tokens that no document has.
    """

    samples: int
    documents: int
    tokens: int
    targets: int
    cut: int
    lost: int
    dropped: dict[str, int]
    max_length: int
    long: str


def notes_of(summary: Summary, source: str, dropped: Path) -> list[str]:
    """Return what a user should know of the samples that are not trained on as they are: which, how many and why."""
    said = []
    if summary.cut:
        what = "split into several documents" if summary.long == "split" else "cut"
        lost = f"; {summary.lost:,} tokens are not trained on" if summary.lost else ""
        said.append(
            f"{source}: {summary.cut:,} of {summary.samples:,} samples have more than {summary.max_length:,} "
            f"tokens and are {what}{lost}"
        )
    if summary.dropped:
        reasons = sorted(summary.dropped.items(), key=lambda one: (-one[1], one[0]))
        named = ", ".join(f"{reason} {count:,}" for reason, count in reasons)
        said.append(
            f"{source}: {sum(summary.dropped.values()):,} of {summary.samples:,} samples are dropped "
            f"({named}); they lie in {dropped}"
        )
    return said


class Tokens:
    """The documents of one dataset, mapped from the disk: any number of them takes next to no memory.

    `lengths` and `targets` are [n]; `places` [n] are 64 bits of a hash of each one's instruction.
    """

    def __init__(self, folder: Path, source: str) -> None:
        self.folder, self.source = folder, source
        self.summary = Summary(**json.loads((folder / "summary.json").read_text(encoding="utf-8")))
        self.places: npt.NDArray[np.uint64] = np.load(folder / "places.npy")
        self._ends: npt.NDArray[np.int64] = np.load(folder / "ends.npy")
        self._ids: npt.NDArray[np.int32] = np.load(folder / "ids.npy", mmap_mode="r")
        self._loss: npt.NDArray[np.bool_] = np.load(folder / "loss.npy", mmap_mode="r")
        self.lengths: npt.NDArray[np.int64] = np.diff(self._ends, prepend=0)

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def notes(self) -> list[str]:
        """What `notes_of` says of the dataset."""
        return notes_of(self.summary, self.source, self.folder / "dropped.jsonl")

    def __getitem__(self, index: int) -> Encoded:
        end = int(self._ends[index])
        row = slice(end - int(self.lengths[index]), end)
        ids = np.asarray(self._ids[row])
        return Encoded(ids.tolist(), np.where(self._loss[row], ids, NO_LOSS).tolist(), self.source)


def tokenised(source: Source, coder: Coder, cache: Path, progress: Progress | None = None) -> Tokens:
    """Return the documents of a dataset; parameters and errors are those of `encoded`."""
    return Tokens(encoded(source, coder, cache, progress), source.path)


def encoded(source: Source, coder: Coder, cache: Path, progress: Progress | None = None) -> Path:
    """Return the folder with the tokens of a dataset: what is in `cache`, else made now.

    A killed call leaves nothing half made.

    Raises:
        InputError: the dataset cannot be read, is empty, or has not one sample to train on.
        RunError: the disk is full.
    """
    folder = cache / key_of(source, coder, [_content(file, source) for file in source.files])
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f".{folder.name}.lock"):
        if not folder.is_dir():
            draft = cache / f".{folder.name}.tmp"
            shutil.rmtree(draft, ignore_errors=True)  # of a call that was killed
            draft.mkdir()
            try:
                _make(source, coder, draft, progress)
                draft.rename(folder)
            except OSError as error:
                if error.errno not in DISK:
                    raise
                raise RunError(
                    f"{cache}: the tokens of {source.path} cannot be written ({error.strerror}); free space or "
                    "name another place with --out"
                ) from error
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return folder


def samples_of(source: Source) -> Iterator[Sample]:
    """Yield the samples of a dataset, of all its files."""
    for file in source.files:
        yield from read_samples(file, fields=source.fields or None, split=source.split, documents=True)


def check_template(sources: Sequence[Source], template: Template) -> None:
    """Raise InputError where a dataset has conversations and there is no template; its first sample says so."""
    for source in sources if not template.text else ():
        if any(document_of(sample) is None for sample in islice(samples_of(source), 1)):
            raise InputError(template.name)


def place_of(sample: Sample) -> int:
    """Return 64 bits that stand for the sample's instruction, or a document's text, whatever its case and spacing."""
    text = normalise(document_of(sample) or sample.instruction).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def _make(source: Source, coder: Coder, folder: Path, progress: Progress | None) -> None:
    samples, counts, dropped = samples_of(source), Counter[str](), Counter[str]()
    rows = [count_rows(file) for file in source.files] if progress else [None]
    total = None if None in rows else sum(filter(None, rows))
    ends: list[int] = []
    places: list[int] = []
    with (
        _Column(folder / "ids.npy", np.int32) as ids,
        _Column(folder / "loss.npy", np.bool_) as loss,
        (folder / "dropped.jsonl").open("w", encoding="utf-8", newline="\n") as beside,
    ):
        while batch := list(islice(samples, BATCH)):
            for one in coder.encode(batch, source.path):
                _count(one, counts)
                if not one.verdict.keep:
                    dropped[one.verdict.reason] += 1
                    beside.write(to_line(dropped_row(one)))
                    continue
                place = place_of(one.sample)
                for document in one.documents:
                    ids.add(document.input_ids)
                    loss.add([label != NO_LOSS for label in document.labels])
                    ends.append(ids.length)
                    places.append(place)
            if progress:
                progress(counts["samples"], total)
        tokens, targets = ids.length, loss.ones
    _check(source, counts["samples"], dropped)
    np.save(folder / "ends.npy", np.array(ends, dtype=np.int64))
    np.save(folder / "places.npy", np.array(places, dtype=np.uint64))
    summary = Summary(
        samples=counts["samples"],
        documents=len(ends),
        tokens=tokens,
        targets=targets,
        cut=counts["cut"],
        lost=counts["tokens"] + counts["repeated"] - tokens,
        dropped=dict(dropped),
        max_length=coder.max_length,
        long=coder.long,
    )
    (folder / "summary.json").write_text(json.dumps(asdict(summary)), encoding="utf-8")


def _count(one: Coded, counts: Counter[str]) -> None:
    counts["samples"] += 1
    if one.verdict.keep:
        counts["tokens"] += one.tokens
        counts["repeated"] += one.repeated
        counts["cut"] += one.cut


def dropped_row(one: Coded) -> dict[str, Any]:
    """Return the row that is kept of a dropped sample: as the run directory has it, and why it is dropped."""
    return {**sample_to_row(one.sample), "stage": "train", "reason": one.verdict.reason, **one.verdict.detail}


def _check(source: Source, samples: int, dropped: Counter[str]) -> None:
    if not samples:
        raise InputError(f"{source.path}: the dataset is empty")
    if sum(dropped.values()) == samples:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in dropped.most_common())
        raise InputError(f"{source.path}: none of its {samples:,} samples can be trained on ({reasons})")


class _Column:
    """An .npy file of one dimension that is written bit by bit; its length is entered when it is closed."""

    def __init__(self, path: Path, kind: type[np.generic]) -> None:
        self._kind, self.length, self.ones = np.dtype(kind), 0, 0
        self._file: IO[bytes] = path.open("wb")
        self._head()

    def _head(self) -> None:
        shape = f"{{'descr': {self._kind.str!r}, 'fortran_order': False, 'shape': ({self.length},), }}"
        # Version 1.0 of the format: 10 bytes, then a text that ends in a line end and fills up 128 bytes.
        self._file.write(b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + shape.ljust(117).encode() + b"\n")

    def add(self, values: list[Any]) -> None:
        self._file.write(np.array(values, dtype=self._kind).tobytes())
        self.length += len(values)
        self.ones += values.count(True) if self._kind == np.bool_ else 0

    def __enter__(self) -> _Column:
        return self

    def __exit__(self, *error: object) -> None:
        with self._file:
            self._file.seek(0)
            self._head()


def key_of(source: Source, coder: Coder, contents: Sequence[str]) -> str:
    """Return the name of what a dataset with such contents becomes: other rows, tokens or cuts have another."""
    tokenizer = coder.tokenizer
    parts = [
        VERSION, list(contents), source.split, sorted(source.fields.items()),
        hashlib.blake2b(tokenizer.backend_tokenizer.to_str().encode(), digest_size=16).hexdigest(),
        coder.template.text, sorted(coder.template.tokens.items()), coder.max_length, coder.long,
        *coder.sides,
    ]  # fmt: skip
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()


def _content(path: str, source: Source) -> str:
    """Return a hash of a file's bytes, or of the samples of what is no file."""
    digest = hashlib.blake2b(digest_size=16)
    if Path(path).is_file():
        with Path(path).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    else:
        for sample in read_samples(path, fields=source.fields or None, split=source.split, documents=True):
            digest.update(to_line(sample_to_row(sample)).encode())
    return digest.hexdigest()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process make a dataset while others wait. The lock goes with the process, also where it is killed."""
    with path.open("w") as file:
        try:
            import fcntl
        except ImportError:  # not on Windows: there two processes on one cache are the user's to avoid
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
