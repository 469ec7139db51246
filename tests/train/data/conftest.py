"""Tokenizers trained on the spot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

SPECIALS = (
    "<s>", "</s>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>",
    "<|end_header_id|>", "<|eot_id|>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]",
)  # fmt: skip

TEXTS = [
    "The answer is that a model writes text, and the question is what the user wants to know about it.",
    "Zwölf Äpfel kosten 3,60 €; 一个苹果多少钱？ How much is one? 0.30 €, since 3.60 / 12 = 0.3.\n\n\n- one\n- two",
] * 20


@pytest.fixture(scope="session")
def byte_level() -> Any:
    """A byte-level BPE tokenizer of the library `tokenizers`, with the special tokens of all the templates."""
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=list(SPECIALS),
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    return made


@pytest.fixture(scope="session")
def metaspace() -> Any:
    """A BPE tokenizer that marks spaces and puts one before every text, as Llama 2's and Mistral's do."""
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=True, unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme="first")
    made.decoder = tokenizers.decoders.Metaspace(prepend_scheme="first")
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<unk>", *SPECIALS], show_progress=False, initial_alphabet=list("abcxyz[]/:")
    )
    made.train_from_iterator(TEXTS, trainer)
    return made


@pytest.fixture(scope="session")
def make_tokenizer(byte_level: Any) -> Callable[..., Any]:
    """A function from roles of tokens (and `backend`) to a tokenizer of transformers."""
    transformers = pytest.importorskip("transformers")

    def make(template: str | None = None, backend: Any = None, **roles: Any) -> Any:
        roles = {"bos_token": "<s>", "eos_token": "</s>", **roles}
        return transformers.PreTrainedTokenizerFast(
            tokenizer_object=backend or byte_level, chat_template=template, **roles
        )

    return make
