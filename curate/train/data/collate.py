"""Documents to tensors: packed into one row, or padded to a rectangle."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypedDict

import torch

from curate.train.data.tokens import NO_LOSS, Encoded


class Packed(TypedDict):
    """One row of T tokens that holds several documents one after the other; each attends to itself alone.

    `cu_seqlens` are the documents' ends behind a leading 0, so that `cu_seqlens[-1] == T`; it and `max_length` (the
    longest document) are Python integers, as reading them from the device would make it wait. Padding is a last
    document without loss. `target_tokens` counts the labels that enter the loss.
    """

    input_ids: torch.Tensor
    labels: torch.Tensor
    position_ids: torch.Tensor
    cu_seqlens: list[int]
    max_length: int
    target_tokens: int
    padding: int


class Padded(TypedDict):
    """B documents of at most L tokens, padded on the right; all tensors are [B, L]."""

    input_ids: torch.Tensor
    labels: torch.Tensor
    attention_mask: torch.Tensor
    position_ids: torch.Tensor
    target_tokens: int
    padding: int


def collate(documents: Sequence[Encoded], pad_to: int | None = None, pad_id: int = 0) -> Packed:
    """Return the documents as one row, `input_ids`, `labels` and `position_ids` being [1, T] of int64.

    With `pad_to` (tokens), T is a multiple of it. A document's first token is predicted by nothing, so it has no label:
    the shift by one never asks one document for the beginning of the next.
    """
    ids: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    ends = [0]
    for document in documents:
        ids += document.input_ids
        labels += _shiftable(document)
        positions += range(len(document.input_ids))
        ends.append(len(ids))
    padding = -len(ids) % pad_to if pad_to else 0
    if padding:
        ids += [pad_id] * padding
        labels += [NO_LOSS] * padding
        positions += range(padding)
        ends.append(len(ids))
    return {
        "input_ids": torch.tensor([ids]),
        "labels": torch.tensor([labels]),
        "position_ids": torch.tensor([positions]),
        "cu_seqlens": ends,
        "max_length": max((end - start for start, end in pairwise(ends)), default=0),
        "target_tokens": _targets(labels),
        "padding": padding,
    }


def collate_padded(documents: Sequence[Encoded], pad_id: int = 0) -> Padded:
    """Return the documents as the rows of a rectangle, with the same labels as `collate` gives them."""
    width = max(len(document.input_ids) for document in documents)
    ids, labels, mask = [], [], []
    for document in documents:
        length = len(document.input_ids)
        ids.append(document.input_ids + [pad_id] * (width - length))
        labels.append(_shiftable(document) + [NO_LOSS] * (width - length))
        mask.append([1] * length + [0] * (width - length))
    return {
        "input_ids": torch.tensor(ids),
        "labels": torch.tensor(labels),
        "attention_mask": torch.tensor(mask),
        "position_ids": torch.arange(width).repeat(len(documents), 1),
        "target_tokens": sum(map(_targets, labels)),
        "padding": sum(row.count(0) for row in mask),
    }


def _shiftable(document: Encoded) -> list[int]:
    return [NO_LOSS, *document.labels[1:]]


def _targets(labels: list[int]) -> int:
    return len(labels) - labels.count(NO_LOSS)
