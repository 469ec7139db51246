"""No mark of the wording's own language is left in a text."""

import re

import pytest

from curate.models.procedural import book

MATHS = re.compile(r"\$\$.*?\$\$|\$.*?\$|\\boxed\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}", re.DOTALL)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_outside_of_formulas_no_brace_or_choice_is_left(language):
    for kind in book.kinds_in(language):
        for index in range(30):
            problem = book.write(kind, "leftovers", index, language)
            for text in (problem.instruction, problem.solution):
                plain = MATHS.sub("", text)
                assert not re.search(r"[{}]|<[^>\s]+\||\|[^>\s]+>", plain), (kind, index, plain)
