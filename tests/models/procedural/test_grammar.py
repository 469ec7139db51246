"""The template language and the small repairs of the finished text."""

import re

import pytest

from curate.models.procedural import book, voices, wording
from curate.models.procedural.grammar import Draw, Form, Wording, compose, expand

DRAW = Draw("seed", "kind", 0)


def test_a_choice_may_not_replace_a_fact():
    with pytest.raises(ValueError, match=r"kind: <t=…> would replace the fact 't' in 'a <t=red\|green> ball'"):
        expand("a <t=red|green> ball", {"t": 320}, DRAW, "slot", 0)
    facts = {}
    assert expand("<t=red|red> <t=blue|blue> {t}", facts, DRAW, "slot", 0) == "red blue blue"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_wording_replaces_a_fact_or_links_to_a_choice_it_does_not_make(language):
    words, people = wording.words(language), set(wording.voice(language).people[0])
    for kind in book.kinds_in(language):
        for form in book.forms_in(kind, language):
            facts = set(form.facts(Draw("seed", kind, 0)))
            for text in (*words[form.name].ask, words[form.name].solution):
                made = set(re.findall(r"<(\w+)=", text))
                assert not made & (facts | people), form.name
                assert {name for name in re.findall(r"<@(\w+):", text) if f"#{name}" not in facts} <= made, form.name


def test_articles_follow_the_sound_of_what_comes_next():
    texts = {
        "Mix a $8\\%$ acid, a $18$, a $80$, a $11$": "Mix an $8\\%$ acid, an $18$, an $80$, an $11$",
        "A beetle or An beetle, an survey, an hour": "A beetle or A beetle, a survey, an hour",
        "A alloy, a unit, a $28$, a $118$": "An alloy, a unit, a $28$, a $118$",
    }
    assert {text: voices.polish_en(text) for text in texts} == texts


def test_a_step_that_changes_nothing_is_left_out():
    solution = (
        r"Then $$x = 4, \qquad x = 4.$$ It is $\sqrt{29} = \sqrt{29}$, or $\frac{6}{4} = \frac{3}{2} = \frac{3}{2}$."
    )
    form = Form("form", lambda draw: {"answer": 4})
    problem = compose(DRAW, (form,), {"form": Wording(("What is x?",), solution)}, wording.voice("en"))
    assert problem.solution.startswith(r"Then $$x = 4.$$ It is $\sqrt{29}$, or $\frac{6}{4} = \frac{3}{2}$.")
