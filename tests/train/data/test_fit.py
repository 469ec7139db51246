from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from curate.errors import InputError
from curate.train.data.fit import check_fit, padding_id


def test_a_model_with_fewer_embeddings_than_tokens(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer()
    size = len(tokenizer)
    assert check_fit(tokenizer, size, 100, 100) == []
    last, before = (tokenizer.convert_ids_to_tokens(size - n) for n in (1, 2))
    with pytest.raises(InputError) as error:
        check_fit(tokenizer, size - 2, None, 100)
    assert str(error.value) == (
        f"the tokenizer has 2 tokens ({before!r}, {last!r}) with ids up to {size - 1:,}, and the model has embeddings "
        f"for ids below {size - 2:,}; use the model's own tokenizer, or resize the embeddings first: "
        "model.resize_token_embeddings(len(tokenizer))"
    )


def test_a_model_with_more_embeddings_than_tokens(make_tokenizer: Callable[..., Any]) -> None:
    size = len(tokenizer := make_tokenizer())
    assert check_fit(tokenizer, size + 20, None, 100) == [
        f"20 of the model's {size + 20:,} embeddings belong to no token and stay as they are"
    ]


def test_documents_longer_than_the_context(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer()
    with pytest.raises(InputError, match="--max-length 2,048: the model's context holds 1,024 tokens; give that or"):
        check_fit(tokenizer, len(tokenizer), 1024, 2048)


def test_a_tokenizer_without_a_token_for_padding(make_tokenizer: Callable[..., Any]) -> None:
    assert padding_id(make_tokenizer(pad_token="<|endoftext|>")) == make_tokenizer().convert_tokens_to_ids(
        "<|endoftext|>"
    )
    assert padding_id(make_tokenizer()) == make_tokenizer().eos_token_id
    assert padding_id(make_tokenizer(eos_token=None)) == 0
