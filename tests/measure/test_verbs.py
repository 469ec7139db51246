"""Root verbs and their objects, of sentences in each of the forms that instructions take."""

from __future__ import annotations

import pytest

from curate.measure.verbs import Pair, count_pairs, root_verb, singular


@pytest.mark.parametrize(
    ("instruction", "verb", "noun"),
    [
        ("Write a short story about two dragons.", "write", "story"),
        ("Rewrite the following sentence in a formal tone.", "rewrite", "sentence"),
        ("Please suggest three healthy breakfast options", "suggest", "option"),
        ("Give me the names of five rivers.", "give", "name"),
        ("Identify and correct the grammatical errors in this text.", "identify", "error"),
        ("Make this legal document easier to read.", "make", "document"),
        ("Create a story describing a robot that helps a family.", "create", "story"),
        ("Generate a concise but meaningful goodbye message", "generate", "message"),
        ("Re-write the paragraph.", "rewrite", "paragraph"),
        ("Identify the paragraph's topic sentence.", "identify", "sentence"),
        ("Set up a 3-day workshop.", "set", "workshop"),
        ("Explain why the sky is blue.", "explain", None),
        ("Describe Paris.", "describe", None),
        ("Sort them in ascending order.", "sort", None),
        ("Think of a new way to use a bottle", "think", None),
    ],
)
def test_commands(instruction, verb, noun):
    assert root_verb(instruction) == Pair(verb, noun)


@pytest.mark.parametrize(
    ("instruction", "verb", "noun"),
    [
        ("Given two words, find the difference between them.", "find", "difference"),
        ("Using the facts given, write a question-answer pair.", "write", "pair"),
        ("In this task, you need to compare the meanings of two words.", "compare", "meaning"),
        ("Can you please translate this letter into French?", "translate", "letter"),
        ("I would like you to draft an email to my landlord.", "draft", "email"),
        ("Your task is to classify the reviews.", "classify", "review"),
        ("Question: answer the riddle below.", "answer", "riddle"),
        ("Suppose you are a judge, write an opinion.", "write", "opinion"),
    ],
)
def test_frames_and_leading_clauses_are_seen_through(instruction, verb, noun):
    assert root_verb(instruction) == Pair(verb, noun)


@pytest.mark.parametrize(
    ("instruction", "verb", "noun"),
    [
        ("How do you answer this question in an interview?", "answer", "question"),
        ("What challenges can you expect when editing?", "expect", "challenge"),
        ("What is the longest flight ever made?", None, None),
        ("Tom reads 10 books in May. How many is that?", "read", "book"),
        ("Mr. Jackson has 27 students. He wants to give each a pen.", "have", "student"),
        ("Amy is collecting candy for a party.", "collect", "candy"),
        ("A store ordered 5 boxes of balloons.", "order", "box"),
        ("There are 7 yellow pens in a drawer.", None, None),
        ("", None, None),
        ("3 + 4 = ?", None, None),
        ("写一首诗", None, None),
    ],
)
def test_questions_and_statements(instruction, verb, noun):
    assert root_verb(instruction) == Pair(verb, noun)


def test_long_and_odd_texts_end():
    assert root_verb("(" * 100_000) == Pair(None, None)
    assert root_verb("write " * 50_000).verb == "write"
    assert root_verb("** Write ** a poem").verb == "write"


@pytest.mark.parametrize(
    ("plural", "expected"),
    [("stories", "story"), ("boxes", "box"), ("classes", "class"), ("people", "person"), ("analyses", "analysis"),
     ("bus", "bus"), ("news", "news"), ("movies", "movie"), ("keys", "key"), ("criteria", "criterion"),
     ("topics", "topic")],
)  # fmt: skip
def test_singulars(plural, expected):
    assert singular(plural) == expected


def test_whole_pairs_are_counted_the_most_frequent_first():
    pairs = [Pair("write", "poem"), Pair("add", "word"), Pair("write", "poem"), Pair("write", None), Pair(None, None)]
    assert count_pairs(pairs) == [("write", "poem", 2), ("add", "word", 1)]
