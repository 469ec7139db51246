"""The export formats: one function per format, from a sample to its row.

Every row begins with `id` and `task` (the names from the root), by which it is found again in the run directory; where
a sample came from and what each stage noted stays there.

Reasoning, where asked for, goes where chat templates look for it: `reasoning_content` of the last message in `messages`
(the name that servers and templates use), and in the formats of plain text a `<think>` block before the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from curate.errors import InputError
from curate.io import join_input, whole
from curate.types import Message, Sample

Row = dict[str, Any]


def messages(sample: Sample, reasoning: bool = False) -> Row:
    """`messages`: role and content, as chat templates and TRL take them; any number of turns."""
    turns = _checked(sample, "messages")
    if reasoning:
        # On every answer and never null: readers infer the column's type from the first rows they see.
        for turn in turns:
            if turn["role"] == "assistant":
                turn["reasoning_content"] = ""
        turns[-1]["reasoning_content"] = reasoning_of(sample)
    return {**_head(sample), "messages": turns}


def alpaca(sample: Sample, reasoning: bool = False) -> Row:
    """`instruction`, `input`, `output`: one exchange; the input is told apart where the sample came with one."""
    asked, answer = _exchange(sample, "alpaca", reasoning)
    source = sample.meta.get("source", {})
    instruction, text = (whole(str(source.get(name) or "")).strip() for name in ("instruction", "input"))
    # A stage may have rewritten the message since; then its parts are no longer what they were.
    if not text or join_input(instruction, text) != asked:
        instruction, text = asked, ""
    return {**_head(sample), "instruction": instruction, "input": text, "output": answer}


def prompt_completion(sample: Sample, reasoning: bool = False) -> Row:
    """`prompt`, `completion`: one exchange as plain text."""
    prompt, completion = _exchange(sample, "prompt_completion", reasoning)
    return {**_head(sample), "prompt": prompt, "completion": completion}


def sharegpt(sample: Sample, reasoning: bool = False) -> Row:
    """`conversations`: from (system, human, gpt) and value; any number of turns."""
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    turns = [{"from": names[m["role"]], "value": m["content"]} for m in _checked(sample, "sharegpt")]
    turns[-1]["value"] = _thinking(sample, reasoning) + turns[-1]["value"]
    return {**_head(sample), "conversations": turns}


FORMATS: dict[str, Callable[[Sample, bool], Row]] = {
    "messages": messages,
    "alpaca": alpaca,
    "prompt_completion": prompt_completion,
    "sharegpt": sharegpt,
}
"""The formats by name. Each raises InputError, which names sample and format, for a sample it cannot hold."""


def reasoning_of(sample: Sample) -> str:
    """Return the reasoning that came with the sample: its own, else that of the call that wrote it, else nothing."""
    return whole(str(sample.meta.get("reasoning") or sample.meta.get("generate", {}).get("reasoning") or ""))


def _thinking(sample: Sample, reasoning: bool) -> str:
    thought = reasoning_of(sample) if reasoning else ""
    return f"<think>\n{thought}\n</think>\n\n" if thought else ""


def _head(sample: Sample) -> Row:
    return {"id": sample.id, "task": [whole(name) for name in sample.task]}


def _checked(sample: Sample, name: str) -> list[Message]:
    """Return the messages of a sample that has a question and ends in an answer."""
    turns = [{"role": turn["role"], "content": whole(turn["content"])} for turn in sample.messages]
    if not turns or turns[-1]["role"] != "assistant" or not turns[-1]["content"].strip():
        raise InputError(f"sample {sample.id}: the format '{name}' needs an answer, and no assistant's text comes last")
    if not any(turn["role"] == "user" and turn["content"].strip() for turn in turns):
        raise InputError(f"sample {sample.id}: the format '{name}' needs a message from the user")
    return turns


def _exchange(sample: Sample, name: str, reasoning: bool) -> tuple[str, str]:
    """Return the one question and the one answer of a sample that has no more."""
    turns = _checked(sample, name)
    if (roles := [turn["role"] for turn in turns]) != ["user", "assistant"]:
        raise InputError(
            f"sample {sample.id}: the format '{name}' holds one user message and one answer, and this has "
            f"{', '.join(roles)}; use 'messages' or 'sharegpt'"
        )
    return turns[0]["content"], _thinking(sample, reasoning) + turns[1]["content"]
