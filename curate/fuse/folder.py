"""The folder of a collection: what lies in it, and its files read side by side.

calls.sqlite     every call that was paid for, every verdict and score: the files below are made from it anew
prompts.jsonl    prompt_id, messages, domain, check       prompts.dropped.jsonl has copies, with the reason
responses.jsonl  response_id, prompt_id, model_id, role, sample_idx, seed, sampling, content, failure, and more
verdicts.jsonl   response_id, verifier_id, status, extracted, n_pass, n_total, why
scores.jsonl     response_id, scorer_id, score, attributes, why      only where responses were scored
collected.json   settings and counts; written last, so that it means that the others are whole

Responses are in the order of the prompts; verdicts and scores in that of the responses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.fuse.prompts import Prompt
from curate.io import read_jsonl

PROMPTS, DROPPED, RESPONSES = "prompts.jsonl", "prompts.dropped.jsonl", "responses.jsonl"
VERDICTS, SCORES, COLLECTED = "verdicts.jsonl", "scores.jsonl", "collected.json"

STATUSES = ("pass", "fail", "error", "timeout", "skip")
"""What a verdict can be. Only `fail` is a wrong answer; `skip` is a response that no rule checks."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response as the builders see it; `score` is None where it could not be scored, or nothing was."""

    id: str
    model: str
    role: str
    content: str
    reasoning: str
    status: str
    score: float | None

    def as_message(self) -> dict[str, str]:
        """Return it as the assistant's message."""
        message = {"role": "assistant", "content": self.content}
        return {**message, "reasoning_content": self.reasoning} if self.reasoning else message


def read_prompts_of(folder: Path) -> Iterator[Prompt]:
    """Read the prompts of a collection."""
    return map(Prompt.from_json, read_jsonl(folder / PROMPTS))


def with_prompts(folder: Path) -> Iterator[tuple[Prompt, dict[str, Any]]]:
    """Yield every response's row with its prompt, in order."""
    prompts = read_prompts_of(folder)
    prompt = next(prompts, None)
    for row in read_jsonl(folder / RESPONSES):
        while prompt is not None and prompt.id != row["prompt_id"]:
            prompt = next(prompts, None)
        if prompt is None:
            raise _damaged(folder, RESPONSES)
        yield prompt, row


def read_settings(folder: Path) -> dict[str, Any]:
    """Return what was collected: `settings`, `prompts` and the counts.

    Raises:
        InputError: nothing, or nothing whole, was collected here.
    """
    try:
        value = json.loads((folder / COLLECTED).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder}: no whole collection lies here ({COLLECTED} is missing or damaged); `curate fuse collect` makes "
            "one, and the same command again finishes one that was stopped"
        ) from error
    if not isinstance(value, dict):
        raise _damaged(folder, COLLECTED)
    return value


def read_collected(folder: Path, scored: bool) -> Iterator[tuple[Prompt, list[Response]]]:
    """Yield every prompt with all responses to it.

    Raises:
        InputError: the files do not belong to each other.
    """
    scores = read_jsonl(folder / SCORES) if scored else repeat({})
    verdicts = read_jsonl(folder / VERDICTS)
    at: Prompt | None = None
    responses: list[Response] = []
    for prompt, row in with_prompts(folder):
        verdict, score = next(verdicts, None), next(scores, None)
        name = row["response_id"]
        if verdict is None or verdict["response_id"] != name:
            raise _damaged(folder, VERDICTS)
        if score is None or (scored and score["response_id"] != name):
            raise _damaged(folder, SCORES)
        if at is None or prompt.id != at.id:
            if at is not None:
                yield at, responses
            at, responses = prompt, []
        responses.append(
            Response(
                name,
                row["model_id"],
                row["role"],
                row["content"],
                row["reasoning"],
                verdict["status"],
                score.get("score"),
            )
        )
    if at is not None:
        yield at, responses


def _damaged(folder: Path, name: str) -> InputError:
    return InputError(
        f"{folder / name}: does not belong to the files beside it; the same `curate fuse collect` again makes them anew"
    )
