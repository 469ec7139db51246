"""What the model answers to a few prompts, before and after: greedily, so that training alone counts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import nn

from curate.train.data.tokens import NO_LOSS, Encoded
from curate.train.model import as_it_came, causal, precision
from curate.train.settings import Settings

LONGEST = 96
"""Tokens of an answer."""


BEGUN = 32
"""Tokens of a plain document that the model is given to go on from."""


def prompts_of(documents: Sequence[Encoded], count: int) -> list[tuple[list[int], list[int]]]:
    """Return the prompt and the first answer of the first `count` documents that have a prompt.

    Of a document that is learnt whole the beginning is the prompt.
    """
    found = (
        (document.input_ids[:start], _answer(document, start)) for document in documents if (start := _asked(document))
    )
    return list(islice(found, count))


def _asked(document: Encoded) -> int:
    """Return how many tokens the prompt of a document has."""
    start = next(place for place, label in enumerate(document.labels) if label != NO_LOSS)
    return min(BEGUN, len(document.labels) // 2) if start == 1 else start


def _answer(document: Encoded, start: int) -> list[int]:
    end = next((n for n, label in enumerate(document.labels) if n > start and label == NO_LOSS), len(document.labels))
    return document.input_ids[start : min(end, start + LONGEST)]


def answers(
    model: nn.Module, tokenizer: Any, prompts: Sequence[Sequence[int]], settings: Settings, device: torch.device
) -> list[str]:
    """Return the model's answers to the prompts."""
    inner = causal(model)
    context = getattr(inner.config.get_text_config(), "max_position_embeddings", None)
    texts = []
    with as_it_came(model), precision(settings, device):
        for prompt in prompts:
            ids = torch.tensor([prompt], device=device)
            new = min(LONGEST, context - len(prompt)) if context else LONGEST
            said = inner.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new,
                do_sample=False,
                use_cache=True,
                pad_token_id=tokenizer.pad_token_id,
                # A model's own settings may ask for sampling.
                temperature=None,
                top_p=None,
                top_k=None,
            )
            texts.append(tokenizer.decode(said[0, ids.shape[1] :], skip_special_tokens=True))
    return texts
