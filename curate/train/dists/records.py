"""What a folder of distributions holds: a header, and a record for each of the assistant's turns, or each document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.text import content_id
from curate.types import Message

KINDS = ("captured", "boundary", "equal", "mapped", "several")
"""How a row came about, by its number in `Dist.kind`.

- captured: the source's own row
- boundary: aligned where both tokenizers have a boundary (method bytes)
- equal: aligned token to token, the two standing for the same text (the published methods)
- mapped: aligned token to token, the vocabulary's map taking the one to the other
- several: aligned by a run of tokens on one of the two sides (the statistics-based method)
"""


DOCUMENTS = "documents"
"""What stands for the template of a folder of plain documents, which have none."""


@dataclass(frozen=True)
class Header:
    """What all records of a folder have in common.

    `model` and `revision` name the source, `tokenizer` and `template` are hashes of its own. `k` ids are kept of each
    row, at `temperature`, out of `vocab_size`. After an alignment, ids are those of the tokenizer whose hash is
    `aligned_to`, `vocab_size` is the target's, and `method` says how it was done. A folder has conversations or plain
    documents, whose `template` is DOCUMENTS.
    """

    model: str
    revision: str
    tokenizer: str
    template: str
    k: int
    vocab_size: int
    temperature: float = 1.0
    aligned_to: str | None = None
    method: str = ""

    @property
    def documents(self) -> bool:
        """Whether the records are of plain documents."""
        return self.template == DOCUMENTS


@dataclass(frozen=True)
class Dist:
    """The distributions of one turn: n rows, in the order of their places.

    - offsets [n] of u32: bytes of the turn's text before the token that a row is about; the length of the text stands
      for its end, where the next token ends the turn
    - ids [n, k] of u32, and logprobs [n, k] of f32, natural logarithms, descending; a place that is not used has -inf
    - tail [n] of f32: the logarithm of all other tokens' probability; with `logprobs` it sums to 1 in each row
    - kind [n] of u8: a number in `KINDS`
    - tokens [n] of u32: the token that did follow, and nll [n] of f32: how improbable the source found it (nats)
    - text: the turn's text in UTF-8
    - nll_per_byte: nats for a byte of the text, the end of the turn not counted
    """

    offsets: npt.NDArray[np.uint32]
    ids: npt.NDArray[np.uint32]
    logprobs: npt.NDArray[np.float32]
    tail: npt.NDArray[np.float32]
    nll_per_byte: float
    kind: npt.NDArray[np.uint8]
    tokens: npt.NDArray[np.uint32]
    nll: npt.NDArray[np.float32]
    text: bytes


@dataclass(frozen=True)
class Record:
    """A turn's distributions and its key: `turn_key` of the sample, and the turn among the assistant's, from 0."""

    sample: str
    turn: int
    dist: Dist


def turn_key(messages: Iterable[Message]) -> str:
    """Return what stands for a sample in a folder of distributions: the content id of its messages.

    A sample's own `id` will not do: a row may come with one that its text has since outgrown.
    """
    return content_id(messages)
