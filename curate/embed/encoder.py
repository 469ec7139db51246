"""What an encoder is: texts become vectors of unit length, so that a dot product is a cosine."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError

Vectors = NDArray[np.float32]
"""Rows of unit length, [n, d]; a text in which the encoder knows nothing is a row of zeros."""


class Encoder(Protocol):
    """Turns texts into unit vectors, so that a dot product is a cosine."""

    name: str
    default_threshold: float | None
    """The cosine above which two texts are near-copies for this encoder, None where nobody measured it."""

    @property
    def dim(self) -> int:
        """The length of a row."""
        ...

    def encode(self, texts: list[str]) -> Vectors:
        """Return one row per text, in order; a row does not depend on the texts beside it."""
        ...


class Unsent(CurateError):
    """The vectors of some texts were not asked for: `kind` is "budget" or "stopped". Those that came are kept."""

    exit_code = 3

    def __init__(self, kind: str, advice: str = "") -> None:
        why = {"budget": "the budget is spent"}.get(kind, "the run was stopped")
        super().__init__(f"vectors are missing: {why}{advice}")
        self.kind = kind
