"""Vectors on the disk: what was encoded once is read from then on, by text, by every process that wants it.

    vectors/NAME.DIGEST.keys    a header, then for each row the text's hash and a checksum
    vectors/NAME.DIGEST.rows    the rows, float32, one after the other

One pair of files for each encoder: DIGEST is a hash of its identity, which for local weights includes a fingerprint of
them. Rows are written and on the disk before their keys are, so a key without its row cannot be: what a killed process
left is a row without its key, or a part of either, and is cut off before the next row is added. Whoever appends locks
the file of keys for that moment; whoever reads needs no lock, since what is whole is never changed.

What is kept, and what is not: a text takes the static table 43 microseconds and the character n-grams 12, and its
vector 1 or 2 kB of disk. A report on 100,000 samples waits four seconds at most, and would have to find 200 MB in the
run directory instead; so these two are encoded anew each time. Transformers take milliseconds and an API money: their
vectors are kept, and read in 2 microseconds.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import BinaryIO
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from curate.embed import open_encoder
from curate.embed.api import ApiEncoder
from curate.embed.encoder import Encoder, Vectors
from curate.errors import ModelError, RunError
from curate.text import slug

FOLDER = "vectors"
"""Where a run directory keeps its vectors."""

HEADER = Struct("<8sII16s")
"""Magic, version, length of a row, digest of the encoder's identity."""

MAGIC = b"curatevs"
VERSION = 1

KEY = np.dtype([("low", "<u8"), ("high", "<u8"), ("check", "<u4")])
"""A text's hash in two halves, and the checksum of hash and row."""

UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class VectorStore:
    """An encoder that reads what `folder` holds of `encoder`'s vectors, and adds what it does not.

    The vectors are the encoder's own, to the bit, and stay what they were the first time: a server may answer the same
    text with other last digits tomorrow. Memory: 16 bytes for each stored vector, besides what is asked for. Safe for
    several threads and processes. Where the folder cannot be written, everything works and nothing is kept.

    Raises RunError where a file is there and is no such store, or the disk is full.
    """

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self.encoder = encoder
        self.name = encoder.name
        self.default_threshold = encoder.default_threshold
        identity = getattr(encoder, "identity", encoder.name)
        self._digest = blake2b(identity.encode(), digest_size=16).digest()
        stem = f"{slug(encoder.name)}.{self._digest[:4].hex()}"
        self._keys_path = folder / f"{stem}.keys"
        self._rows_path = folder / f"{stem}.rows"
        self._lock = threading.Lock()
        self._dim = 0
        self._rows: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)
        self._keys: NDArray[np.void] = np.zeros(0, dtype=KEY)
        self._runs: tuple[_Run, ...] = ()
        self._load()

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self._dim or self.encoder.dim

    @property
    def size(self) -> int:
        """How many vectors are stored. No `__len__`: an encoder is never false, however empty its store."""
        return len(self._keys)

    def known(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Say of each text whether its vector is stored."""
        places, _ = self._read(_hashes(texts))
        return places >= 0

    def encode(self, texts: list[str]) -> Vectors:
        """Return one row per text, in order: stored ones are read, each other text is encoded once, and added.

        Raises what the encoder raises; what it gave until then is stored.
        """
        hashes = _hashes(texts)
        places, stored = self._read(hashes)
        if (places >= 0).all():
            return stored
        missing: dict[bytes, int] = {}
        for i in np.flatnonzero(places < 0).tolist():
            missing.setdefault(hashes[i], i)
        new = self._encode([texts[i] for i in missing.values()])
        order = {name: row for row, name in enumerate(missing)}
        vectors = np.empty((len(texts), new.shape[1]), dtype=np.float32)
        for i, place in enumerate(places.tolist()):
            vectors[i] = new[order[hashes[i]]] if place < 0 else stored[i]
        return vectors

    def _encode(self, texts: list[str]) -> Vectors:
        if isinstance(self.encoder, ApiEncoder):
            return self.encoder.encode(texts, self._append)
        rows = self.encoder.encode(texts)
        self._append(texts, rows)
        return rows

    def _append(self, texts: Sequence[str], rows: Vectors) -> None:
        """Add rows behind the last whole one, and know them from now on."""
        rows = np.ascontiguousarray(rows, dtype="<f4")
        keys = np.zeros(len(rows), dtype=KEY)
        hashes = _hashes(texts)
        keys["low"], keys["high"] = np.frombuffer(b"".join(hashes), dtype="<u8").reshape(-1, 2).T
        keys["check"] = [crc32(row, crc32(name)) for row, name in zip(rows, hashes, strict=True)]
        try:
            self._keys_path.parent.mkdir(parents=True, exist_ok=True)
            with self._rows_path.open("a+b") as row_file, self._keys_path.open("a+b") as key_file, _locked(key_file):
                count = self._cut(key_file, row_file, rows.shape[1])
                _write(row_file, rows.tobytes())
                _write(key_file, keys.tobytes())
        except OSError as error:
            if error.errno in UNWRITABLE:
                return
            full = "the disk is full; make room" if error.errno == errno.ENOSPC else f"cannot write ({error.strerror})"
            raise RunError(f"{self._rows_path}: {full} and run the same command again; what is stored stays") from error
        with self._lock:
            self._map(rows.shape[1], count + len(rows))

    def _cut(self, key_file: BinaryIO, row_file: BinaryIO, dim: int) -> int:
        """Begin an empty file, or cut what a killed process left unfinished; return how many whole rows there are."""
        key_size, row_size = (os.fstat(file.fileno()).st_size for file in (key_file, row_file))
        if key_size < HEADER.size:  # also where the very first write was cut short
            key_file.truncate(0)
            row_file.truncate(0)
            _write(key_file, HEADER.pack(MAGIC, VERSION, dim, self._digest))
            return 0
        stored = self._header(key_file)
        if stored != dim:
            raise ModelError(
                f"the encoder '{self.name}' gives vectors of length {dim}, those in {self._keys_path} have {stored}: "
                "it is another model; restore the one that began, or move these files away"
            )
        count = _count(key_size, row_size, dim)
        key_file.truncate(HEADER.size + count * KEY.itemsize)
        row_file.truncate(count * 4 * dim)
        return count

    def _header(self, file: BinaryIO) -> int:
        """Return the length of a row. Raises RunError for a file that is no store of this encoder."""
        file.seek(0)
        magic, version, dim, digest = HEADER.unpack(file.read(HEADER.size))
        if (magic, version, digest) != (MAGIC, VERSION, self._digest) or not dim:
            raise RunError(
                f"{self._keys_path}: no vectors that this curate reads; move it and {self._rows_path.name} away, and "
                "they are made anew"
            )
        return int(dim)

    def _load(self) -> None:
        """Know what the files hold now."""
        try:
            with self._keys_path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < HEADER.size:
                    return
                dim = self._header(file)
            sizes = self._keys_path.stat().st_size, self._rows_path.stat().st_size
        except FileNotFoundError:
            return
        except OSError as error:
            raise RunError(f"{self._keys_path}: cannot be read ({error.strerror})") from error
        self._map(dim, _count(*sizes, dim))

    def _map(self, dim: int, count: int) -> None:
        """Map the first `count` rows and look up their hashes from now on; others may have been added meanwhile."""
        known = len(self._keys)
        if count <= known:
            return
        self._dim = dim
        self._keys = np.memmap(self._keys_path, KEY, "r", HEADER.size, (count,))
        self._rows = np.memmap(self._rows_path, np.float32, "r", 0, (count, dim))
        low = np.ascontiguousarray(self._keys["low"][known:])
        order = np.argsort(low, kind="stable")
        runs = [*self._runs, _Run(low[order], order + known)]
        while len(runs) > 1 and len(runs[-2].halves) < 2 * len(runs[-1].halves):
            runs[-2:] = [runs[-2].merged(runs[-1])]
        self._runs = tuple(runs)

    def _read(self, hashes: Sequence[bytes]) -> tuple[NDArray[np.int64], Vectors]:
        """Return for each hash the place of its row, -1 where there is none, and the rows, [n, dim].

        A row that does not match its checksum counts as not there, and is made anew.
        """
        with self._lock:
            keys, rows, runs = self._keys, self._rows, self._runs
        if not hashes or not len(keys):
            return np.full(len(hashes), -1, dtype=np.int64), np.zeros((len(hashes), rows.shape[1]), dtype=np.float32)
        low, high = np.frombuffer(b"".join(hashes), dtype="<u8").reshape(-1, 2).T
        result = np.full(len(hashes), -1, dtype=np.int64)
        for run in runs:  # the oldest first: of two rows for the same text the later one counts
            at = np.searchsorted(run.halves, low, side="right") - 1
            place = np.where(at >= 0, run.places[at], 0)
            same = (at >= 0) & (keys["low"][place] == low) & (keys["high"][place] == high)
            result[same] = place[same]
        found, same = np.maximum(result, 0), result >= 0
        stored = np.zeros((len(hashes), rows.shape[1]), dtype=np.float32)
        stored[same] = rows[found[same]]
        checks = keys["check"][found]
        for i in np.flatnonzero(same).tolist():
            if crc32(stored[i], crc32(hashes[i])) != checks[i]:
                result[i] = -1
        return result, stored


@dataclass(frozen=True)
class _Run:
    """The halves that hashes are looked up by, sorted, and where each one's row is.

    A store has several, each at most half as long as the one before: adding to one sorted array would copy all of it
    for every batch.
    """

    halves: NDArray[np.uint64]
    places: NDArray[np.int64]

    def merged(self, later: _Run) -> _Run:
        """Return both as one; where halves are equal, the later ones are behind."""
        at = np.searchsorted(self.halves, later.halves, side="right")
        return _Run(np.insert(self.halves, at, later.halves), np.insert(self.places, at, later.places))


class _Unasked:
    """An encoder by API outside of a run: nothing may be paid for there, so that only stored vectors can be had."""

    default_threshold: float | None = None

    def __init__(self, name: str) -> None:
        self.name = self.identity = name

    @property
    def dim(self) -> int:
        """Not known without a stored vector."""
        raise ModelError(f"no vectors of the encoder '{self.name}' are stored here, and outside of a run none are paid")

    def encode(self, texts: list[str]) -> Vectors:
        """Refuse."""
        raise ModelError(
            f"{len(texts)} texts have no stored vector of the encoder '{self.name}', and outside of a run none are paid"
        )


def run_encoder(run: Path, name: str) -> Encoder:
    """Open the encoder of that name with the vectors that the run directory `run` keeps of it.

    `name` is what run.yaml has under encoder.name. One behind an API gives the stored vectors only and is never asked:
    see `free`. Raises MissingExtraError or InputError where it cannot be opened.
    """
    return stored(run, _Unasked(name) if name.startswith("openai:") else open_encoder(name))


def stored(run: Path, encoder: Encoder) -> Encoder:
    """Return the encoder with its vectors in the run directory `run`, or as it is where keeping them does not pay."""
    return VectorStore(run / FOLDER, encoder) if getattr(encoder, "identity", None) else encoder


def free(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.bool_]:
    """Say of each text whether its vector can be had for nothing: always, except from an API that has not given it."""
    if isinstance(encoder, VectorStore) and isinstance(encoder.encoder, ApiEncoder | _Unasked):
        return encoder.known(texts)
    return np.full(len(texts), not isinstance(encoder, ApiEncoder))


def _hashes(texts: Sequence[str]) -> list[bytes]:
    # surrogatepass: a model's text may hold lone surrogates.
    return [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]


def _count(key_size: int, row_size: int, dim: int) -> int:
    """Return how many whole rows with whole keys files of these sizes hold."""
    return min((key_size - HEADER.size) // KEY.itemsize, row_size // (4 * dim))


def _write(file: BinaryIO, data: bytes) -> None:
    """Append, and be sure that it is on the disk."""
    file.seek(0, os.SEEK_END)
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _locked(file: BinaryIO) -> Iterator[None]:
    """Let nobody else append meanwhile. The lock goes with the file, also where its process is killed."""
    try:
        import fcntl
    except ImportError:  # not on Windows: there two processes on one directory are the user's to avoid
        yield
        return
    fcntl.flock(file, fcntl.LOCK_EX)
    yield
