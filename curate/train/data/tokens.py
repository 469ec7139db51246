"""One training document as tokens."""

from __future__ import annotations

from dataclasses import dataclass

NO_LOSS = -100
"""The label of a token that the loss leaves out."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One document: its tokens, a label for each (`NO_LOSS` wherever there is no loss), and the dataset it is from.

    `labels[i]` is `input_ids[i]` or `NO_LOSS`; the shift by one token is the loss's work.
    """

    input_ids: list[int]
    labels: list[int]
    source: str
