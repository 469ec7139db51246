from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from curate.train.data.collate import collate, collate_padded  # noqa: E402 - it needs torch
from curate.train.data.tokens import NO_LOSS, Encoded  # noqa: E402 - it needs torch

A = Encoded([11, 12, 13], [NO_LOSS, 12, 13], "a")
B = Encoded([21, 22], [21, 22], "b")  # the second piece of a long answer has loss from its first token on


def test_packed() -> None:
    batch = collate([A, B], pad_to=4, pad_id=9)
    assert batch["input_ids"].tolist() == [[11, 12, 13, 21, 22, 9, 9, 9]]
    assert batch["labels"].tolist() == [[NO_LOSS, 12, 13, NO_LOSS, 22, NO_LOSS, NO_LOSS, NO_LOSS]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0, 1, 2]]
    assert batch["cu_seqlens"] == [0, 3, 5, 8]
    assert (batch["max_length"], batch["target_tokens"], batch["padding"]) == (3, 3, 3)
    assert type(batch["max_length"]) is int and type(batch["cu_seqlens"][1]) is int
    assert batch["input_ids"].dtype == batch["labels"].dtype == batch["position_ids"].dtype == torch.int64


def test_packed_without_padding() -> None:
    batch = collate([A, B])
    assert batch["cu_seqlens"] == [0, 3, 5]
    assert batch["padding"] == 0
    assert collate([A], pad_to=3)["cu_seqlens"] == [0, 3]


def test_padded() -> None:
    batch = collate_padded([A, B], pad_id=9)
    assert batch["input_ids"].tolist() == [[11, 12, 13], [21, 22, 9]]
    assert batch["labels"].tolist() == [[NO_LOSS, 12, 13], [NO_LOSS, 22, NO_LOSS]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["position_ids"].tolist() == [[0, 1, 2], [0, 1, 2]]
    assert (batch["target_tokens"], batch["padding"]) == (3, 1)
