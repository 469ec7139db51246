"""The three treatments, and in which language a sample refuses."""

from __future__ import annotations

import pytest

from curate.errors import ConfigError, InputError
from curate.stages.exam.treat import TREATMENTS, language_of, load_refusals
from curate.types import Sample


def sample(*turns, ident="s1"):
    return Sample(ident, tuple({"role": role, "content": text} for role, text in turns), meta={"source": {"k": 1}})


PLAIN = sample(("user", "Where is Ulm?"), ("assistant", "In Germany."))
LONG = sample(
    ("system", "Be brief."),
    ("user", "Hello."),
    ("assistant", "Hi."),
    ("user", "Where is Ulm?"),
    ("assistant", "There."),
)


def treated(name, given, refusals=None):
    return TREATMENTS[name](given, "Ulm is a city.", refusals or load_refusals())


def test_open_book_puts_the_knowledge_before_the_first_user_message():
    made, verdict = treated("open_book", PLAIN)
    assert verdict.keep
    assert made.messages == (
        {"role": "user", "content": "Ulm is a city.\nWhere is Ulm?"},
        {"role": "assistant", "content": "In Germany."},
    )
    assert PLAIN.messages[0]["content"] == "Where is Ulm?"
    made, _ = treated("open_book", LONG)
    assert [turn["content"] for turn in made.messages] == [
        "Be brief.", "Ulm is a city.\nHello.", "Hi.", "Where is Ulm?", "There.",
    ]  # fmt: skip


def test_discard_drops_with_a_reason_and_changes_nothing():
    made, verdict = treated("discard", LONG)
    assert made is LONG
    assert (verdict.keep, verdict.reason) == (False, "inconsistent")


def test_refuse_replaces_the_last_response_alone():
    refusals = load_refusals()
    made, verdict = treated("refuse", LONG, refusals)
    assert verdict.keep
    assert made.messages[:4] == LONG.messages[:4]
    assert made.messages[4] == {"role": "assistant", "content": refusals.of(LONG)}
    assert refusals.of(LONG) in refusals.wordings["en"]


def test_the_wording_goes_by_seed_and_id():
    many = [sample(("user", "Where is it?"), ("assistant", "There."), ident=f"s{n}") for n in range(60)]
    one, other = load_refusals(seed=1), load_refusals(seed=2)
    assert {one.of(each) for each in many} == set(one.wordings["en"])
    assert [one.of(each) for each in many] == [one.of(each) for each in many]
    assert [one.of(each) for each in many] != [other.of(each) for each in many]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is the capital of France?", "en"),
        ("法国的首都是哪里？", "zh"),
        ("What does 中 mean in the following sentence?", "en"),
        ("フランスの首都はどこですか。", "ja"),
        ("프랑스의 수도는 어디입니까?", "ko"),
        ("Какая столица Франции?", "ru"),
        ("Was ist die Hauptstadt von Frankreich?", "de"),
        ("¿Cuál es la capital de Francia y por qué?", "es"),
        ("Quelle est la capitale de la France, et pourquoi ?", "fr"),
        ("Qual è la capitale della Francia?", "it"),
        ("Qual é a capital da França?", "pt"),
        ("Ulm?", "en"),
        ("", "en"),
    ],
)
def test_the_language_of_a_text(text, language):
    assert language_of(text) == language


def test_a_text_that_tells_nothing_is_in_the_language_of_the_dataset():
    assert language_of("1 + 1 = ?", "zh") == "zh"


def test_a_file_of_ones_own_takes_the_place_of_a_language(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("en: [No idea.]\nsv: [Vet inte.]\n", encoding="utf-8")
    refusals = load_refusals(path)
    assert refusals.of(PLAIN) == "No idea."
    assert refusals.of(sample(("user", "法国的首都是哪里？"), ("assistant", "巴黎"))) in refusals.wordings["zh"]
    assert load_refusals(path, language="sv").of(sample(("user", "?"), ("assistant", "!"))) == "Vet inte."


@pytest.mark.parametrize("text", ["[a, b]", "en: nothing", "en: []", "en: ['']", "{", "1: [a]", ""])
def test_a_file_of_wordings_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="expected a YAML mapping of a language to its wordings"):
        load_refusals(path)


def test_a_language_without_wordings_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no wordings for the language 'xx'; there are en, zh"):
        load_refusals(language="xx")
    with pytest.raises(InputError, match="cannot be read"):
        load_refusals(tmp_path / "missing.yaml")
