"""Text encoders by name, and the index of the vectors they give.

A similarity threshold belongs to an encoder: 0.95 of the static table is not 0.95 of a transformer. So an encoder
whose threshold was measured carries it as `default_threshold`, and `threshold_of` refuses to guess another's.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from curate.embed.encoder import Encoder, Unsent, Vectors
from curate.embed.index import VectorIndex, cosine
from curate.errors import InputError
from curate.text import by_character

if TYPE_CHECKING:
    from curate.models import ModelOptions

__all__ = [
    "ENCODERS",
    "NO_EMBEDDER",
    "Encoder",
    "Unsent",
    "VectorIndex",
    "Vectors",
    "cosine",
    "default_encoder",
    "embedder_problem",
    "open_encoder",
    "threshold_of",
]


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


ENCODERS: dict[str, Callable[[str], Encoder]] = {"static": _static, "chargrams": _chargrams, "minilm": _minilm}
"""The encoders with a name of their own; any other name is an endpoint (`openai:`) or a sentence-transformers model."""

NO_EMBEDDER = "none"
"""The name under which vectors are done without."""

WAYS = f"{', '.join(ENCODERS)}, openai:NAME@URL, the name or folder of a sentence-transformers model, or {NO_EMBEDDER}"

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)


def open_encoder(name: str, options: ModelOptions | None = None) -> Encoder:
    """Open an encoder: a name of `ENCODERS`, `openai:NAME@URL`, or a sentence-transformers name or path.

    `options` are the limits and the price of an endpoint. Raises MissingExtraError where the extra `embed` is needed,
    InputError where the model cannot be found.
    """
    if name in ENCODERS:
        return ENCODERS[name](name)
    if name.startswith("openai:"):
        from curate.embed.api import ApiEncoder

        return ApiEncoder(name, options)
    if problem := embedder_problem(name):
        raise InputError(problem)
    return _sentence_transformer(name)


def embedder_problem(name: str) -> str:
    """Return why no encoder can have this name, or the empty string.

    Whether the Hub has a model of a sound name is not known before it is asked for: that is not decided here.
    """
    if name in ENCODERS or name == NO_EMBEDDER or Path(name).expanduser().is_dir():
        return ""
    if name.startswith("openai:"):
        from curate.models.specs import servers_of

        try:
            servers_of(name.removeprefix("openai:"))
        except InputError as error:
            return f"the embedder '{name}': {error}"
        return ""
    if not HUB_NAME.fullmatch(name) or name.startswith("."):
        return f"the embedder '{name}' is no folder here and no name that a model can have; there are: {WAYS}"
    if near := difflib.get_close_matches(name.casefold(), [*ENCODERS, NO_EMBEDDER], n=1, cutoff=0.75):
        return f"the embedder '{name}' is not known; did you mean '{near[0]}'? There are: {WAYS}"
    return ""


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
