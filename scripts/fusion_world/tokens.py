"""The tokenizers: single symbols, pairs, and other pairs and triples, so that the same text has other boundaries."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from scripts.fusion_world.skills import SKILLS, SYMBOLS

PAD, END, ASKED = "<pad>", "<end>", "="

TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}"
    f"{{{{ '{ASKED}' if message['role'] == 'user' else '{END}' }}}}"
    "{% endfor %}"
)
"""`RABC=cba<end>`."""

KINDS = ("single", "pairs", "triples")

PAIRS = {"single": 0, "pairs": 9, "triples": 6}
TRIPLES = {"single": 0, "pairs": 0, "triples": 3}
"""How many tokens of two and of three symbols a kind has."""


def merges(kind: str, seed: int) -> list[tuple[str, str]]:
    """Return what is joined to tokens, in this order; no kind has a pair of another."""
    rng = np.random.default_rng([seed, 1])
    pairs = [(SYMBOLS[at // 10], SYMBOLS[at % 10]) for at in rng.permutation(100)]
    before = sum(PAIRS[other] for other in KINDS[: KINDS.index(kind)])
    chosen = pairs[before : before + PAIRS[kind]]
    thirds = rng.integers(10, size=TRIPLES[kind])
    return [*chosen, *((a + b, SYMBOLS[at]) for (a, b), at in zip(chosen, thirds, strict=False))]


@cache
def build_tokenizer(kind: str, seed: int) -> Any:
    """Return a transformers tokenizer with the template of this world."""
    import tokenizers
    from transformers import PreTrainedTokenizerFast

    joined = merges(kind, seed)
    words = [PAD, END, ASKED, *SKILLS, *SYMBOLS.upper(), *SYMBOLS, *(left + right for left, right in joined)]
    model = tokenizers.models.BPE(vocab={word: at for at, word in enumerate(words)}, merges=joined)
    core = tokenizers.Tokenizer(model)
    core.decoder = tokenizers.decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token=PAD, eos_token=END, chat_template=TEMPLATE)
