"""From rows in the shapes that people write to a prompt and its answers, exact to the token."""

import pytest

from curate.errors import InputError
from curate.train.data.tokens import NO_LOSS

USER = {"role": "user", "content": "How many?"}
GOOD, BAD, BEST = ({"role": "assistant", "content": text} for text in ("Seven apples", "Eight", "Nine plums"))
ROW = {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD], "chosen_source": [BEST]}


def texts(tokenizer, one):
    return [tokenizer.decode(document.input_ids) for document in one.documents]


def learnt(tokenizer, one):
    """Return what has loss in each of the answers."""
    return [tokenizer.decode([label for label in part.labels if label != NO_LOSS]) for part in one.documents[1:]]


def test_a_prompt_stands_once_and_each_answer_has_loss_to_the_end_of_its_turn(encode, tokenizer):
    (one,) = encode([ROW], ("chosen_source", "chosen", "rejected"))
    assert texts(tokenizer, one) == [
        "<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\n",
        "Nine plums<|im_end|>\n",
        "Seven apples<|im_end|>\n",
        "Eight<|im_end|>\n",
    ]
    assert learnt(tokenizer, one) == ["Nine plums<|im_end|>", "Seven apples<|im_end|>", "Eight<|im_end|>"]
    assert set(one.documents[0].labels) == {NO_LOSS}
    assert one.tokens == sum(len(part.input_ids) for part in one.documents)


SHAPES = {
    "text": {"prompt": "How many?", "chosen": GOOD["content"], "rejected": BAD["content"]},
    "one message": {"prompt": [USER], "chosen": GOOD, "rejected": BAD},
    "whole conversations": {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
    "whole conversations beside their prompt": {
        "prompt": "How many?", "chosen": [USER, GOOD], "rejected": [USER, BAD], "messages": [USER, GOOD]},
    "whole and in part": {"chosen": [USER, GOOD], "rejected": BAD["content"]},
    "sharegpt": {
        "conversations": [{"from": "human", "value": "How many?"}],
        "chosen": {"from": "gpt", "value": GOOD["content"]}, "rejected": {"from": "gpt", "value": BAD["content"]}},
    "written out": {
        "chosen": "\n\nHuman: How many?\n\nAssistant: Seven apples",
        "rejected": "\n\nHuman: How many?\n\nAssistant: Eight"},
    "question": {"question": "How many?", "chosen": GOOD["content"], "rejected": BAD["content"]},
    "a filtered sample": {
        "id": "0123456789abcdef", "task": [], "messages": [USER, GOOD], "meta": {"source": {"rejected": [BAD]}}},
    "a prompt of messages": {"messages": [USER], "chosen": [GOOD], "rejected": [BAD]},
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_all_shapes_are_the_same_group(encode, tokenizer, shape):
    (expected,), (one,) = encode([ROW]), encode([SHAPES[shape]])
    assert one.verdict.keep, one.verdict
    assert one.documents == expected.documents


def test_columns_of_other_names_can_be_named(tokenizer, encode):
    row = {"q": "How many?", "good": GOOD["content"], "bad": BAD["content"], "best": BEST["content"]}
    fields = {"instruction": "q", "response": "good", "rejected": "bad", "chosen_source": "best"}
    sides = ("chosen_source", "chosen", "rejected")
    (expected,), (one,) = encode([ROW], sides), encode([row], sides, fields=fields)
    assert one.documents == expected.documents


def test_a_system_message_goes_before_all_sides(encode, tokenizer):
    (one,) = encode([{"system": "Be kind", "chosen": [USER, GOOD], "rejected": [USER, BAD]}])
    assert texts(tokenizer, one)[0].startswith("<|im_start|>system\nBe kind<|im_end|>\n<|im_start|>user")
    assert texts(tokenizer, one)[2] == "Eight<|im_end|>\n"


def test_earlier_answers_have_no_loss_and_later_ones_have(encode, tokenizer):
    start = [USER, {"role": "assistant", "content": "Of what?"}, {"role": "user", "content": "Of all"}]
    more = [GOOD, {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes"}]
    (one,) = encode([{"chosen": start + more, "rejected": [*start, BAD]}])
    assert learnt(tokenizer, one) == ["Seven apples<|im_end|>Yes<|im_end|>", "Eight<|im_end|>"]
    assert "Of what?" in texts(tokenizer, one)[0]


DROPPED = {
    "equal_answers": ROW | {"rejected": [{**GOOD, "content": "Seven apples "}]},
    "empty_response": ROW | {"rejected": [{**BAD, "content": " "}]},
    "no_rejected": {key: value for key, value in ROW.items() if key != "rejected"},
    "different_prompts": {"chosen": [USER, GOOD], "rejected": [{**USER, "content": "Who?"}, BAD]},
    "roles_out_of_order": {"chosen": [USER, USER, GOOD], "rejected": [USER, USER, BAD]},
}


@pytest.mark.parametrize("reason", DROPPED)
def test_what_cannot_be_learnt_from_has_a_reason(encode, reason):
    kept, dropped = encode([ROW, DROPPED[reason]])
    assert kept.verdict.keep
    assert (dropped.verdict.keep, dropped.verdict.reason, dropped.documents) == (False, reason, [])


def test_a_sources_answer_that_is_the_rejected_one_is_no_better(encode):
    (one,) = encode([ROW | {"chosen_source": [BAD]}], ("chosen_source", "chosen", "rejected"))
    assert one.verdict.reason == "equal_answers"
    (same,) = encode([ROW | {"chosen_source": [GOOD]}], ("chosen_source", "chosen", "rejected"))
    assert same.verdict.keep


def test_a_column_that_no_row_has_is_one_clear_line(encode):
    rows = [{"prompt": "a", "chosen": "b"}, {"prompt": "c", "chosen": "d"}]
    with pytest.raises(InputError, match="rows: there is no 'rejected' in its rows; curate train dpo takes rows with "
                                         "prompt, chosen, rejected"):  # fmt: skip
        encode(rows)
    rows = [{**row, "rejected": "e"} for row in rows]
    with pytest.raises(InputError, match=r"there is no 'chosen_source' .* `curate fuse build wrpo` writes such rows"):
        encode(rows, ("chosen_source", "chosen", "rejected"))


def test_long_answers_are_cut_or_dropped_and_long_prompts_dropped(encode, tokenizer):
    prompt = len(encode([ROW])[0].documents[0].input_ids)
    (cut,) = encode([ROW], max_length=prompt + 3)
    assert cut.cut and [len(part.input_ids) for part in cut.documents] == [prompt, 3, 3]
    assert cut.tokens > prompt + 6
    (whole,) = encode([ROW])
    assert not whole.cut
    (dropped,) = encode([ROW], max_length=prompt + 3, long="drop")
    assert (dropped.verdict.reason, dropped.verdict.detail["limit"]) == ("too_long", prompt + 3)
    (gone,) = encode([ROW], max_length=prompt)
    assert gone.verdict.reason == "answer_cut_away"
    alike = ROW | {"rejected": [{**GOOD, "content": "Seven apples and a pear"}]}
    (equal,) = encode([alike], max_length=prompt + 2)
    assert equal.verdict.reason == "equal_when_cut"
