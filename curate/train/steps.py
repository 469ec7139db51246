"""What every update of the weights is computed from: which documents, in which packs, with which targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypedDict

import torch

from curate.train.data.collate import collate
from curate.train.data.packing import pack
from curate.train.data.tokens import NO_LOSS, Encoded


class Pack(TypedDict):
    """One row of documents as the model takes it, with the places that have a target.

    `input_ids` and `position_ids` are [1, T]. `places` [N] are the positions in the row from which the tokens
    `targets` [N] are to be predicted. `ends` are the documents' ends behind a leading 0, `longest` is the longest of
    them. A pack of weight 0 keeps a process company that has none left.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    places: torch.Tensor
    targets: torch.Tensor
    ends: list[int]
    longest: int
    weight: float


class Step(TypedDict):
    """The packs of one update that this process computes, and what those of all processes hold together.

    `tokens` are the real ones, `targets` those that enter the loss, `squares` is the sum of squared document lengths.
    """

    packs: list[Pack]
    tokens: int
    targets: int
    squares: int
    padding: int


class Steps(torch.utils.data.Dataset[Step]):  # type: ignore[misc]
    """The updates of a whole training run, by their number: a pure function of the documents and the seed.

    `update(number)` gives the documents of an update, of which an epoch has `in_epoch`; packing changes how they lie
    in memory and nothing else. With several processes each computes every `world`-th pack.
    """

    def __init__(
        self,
        update: Callable[[int], Sequence[Encoded]],
        in_epoch: int,
        *,
        budget: int,
        epochs: int,
        packed: bool = True,
        pad_to: int | None = None,
        pad_id: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.update, self.in_epoch, self.budget, self.epochs = update, in_epoch, budget, epochs
        self.packed, self.pad_to, self.pad_id, self.rank, self.world = packed, pad_to, pad_id, rank, world

    def __len__(self) -> int:
        return self.in_epoch * self.epochs

    def __getitem__(self, number: int) -> Step:
        return self._step(self.update(number))

    def _step(self, documents: Sequence[Encoded]) -> Step:
        lengths = [len(document.input_ids) for document in documents]
        groups = pack(lengths, self.budget) if self.packed else [[place] for place in range(len(lengths))]
        mine = groups[self.rank :: self.world]
        packs = [make_pack([documents[place] for place in group], self.pad_to, self.pad_id) for group in mine]
        if len(mine) < -(-len(groups) // self.world):
            # Other processes have one more, and all must call the model equally often.
            shortest = min(documents, key=lambda document: len(document.input_ids))
            company = make_pack([shortest], self.pad_to, self.pad_id)
            packs.append({**company, "weight": 0.0})
        sizes = [sum(lengths[place] for place in group) for group in groups]
        return {
            "packs": packs,
            "tokens": sum(lengths),
            "targets": sum(len(document.labels) - 1 - document.labels[1:].count(NO_LOSS) for document in documents),
            "squares": sum(length * length for length in lengths),
            "padding": sum(-size % self.pad_to for size in sizes) if self.pad_to else 0,
        }


def whole_packs(documents: Sequence[Encoded], budget: int, pad_id: int = 0) -> Iterator[Pack]:
    """Yield all documents in packs, in an order that depends on their lengths alone: for measuring a loss."""
    for group in pack([len(document.input_ids) for document in documents], budget):
        yield make_pack([documents[place] for place in group], None, pad_id)


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


def first(batch: list[Step]) -> Step:
    """Return the one step of a loader's batch: a step is a batch already."""
    return batch[0]
