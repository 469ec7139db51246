"""Who teaches which turn: the sources of a run, and the packs that carry what they say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from curate.errors import InputError
from curate.train.data.tokens import NO_LOSS
from curate.train.distill.blend import CHOICES, UNUSED, Rows, at_offsets, blended, rows_of
from curate.train.distill.lessons import Lesson, Lessons, Turn
from curate.train.dists import Dist, open_dists
from curate.train.dists.vocabulary import Vocabulary
from curate.train.steps import Layout, Pack, make_pack, measure


class Source(Protocol):
    """A model that teaches: under its name, what it finds probable in a turn, in the tokens of the one that learns."""

    name: str

    def prepare(self, lessons: Sequence[Lesson]) -> None:
        """Get ready to be asked about these; all of a pack are named at once."""

    def get(self, sample: str, turn: Turn) -> Dist | None:
        """Return what it finds probable in a turn, or None where it has not seen it."""


class Stored:
    """A source that was asked before: a folder of distributions.

    Raises:
        InputError: no such folder, or distributions in other tokens than those of `target`, the model that learns: its
            `vocabulary` and its `size`, the number of its logits.
    """

    def __init__(self, folder: str, vocabulary: Vocabulary, size: int, target: str) -> None:
        self.folder, self.name, self.dists = folder, Path(folder).resolve().name, open_dists(folder)
        header = self.dists.header
        if (header.aligned_to or header.tokenizer) != vocabulary.key or header.vocab_size > size:
            what = "are aligned to other tokens than" if header.aligned_to else "are in other tokens than"
            raise InputError(
                f"--dists {folder}: the distributions of {header.model} {what} {target}'s; align them: "
                f"curate fuse align CAPTURED --model {target} --out DIR"
            )

    def prepare(self, lessons: Sequence[Lesson]) -> None:
        """Do nothing: everything is there."""

    def get(self, sample: str, turn: Turn) -> Dist | None:
        """Return what it finds probable in a turn, or None where it has not seen it."""
        return self.dists.get(sample, turn.number)

    def missing(self, data: Lessons) -> tuple[int, int]:
        """Return how many of a dataset's turns it has not seen, and how many there are."""
        turns = set(zip(data.keys.tolist(), data.numbers.tolist(), strict=True))
        known: set[tuple[int, int]] = set()
        for shard in self.dists.shards:
            known.update(zip(shard.columns["samples"].tolist(), shard.columns["turns"].tolist(), strict=True))
        return len(turns - known), len(turns)


class TaughtPack(Pack):
    """A pack with what its targets are taught.

    `ids` and `probabilities` are [N, K] beside the N targets, `tail` is [N]; see `curate.train.logprobs.Taught`.
    `rows` counts the targets that are taught, `turns` the turns, and `chosen` how many of them each source teaches.
    """

    ids: torch.Tensor
    probabilities: torch.Tensor
    tail: torch.Tensor
    rows: int
    turns: int
    chosen: dict[str, float]


class Teaching:
    """The sources of a run, and how one of them is chosen for a turn, or how they are weighed."""

    def __init__(self, sources: Sequence[Source], choose: str, tail: str) -> None:
        self.sources, self.choice, self.tail = sources, CHOICES[choose], tail
        self.layout = Layout(measure, self.make)
        names = [source.name for source in sources]
        self.names = [name if names.count(name) == 1 else f"{name}-{at}" for at, name in enumerate(names, 1)]

    def make(self, lessons: Sequence[Lesson], pad_to: int | None, pad_id: int) -> TaughtPack:
        """Return documents as a pack, with what their targets are taught."""
        for source in self.sources:
            source.prepare(lessons)
        chosen, turns = np.zeros(len(self.sources)), 0
        found: list[tuple[Rows, npt.NDArray[np.int64]]] = []
        before = 0
        for lesson in lessons:
            labels = np.array(lesson.labels)
            targets = np.flatnonzero(labels[1:] != NO_LOSS) + 1
            for turn in lesson.turns:
                rows, positions, weights = self.turn(lesson.sample, turn)
                place = np.searchsorted(targets, positions)
                kept = np.flatnonzero(np.append(targets, -1)[place] == positions)
                found.append((rows[kept], before + place[kept]))
                chosen += weights
                turns += int(weights.any())
            before += len(targets)
        pack = make_pack(lessons, pad_to, pad_id)
        shares = dict(zip(self.names, chosen.tolist(), strict=True))
        return {**pack, **_tensors(found, pack["targets"]), "turns": turns, "chosen": shares}  # type: ignore[typeddict-item]

    def turn(self, sample: str, turn: Turn) -> tuple[Rows, npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return what is taught of a turn, at which positions of its document, and each source's weight in it."""
        dists = [source.get(sample, turn) for source in self.sources]
        nlls = np.array([np.nan if dist is None else dist.nll_per_byte for dist in dists])
        weights: npt.NDArray[np.float64] = self.choice(nlls[None])[0]
        parts, shares = [], []
        for dist, weight in zip(dists, weights.tolist(), strict=True):
            if dist is not None and weight > 0:
                parts.append((rows_of(dist, self.tail), at_offsets(dist, turn.offsets)))
                shares.append(weight)
        if not parts:
            return NOTHING, np.empty(0, np.int64), weights
        rows, places = blended(parts, shares)
        return rows, turn.positions[places], weights


NOTHING = Rows(np.empty((0, 1), np.int64), np.empty((0, 1), np.float32), np.empty(0, np.float32))


def _tensors(found: Sequence[tuple[Rows, npt.NDArray[np.int64]]], targets: torch.Tensor) -> dict[str, Any]:
    """Return rows with their places among the targets as tensors, one row for each target."""
    width = max((rows.ids.shape[1] for rows, _ in found), default=1)
    ids = np.full((len(targets), width), UNUSED, np.int64)
    # A target that is not taught stands for itself, with no probability.
    ids[:, 0] = targets.numpy()
    probabilities, tail = np.zeros(ids.shape, np.float32), np.zeros(len(ids), np.float32)
    count = 0
    for rows, places in found:
        narrow = slice(rows.ids.shape[1])
        ids[places, 0] = UNUSED
        ids[places, narrow], probabilities[places, narrow], tail[places] = rows.ids, rows.probabilities, rows.tail
        count += len(places)
    return {
        "ids": torch.from_numpy(ids),
        "probabilities": torch.from_numpy(probabilities),
        "tail": torch.from_numpy(tail),
        "rows": count,
    }
