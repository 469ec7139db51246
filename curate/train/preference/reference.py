"""What the model says of the answers before training, computed once and kept for every run that asks the same.

DIR/KEY/00000.npy     the log-probabilities of the first groups, and so on: each block is written whole or not at all

KEY stands for the model's weights, the tokenizer, the template, the dataset and the precision of a pass: a run with
another loss, scale, rate or batch finds them there, and one that was killed goes on with the blocks that are missing.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError, RunError
from curate.io import atomic
from curate.train.preference.groups import Group, Groups
from curate.train.steps import Layout, whole_packs

VERSION = 1
"""Goes up with every change of what is kept."""

BLOCK = 256
"""Groups that are kept at a time."""

Logprobs = Callable[[Any], npt.NDArray[np.float64]]
"""Takes a pack of G groups of A answers and returns the summed log-probabilities [G, A] of the answers."""

Progress = Callable[[int, int], object]
"""Takes how many groups are done, and of how many."""


def key_of(groups: Groups, model: str, precision: str) -> str:
    """Return what tells these references from others; `model` stands for its weights."""
    parts = [VERSION, groups.folder.name, model, precision]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()


def read_or_compute(
    groups: Groups,
    folder: Path,
    logprobs: Logprobs,
    layout: Layout,
    budget: int,
    *,
    packed: bool = True,
    rank: int = 0,
    world: int = 1,
    progress: Progress = lambda done, total: None,
) -> npt.NDArray[np.float64]:
    """Return the log-probabilities [n, answers]: what `folder` has of them, the rest computed now and kept there.

    Of several processes each computes every `world`-th block and waits for the others'.

    Raises:
        InputError: one of them is no number.
        RunError: they cannot be written.
    """
    answers = groups.references.shape[1]
    paths = [folder / f"{number:05}.npy" for number in range(-(-len(groups) // BLOCK))]
    sizes = [min(BLOCK, len(groups) - number * BLOCK) for number in range(len(paths))]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: no such folder can be made ({error.strerror}); name another: --references") from None
    for number, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        if number % world == rank and _read(path, (size, answers)) is None:
            block = [groups[number * BLOCK + place] for place in range(size)]
            with atomic(path, True) as file:
                np.save(file, _computed(block, logprobs, layout, budget, packed))
        progress(number * BLOCK + size, len(groups))
    found = []
    for path, size in zip(paths, sizes, strict=True):
        while (values := _read(path, (size, answers))) is None:
            time.sleep(0.1)  # another process of this launch computes it
        found.append(values)
    return np.concatenate(found)


def _computed(
    block: Sequence[Group], logprobs: Logprobs, layout: Layout, budget: int, packed: bool
) -> npt.NDArray[np.float64]:
    values = np.empty((len(block), len(block[0].answers)))
    for places, pack in whole_packs(block, budget, layout=layout, packed=packed):
        values[places] = logprobs(pack)
    if not np.isfinite(values).all():
        raise InputError(
            "the model before training gives an answer a log-probability that is no number; its weights are damaged, "
            "or do not fit their precision (--weights)"
        )
    return values


def _read(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.float64] | None:
    """Return a block, None where it is not there or not what it should be."""
    if not path.exists():
        return None
    try:
        values: npt.NDArray[np.float64] = np.load(path)
    except (ValueError, EOFError):
        return None
    return values if values.shape == shape else None
