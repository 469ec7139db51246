"""A tiny model and a dataset that the tests of the trainer share."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest
from tiny_models import make_model, make_tokenizer, sample_rows


@pytest.fixture(scope="session", autouse=True)
def imported():
    """Import what every run needs, and let no run look for garbage among it: transformers does so at each start."""
    import curate.train.sft  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def tokenizer():
    return make_tokenizer([row["instruction"] + row["output"] for row in sample_rows(200)])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, tokenizer) -> Path:
    """The folder of a Llama of two layers and 40,000 weights."""
    return make_model(tmp_path_factory.mktemp("tiny") / "tiny", tokenizer)


@pytest.fixture(scope="session")
def rows_file(tmp_path_factory) -> Path:
    """60 samples in the alpaca format."""
    path = tmp_path_factory.mktemp("rows") / "rows.json"
    path.write_text(json.dumps(sample_rows(60)))
    return path
