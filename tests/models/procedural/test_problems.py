"""What every kind promises, whatever its numbers: clean text, one boxed answer, the same again for the same draw."""

import re

import pytest

from curate.models.procedural import book, tree, wording

DRAWS = 12
CASES = [(language, kind) for language in ("en", "zh") for kind in book.kinds_in(language)]


def draws(language, kind, n=DRAWS):
    return [book.write(kind, "test", i, language) for i in range(n)]


def balanced(text):
    depth = 0
    for sign in re.sub(r"\\[{}]", "", text):
        depth += (sign == "{") - (sign == "}")
        if depth < 0:
            return False
    return depth == 0


def faults(text):
    """Return what is wrong with the look of a text."""
    found = [name for name in ("<@", "{}", "  ", "+ -", "- -", "$$$") if name in text]
    found += re.findall(
        r"\b(?:None|nan|zoo)\b|\$1\$ (?:euros|dollars|hours|days|years|apples|blocks|hits|heads)\b", text
    )
    found += ["unbalanced dollars"] if text.replace("\\$", "").count("$") % 2 else []
    found += ["unbalanced braces"] if not balanced(text) else []
    found += ["unfilled"] if re.search(r"[<>|]", re.sub(r"\$[^$]*\$", "", text.replace("$$", "$"))) else []
    return found


@pytest.mark.parametrize(("language", "kind"), CASES)
def test_texts_are_clean_and_end_in_the_answer(language, kind):
    for problem in draws(language, kind):
        assert len(problem.instruction) > 12
        assert faults(problem.instruction) == [], problem.instruction
        assert faults(problem.solution) == [], problem.solution
        assert problem.solution.count("\\boxed") == 1
        assert f"\\boxed{{{problem.answer}}}" in problem.solution.splitlines()[-1]


@pytest.mark.parametrize(("language", "kind"), CASES)
def test_a_draw_is_deterministic_and_draws_differ(language, kind):
    first = draws(language, kind, 6)
    assert first == draws(language, kind, 6)
    assert len({p.instruction for p in first}) == 6
    other = [book.write(kind, "another", i, language) for i in range(6)]
    assert not {p.instruction for p in first} & {p.instruction for p in other}


def test_the_promised_width():
    assert len(book.KINDS) >= 60
    assert len(book.kinds_in("en")) == len(book.KINDS)
    assert len(book.kinds_in("zh")) >= 20
    assert len(tree.ROOT.below) >= 6


def test_every_form_is_worded_and_every_wording_has_a_form():
    names = {form.name for forms in book.KINDS.values() for form in forms}
    assert set(wording.words("en")) == names
    assert set(wording.words("zh")) <= names


def test_the_tree_reaches_every_kind_once():
    reached = [kind for branch in tree.ROOT.below for topic in branch.below for kind in topic.own]
    assert sorted(reached) == sorted(book.KINDS)
    assert max(len(branch.below) for branch in tree.ROOT.below) <= 6
    everything = [name for node in tree.ROOT.walk() for name in tree.names(node)]
    assert len(everything) == len(set(everything))


def test_most_draws_are_mutually_distinct_sentences():
    """30 draws of each kind: the share that passes ROUGE-L 0.7 against all before it (measured: 0.99)."""
    from rapidfuzz.distance import Indel
    from rapidfuzz.process import cdist

    kinds = book.kinds_in("en")[::6]
    alphabet, kept, total = {}, [], 0
    for i in range(30):
        for kind in kinds:
            words = re.findall(r"[a-z0-9]+", book.write(kind, "yield", i).instruction.lower())
            text = "".join(alphabet.setdefault(w, chr(0xE000 + len(alphabet))) for w in words)
            total += 1
            if not kept or cdist([text], kept, scorer=Indel.normalized_similarity).max() <= 0.7:
                kept.append(text)
    assert len(kept) / total > 0.95
