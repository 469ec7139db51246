"""Several datasets as one: which document comes in which epoch, and which are held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.train.data.cache import Progress, Summary, tokenised
from curate.train.data.sources import Source
from curate.train.data.tokens import Coder, Encoded

Indices = npt.NDArray[np.int64]


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Part(Protocol[T_co]):
    """What a dataset became: documents of any kind, with what `curate.train.data.cache.Tokens` knows of them."""

    source: str
    folder: Path
    summary: Summary
    lengths: Indices
    places: npt.NDArray[np.uint64]

    @property
    def notes(self) -> list[str]:
        """What a user should know of the samples that are not trained on as they are."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> T_co: ...


class Documents(Sequence[T]):
    """Chosen documents of several datasets, one dataset after the other; `lengths` [n] are in tokens."""

    def __init__(self, parts: Sequence[Part[T]], chosen: Sequence[Indices]) -> None:
        self.parts, self.chosen = parts, chosen
        self.sizes = [len(one) for one in chosen]
        self._firsts = np.cumsum([0, *self.sizes[:-1]])
        self.lengths: Indices = np.concatenate([part.lengths[one] for part, one in zip(parts, chosen, strict=True)])

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> T:  # type: ignore[override]  # a slice is not asked for
        if not 0 <= index < len(self):
            raise IndexError(index)
        part = int(np.searchsorted(self._firsts, index, side="right")) - 1
        return self.parts[part][int(self.chosen[part][index - self._firsts[part]])]

    def __iter__(self) -> Iterator[T]:
        return (self[index] for index in range(len(self)))


class Mixture(Documents[T]):
    """What is trained on. With weights, an epoch has as many documents as without, and each dataset its share of them.

    A dataset goes through all its documents, in an order of its own, before one comes again; so what one epoch of a
    large dataset has no room for comes in the next.
    """

    def __init__(
        self, parts: Sequence[Part[T]], chosen: Sequence[Indices], weights: Sequence[float] | None, seed: int
    ) -> None:
        super().__init__(parts, chosen)
        self.seed = seed
        self.counts = self.sizes if weights is None else shares(len(self), weights)

    def epoch(self, number: int) -> Indices:
        """Return the documents of an epoch (from 0), in the order in which they are drawn."""
        drawn = [
            first + _drawn(size, number * count, count, (self.seed, part))
            for part, (first, size, count) in enumerate(zip(self._firsts, self.sizes, self.counts, strict=True))
        ]
        order: Indices = np.concatenate(drawn)
        np.random.default_rng((self.seed, len(self.parts), number)).shuffle(order)
        return order


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """Return how many of `total` each weight gets, by the largest remainders; equal ones in their order."""
    exact = [total * weight / sum(weights) for weight in weights]
    counts = [int(share) for share in exact]
    rest = sorted(range(len(exact)), key=lambda one: counts[one] - exact[one])
    for one in rest[: total - sum(counts)]:
        counts[one] += 1
    return counts


def _drawn(size: int, start: int, count: int, seed: tuple[int, ...]) -> Indices:
    """Return places `start` to `start + count` of an endless row of permutations of `size` documents."""
    found = [np.empty(0, dtype=np.int64)]
    for turn in range(start // size, -(-(start + count) // size)):
        order = np.random.default_rng((*seed, turn)).permutation(size)
        found.append(order[max(start - turn * size, 0) : start + count - turn * size])
    return np.concatenate(found)


@dataclass(frozen=True)
class Data(Generic[T]):
    """The documents to train on, those held out (None unless asked for), and each dataset's documents."""

    train: Mixture[T]
    held_out: Documents[T] | None
    parts: Sequence[Part[T]]

    @property
    def notes(self) -> list[str]:
        """What a user should know of the datasets before they are trained on."""
        said = [note for part in self.parts for note in part.notes]
        for part, size, count in zip(self.parts, self.train.sizes, self.train.counts, strict=True):
            if count != size:
                said.append(
                    f"{part.source}: {count:,} of the {len(self.train):,} documents of an epoch, which is "
                    f"{count / size:.2f} times through it"
                )
        return said


def load_datasets(
    sources: Sequence[Source],
    coder: Coder,
    cache: Path,
    *,
    held_out: float = 0.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Data[Encoded]:
    """Return the datasets as documents, tokenised where `cache` does not have them yet.

    Raises:
        InputError: a dataset that cannot be trained on, or what `mixed` raises.
    """
    parts = [tokenised(source, coder, cache, progress) for source in sources]
    return mixed(sources, parts, held_out=held_out, seed=seed)


def mixed(sources: Sequence[Source], parts: Sequence[Part[T]], *, held_out: float, seed: int) -> Data[T]:
    """Return what the sources became as one.

    Which documents are held out depends on their instruction and on `seed` alone: those with equal instructions are on
    one side, in all datasets, and further rows never move one.

    Raises:
        InputError: a held-out share that leaves one side with nothing.
    """
    outside = [held(part.places, held_out, seed) for part in parts]
    chosen = [np.flatnonzero(~one) for one in outside]
    for part, one in zip(parts, chosen, strict=True):
        if not len(one):
            raise InputError(f"{part.source}: a held-out share of {held_out:g} leaves nothing to train on")
    weights = [source.weight for source in sources if source.weight is not None]
    train = Mixture(parts, chosen, weights or None, seed)
    if not held_out:
        return Data(train, None, parts)
    apart = Documents(parts, [np.flatnonzero(one) for one in outside])
    if not len(apart):
        raise InputError(
            f"a held-out share of {held_out:g} has none of the {len(train):,} documents; take a larger one"
        )
    return Data(train, apart, parts)


def held(places: npt.NDArray[np.uint64], share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Return which of the instructions (64 bits of hash each) are held out."""
    key = int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=8).digest(), "big")
    # A bijection of 64 bits that mixes them (splitmix64, Steele et al. 2014): another seed holds out others.
    with np.errstate(over="ignore"):
        mixed = places + np.uint64(key)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed < np.uint64(int(share * 2**64)) if share else np.zeros(len(places), dtype=np.bool_)
