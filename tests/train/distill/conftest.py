"""A stronger model than `tiny`, and what it finds probable in the samples."""

from __future__ import annotations

from pathlib import Path

import pytest
from asked import write_asked
from tiny_models import make_model


@pytest.fixture(scope="session")
def big(tmp_path_factory, tokenizer) -> Path:
    """The folder of a wider Llama with the tokenizer of `tiny`; its head is no longer near zero."""
    return sharpened(make_model(tmp_path_factory.mktemp("big") / "big", tokenizer, hidden_size=48))


def sharpened(folder, factor=60.0):
    """Let a random model have opinions: its logits grow by a factor."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["lm_head.weight"] *= factor
    save_file(weights, path, {"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def dists(tmp_path_factory, big, rows_file) -> Path:
    """What `big` finds probable in every turn of the samples, 10 tokens of each place."""
    return write_asked(tmp_path_factory.mktemp("dists") / "big", big, rows_file)
