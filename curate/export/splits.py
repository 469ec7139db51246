"""Splits: which row belongs to the training set, and which is held out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from curate.errors import InputError
from curate.text import normalise
from curate.types import Sample

TRAIN = "train"

NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Splits:
    """The shares of the rows that are held out, by the name of their split; the rest is `train`.

    A row's split depends on its instruction and the seed and on nothing else: another row never moves it, and rows with
    the same instruction (but for case, spacing and punctuation at the edges) are in one split. So a share is met as
    closely as chance has it.

    Raises:
        InputError: a name that no split can have, or shares that leave nothing for `train`.
    """

    held_out: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        for name, share in self.held_out.items():
            if not NAME.fullmatch(name) or name in (TRAIN, "all"):
                raise InputError(f"no split can be called {name!r}; take a word such as test or validation")
            if not 0 < share < 1:
                raise InputError(f"the split {name!r} has the share {share:g}; it takes a number between 0 and 1")
        if (taken := sum(self.held_out.values())) >= 1:
            raise InputError(f"the splits take {taken:g} of the rows, and nothing is left for {TRAIN!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """The splits, `train` first."""
        return (TRAIN, *self.held_out)

    def of(self, sample: Sample) -> str:
        """Return the split of a sample."""
        if not self.held_out:
            return TRAIN
        text = f"{self.seed}\n{normalise(sample.instruction)}"
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        place = int.from_bytes(digest, "big") / 2**64
        for name, share in self.held_out.items():
            if place < share:
                return name
            place -= share
        return TRAIN


def parse_splits(texts: Iterable[str], seed: int = 0) -> Splits:
    """Return the splits of `["test=0.1"]` or `["train=0.9", "test=0.1"]`.

    Raises:
        InputError: not NAME=SHARE, a name twice, or shares that do not fit.
    """
    shares: dict[str, float] = {}
    for text in texts:
        name, _, share = text.partition("=")
        try:
            shares[name] = float(share) if name not in shares else float("nan")
        except ValueError:
            raise InputError(f"--split {text}: expected NAME=SHARE, as in test=0.1") from None
        if shares[name] != shares[name]:
            raise InputError(f"--split {text}: the split {name!r} has its share already; give it once")
    train = shares.pop(TRAIN, None)
    splits = Splits(shares, seed)
    if train is not None and abs(train + sum(shares.values()) - 1) > 1e-6:
        rest = f"{1 - sum(shares.values()):g}"
        raise InputError(f"--split train={train:g}: the splits must add up to 1; leave it out, and train is {rest}")
    return splits
