from __future__ import annotations

import random

import pytest

from curate.text import by_character, content_id, normalise, percent, rouge_tokens, text_hash, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Greatest  Common\nDivisor. ", "greatest common divisor"),
        ("**Algebra**", "algebra"),
        ("“Linear algebra”,", "linear algebra"),
        ("- linear algebra", "linear algebra"),
        ("Ｌｉｎｅａｒ　Algebra？", "linear algebra"),
        ("Straße", "strasse"),
        ("Well done!!", "well done"),
        ("Compute 5!", "compute 5!"),
        ("n!", "n!"),
        ("C#", "c#"),
        ("C++", "c++"),
        ("-5", "-5"),
        ("f(x)", "f(x)"),
        ("计算面积。", "计算面积"),
        ("", ""),
        ("?!", "!"),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected
    assert normalise(expected) == expected


def test_words_counts_spaces_or_characters() -> None:
    assert words("It's 3.5 m long.", "en") == ["It's", "3.5", "m", "long."]
    assert words("小明有12个apples，〇", "zh") == ["小", "明", "有", "12", "个", "apples", "〇"]
    assert words("小明 有", "en") == ["小明", "有"]


@pytest.mark.parametrize(("language", "expected"), [("zh", True), ("zh-CN", True), ("zh_Hant", True), ("en", False)])
def test_by_character(language: str, expected: bool) -> None:
    assert by_character(language) is expected


def test_rouge_tokens_are_those_of_rouge_score() -> None:
    tokenizers = pytest.importorskip("rouge_score.tokenizers")
    reference = tokenizers.DefaultTokenizer(use_stemmer=False)
    rng = random.Random(0)
    alphabet = "aB9 _-'.,\n\t\u00a0\u2019éİßK\u212aſ中文$\\{}"
    texts = ["".join(rng.choice(alphabet) for _ in range(40)) for _ in range(500)]
    assert [rouge_tokens(t) for t in texts] == [reference.tokenize(t) for t in texts]


def test_rouge_tokens_of_other_languages() -> None:
    assert rouge_tokens("计算 Ａ+b12。", "zh") == ["计", "算", "a", "b12"]
    assert rouge_tokens("Übung für Привет", "de") == ["übung", "für", "привет"]


def test_content_id_depends_on_role_content_and_order() -> None:
    user, answer = {"role": "user", "content": "ab"}, {"role": "assistant", "content": "c"}
    ids = {
        content_id(m)
        for m in (
            [user, answer],
            [answer, user],
            [user],
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": "bc"}],
            [{"role": "user", "content": "ab"}, {"role": "user", "content": "c"}],
        )
    }
    assert len(ids) == 5
    assert all(len(i) == 16 for i in ids)
    assert content_id([user, answer]) == content_id([{**user, "name": "x"}, answer]) == "9e17e291f7650c19"


def test_text_hash_takes_any_string() -> None:
    assert text_hash("a") != text_hash("a ")
    assert len(text_hash("\ud800")) == 32


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0, "0 %"),
        (0.0004, "<0.1 %"),
        (0.0312, "3.1 %"),
        (0.667, "67 %"),
        (0.99, "99 %"),
        (304 / 305, "99.7 %"),
        (0.9996, ">99.9 %"),
        (1, "100 %"),
    ],
)
def test_percent_is_whole_only_where_it_is(share, shown):
    assert percent(share) == shown
