"""What a question gives away for free: exact cases, and figures on real questions that nobody here wrote."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from curate.stages.exam.validity import (
    FREE,
    REASONS,
    Cue,
    cues,
    fault_of_form,
    letters,
    longest,
    repeating,
    same_question,
    unlabelled,
)
from curate.types import Question

NAMES = ("Anna Berg", "Ben Carlo", "Cleo Dorn", "Dora Elms")


def question(text: str = "Who painted the night sky of Arles?", options=NAMES, answer: int = 0) -> Question:
    return Question(f"{text}{options}{answer}", text, tuple(options), answer)


@pytest.mark.parametrize(
    ("text", "options", "fault"),
    [
        ("Who painted it?", NAMES, ""),
        ("Who painted it?", NAMES[:3], "options"),
        ("Who painted it?", (*NAMES, "Emil Falk"), "options"),
        ("Who painted it?", (*NAMES[:3], " . "), "options"),
        ("  ", NAMES, "options"),
        ("Who painted it?", (*NAMES[:3], " anna  BERG."), "options_equal"),
        ("Which number?", ("5", "-5", "50", "0.5"), ""),
        ("Which number?", ("60,000", "60,000", "600,000", "6,000"), "options_equal"),
        ("According to the text, who painted it?", NAMES, "refers_to_text"),
        ("Who, as described in the given passage, painted it?", NAMES, "refers_to_text"),
        ("What does the passage say of it?", NAMES, "refers_to_text"),
        ("根据上文，谁画了它？", NAMES, "refers_to_text"),
        ("文中提到的画家是谁？", NAMES, "refers_to_text"),
        ("Who wrote the text of the anthem?", NAMES, ""),
        ("What followed the passage of the Stamp Act?", NAMES, ""),
        ("According to the article of 1887 on the ether, who was right?", NAMES, ""),
        ("According to the text of the Constitution, who elects the president?", NAMES, ""),
        ("According to Darwin, who is related to whom?", NAMES, ""),
        ("谁写了国歌的歌词？", NAMES, ""),
        ("Who painted it?", (*NAMES[:3], "All of the above."), "refers_to_options"),
        ("Who painted it?", (*NAMES[:3], "None of these"), "refers_to_options"),
        ("Who painted it?", (*NAMES[:3], "Both A and B"), "refers_to_options"),
        ("Who painted it?", (*NAMES[:3], "A and C only"), "refers_to_options"),
        ("谁画了它？", ("安娜", "本杰明", "克里奥", "以上都不是"), "refers_to_options"),
        ("谁画了它？", ("安娜", "本杰明", "克里奥", "A和B"), "refers_to_options"),
        ("Which vitamins?", ("Vitamins A and D", "Vitamins B and C", "Vitamins C and E", "Vitamins K and B"), ""),
        ("Who voted?", ("All citizens", "None but nobles", "Both houses", "Either consul"), ""),
        ("What is it?", ("a dog", "a cat", "an owl", "a small animal that lives in the woods"), "length"),
        ("What is it?", ("1", "10", "100", "100,000,000,000"), ""),
        ("它是什么？", ("狗", "猫", "鸟", "一种生活在森林里的小动物"), "length"),
        ("它是什么？", ("狗狗", "猫猫", "鸟", "小老鼠"), ""),
        ("Which painter painted the starry night?", ("A starry man", *NAMES[1:]), "overlap"),
        ("Which painter painted the starry night?", ("A starry man", "A starry dog", *NAMES[2:]), ""),
        ("Who was called the great painter?", tuple(f"great {name}" for name in NAMES), ""),
        ("北京大学在哪里？", ("北京市", "上海市", "天津市", "重庆市"), "overlap"),
    ],
)  # fmt: skip
def test_faults_of_form(text, options, fault):
    assert fault_of_form(question(text, options), (), "en") == fault


@pytest.mark.parametrize("answer", range(4))
def test_no_free_check_looks_at_the_key(answer):
    """Else the set would hold a new cue: an option that stands out is never right."""
    long = (*NAMES[:3], "a very long option that stands out from the rest")
    assert fault_of_form(question(options=long, answer=answer), (), "en") == "length"
    assert fault_of_form(question("Was it Anna?", answer=answer), (), "en") == "overlap"
    assert fault_of_form(question(answer=answer), (), "en") == ""


def test_the_free_reasons_are_reasons():
    assert set(FREE) < set(REASONS)


def test_labels_are_taken_off_where_all_options_have_one():
    assert unlabelled(["A. Rome", "B) Oslo", "(C) Bern", "d： Paris"]) == ("Rome", "Oslo", "Bern", "Paris")
    assert unlabelled(["C. elegans", "E. coli", "B. subtilis", "A. thaliana"])[0] == "C. elegans"
    assert unlabelled(["A. Rome", "A. Oslo", "A. Bern", "A. Paris"])[0] == "A. Rome"
    assert unlabelled(["Rome", "B) Oslo", "Bern", "Paris"])[1] == "B) Oslo"


def test_a_length_stands_out_from_half_as_long_again_and_sixteen_letters():
    assert longest(["x" * 32, "x" * 48, "x", "x"]) == 1
    assert longest(["x" * 33, "x" * 48, "x", "x"]) is None  # 1.45 times
    assert longest(["x" * 8, "x" * 23, "x", "x"]) is None  # 15 letters
    assert longest(["x" * 48, "x" * 48, "x", "x"]) is None
    assert letters("长度 ab") == 9


def test_a_wording_stands_out_with_half_of_its_own_words():
    text = "Which river flows through the ancient capital of Egypt?"
    assert repeating(text, ["river Nile", "Volga", "Rhine", "Indus"]) == 0
    assert repeating(text, ["river of great deep sand", "Volga", "Rhine", "Indus"]) is None  # one word in four
    assert repeating(text, ["Volga", "the capital", "ancient river", "Rhine"]) is None  # two do
    assert repeating(text, ["the sea", "of it", "who", "how"]) is None
    assert repeating("What colour is the Red Fort?", ["red", "tan", "blue", "white"]) == 0
    assert repeating("What is 3 + 4?", ["3", "7", "8", "9"]) is None  # numbers of the question tell nothing


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("When did the museum open?", "when did the museum open", True),
        ("In which year did the old museum open?", "In which year did the museum open?", True),
        ("In which year did the old museum open?", "Who was the first head of the old museum?", False),
    ],
)
def test_doubles_with_one_right_answer(one, other, same):
    years = ("1950", "1951", "1952", "1953")
    assert same_question(question(one, years), question(other, years[::-1], 3), "en") is same
    assert (fault_of_form(question(other, years), [question(one, years)], "en") == "duplicate") is same


def test_one_pattern_with_two_answers_asks_two_things():
    years = ("1950", "1951", "1952", "1953")
    one, other = (
        question("When did the museum of art open?", years),
        question("When did the museum of war open?", years, 2),
    )
    assert not same_question(one, other, "en")


def test_doubles_in_chinese():
    years = ("1950", "1951", "1952", "1953")
    one, other = question("这座博物馆是哪一年开放的？", years), question("这座博物馆哪一年开放的？", years)
    assert same_question(one, other, "zh") and not same_question(one, question("馆长叫什么名字？", years), "zh")


def test_a_cue_is_measured_against_luck():
    cue = Cue(60, 142)
    assert cue.share == pytest.approx(0.4225, abs=1e-4) and cue.given_away == pytest.approx(60 - 82 / 3)
    # Wilson's interval by its definition: the shares p with |60/142 - p| = 1.96 sqrt(p (1 - p) / 142).
    for p in cue.interval:
        assert abs(60 / 142 - p) == pytest.approx(1.959964 * (p * (1 - p) / 142) ** 0.5)
    assert Cue(25, 100).given_away == Cue(10, 100).given_away == 0 and Cue(100, 100).given_away == 100
    assert (Cue(0, 0).share, Cue(0, 0).interval) == (0.25, (0.0, 1.0))
    assert Cue(0, 10).interval[0] == 0.0 and Cue(10, 10).interval[1] == 1.0


def test_cues_of_a_few_questions_by_hand():
    given = [
        question("Who?", ("a long one", "short", "four", "five"), 0),
        question("Who?", ("aa", "bb", "cc", "dd"), 2),
        question("Who was the great painter?", ("great", "bbbbb", "cc", "dd"), 0),
        question("Who?", ("aa", "bb"), 0),
    ]
    measured = cues(given)
    assert {name: (cue.right, cue.met) for name, cue in measured.items()} == {
        "longest": (1, 1),
        "shortest": (0, 0),
        "stands_out": (0, 0),
        "overlap": (1, 1),
        "position_A": (2, 3),
        "position_B": (0, 3),
        "position_C": (1, 3),
        "position_D": (0, 3),
    }


def test_a_planted_cue_is_seen_and_the_free_checks_take_it_out_without_leaving_another():
    """In half of the questions an option stands out; it is the right one in 70 %, as careless writers have it."""
    rng = random.Random(1)
    drafts = []
    for number in range(4_000):
        options = ["".join(rng.choices("abcdefgh ", k=rng.randint(8, 20))) for _ in range(4)]
        answer = rng.randrange(4)
        if number % 2:
            place = answer if rng.random() < 0.7 else rng.randrange(4)
            options[place] += " and so on, with much more detail than the others"
        drafts.append(question(f"What is number {number}?", options, answer))
    before = cues(drafts)
    assert before["stands_out"].met >= 1_990 and before["stands_out"].interval[0] > 0.7
    assert before["stands_out"].given_away == pytest.approx(2_000 * 0.7, rel=0.05)
    passed = [draft for draft in drafts if not fault_of_form(draft, (), "en")]
    after = cues(passed)
    assert after["stands_out"].met == 0
    low, high = after["longest"].interval
    assert low < 0.25 < high


def mmlu(folder) -> list[Question]:
    import pyarrow.parquet as pq

    rows = [row for name in ("validation", "dev") for row in pq.read_table(folder / f"mmlu_{name}.parquet").to_pylist()]
    return [
        Question(str(number), row["question"], tuple(row["choices"]), row["answer"], row["subject"])
        for number, row in enumerate(rows)
    ]


def test_what_the_cues_and_the_checks_find_in_mmlu(shared_data):
    """1,816 questions that people wrote: the figures in the module's docstring, and how many each check turns down."""
    questions = mmlu(shared_data / "exam")
    measured = cues(questions)
    assert len(questions) == 1_816
    assert (measured["longest"].right, measured["longest"].met) == (395, 1_482)  # 26.7 %: within luck
    assert measured["longest"].interval[0] < 0.25
    assert (measured["shortest"].right, measured["shortest"].met) == (368, 1_476)  # 24.9 %
    assert (measured["stands_out"].right, measured["stands_out"].met) == (60, 142)  # 42 %: a cue
    assert measured["stands_out"].interval[0] > 0.34
    assert (measured["overlap"].right, measured["overlap"].met) == (15, 71)  # 21 %: none
    faults = Counter(fault_of_form(question, (), "en") for question in questions)
    assert faults["length"] + faults["overlap"] < 0.11 * len(questions)
    # Four questions of MMLU really have two equal options; 82 have options that speak of others.
    assert faults["options_equal"] == 4 and 70 < faults["refers_to_options"] < 90 and faults["options"] == 0
