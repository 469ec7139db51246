from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.train.data.templates import find_template, shipped_templates
from curate.train.data.tokens import NO_LOSS, Coder, Encoded
from curate.types import Sample

MODELS = Path(__file__).parent / "models"

FAMILIES = {
    "llama-3.2": ({"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}, "<|eot_id|>"),
    "qwen2.5": ({"bos_token": None, "eos_token": "<|im_end|>"}, "<|im_end|>"),
    "qwen3": ({"bos_token": None, "eos_token": "<|im_end|>"}, "<|im_end|>"),
    "gemma-2": ({"bos_token": "<bos>", "eos_token": "<eos>"}, "<end_of_turn>"),
    "mistral-v0.3": ({}, "</s>"),
    "chatml": ({"bos_token": None, "eos_token": "<|im_end|>"}, "<|im_end|>"),
    "vicuna": ({}, "</s>"),
    "alpaca": ({}, "</s>"),
    "llama-3": ({"bos_token": "<|begin_of_text|>"}, "<|eot_id|>"),
    "mistral": ({}, "</s>"),
    "gemma": ({"bos_token": "<bos>"}, "<end_of_turn>"),
    "qwen": ({"bos_token": None}, "<|im_end|>"),
}
"""The tokens that each family of models names, and the one that ends its turns."""


def sample(*turns: tuple[str, str], **meta: Any) -> Sample:
    return Sample("x", tuple({"role": role, "content": content} for role, content in turns), meta=meta)


@pytest.fixture(scope="module")
def coders(make_tokenizer: Callable[..., Any]) -> dict[str, Coder]:
    made = {}
    for name, (roles, _) in FAMILIES.items():
        own = (MODELS / f"{name}.jinja").read_text() if (MODELS / f"{name}.jinja").is_file() else None
        tokenizer = make_tokenizer(own, **roles)
        made[name] = Coder(tokenizer, find_template(None if own else name, tokenizer), 4096)
    return made


def learnt(coder: Coder, document: Encoded) -> list[str]:
    """The runs of tokens with loss, decoded."""
    runs: list[list[int]] = [[]]
    for token, label in zip(document.input_ids, document.labels, strict=True):
        assert label in (token, NO_LOSS)
        if label == NO_LOSS:
            runs.append([])
        else:
            runs[-1].append(token)
    return [coder.tokenizer.decode(run, clean_up_tokenization_spaces=False) for run in runs if run]


def encoded(coder: Coder, one: Sample) -> Encoded:
    (coded,) = coder.encode([one], "data")
    assert coded.verdict.keep, coded.verdict
    (document,) = coded.documents
    return document


def test_every_family_is_tested() -> None:
    assert set(shipped_templates()) <= set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_is_on_the_answers_and_on_the_token_that_ends_them(coders: dict[str, Coder], family: str) -> None:
    coder, end = coders[family], FAMILIES[family][1]
    turns = [("system", "Be brief."), ("user", "How much is one?"), ("assistant", "It is 0.30 €."),
             ("user", "And two?"), ("assistant", "苹果: 0.60 €\n\n- two")]  # fmt: skip
    document = encoded(coder, sample(*turns))
    space = " " if family in ("mistral-v0.3", "mistral", "vicuna") else ""
    thought = "<think>\n\n</think>\n\n" if family == "qwen3" else ""
    assert learnt(coder, document) == [f"{space}It is 0.30 €.{end}", f"{thought}{space}苹果: 0.60 €\n\n- two{end}"]
    whole = coder.tokenizer.decode(document.input_ids)
    assert all(whole.count(text) == 1 for _, text in turns)
    assert document.source == "data"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tokens_are_those_that_transformers_makes(coders: dict[str, Coder], family: str) -> None:
    coder = coders[family]
    one = sample(("user", "How much is one?"), ("assistant", "It is 0.30 €."))
    theirs = coder.tokenizer.apply_chat_template(
        list(one.messages), chat_template=coder.template.text, date_string="26 Jul 2024", return_dict=False
    )
    assert encoded(coder, one).input_ids == theirs


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).map(lambda text: f"x{text}z")
TALKS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25, deadline=None)
@given(talk=TALKS, system=st.booleans())
def test_whatever_is_said_loss_is_on_the_answers(
    coders: dict[str, Coder], family: str, talk: list[tuple[str, str]], system: bool
) -> None:
    coder, end = coders[family], FAMILIES[family][1]
    turns = [("system", "Rule.")] if system else []
    for question, answer in talk:
        turns += [("user", question), ("assistant", answer)]
    found = learnt(coder, encoded(coder, sample(*turns)))
    assert len(found) == len(talk)
    for text, (_, answer) in zip(found, talk, strict=True):
        assert text.removeprefix("<think>\n\n</think>\n\n").strip() == f"{answer}{end}"


def test_thinking_is_learnt_where_the_template_shows_it(coders: dict[str, Coder]) -> None:
    coder = coders["qwen3"]
    one = sample(("user", "Q?"), ("assistant", "first"), ("user", "And?"), ("assistant", "A."), reasoning="Hm.")
    assert learnt(coder, encoded(coder, one)) == ["first<|im_end|>", "<think>\nHm.\n</think>\n\nA.<|im_end|>"]
    inside = sample(
        ("user", "Q?"), ("assistant", "<think>\nOld.\n</think>\n\nfirst"), ("user", "And?"), ("assistant", "A.")
    )
    assert learnt(coder, encoded(coder, inside))[0] == "first<|im_end|>"
    # A template that knows no reasoning has it before the answer, as an export in plain text has.
    assert learnt(coders["chatml"], encoded(coders["chatml"], one))[1] == "<think>\nHm.\n</think>\n\nA.<|im_end|>"


def test_a_prompt_that_begins_the_answer_otherwise(make_tokenizer: Callable[..., Any]) -> None:
    text = (
        "{%- for m in messages %}{%- if m.role == 'user' %}{{- '[INST]' + m.content }}"
        "{%- else %}{{- '[/INST]' + m.content + eos_token }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '[/INST]<think>\n' }}{%- endif %}"
    )
    coder = Coder(tok := make_tokenizer(text), find_template(None, tok), 100)
    one = sample(("user", "Q"), ("assistant", "<those are"), ("user", "Q"), ("assistant", "<think>\nI\n</think>A"))
    # The prompt's <think> is the model's own where the sample has none, and given where it has.
    assert learnt(coder, encoded(coder, one)) == ["<those are</s>", "I\n</think>A</s>"]


def test_white_space_at_the_edges_of_an_answer(coders: dict[str, Coder]) -> None:
    one = sample(("user", "Q?"), ("assistant", "\n  A. \n"), ("user", "Q?"), ("assistant", " B "))
    assert learnt(coders["chatml"], encoded(coders["chatml"], one)) == ["\n  A. \n<|im_end|>", " B <|im_end|>"]
    assert learnt(coders["llama-3.2"], encoded(coders["llama-3.2"], one)) == ["A.<|eot_id|>", "B<|eot_id|>"]


def test_no_token_lies_across_the_beginning_of_an_answer(coders: dict[str, Coder]) -> None:
    coder = coders["chatml"]
    document = encoded(coder, sample(("user", "Q?"), ("assistant", "\n\n- one")))
    prompt = coder.template.render([{"role": "user", "content": "Q?"}], prompt=True)
    asked = coder.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    # Taken as a whole, "assistant\n" and "\n\n- one" share the token "\n\n", which the prompt does not end with.
    whole = coder.tokenizer(prompt + "\n\n- one", add_special_tokens=False)["input_ids"]
    assert whole[: len(asked)] != asked
    assert document.input_ids[: len(asked)] == asked
    assert learnt(coder, document) == ["\n\n- one<|im_end|>"]


def test_a_tokenizer_that_marks_spaces(metaspace: Any, make_tokenizer: Callable[..., Any]) -> None:
    for name, end in (("mistral", "</s>"), ("vicuna", "</s>")):
        tokenizer = make_tokenizer(None, backend=metaspace, unk_token="<unk>")
        coder = Coder(tokenizer, find_template(name, tokenizer), 4096)
        document = encoded(coder, sample(("user", "the question"), ("assistant", "the answer is one")))
        assert [text.strip() for text in learnt(coder, document)] == [f"the answer is one{end}"]


def test_a_tokenizer_that_composes_characters(byte_level: Any, make_tokenizer: Callable[..., Any]) -> None:
    """Qwen's does; places in the text are those before it does so."""
    import tokenizers

    composing = tokenizers.Tokenizer.from_str(byte_level.to_str())
    composing.normalizer = tokenizers.normalizers.NFC()
    coder = Coder(tok := make_tokenizer(None, backend=composing), find_template("chatml", tok), 100)
    one = sample(
        ("user", "Cafe\u0301?"), ("assistant", "Cafe\u0301\u0301!"), ("user", "U\u0308"), ("assistant", "O\u0308")
    )
    assert learnt(coder, encoded(coder, one)) == ["Caf\u00e9\u0301!<|im_end|>", "\u00d6<|im_end|>"]


def test_alpaca_tells_instruction_and_input_apart(coders: dict[str, Coder]) -> None:
    coder = coders["alpaca"]
    parts = {"instruction": "Add.", "input": "1 and 2"}
    document = encoded(coder, sample(("user", "Add.\n\n1 and 2"), ("assistant", "3"), source=parts))
    assert coder.tokenizer.decode(document.input_ids) == (
        "<s>Below is an instruction that describes a task, paired with an input that provides further context. Write a "
        "response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 and 2\n\n"
        "### Response:3</s>"
    )
    # The message was rewritten since.
    document = encoded(coder, sample(("user", "Add 1 and 2"), ("assistant", "3"), source=parts))
    assert coder.tokenizer.decode(document.input_ids) == (
        "<s>Below is an instruction that describes a task. Write a response that appropriately completes the request."
        "\n\n### Instruction:\nAdd 1 and 2\n\n### Response:3</s>"
    )


def test_a_system_message_without_a_place(coders: dict[str, Coder]) -> None:
    turns = (("system", "Be brief."), ("user", "Q?"), ("assistant", "A."))
    for family, text in (
        ("gemma-2", "<bos><start_of_turn>user\nBe brief.\n\nQ?<end_of_turn>\n<start_of_turn>model\nA.<end_of_turn>\n"),
        # Its own would lose the message, as it is put to the last question only where no answer follows.
        ("mistral-v0.3", "<s>[INST] Be brief.\n\nQ?[/INST] A.</s>"),
    ):
        coder = coders[family]
        assert coder.tokenizer.decode(encoded(coder, sample(*turns)).input_ids) == text
        assert coder.notes == [
            "the model's chat template has no place for a system message: it goes before the first question"
        ]
    assert coders["llama-3.2"].notes == []


def test_the_date_is_not_today(coders: dict[str, Coder]) -> None:
    document = encoded(coders["llama-3.2"], sample(("user", "Q?"), ("assistant", "A.")))
    assert "Today Date: 26 Jul 2024\n" in coders["llama-3.2"].tokenizer.decode(document.input_ids)


def test_generation_blocks_decide_where_the_template_has_them(make_tokenizer: Callable[..., Any]) -> None:
    text = (
        "{%- for m in messages %}{%- if m.role == 'assistant' %}<|im_start|>"
        "{%- generation %}{{- m.content }}{% endgeneration %}{{- '<|im_end|>\n' }}"
        "{%- else %}{{- '<|im_start|>' + m.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    )
    coder = Coder(tok := make_tokenizer(text), find_template(None, tok), 100)
    one = sample(("user", "Q"), ("assistant", "one"), ("user", "Q"), ("assistant", "two"))
    # The block ends before the token that ends the turn, which is learnt all the same.
    assert learnt(coder, encoded(coder, one)) == ["one<|im_end|>", "two<|im_end|>"]
    theirs = tok.apply_chat_template(list(one.messages), return_dict=False)
    assert encoded(coder, one).input_ids == theirs


LONG = sample(("user", "Q?"), ("assistant", "one two " * 30))


def test_truncated(coders: dict[str, Coder]) -> None:
    whole = encoded(coders["chatml"], LONG)
    coder = Coder(coders["chatml"].tokenizer, coders["chatml"].template, 50, "truncate")
    (coded,) = coder.encode([LONG], "data")
    assert coded.tokens == len(whole.input_ids) > 50
    assert coded.documents == [Encoded(whole.input_ids[:50], whole.labels[:50], "data")]


def test_split(coders: dict[str, Coder]) -> None:
    whole = encoded(coders["chatml"], LONG)
    coder = Coder(coders["chatml"].tokenizer, coders["chatml"].template, 50, "split")
    (coded,) = coder.encode([LONG], "data")
    assert [len(one.input_ids) for one in coded.documents[:-1]] == [50] * (len(whole.input_ids) // 49)
    # A piece begins with the last token of the one before, which predicts its second: every token is predicted once.
    assert [i for one in coded.documents for i in one.input_ids[1:]] == whole.input_ids[1:]
    assert [i for one in coded.documents for i in one.labels[1:]] == whole.labels[1:]
    assert {one.labels[0] for one in coded.documents} == {NO_LOSS}
    assert coded.repeated == len(coded.documents) - 1
    # A piece of the question alone teaches nothing.
    (coded,) = coder.encode([sample(("user", "one two " * 30), ("assistant", "A."))], "data")
    assert len(coded.documents) == 1 and any(label != NO_LOSS for label in coded.documents[0].labels)


def test_left_out(coders: dict[str, Coder]) -> None:
    coder = Coder(coders["chatml"].tokenizer, coders["chatml"].template, 50, "drop")
    coded = coder.encode([LONG, sample(("user", "Q?"), ("assistant", "A."))], "data")
    assert [one.verdict.keep for one in coded] == [False, True]
    assert coded[0].verdict.reason == "too_long"
    assert coded[0].verdict.detail == {"tokens": coded[0].tokens, "limit": 50}


def test_an_answer_that_is_cut_away_whole(coders: dict[str, Coder]) -> None:
    coder = Coder(coders["chatml"].tokenizer, coders["chatml"].template, 50)
    (coded,) = coder.encode([sample(("user", "one two " * 30), ("assistant", "A."))], "data")
    assert (coded.verdict.reason, coded.documents) == ("answer_cut_away", [])


@pytest.mark.parametrize(
    ("turns", "reason", "detail"),
    [
        ([("user", "Q?")], "no_answer", {"roles": "user"}),
        ([("user", "Q?"), ("assistant", "A."), ("user", "Q?")], "no_answer", {"roles": "user, assistant, user"}),
        ([("assistant", "A."), ("user", "Q?"), ("assistant", "A.")], "roles_out_of_order", None),
        ([("user", "Q?"), ("user", "Q?"), ("assistant", "A.")], "roles_out_of_order", None),
        ([("user", "Q?"), ("system", "S"), ("assistant", "A.")], "roles_out_of_order", None),
        ([("user", "Q?"), ("assistant", " \n")], "empty_response", {"message": 2}),
        ([("user", "Q?"), ("assistant", ""), ("user", "Q?"), ("assistant", "A.")], "empty_response", {"message": 2}),
    ],
)
def test_samples_that_cannot_be_learnt_from(
    coders: dict[str, Coder], turns: list[tuple[str, str]], reason: str, detail: dict[str, Any] | None
) -> None:
    good = sample(("user", "Q?"), ("assistant", "A."))
    first, second = coders["chatml"].encode([sample(*turns), good], "data")
    assert first.verdict.reason == reason and not first.documents
    assert detail is None or first.verdict.detail == detail
    assert second.verdict.keep and second.documents


def test_a_template_that_refuses_a_sample(make_tokenizer: Callable[..., Any]) -> None:
    text = (
        "{%- for m in messages %}{{- m.content + eos_token }}{%- endfor %}"
        "{%- if messages | length > 3 %}{{ raise_exception('one only') }}{%- endif %}"
    )
    coder = Coder(tok := make_tokenizer(text), find_template(None, tok), 100)
    (coded,) = coder.encode([sample(("user", "Q"), ("assistant", "A"), ("user", "Q"), ("assistant", "A"))], "data")
    assert coded.verdict.reason == "template_refuses" and coded.verdict.detail == {"message": "one only"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{% for m in messages %}{{ m.content }}\n{% endfor %}", "ends an answer with nothing"),
        ("{{ messages | length }}{% for m in messages %}{{ m.content + eos_token }}{% endfor %}",
         "the messages before message 2 are rendered otherwise without it"),
        ("{% for m in messages %}{{ m.content[:4] + eos_token }}{% endfor %}", "changes the end of an answer"),
        ("{{ raise_exception('never') }}", "cannot be trained with: never; choose another with --template"),
        ("{{ messages[7].content.strip() }}", "cannot be trained with"),
        ("{% generation %}{% endgeneration %}{{ messages[1].content }}", "no {% generation %} block holds the answer"),
    ],
)  # fmt: skip
def test_templates_that_cannot_be_trained_with(make_tokenizer: Callable[..., Any], text: str, complaint: str) -> None:
    tokenizer = make_tokenizer(text)
    with pytest.raises(InputError) as error:
        Coder(tokenizer, find_template(None, tokenizer), 100)
    assert complaint in str(error.value)


def test_an_end_that_the_tokenizer_does_not_know_is_said(byte_level: Any, make_tokenizer: Callable[..., Any]) -> None:
    text = (
        "{% for m in messages %}{{ m.role + ': ' + m.content + '<|done|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    coder = Coder(tok := make_tokenizer(text), find_template(None, tok), 100)
    assert coder.end == "<|done|>" and len(coder.end_ids) > 1
    assert coder.notes[0].startswith("the model's chat template ends an answer with '<|done|>', which is ")
    one = sample(("user", "Q?"), ("assistant", "A."), ("user", "Q?"), ("assistant", "B."))
    assert learnt(coder, encoded(coder, one)) == ["A.<|done|>", "B.<|done|>"]


def test_options_that_cannot_work(coders: dict[str, Coder]) -> None:
    tokenizer, template = coders["chatml"].tokenizer, coders["chatml"].template
    with pytest.raises(InputError, match="--long squeeze: it takes truncate, split, drop"):
        Coder(tokenizer, template, 100, "squeeze")
    with pytest.raises(InputError, match="a document of 1 tokens has nothing to predict"):
        Coder(tokenizer, template, 1)


def test_many_at_once_are_as_each_alone(coders: dict[str, Coder]) -> None:
    draw = random.Random(0)
    samples = [sample(("user", f"Q{n}"), ("assistant", "one " * draw.randint(1, 20))) for n in range(20)]
    samples[3] = sample(("user", "Q?"))
    together = coders["chatml"].encode(samples, "data")
    assert together == [coders["chatml"].encode([one], "data")[0] for one in samples]


def test_as_trl_where_it_is_installed(make_tokenizer: Callable[..., Any]) -> None:
    """TRL ships models' own templates and, of some, a variant with `{% generation %}`: both give the same loss."""
    trl = pytest.importorskip("trl")
    folder = Path(trl.__file__).parent / "chat_templates"
    compared = 0
    for own in ("llama3", "gemma", "gemma3", "qwen2_5_vl", "qwen3_vl", "qwen3_instruct_2507", "lfm2"):
        tagged = f"{own}_training"
        if not (folder / f"{tagged}.jinja").is_file():
            continue
        ours = Coder(tok := make_tokenizer((folder / f"{own}.jinja").read_text()), find_template(None, tok), 500)
        theirs = make_tokenizer((folder / f"{tagged}.jinja").read_text())
        one = sample(("user", "Q one?"), ("assistant", "It is 0.30 €."), ("user", "And?"), ("assistant", "- two"))
        made = theirs.apply_chat_template(list(one.messages), return_dict=True, return_assistant_tokens_mask=True)
        document = encoded(ours, one)
        assert document.input_ids == made["input_ids"]
        # TRL also asks for the line end behind the token that ends the turn, which no server lets the model write.
        line = tok("\n", add_special_tokens=False)["input_ids"][0]
        wanted = [
            i if kept and i != line else NO_LOSS
            for i, kept in zip(made["input_ids"], made["assistant_masks"], strict=True)
        ]
        assert document.labels == wanted
        compared += 1
    assert compared
