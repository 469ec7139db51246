"""Whether a tokenizer fits the model."""

from __future__ import annotations

from typing import Any

from curate.errors import InputError


def check_vocabulary(tokenizer: Any, rows: int, model: str) -> None:
    """See that the model, which has `rows` vectors, has one for every token; it may have more than that.

    Raises:
        InputError: a token's id is beyond them, or there are no tokens.
    """
    tokens = sorted((number, token) for token, number in tokenizer.get_vocab().items())
    if not tokens:
        raise InputError(f"--model {model}: its tokenizer has no tokens; the folder needs its tokenizer.json")
    if beyond := [token for number, token in tokens if number >= rows]:
        named = ", ".join(repr(token) for token in beyond[:3]) + (", ..." if len(beyond) > 3 else "")
        raise InputError(
            f"--model {model}: {len(beyond):,} tokens of its tokenizer ({named}) have ids up to {tokens[-1][0]:,}, and "
            f"the model has vectors for ids below {rows:,}; use the tokenizer it came with, or resize its embedding "
            "first (model.resize_token_embeddings)"
        )
