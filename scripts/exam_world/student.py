"""The student of a made-up world: its tokenizer, its model, and how it is trained and asked.

It is an ordinary Llama of transformers in an ordinary folder, so that curate opens it as any other student.
"""

from __future__ import annotations

import math
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

PAD = "<pad>"
IGNORED = -100
"""The label of a position that has no loss."""


LONG = 1.2
"""Rows are long that have so many times the tokens of the middle one."""


@dataclass(frozen=True, slots=True)
class Row:
    """A text as token ids, and the positions of the tokens that are learnt (each from all before it)."""

    ids: tuple[int, ...]
    learnt: tuple[int, ...]


def build_tokenizer(phrases: Iterable[str], words: Iterable[str]) -> Any:
    """Return a transformers tokenizer with one token for each phrase, word and punctuation mark.

    Phrases are what never changes in a text, such as `What is the guild of`; white space between tokens is dropped.
    """
    import tokenizers
    from tokenizers import pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    phrases = sorted(set(phrases), key=lambda phrase: (-len(phrase), phrase))
    vocabulary = {token: at for at, token in enumerate(dict.fromkeys([PAD, *phrases, *words]))}
    pattern = "|".join([*(re.escape(phrase) + r"(?!\w)" for phrase in phrases), r"\w+", r"[^\w\s]"])
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token=PAD))
    core.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(pattern), behavior="removed", invert=True)
    core.decoder = tokenizers.decoders.WordPiece(prefix="##", cleanup=False)
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token=PAD, unk_token=PAD)


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of texts.

    Raises:
        ValueError: a text has a token that the vocabulary lacks; the student would be asked something else.
    """
    if not texts:
        return []
    rows: list[list[int]] = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    for text, ids in zip(texts, rows, strict=True):
        if tokenizer.unk_token_id in ids:
            raise ValueError(f"not in the student's vocabulary: {tokenizer.tokenize(text)} of {text!r}")
    return rows


def new_student(vocabulary: int, seed: int) -> Any:
    """Return an untrained model of 2 layers with 128 columns."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=128,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def batch_of(rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ids [rows, width], the places [rows, most] from which learnt tokens are predicted, and those tokens.

    Rows end before their last learnt token, since nothing is predicted from what follows, and are padded on the right,
    where nothing of them looks. A row with fewer learnt tokens than another has places that are to be IGNORED.
    """
    import torch

    most = max(len(row.learnt) for row in rows)
    ids = np.zeros((len(rows), max(row.learnt[-1] for row in rows)), dtype=np.int64)
    places = np.zeros((len(rows), most), dtype=np.int64)
    wanted = np.full((len(rows), most), IGNORED)
    for at, row in enumerate(rows):
        ids[at, : row.learnt[-1]] = row.ids[: row.learnt[-1]]
        places[at, : len(row.learnt)] = [token - 1 for token in row.learnt]
        wanted[at, : len(row.learnt)] = [row.ids[token] for token in row.learnt]
    return torch.from_numpy(ids), torch.from_numpy(places), torch.from_numpy(wanted)


def logits_at(model: Any, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return the model's logits [rows, most, vocabulary] at `places` [rows, most] of `ids` [rows, width].

    They are those of the model's own pass to rounding. What the last layer makes of a token is read by the head alone,
    so that its queries, its MLP and the head are computed at the places only: most tokens are drawn at random, and
    nothing predicts them.
    """
    import torch
    import torch.nn.functional as F
    from transformers.models.llama.modeling_llama import rotate_half

    rows, positions = torch.arange(len(ids))[:, None], torch.arange(ids.shape[1])[None]
    hidden = model.model.embed_tokens(ids)
    cos, sin = model.model.rotary_emb(hidden, positions)
    *layers, last = model.model.layers
    for layer in layers:
        hidden = layer(hidden, position_embeddings=(cos, sin))
    attention, normed = last.self_attn, last.input_layernorm(hidden)

    def heads(projected: torch.Tensor) -> torch.Tensor:
        return projected.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)

    def turned(projected: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        return heads(projected) * cos[0, at][:, None] + rotate_half(heads(projected)) * sin[0, at][:, None]

    read = F.scaled_dot_product_attention(
        turned(attention.q_proj(normed[rows, places]), places),
        turned(attention.k_proj(normed), positions),
        heads(attention.v_proj(normed)),
        attn_mask=(positions <= places[..., None])[:, None],
    )
    here = hidden[rows, places] + attention.o_proj(read.transpose(1, 2).flatten(2))
    here = here + last.mlp(last.post_attention_layernorm(here))
    logits: torch.Tensor = model.lm_head(model.model.norm(here))
    return logits


def alike(rows: Iterable[Row]) -> list[list[Row]]:
    """Return rows in parts that need little padding: by how many tokens are learnt, and the long ones apart."""
    parts: dict[int, list[Row]] = {}
    for row in rows:
        parts.setdefault(len(row.learnt), []).append(row)
    return [part for rows in parts.values() for part in by_length(rows)]


def by_length(rows: Sequence[Row]) -> list[list[Row]]:
    """Return rows in one part or two, the long ones apart, so that short ones are not padded to the longest."""
    bound = LONG * sorted(len(row.ids) for row in rows)[len(rows) // 2]
    parts = [[row for row in rows if len(row.ids) <= bound], [row for row in rows if len(row.ids) > bound]]
    return [part for part in parts if part]


def train(
    model: Any,
    batch: Callable[[int], Sequence[Row]],
    steps: int,
    *,
    rate: float,
    warmup: int,
    final: float,
    after: Callable[[int], None] = lambda step: None,
) -> None:
    """Train on `batch(step)` for so many steps with AdamW, and call `after` with the number of steps done.

    The learning rate rises to `rate` over `warmup` steps and falls along a cosine to `final` of it.
    """
    import torch
    import torch.nn.functional as F

    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    model.train()
    for step in range(steps):
        turn = (1 + math.cos(math.pi * max(step - warmup, 0) / max(steps - warmup, 1))) / 2
        for group in optimizer.param_groups:
            group["lr"] = rate * min((step + 1) / warmup, final + (1 - final) * turn)
        rows = Counter(batch(step))  # one that is drawn twice is computed once, and counts twice
        learnt = sum(len(row.learnt) * count for row, count in rows.items())
        optimizer.zero_grad()
        for part in alike(rows):
            ids, places, wanted = batch_of(part)
            logits = logits_at(model, ids, places).flatten(0, 1)
            losses = F.cross_entropy(logits, wanted.flatten(), reduction="none").view_as(wanted)
            counts = torch.tensor([float(rows[row]) for row in part])
            (counts @ losses.sum(1) / learnt).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        after(step + 1)


def next_tokens(model: Any, prompts: Sequence[Sequence[int]], rows: int = 512) -> list[int]:
    """Return the token that the model finds most probable after each prompt."""
    import torch

    model.eval()
    found: list[int] = []
    with torch.inference_mode():
        for start in range(0, len(prompts), rows):
            block = [Row((*ids, 0), (len(ids),)) for ids in prompts[start : start + rows]]
            ids, places, _ = batch_of(block)
            found += logits_at(model, ids, places)[:, 0].argmax(-1).tolist()
    model.train()
    return found


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write the student as a folder that transformers reads, whole or not at all."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    shutil.rmtree(folder, ignore_errors=True)  # a student whose recall was not written down any more
    unfinished.rename(folder)


def load(folder: Path) -> Any:
    """Return the model of a folder."""
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(folder)
