from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from curate.errors import InputError
from curate.train.data.fit import check_vocabulary


def test_a_model_with_fewer_vectors_than_tokens(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer()
    size = len(tokenizer)
    last, before = (tokenizer.convert_ids_to_tokens(size - n) for n in (1, 2))
    with pytest.raises(InputError) as error:
        check_vocabulary(tokenizer, size - 2, "m")
    assert str(error.value) == (
        f"--model m: 2 tokens of its tokenizer ({before!r}, {last!r}) have ids up to {size - 1:,}, and the model has "
        f"vectors for ids below {size - 2:,}; use the tokenizer it came with, or resize its embedding first "
        "(model.resize_token_embeddings)"
    )


def test_a_model_with_as_many_or_more(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer()
    check_vocabulary(tokenizer, len(tokenizer), "m")
    check_vocabulary(tokenizer, len(tokenizer) + 271, "m")  # as Qwen has, for the sake of the hardware
