"""Whether a tokenizer and a length fit the model."""

from __future__ import annotations

from typing import Any

from curate.errors import InputError


def check_fit(tokenizer: Any, rows: int, context: int | None, max_length: int) -> list[str]:
    """Return what a user should know of a tokenizer, a model with `rows` embeddings and a context of `context` tokens.

    Raises:
        InputError: the tokenizer has tokens that the model has no embedding for, or documents may be longer than the
            model's context.
    """
    tokens = sorted((number, token) for token, number in tokenizer.get_vocab().items())
    if not tokens:
        raise InputError("the tokenizer has no tokens; give a model whose folder has its tokenizer.json")
    if beyond := [token for number, token in tokens if number >= rows]:
        named = ", ".join(repr(token) for token in beyond[:3]) + (", ..." if len(beyond) > 3 else "")
        raise InputError(
            f"the tokenizer has {len(beyond):,} tokens ({named}) with ids up to {tokens[-1][0]:,}, and the model has "
            f"embeddings for ids below {rows:,}; use the model's own tokenizer, or resize the embeddings first: "
            "model.resize_token_embeddings(len(tokenizer))"
        )
    if context is not None and max_length > context:
        raise InputError(
            f"--max-length {max_length:,}: the model's context holds {context:,} tokens; give that or less"
        )
    spare = rows - 1 - tokens[-1][0]
    return [f"{spare:,} of the model's {rows:,} embeddings belong to no token and stay as they are"] if spare else []


def padding_id(tokenizer: Any) -> int:
    """Return a token to fill up rows with: it has no loss and is attended to by nobody, so that any will do."""
    for number in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if number is not None:
            return int(number)
    return 0
