"""From a sample to the turns that a chat template sees, or to the text of a plain document."""

from __future__ import annotations

from curate.io import join_input
from curate.train.data.templates import Turn
from curate.types import KEEP, Sample, Verdict, drop


def turns_of(sample: Sample, takes_reasoning: bool) -> list[dict[str, str]]:
    """Return the messages of a sample with what it keeps beside them.

    The question of an Alpaca row has its `instruction` and `input` also apart, for templates that tell them apart. The
    last answer has its `reasoning_content` where the template takes it, else a `<think>` block before it, as
    `curate export` writes them.
    """
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in sample.messages]
    source = sample.meta.get("source", {})
    instruction, text = (source.get(name) for name in ("instruction", "input"))
    if isinstance(instruction, str) and isinstance(text, str) and text:
        for turn in turns:
            # A stage may have rewritten the message since; then its parts are no longer what they were.
            if turn["role"] == "user" and turn["content"] == join_input(instruction, text):
                turn |= {"instruction": instruction, "input": text}
    thought = sample.meta.get("reasoning")
    if isinstance(thought, str) and thought and turns and turns[-1]["role"] == "assistant":
        if takes_reasoning:
            turns[-1]["reasoning_content"] = thought
        else:
            turns[-1]["content"] = f"<think>\n{thought}\n</think>\n\n{turns[-1]['content']}"
    return turns


def document_of(sample: Sample) -> str | None:
    """Return the text of a plain document, None for a conversation."""
    (first, *others) = sample.messages
    return first["content"] if first["role"] == "assistant" and not others else None


def checked(turns: list[dict[str, str]]) -> Verdict:
    """Return whether the turns can be learnt from: questions and answers in turn, none of the answers empty."""
    roles = [turn["role"] for turn in turns]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if not spoken or spoken[-1] != "assistant":
        return drop("no_answer", roles=", ".join(roles))
    if spoken != ["user", "assistant"] * (len(spoken) // 2):
        return drop("roles_out_of_order", roles=", ".join(roles))
    empty = next(
        (n for n, turn in enumerate(turns) if turn["role"] == "assistant" and not turn["content"].strip()), None
    )
    return KEEP if empty is None else drop("empty_response", message=empty + 1)


def merged(turns: list[Turn]) -> list[Turn]:
    """Return the turns with the system message before the first question, for templates without a place for one."""
    if len(turns) < 2 or turns[0]["role"] != "system":
        return turns
    content = f"{turns[0]['content']}\n\n{turns[1]['content']}"
    return [{"role": turns[1]["role"], "content": content}, *turns[2:]]
