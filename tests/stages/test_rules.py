from __future__ import annotations

import pytest

from curate.config import FieldRules, Rules
from curate.stages.rules import check, check_field, split_input
from curate.types import KEEP, Sample

PUBLISHED = FieldRules(
    min_words=3,
    max_words=8,
    forbidden_words=("image", "map", "go to", "c++"),
    forbidden_starts=("Write a program",),
    forbid_punctuation_start=True,
    ascii_start_only=True,
)


@pytest.mark.parametrize(
    ("text", "reason", "value"),
    [
        ("Name three primes", "", None),
        ("  Name three primes\n", "", None),
        ("Name primes", "too_short", "2 words, at least 3"),
        ("one two three four five six seven eight", "", None),
        ("one two three four five six seven eight nine", "too_long", "9 words, at most 8"),
        ("Describe the Image below", "forbidden_word", "Image"),
        ("Describe the imagery below", "", None),
        ("Draw a roadmap for me", "", None),
        ("Read the (map) first", "forbidden_word", "map"),
        ("Now GO TO the shop", "forbidden_word", "GO TO"),
        ("Sort it in C++ please", "forbidden_word", "C++"),
        ("write a program that sorts", "forbidden_start", "Write a program"),
        ("Please write a program", "", None),
        ("- name three primes", "punctuation_start", "-"),
        ("…name three primes", "punctuation_start", "…"),
        ("Élargir le texte suivant", "non_ascii_start", "É"),
        ("", "empty", None),
        (" \n", "empty", None),
    ],
)
def test_each_published_rule(text: str, reason: str, value: str | None) -> None:
    verdict = check_field(text, "instruction", PUBLISHED)
    assert (verdict.keep, verdict.reason, verdict.detail.get("value")) == (not reason, reason, value)
    assert verdict is KEEP or verdict.detail["field"] == "instruction"


@pytest.mark.parametrize(
    ("text", "wrapped"),
    [
        ("(no input)", True),
        ("<your text here>", True),
        ("<b>bold</b>", False),
        ("（无）", True),
        ("((a) b)", True),
        ("(x+1)(x-2)", False),
        ("f(x)", False),
        ("(a", False),
        ("((a)", False),
    ],
)
def test_wrapped_means_wholly(text: str, wrapped: bool) -> None:
    verdict = check_field(text, "input", FieldRules(forbid_wrapped=True))
    assert verdict.reason == ("wrapped" if wrapped else "")


def test_characters_are_counted_after_words() -> None:
    rule = FieldRules(max_words=3, max_chars=5)
    assert check_field("a b c", "response", rule).keep
    verdict = check_field("abcdef", "response", rule)
    assert (verdict.reason, verdict.score, verdict.detail["value"]) == ("too_long", 6.0, "6 characters, at most 5")


def test_chinese_counts_characters_and_has_no_ascii_rule() -> None:
    rule = PUBLISHED.model_copy(update={"forbidden_words": ("图片",)})
    assert check_field("列出质数", "instruction", rule, "zh") is KEEP
    assert check_field("列出", "instruction", rule, "zh").reason == "too_short"
    assert check_field("列出三个小于十的质数", "instruction", rule, "zh").reason == "too_long"
    assert check_field("看这张图片吧", "instruction", rule, "zh").detail["value"] == "图片"
    assert check_field("，列出质数", "instruction", rule, "zh").reason == "punctuation_start"
    assert check_field("《红楼梦》", "instruction", rule, "zh") is KEEP


def sample(instruction: str, given: str = "", response: str = "Yes.") -> Sample:
    text = f"{instruction}\n\n{given}" if given else instruction
    messages = ({"role": "user", "content": text}, {"role": "assistant", "content": response})
    return Sample("x", messages, meta={"source": {"input": given}} if given else {})


def test_instruction_and_input_are_told_apart() -> None:
    assert split_input(sample("Fix this", "a text")) == ("Fix this", "a text")
    assert split_input(sample("Fix this")) == ("Fix this", "")
    padded = Sample("x", sample("Fix this", "a text").messages, meta={"source": {"input": " a text\n"}})
    assert split_input(padded) == ("Fix this", "a text")
    odd = Sample("x", sample("Fix this").messages, meta={"source": {"input": ["not", "text"]}})
    assert split_input(odd) == ("Fix this", "")


def test_each_text_has_its_own_rules() -> None:
    rules = Rules(
        instruction=FieldRules(max_words=3),
        input=FieldRules(forbid_wrapped=True),
        response=FieldRules(min_words=1, forbidden_words=("sorry",)),
    )
    verdicts = [
        check(s, rules)
        for s in (
            sample("Rewrite the text", "one two three four"),
            sample("Rewrite the text below", "one"),
            sample("Rewrite the text", "<text>"),
            sample("Rewrite the text", "one", "Sorry, no."),
            sample("Rewrite the text", response=" "),
            sample(" "),
        )
    ]
    assert [(v.reason, v.detail.get("field")) for v in verdicts] == [
        ("", None),
        ("too_long", "instruction"),
        ("wrapped", "input"),
        ("forbidden_word", "response"),
        ("empty", "response"),
        ("empty", "instruction"),
    ]


def test_no_rules_keep_all_but_an_empty_instruction() -> None:
    assert check(sample("?", response=""), Rules()) is KEEP
    assert check(sample(""), Rules()).reason == "empty"
