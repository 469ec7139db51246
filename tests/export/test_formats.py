from __future__ import annotations

import pytest

from curate.errors import InputError
from curate.export import FORMATS
from curate.io import read_samples, write_jsonl
from curate.text import content_id
from curate.types import Sample

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "Solve:\n\n$\\frac{x}{2} = ½$ — 求 x。"}
REPLY = {"role": "assistant", "content": "So\n\\boxed{1} \U0001f600"}
PATH = ("math", "algebra")
SOURCE = {"instruction": "Solve:", "input": "$\\frac{x}{2} = ½$ — 求 x。", "output": "?"}


def make(*messages, **meta) -> Sample:
    return Sample(content_id(messages), messages, PATH, meta)


ONE = make(USER, REPLY, source=SOURCE, generate={"reasoning": "Double both sides."})
HEAD = {"id": ONE.id, "task": ["math", "algebra"]}
THINK = "<think>\nDouble both sides.\n</think>\n\n"

GOLDEN = [
    ("messages", False, {**HEAD, "messages": [USER, REPLY]}),
    ("messages", True, {**HEAD, "messages": [USER, {**REPLY, "reasoning_content": "Double both sides."}]}),
    ("alpaca", False, {**HEAD, "instruction": "Solve:", "input": SOURCE["input"], "output": REPLY["content"]}),
    ("alpaca", True, {**HEAD, "instruction": "Solve:", "input": SOURCE["input"], "output": THINK + REPLY["content"]}),
    ("prompt_completion", False, {**HEAD, "prompt": USER["content"], "completion": REPLY["content"]}),
    ("prompt_completion", True, {**HEAD, "prompt": USER["content"], "completion": THINK + REPLY["content"]}),
    (
        "sharegpt",
        False,
        {
            **HEAD,
            "conversations": [{"from": "human", "value": USER["content"]}, {"from": "gpt", "value": REPLY["content"]}],
        },
    ),
    (
        "sharegpt",
        True,
        {
            **HEAD,
            "conversations": [
                {"from": "human", "value": USER["content"]},
                {"from": "gpt", "value": THINK + REPLY["content"]},
            ],
        },
    ),
]


@pytest.mark.parametrize(("name", "reasoning", "row"), GOLDEN)
def test_golden_rows(name, reasoning, row):
    assert FORMATS[name](ONE, reasoning) == row


@pytest.mark.parametrize("name", FORMATS)
def test_a_row_comes_back_as_the_sample_it_was(tmp_path, name):
    write_jsonl(tmp_path / "a.jsonl", [FORMATS[name](ONE, False)])
    [back] = read_samples(tmp_path / "a.jsonl")
    assert (back.id, back.task, back.messages) == (ONE.id, ONE.task, ONE.messages)


def test_reasoning_comes_back_from_messages(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [FORMATS["messages"](ONE, True)])
    [back] = read_samples(tmp_path / "a.jsonl")
    assert back.meta == {"reasoning": "Double both sides."}
    assert FORMATS["messages"](back, True) == FORMATS["messages"](ONE, True)


def test_a_conversation_with_a_system_message():
    sample = make(SYSTEM, USER, REPLY, {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes."})
    row = FORMATS["messages"](sample, True)
    assert [m.get("reasoning_content") for m in row["messages"]] == [None, None, "", None, ""]
    row = FORMATS["sharegpt"](sample, True)
    assert [turn["from"] for turn in row["conversations"]] == ["system", "human", "gpt", "human", "gpt"]
    for name in ("alpaca", "prompt_completion"):
        with pytest.raises(InputError) as error:
            FORMATS[name](sample, False)
        assert str(error.value) == (
            f"sample {sample.id}: the format '{name}' holds one user message and one answer, and this has "
            "system, user, assistant, user, assistant; use 'messages' or 'sharegpt'"
        )


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ((USER,), "needs an answer, and no assistant's text comes last"),
        ((USER, {"role": "assistant", "content": " \n"}), "needs an answer, and no assistant's text comes last"),
        ((USER, REPLY, USER), "needs an answer, and no assistant's text comes last"),
        ((), "needs an answer, and no assistant's text comes last"),
        ((SYSTEM, REPLY), "needs a message from the user"),
    ],
)
def test_a_sample_without_question_or_answer_is_refused(name, messages, problem):
    sample = make(*messages)
    with pytest.raises(InputError) as error:
        FORMATS[name](sample, False)
    assert str(error.value) == f"sample {sample.id}: the format '{name}' {problem}"


def test_alpaca_does_not_split_a_message_that_was_rewritten():
    row = FORMATS["alpaca"](make({"role": "user", "content": "Solve it."}, REPLY, source=SOURCE), False)
    assert (row["instruction"], row["input"]) == ("Solve it.", "")


def test_half_a_surrogate_pair_is_replaced():
    row = FORMATS["prompt_completion"](make({"role": "user", "content": "a\ud83d"}, REPLY), False)
    assert row["prompt"] == "a\ufffd"
