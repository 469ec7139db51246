"""Text encoders by name, and the index of the vectors they give.

A similarity threshold belongs to an encoder: 0.95 of the static table is not 0.95 of a transformer. So an encoder
whose threshold was measured carries it as `default_threshold`, and `threshold_of` refuses to guess another's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from curate.embed.index import VectorIndex, cosine
from curate.errors import InputError
from curate.text import by_character

__all__ = [
    "ENCODERS",
    "Encoder",
    "VectorIndex",
    "Vectors",
    "cosine",
    "default_encoder",
    "open_encoder",
    "threshold_of",
]

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


def _static(_: str) -> Encoder:
    from curate.embed.static_table import StaticEncoder

    return StaticEncoder()


def _chargrams(_: str) -> Encoder:
    from curate.embed.chargrams import CharGramEncoder

    return CharGramEncoder()


def _minilm(_: str) -> Encoder:
    from curate.embed.transformer import open_minilm

    return open_minilm()


def _sentence_transformer(name: str) -> Encoder:
    from curate.embed.transformer import open_transformer

    return open_transformer(name)


def _openai(name: str) -> Encoder:
    from curate.embed.api import ApiEncoder

    return ApiEncoder.from_spec(name)


ENCODERS: dict[str, Callable[[str], Encoder]] = {"static": _static, "chargrams": _chargrams, "minilm": _minilm}
"""The encoders with a name of their own; any other name is an endpoint (`openai:`) or a sentence-transformers model."""


def open_encoder(name: str) -> Encoder:
    """Open an encoder: a name of `ENCODERS`, `openai:NAME@URL`, or a sentence-transformers name or path.

    Raises MissingExtraError where the extra `embed` is needed, InputError where the model cannot be found.
    """
    if name in ENCODERS:
        return ENCODERS[name](name)
    return _openai(name) if name.startswith("openai:") else _sentence_transformer(name)


def default_encoder(language: str) -> str:
    """Return the name of the encoder that a domain in this language uses unless it names one."""
    return "chargrams" if by_character(language) else "static"


def threshold_of(encoder: Encoder, threshold: float | str | None) -> float:
    """Return the threshold as a number; `auto` or None is the encoder's own.

    Raises InputError for an encoder without one, or for a number outside of 0 to 1.
    """
    if threshold is None or threshold == "auto":
        if encoder.default_threshold is None:
            raise InputError(
                f"the encoder '{encoder.name}' has no measured threshold: give one with --threshold, "
                "or as dedup.threshold in the domain file (0.90 is a start for sentence-transformers models)"
            )
        return encoder.default_threshold
    try:
        value = float(threshold)
    except ValueError:
        raise InputError(f"the threshold is '{threshold}': give a number between 0 and 1, or 'auto'") from None
    if not 0 < value <= 1:
        raise InputError(f"the threshold is {value:g}: give a number between 0 and 1, or 'auto'")
    return value
