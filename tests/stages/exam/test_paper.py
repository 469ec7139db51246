"""The paper: MMLU's format to the letter, balanced orders and keys, and what can be put."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, permutations

import pytest

from curate.stages.exam.paper import (
    Form,
    balanced,
    default_shots,
    letter_items,
    orders_of,
    text_item,
    williams,
    wrong,
)
from curate.types import Question

CAPITAL = Question("1", " Which is a capital? ", ("Rome", "Nile", "Alps", "Etna"), 0, "world_geography", "Rome leads.")
SHOT = Question("s", "2 + 2?", ("3", "4", "5", "6"), 1, "world_geography")


@pytest.mark.parametrize("size", range(2, 11))
def test_every_option_takes_every_letter_once(size):
    square = williams(size)
    assert [sorted(row) for row in square] == [list(range(size))] * size
    assert [sorted(column) for column in zip(*square, strict=True)] == [list(range(size))] * size
    if size % 2 == 0:
        behind = Counter(pair for row in square for pair in pairwise(row))
        assert behind == Counter(dict.fromkeys(permutations(range(size), 2), 1))


def test_one_order_is_mmlu_to_the_letter():
    form = Form((SHOT,), orders=1)
    [(order, item)] = letter_items(CAPITAL, form)
    assert order == (0, 1, 2, 3)
    assert item.endings == (" A", " B", " C", " D")
    assert item.prompt() == (
        "The following are multiple choice questions (with answers) about world geography.\n\n"
        "2 + 2?\nA. 3\nB. 4\nC. 5\nD. 6\nAnswer: B\n\n"
        "Which is a capital?\nA. Rome\nB. Nile\nC. Alps\nD. Etna\nAnswer:"
    )
    assert item.prompt(0).endswith("geography.\n\nWhich is a capital?\nA. Rome\nB. Nile\nC. Alps\nD. Etna\nAnswer:")


def test_texts_are_asked_without_options_and_knowledge_comes_first():
    item = text_item(CAPITAL, Form((SHOT,), with_knowledge=True))
    assert item.prompt() == (
        "The following are questions (with answers) about world geography.\n\nQuestion: 2 + 2?\nAnswer: 4\n\n"
        "Question: Rome leads.\n\nWhich is a capital?\nAnswer:"
    )
    assert item.endings == (" Rome", " Nile", " Alps", " Etna")


def test_the_orders_do_not_depend_on_the_files():
    shown = {tuple(CAPITAL.options[place] for place in order) for order in orders_of(CAPITAL, 4, 7)}
    for way in permutations(range(4)):
        other = Question("1", CAPITAL.text, tuple(CAPITAL.options[i] for i in way), way.index(0))
        assert {tuple(other.options[place] for place in order) for order in orders_of(other, 4, 7)} == shown
    assert len({tuple(sorted(orders_of(CAPITAL, 4, seed))) for seed in range(20)}) > 1
    assert len(orders_of(CAPITAL, 10, 0)) == 4 and len(orders_of(CAPITAL, 3, 0)) == 3


@pytest.mark.parametrize("seed", range(10))
def test_keys_of_demonstrations_are_balanced_and_their_answers_stay(seed):
    shots = default_shots()[:5]
    shown = balanced(shots, seed)
    assert sorted(Counter(shot.answer for shot in shown).values()) == [1, 1, 1, 2]
    for before, after in zip(shots, shown, strict=True):
        assert after.options[after.answer] == before.options[before.answer]
        assert sorted(after.options) == sorted(before.options)
    assert shown == balanced(shots, seed)


def test_the_shipped_demonstrations_are_questions():
    shots = default_shots()
    assert len(shots) == 8 and not any(map(wrong, shots))
    assert Counter(shot.answer for shot in shots) == Counter({0: 2, 1: 2, 2: 2, 3: 2})


def test_demonstrations_are_of_the_own_subject_or_anybodys():
    other = Question("o", "Who?", ("x", "y"), 0, "law")
    form = Form((SHOT, other), shots=1)
    assert [shot.text for shot in form.shown("law")] == ["Who?"]
    assert [shot.text for shot in form.shown("music")] == [shot.text for shot in form.shown("")] == ["2 + 2?"]
    assert Form((SHOT,), shots=0).shown("law") == ()


def test_the_key_holds_all_that_the_prompts_depend_on():
    form = Form((SHOT,))
    other = Question("2", CAPITAL.text, CAPITAL.options, 3, CAPITAL.subject, "Else.")
    assert form.key(CAPITAL, "m") == Form((SHOT,)).key(other, "m")
    changed = [Form((SHOT,), orders=2), Form((SHOT,), seed=1), Form((SHOT,), texts=False), Form(()), Form((SHOT,), 0)]
    keys = {one.key(CAPITAL, "m") for one in changed} | {form.key(CAPITAL, "n")}
    keys |= {Form((SHOT,), with_knowledge=True).key(one, "m") for one in (CAPITAL, other)}
    assert len(keys) == 7 and form.key(CAPITAL, "m") not in keys  # without demonstrations, none are shown either way
    assert Form((SHOT,), orders=1, seed=1).key(CAPITAL, "m") == Form((SHOT,), orders=1).key(CAPITAL, "m")


@pytest.mark.parametrize(
    ("options", "answer", "text", "problem"),
    [
        (("a",), 0, "Q", "1 options; a question has 2 to 10"),
        (tuple("abcdefghijk"), 0, "Q", "11 options; a question has 2 to 10"),
        (("a", "b"), 2, "Q", "the answer is option 2, counted from 0 to 1"),
        (("a", "b"), -1, "Q", "the answer is option -1, counted from 0 to 1"),
        (("a", " "), 0, "Q", "option B is empty"),
        (("a", "b"), 0, " \n", "the question is empty"),
        (("a", "a"), 0, "Q", ""),
    ],
)
def test_what_cannot_be_put(options, answer, text, problem):
    assert wrong(Question("1", text, options, answer)) == problem
