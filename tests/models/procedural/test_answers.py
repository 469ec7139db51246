"""Answers, checked by another way than the one that made them; worked solutions, checked step by step."""

import re

import pytest
from answer_checks import CHECKS

from curate.models.procedural import book
from curate.models.procedural.grammar import Draw

FORMS = {form.name: form for forms in book.KINDS.values() for form in forms}


def wrong_draws(name, indices):
    """Return the draws of a form whose answer does not come out by the other way."""
    drawn = {i: FORMS[name].facts(Draw("check", name, i)) for i in indices}
    return {i: facts for i, facts in drawn.items() if not CHECKS[name](facts)}


def test_every_form_has_a_check_of_its_answer():
    assert set(CHECKS) == set(FORMS)


@pytest.mark.parametrize("name", sorted(FORMS))
def test_answers_by_another_way(name):
    assert wrong_draws(name, range(3)) == {}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(FORMS))
def test_many_answers_by_another_way(name):
    assert wrong_draws(name, range(100, 160)) == {}


def value(text):
    """Return the number that LaTeX stands for, or None if it holds a letter or is no number."""
    from latex2sympy2_extended import latex2sympy
    from sympy import N

    text = text.strip(" .。,，&;").replace(r"\div", "/").replace(r"\left(", "(").replace(r"\right)", ")")
    # The parser reads two coefficients side by side as one.
    text = re.sub(r"\} ?\\binom", r"} \\cdot \\binom", text)
    if re.search(r"[a-zA-Z!|_%,，&]", re.sub(r"\\(cdot|times|frac|sqrt|binom|pi)\b", "", text)):
        return None
    whole = text.count("{") == text.count("}") and re.search(r"\d", text)
    return complex(N(latex2sympy(text))) if whole else None


def false_steps(solution):
    """Return the equalities between numbers in a worked solution that do not hold, and how many there are."""
    found, count = [], 0
    for display, inline in re.findall(r"\$\$(.*?)\$\$|\$(.*?)\$", solution, re.DOTALL):
        body = re.sub(r"\\(begin|end)\{aligned\}", "", display or inline)
        for part in re.split(r"\\\\|[,，]?\s*\\q?quad|\\Longrightarrow", body):
            sides = part.split("=")
            values = [] if re.search(r"\\(equiv|ne|to|text|pm|bmod)\b", part) else [value(s) for s in sides]
            known = [v for v in values if v is not None]
            count += len(known) > 1
            if any(abs(v - known[0]) > 1e-9 * max(1, abs(v)) for v in known[1:]):
                found.append(part)
    return found, count


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_steps_of_the_solutions_hold(language):
    problems = [book.write(kind, "steps", i, language) for kind in book.kinds_in(language) for i in range(2)]
    results = [false_steps(problem.solution) for problem in problems]
    assert [found for found, _ in results if found] == []
    assert sum(count for _, count in results) > len(problems)


def test_a_false_step_is_found():
    assert false_steps(r"So $2 \cdot 3 = 7$ and $$x = \frac{4}{2} = 2, \qquad y = 5.$$") == ([r"2 \cdot 3 = 7"], 2)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_steps_of_many_solutions_hold(language):
    for kind in book.kinds_in(language):
        for i in range(40):
            assert false_steps(book.write(kind, "many steps", i, language).solution)[0] == []


@pytest.mark.parametrize("kind", list(book.KINDS))
def test_the_box_is_what_the_checker_reads(kind):
    from math_verify import parse, verify

    for i in range(2):
        problem = book.write(kind, "verify", i)
        assert verify(
            parse(f"${problem.answer}$", parsing_timeout=None),
            parse(problem.solution, parsing_timeout=None),
            timeout_seconds=None,
        ), problem
