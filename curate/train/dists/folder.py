"""A folder of distributions: shards that are mapped from the disk, and a header that is written when all are there.

shard-00000.dists ...   records, each shard published whole
dists.json              the header, and how many shards, records and rows there are
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.io import atomic
from curate.io.arrays import read_arrays, write_arrays
from curate.train.dists.codec import decode, decode_ids, encode, encode_ids
from curate.train.dists.records import Dist, Header, Record

INDEX = "dists.json"
VERSION = 1
"""Goes up with every change of what a shard holds."""

SHARD_ROWS = 1 << 17
"""Rows of a shard, but for its last record."""

Columns = dict[str, npt.NDArray[Any]]


def shard_name(number: int) -> str:
    """Return the name of a shard's file."""
    return f"shard-{number:05d}.dists"


def write_shard(
    folder: Path, number: int, header: Header, records: Sequence[Record], tally: Mapping[str, Any] | None = None
) -> None:
    """Publish one shard; `tally` are JSON values for `tally_of`. Raises RunError as `curate.io.atomic` does."""
    dists = [record.dist for record in records]
    codes, tails = encode(_stacked(dists, "logprobs", (0, header.k)), _stacked(dists, "tail", (0,)))
    low, high = encode_ids(_stacked(dists, "ids", (0, header.k)), header.vocab_size)
    columns: Columns = {
        "samples": np.array([int(record.sample, 16) for record in records], np.uint64),
        "turns": np.array([record.turn for record in records], np.uint32),
        "nll_per_byte": np.array([dist.nll_per_byte for dist in dists], np.float64),
        "row_ends": np.cumsum([len(dist.offsets) for dist in dists], dtype=np.int64),
        "text_ends": np.cumsum([len(dist.text) for dist in dists], dtype=np.int64),
        "text": np.frombuffer(b"".join(dist.text for dist in dists), np.uint8),
        "ids_low": low,
        "ids_high": high,
        "codes": codes.reshape(-1),
        "tails": tails,
        "offsets": _stacked(dists, "offsets", (0,)).astype(np.uint32),
        "kind": _stacked(dists, "kind", (0,)).astype(np.uint8),
        "tokens": _stacked(dists, "tokens", (0,)).astype(np.uint32),
        "nll": _stacked(dists, "nll", (0,)).astype(np.float32),
    }
    head = {"header": {"version": VERSION, **asdict(header)}, "tally": dict(tally or {})}
    write_arrays(folder / shard_name(number), head, columns)


def tally_of(folder: Path, number: int, header: Header) -> dict[str, Any] | None:
    """Return the tally of a shard with this header, None where there is no such whole shard."""
    found = read_arrays(folder / shard_name(number))
    if found is None or found[0].get("header") != {"version": VERSION, **asdict(header)}:
        return None
    return dict(found[0]["tally"])


def _stacked(dists: Sequence[Dist], name: str, empty: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.concatenate([getattr(dist, name) for dist in dists]) if dists else np.empty(empty, np.float32)


def finish(folder: Path, header: Header, shards: int, **more: Any) -> None:
    """Write down that the folder is whole; `more` are JSON values that stand beside the header."""
    with atomic(folder / INDEX) as file:
        json.dump({"version": VERSION, **asdict(header), "shards": shards, **more}, file, indent=1, ensure_ascii=False)


def write_dists(folder: Path, header: Header, records: Iterable[Record], rows: int = SHARD_ROWS) -> None:
    """Write a whole folder of distributions, about `rows` rows to a shard."""
    folder.mkdir(parents=True, exist_ok=True)
    waiting: list[Record] = []
    shards = held = 0
    for record in records:
        waiting.append(record)
        held += len(record.dist.offsets)
        if held >= rows:
            write_shard(folder, shards, header, waiting)
            waiting, held, shards = [], 0, shards + 1
    if waiting:
        write_shard(folder, shards, header, waiting)
        shards += 1
    finish(folder, header, shards)


@dataclass(frozen=True)
class Shard:
    """The mapped columns of one shard."""

    header: Header
    columns: Columns

    def __len__(self) -> int:
        return len(self.columns["turns"])

    def dist(self, place: int) -> Dist:
        """Return the distributions of the record at `place`."""
        columns, header = self.columns, self.header
        rows, text = _part(columns["row_ends"], place), _part(columns["text_ends"], place)
        flat = slice(rows.start * header.k, rows.stop * header.k)
        ids = decode_ids(columns["ids_low"], columns["ids_high"], header.vocab_size, flat)
        logprobs, tail = decode(columns["codes"][flat].reshape(-1, header.k), columns["tails"][rows])
        return Dist(
            offsets=columns["offsets"][rows],
            ids=ids.reshape(-1, header.k),
            logprobs=logprobs,
            tail=tail,
            nll_per_byte=float(columns["nll_per_byte"][place]),
            kind=columns["kind"][rows],
            tokens=columns["tokens"][rows],
            nll=columns["nll"][rows],
            text=columns["text"][text].tobytes(),
        )

    def record(self, place: int) -> Record:
        """Return the record at `place`."""
        return Record(
            f"{int(self.columns['samples'][place]):016x}", int(self.columns["turns"][place]), self.dist(place)
        )


def _part(ends: npt.NDArray[np.int64], place: int) -> slice:
    return slice(int(ends[place - 1]) if place else 0, int(ends[place]))


def read_shard(folder: Path, number: int, header: Header) -> Shard:
    """Return a shard; raises InputError where it is missing, damaged or of another folder."""
    path = folder / shard_name(number)
    found = read_arrays(path)
    if found is None:
        raise InputError(f"{path}: the file is missing or damaged; remove {folder / INDEX} and run the command again")
    head, columns = found
    if head.get("header") != {"version": VERSION, **asdict(header)}:
        raise InputError(f"{path}: it belongs to another folder of distributions than the {INDEX} beside it")
    return Shard(header, columns)


class Dists:
    """A folder of distributions, mapped: `get` reads one turn's, iterating yields all records in their order."""

    def __init__(self, folder: Path, header: Header, shards: list[Shard]) -> None:
        self.folder, self.header, self.shards = folder, header, shards
        self._starts = np.cumsum([0, *map(len, shards)])
        samples = [shard.columns["samples"] for shard in shards]
        self._samples: npt.NDArray[np.uint64] = np.concatenate([np.empty(0, np.uint64), *samples])
        self._order = np.argsort(self._samples, kind="stable")
        self._sorted = self._samples[self._order]

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[Record]:
        return (shard.record(place) for shard in self.shards for place in range(len(shard)))

    def get(self, sample: str, turn: int) -> Dist | None:
        """Return the distributions of a turn (from 0, among the assistant's) of the sample whose `turn_key` it is."""
        key = np.uint64(int(sample, 16))
        for at in range(int(np.searchsorted(self._sorted, key)), len(self._sorted)):
            if self._sorted[at] != key:
                break
            place = int(self._order[at])
            number = int(np.searchsorted(self._starts, place, side="right")) - 1
            shard = self.shards[number]
            if shard.columns["turns"][place - self._starts[number]] == turn:
                return shard.dist(place - int(self._starts[number]))
        return None


def read_index(folder: Path) -> dict[str, Any]:
    """Return the content of dists.json.

    Raises:
        InputError: there is no such whole folder, or one of another version.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError:
        unfinished = (folder / shard_name(0)).exists()
        hint = "the same command finishes it" if unfinished else "curate fuse capture makes one"
        what = "unfinished distributions" if unfinished else "no distributions"
        raise InputError(f"{folder}: it holds {what}; {hint}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / INDEX}: cannot be read ({error})") from None
    if not isinstance(index, dict) or index.get("version") != VERSION:
        raise InputError(f"{folder / INDEX}: not of this version of curate; capture anew into another folder")
    return index


def open_dists(folder: str | Path) -> Dists:
    """Return a folder of distributions.

    Raises:
        InputError: it is none, not whole or damaged; the message names the file.
    """
    folder = Path(folder)
    index = read_index(folder)
    try:
        header = Header(**{name: index[name] for name in Header.__dataclass_fields__})
        shards = [read_shard(folder, number, header) for number in range(index["shards"])]
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / INDEX}: not the index of distributions ({error})") from None
    return Dists(folder, header, shards)
