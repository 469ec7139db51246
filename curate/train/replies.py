"""What a model answers to problems whose answer is known, and whether that is right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from curate.train.data.formats import document_of
from curate.train.data.tokens import NO_LOSS, Coded, Coder
from curate.train.model import as_it_came, causal, precision
from curate.train.settings import Settings
from curate.types import Sample
from curate.verify import MathChecker, final_answer

ROOM = {"cuda": 131_072, "cpu": 8_192}
"""Tokens of all prompts and answers that are generated together."""

COLUMNS = ("final_answer", "answer", "gold")
"""Columns beside a conversation in which datasets keep the answer."""

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?|-?\.\d+")


@dataclass(frozen=True)
class Problem:
    """A sample with a known answer: its place in the dataset, the tokens that the model is asked with, the answer."""

    number: int
    prompt: list[int]
    gold: str


def gold_of(sample: Sample) -> str | None:
    """Return the known answer of a sample: from a column of its own, from a teacher that computes it, else marked.

    The last is what `curate.verify.final_answer` finds in the response, GSM8K's `#### 42` among it.
    """
    for column in COLUMNS:
        value = sample.meta.get("source", {}).get(column)
        if isinstance(value, (int, float, str)) and not isinstance(value, bool) and str(value).strip():
            return final_answer(str(value)) or str(value).strip()
    made = sample.meta.get("generate", {}).get("answer")
    return str(made) if made else final_answer(sample.response)


def problem_of(number: int, coded: Coded, coder: Coder) -> Problem | None:
    """Return the problem of an encoded sample; None where it has no answer or was too long to be whole.

    A plain document asks nothing.
    """
    if document_of(coded.sample) is not None or not coded.verdict.keep or coded.tokens > coder.max_length:
        return None
    gold = gold_of(coded.sample)
    return Problem(number, _asked(coded), gold) if gold else None


def _asked(coded: Coded) -> list[int]:
    """Return the tokens before the last answer."""
    document = coded.documents[-1]
    end = max(place for place, label in enumerate(document.labels) if label != NO_LOSS)
    while document.labels[end - 1] != NO_LOSS:
        end -= 1
    return document.input_ids[:end]


def batches_of(problems: Sequence[Problem], new: int, room: int) -> list[list[Problem]]:
    """Return the problems in batches that hold at most `room` tokens, the longest prompts first.

    They depend on the problems alone, so that a run that goes on generates what it would have.
    """
    batches: list[list[Problem]] = []
    for problem in sorted(problems, key=lambda one: (-len(one.prompt), one.number)):
        if batches and (len(batches[-1]) + 1) * (len(batches[-1][0].prompt) + new) <= room:
            batches[-1].append(problem)
        else:
            batches.append([problem])
    return batches


def replies(
    model: nn.Module, tokenizer: Any, coder: Coder, batch: Sequence[Problem], new: int, settings: Settings
) -> list[str]:
    """Return the model's answers to a batch of problems, each of at most `new` tokens, by greedy decoding."""
    inner = causal(model)
    device = next(inner.parameters()).device
    width = max(len(problem.prompt) for problem in batch)
    pad = tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(one.prompt)) + one.prompt for one in batch], device=device)
    mask = torch.tensor([[0] * (width - len(one.prompt)) + [1] * len(one.prompt) for one in batch], device=device)
    own = inner.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}
    # A template may end an answer with another token than the tokenizer's, or with text that is no token.
    if len(coder.end_ids) == 1:
        ends.add(coder.end_ids[0])
    stop = {"stop_strings": [coder.end], "tokenizer": tokenizer} if len(coder.end_ids) > 1 else {}
    with as_it_came(model), precision(settings, device):
        out = inner.generate(
            ids, attention_mask=mask, max_new_tokens=new, do_sample=False, use_cache=True, pad_token_id=pad,
            eos_token_id=sorted(ends), temperature=None, top_p=None, top_k=None, **stop,
        )  # fmt: skip
    texts = []
    for row in out[:, width:].tolist():
        length = next((place for place, token in enumerate(row) if token in ends), len(row))
        text = tokenizer.decode(row[:length], skip_special_tokens=True)
        texts.append(text.split(coder.end, 1)[0] if coder.end else text)
    return texts


def last_number(text: str) -> str | None:
    """Return the last number of a text without a marked answer; a sentence's full stop is not part of it."""
    found = _NUMBER.findall(text)
    return found[-1].replace(",", "") if found else None


def checked(asked: Iterable[tuple[Problem, str]], checker: MathChecker) -> Iterator[dict[str, Any]]:
    """Yield a row for each reply: what was answered, and whether it is the known answer as mathematics.

    `exact` holds for the answer that the reply marks, `lenient` also for its last number where it marks none.
    """
    known = list(asked)
    found = [final_answer(reply) or last_number(reply) for _, reply in known]
    verdicts = checker.check_many(
        (rf"\boxed{{{answer}}}" if answer else "", problem.gold)
        for answer, (problem, _) in zip(found, known, strict=True)
    )
    for verdict, answer, (problem, reply) in zip(verdicts, found, known, strict=True):
        marked = final_answer(reply) is not None
        yield {
            "number": problem.number, "gold": problem.gold, "answer": answer, "marked": marked,
            "exact": verdict.keep and marked, "lenient": verdict.keep, "reason": verdict.reason, "reply": reply,
        }  # fmt: skip
