"""Pairs, and pairs with a source's answer, for the tiny model of the trainer's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import pair_rows

from curate.io import write_jsonl
from curate.io.read import as_samples
from curate.train.data.templates import find_template
from curate.train.preference.groups import Group
from curate.train.preference.pairs import PairCoder


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory) -> Path:
    """24 rows with the columns of WRPO."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    write_jsonl(path, pair_rows(24))
    return path


@pytest.fixture
def encode(tokenizer):
    """A function from rows to what became of them."""

    def encoded(rows, sides=("chosen", "rejected"), max_length=128, long="truncate", fields=None):
        coder = PairCoder(tokenizer, find_template(None, tokenizer), max_length, long, sides, "curate train dpo")
        return coder.encode(list(as_samples(((f"row {n}", row) for n, row in enumerate(rows, 1)), fields)), "rows")

    return encoded


@pytest.fixture
def groups_of(encode):
    """A function from a number of rows and sides to groups, with references that are made up."""

    def made(count, sides=("chosen", "rejected"), first=0):
        found = []
        for number, one in enumerate(encode(pair_rows(first + count)[first:], sides)):
            prompt, *answers = one.documents
            found.append(Group(prompt, tuple(answers), tuple(-40.0 - number - side for side in range(len(sides)))))
        return found

    return made
