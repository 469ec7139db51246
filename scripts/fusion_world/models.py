"""The models of a made-up world: their shapes, how they are made, and how they are asked.

They are ordinary models of transformers in ordinary folders, so that curate opens them as any others.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from scripts.fusion_world.skills import LONGEST, Task, World, draw
from scripts.fusion_world.tokens import ASKED, END

SPREAD = 0.06
"""Standard deviation of the first weights; the usual 0.02 learns more slowly at this width."""

THETA = 100.0
"""The base of rotary positions; the usual 10,000 hardly tells a dozen places apart."""

CONTEXT = 32
ROOM = 2 * LONGEST + 1
"""Tokens of an answer at most, with its end."""

ROWS = 1024
"""Answers that are sampled side by side."""

FEW = 0.75
"""The share of them that is not ended yet at which the others are left out."""

BATCH = 64


def _llama(width: int, vocabulary: int) -> Any:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
            num_attention_heads=4, max_position_embeddings=CONTEXT, tie_word_embeddings=True,
            initializer_range=SPREAD, rope_parameters={"rope_type": "default", "rope_theta": THETA}, pad_token_id=0,
            bos_token_id=None, eos_token_id=1,
        )
    )  # fmt: skip


def _gpt2(width: int, vocabulary: int) -> Any:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary, n_embd=width, n_layer=2, n_head=4, n_positions=CONTEXT, resid_pdrop=0.0,
            embd_pdrop=0.0, attn_pdrop=0.0, initializer_range=SPREAD, pad_token_id=0, bos_token_id=None,
            eos_token_id=1,
        )
    )  # fmt: skip


def _neox(width: int, vocabulary: int) -> Any:
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=vocabulary, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=2,
            num_attention_heads=4, max_position_embeddings=CONTEXT, attention_dropout=0.0, hidden_dropout=0.0,
            tie_word_embeddings=True, initializer_range=SPREAD,
            rope_parameters={"rope_type": "default", "rope_theta": THETA, "partial_rotary_factor": 1.0},
            pad_token_id=0, bos_token_id=None, eos_token_id=1,
        )
    )  # fmt: skip


SHAPES: dict[str, Callable[[int, int], Any]] = {"llama": _llama, "gpt2": _gpt2, "neox": _neox}


def device() -> torch.device:
    """Return where models are trained and asked."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def new_model(shape: str, width: int, vocabulary: int, seed: int) -> Any:
    """Return an untrained model of two layers."""
    torch.manual_seed(seed)
    return SHAPES[shape](width, vocabulary).to(device())


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a model as a folder that transformers reads, whole or not at all."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def load(folder: Path) -> Any:
    """Return the model of a folder."""
    return AutoModelForCausalLM.from_pretrained(folder).to(device())


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of texts."""
    rows: list[list[int]] = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return rows


def make(
    model: Any, tokenizer: Any, skills: Sequence[str], world: World, stream: int, steps: int, rate: float,
    after: Callable[[int], bool], cooling: int = 0,
) -> int:  # fmt: skip
    """Train a model on fresh tasks until `after(step)` says that it is enough, and return the number of steps.

    Prompts that the world keeps back for the arms and the tests are not among them. In `cooling` more steps, which are
    the last ones of `steps` where it is never enough, the learning rate falls to nothing along a line.
    """
    rng = np.random.default_rng([world.seed, 2, stream])
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    model.train()
    step, end = 0, steps
    while step < end:
        step += 1
        for group in optimizer.param_groups:
            group["lr"] = rate * min(step / 30, 1.0, (end - step + 1) / max(cooling, 1))
        tasks = [task for task in draw(rng, skills, BATCH) if task.prompt not in world.kept_back]
        hidden, wanted = _answers_hidden(model, tokenizer, tasks)[:2]
        optimizer.zero_grad()
        F.cross_entropy(model.get_output_embeddings()(hidden), wanted).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if end == steps and after(step):
            end = min(steps, step + cooling)
    return end


def _answers_hidden(model: Any, tokenizer: Any, tasks: Sequence[Task]) -> tuple[Any, torch.Tensor, list[int]]:
    """Return the hidden states that predict the right answers' tokens [N, d], those tokens, and how many each has."""
    prompts = encode(tokenizer, [task.prompt + ASKED for task in tasks])
    answers = encode(tokenizer, [task.answer + END for task in tasks])
    width = max(len(one) + len(other) for one, other in zip(prompts, answers, strict=True))
    ids = np.zeros((len(tasks), width), dtype=np.int64)
    places: list[int] = []
    for at, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        ids[at, : len(prompt) + len(answer)] = prompt + answer
        places += range(at * width + len(prompt) - 1, at * width + len(prompt) + len(answer) - 1)
    # Padded on the right, where nothing of a row looks.
    where = torch.tensor(places, device=device())
    rows = torch.from_numpy(ids).to(device())
    hidden = model.get_decoder()(input_ids=rows, use_cache=False).last_hidden_state.flatten(0, 1)[where]
    return hidden, rows.flatten()[where + 1], [len(answer) for answer in answers]


def right(model: Any, tokenizer: Any, tasks: Sequence[Task]) -> dict[str, float]:
    """Return, for each skill, the share of tasks that greedy decoding answers right.

    It does where every token of the right answer is the most probable one after those before it, in the tokens that
    the tokenizer makes of the answer.
    """
    model.eval()
    with torch.inference_mode():
        hidden, wanted, lengths = _answers_hidden(model, tokenizer, tasks)
        hits = (model.get_output_embeddings()(hidden).argmax(-1) == wanted).tolist()
    model.train()
    found: dict[str, list[bool]] = defaultdict(list)
    start = 0
    for task, length in zip(tasks, lengths, strict=True):
        found[task.skill].append(all(hits[start : start + length]))
        start += length
    return {skill: float(np.mean(found[skill])) for skill in sorted(found)}


def mean(shares: dict[str, float]) -> float:
    """Return the mean over skills."""
    return float(np.mean(list(shares.values())))


def sample(model: Any, tokenizer: Any, prompts: Sequence[str], each: int, seed: int) -> list[list[str]]:
    """Return `each` answers to every prompt, drawn at temperature 1; one that was not ended is "" """
    generator = torch.Generator(device()).manual_seed(seed)
    found: list[list[str]] = [[] for _ in prompts]
    model.eval()
    with torch.inference_mode():
        for places, ids in _alike(encode(tokenizer, [prompt + ASKED for prompt in prompts]), ROWS // each):
            rows = _drawn(model, torch.tensor(ids, device=device()), each, generator).tolist()
            ends = [row.index(1) if 1 in row else -1 for row in rows]
            texts = tokenizer.batch_decode([row[: max(end, 0)] for row, end in zip(rows, ends, strict=True)])
            for at, place in enumerate(places):
                found[place] = texts[at * each : (at + 1) * each]
    model.train()
    return found


def _alike(rows: Sequence[list[int]], count: int) -> Iterator[tuple[list[int], list[list[int]]]]:
    """Yield rows of the same length, `count` at most, with their places: what needs no padding."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        by_length[len(row)].append(place)
    for places in by_length.values():
        for start in range(0, len(places), count):
            part = places[start : start + count]
            yield part, [rows[place] for place in part]


def _drawn(model: Any, ids: torch.Tensor, each: int, generator: torch.Generator) -> torch.Tensor:
    """Return ROOM tokens after each row of prompts, `each` times; what follows an end has no meaning."""
    out = model(input_ids=ids, use_cache=True)
    cache = out.past_key_values
    cache.batch_repeat_interleave(each)
    logits = out.logits[:, -1].repeat_interleave(each, 0)
    drawn = torch.ones(len(logits), ROOM, dtype=torch.int64, device=logits.device)
    rows = torch.arange(len(logits), device=logits.device)
    for place in range(ROOM):
        token = torch.multinomial(logits.softmax(-1), 1, generator=generator)
        drawn[rows, place] = token[:, 0]
        going = (drawn[rows, : place + 1] != 1).all(1).nonzero()[:, 0]
        if not len(going) or place + 1 == ROOM:
            break
        if len(going) < FEW * len(rows):
            rows, token = rows[going], token[going]
            cache.batch_select_indices(going)
        out = model(input_ids=token, past_key_values=cache, use_cache=True)
        cache, logits = out.past_key_values, out.logits[:, -1]
    return drawn
