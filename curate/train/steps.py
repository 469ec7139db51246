"""What every update of the weights is computed from: which documents, in which packs, with which targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NotRequired, TypedDict

import torch

from curate.train.attention import Prefix
from curate.train.data.collate import collate
from curate.train.data.packing import pack
from curate.train.data.tokens import NO_LOSS, Encoded


class Pack(TypedDict):
    """One row of documents as the model takes it, with the places that have a target.

    `input_ids` and `position_ids` are [1, T]. `places` [N] are the positions in the row from which the tokens
    `targets` [N] are to be predicted. `ends` are the documents' ends behind a leading 0, `longest` is the longest of
    them. A pack of weight 0 keeps a process company that has none left. `prefixes` are those of `attention.keywords`.
    Documents that cannot share a row are rows of one length, [B, T]; places and ends go on from row to row.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    places: torch.Tensor
    targets: torch.Tensor
    ends: list[int]
    longest: int
    weight: float
    prefixes: NotRequired[list[Prefix]]


class Step(TypedDict):
    """The packs of one update that this process computes, and what those of all processes hold together.

    `tokens` are the real ones, `targets` those that enter the loss, `squares` is the sum of squared document lengths.
    The update's loss is a mean over `units`.
    """

    packs: list[Pack]
    tokens: int
    targets: int
    squares: int
    units: int
    padding: int


class Measure(NamedTuple):
    """What one document adds to the figures of an update; they are those of `Step`."""

    tokens: int
    targets: int
    squares: int
    units: int
    padding: int = 0


@dataclass(frozen=True)
class Layout:
    """How documents of a kind lie in packs: what one of them measures, and the pack of some of them.

    `make` takes the documents, what the row's length is to be a multiple of, and the token to fill it up with.
    """

    measure: Callable[[Any], Measure]
    make: Callable[[Sequence[Any], int | None, int], Any]


def measure(document: Encoded) -> Measure:
    """Return what a document adds to an update."""
    length = len(document.input_ids)
    targets = length - 1 - document.labels[1:].count(NO_LOSS)
    return Measure(length, targets, length * length, targets)


def make_pack(documents: Sequence[Encoded], pad_to: int | None, pad_id: int) -> Pack:
    """Return the documents as one pack of weight 1."""
    row = collate(documents, pad_to, pad_id)
    # Shifted here, on the CPU: picking by a mask would make a GPU wait to learn how many there are.
    following = row["labels"][0, 1:]
    places = (following != NO_LOSS).nonzero()[:, 0]
    return {
        "input_ids": row["input_ids"],
        "position_ids": row["position_ids"],
        "places": places,
        "targets": following[places],
        "ends": row["cu_seqlens"],
        "longest": row["max_length"],
        "weight": 1.0,
    }


DOCUMENTS = Layout(measure, make_pack)
"""Documents one after the other; the loss is a mean over targets."""


class Steps(torch.utils.data.Dataset[Step]):  # type: ignore[misc]
    """The updates of a whole training run, by their number: a pure function of the documents and the seed.

    `update(number)` gives the documents of an update, of which an epoch has `in_epoch`; packing changes how they lie
    in memory and nothing else; `layout` says how. With several processes each computes every `world`-th pack.
    """

    def __init__(
        self,
        update: Callable[[int], Sequence[Any]],
        in_epoch: int,
        *,
        layout: Layout = DOCUMENTS,
        budget: int,
        epochs: int,
        packed: bool = True,
        pad_to: int | None = None,
        pad_id: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.update, self.in_epoch, self.budget, self.epochs = update, in_epoch, budget, epochs
        self.layout = layout
        self.packed, self.pad_to, self.pad_id, self.rank, self.world = packed, pad_to, pad_id, rank, world

    def __len__(self) -> int:
        return self.in_epoch * self.epochs

    def __getitem__(self, number: int) -> Step:
        return self._step(self.update(number))

    def _step(self, documents: Sequence[Any]) -> Step:
        measures = [self.layout.measure(document) for document in documents]
        lengths = [one.tokens for one in measures]
        groups = pack(lengths, self.budget) if self.packed else [[place] for place in range(len(lengths))]
        mine = groups[self.rank :: self.world]
        packs = [self.layout.make([documents[place] for place in group], self.pad_to, self.pad_id) for group in mine]
        if len(mine) < -(-len(groups) // self.world):
            # Other processes have one more, and all must call the model equally often.
            shortest = documents[lengths.index(min(lengths))]
            packs.append({**self.layout.make([shortest], self.pad_to, self.pad_id), "weight": 0.0})
        sizes = [sum(lengths[place] for place in group) for group in groups]
        return {
            "packs": packs,
            "tokens": sum(lengths),
            "targets": sum(one.targets for one in measures),
            "squares": sum(one.squares for one in measures),
            "units": sum(one.units for one in measures),
            "padding": sum(one.padding for one in measures)
            + (sum(-size % self.pad_to for size in sizes) if self.pad_to else 0),
        }


def whole_packs(
    documents: Sequence[Any], budget: int, pad_id: int = 0, layout: Layout = DOCUMENTS, packed: bool = True
) -> Iterator[tuple[list[int], Any]]:
    """Yield all documents in packs, with their places, in an order that depends on their lengths alone."""
    lengths = [layout.measure(document).tokens for document in documents]
    for group in pack(lengths, budget) if packed else ([place] for place in range(len(lengths))):
        yield group, layout.make([documents[place] for place in group], None, pad_id)


def first(batch: list[Step]) -> Step:
    """Return the one step of a loader's batch: a step is a batch already."""
    return batch[0]
