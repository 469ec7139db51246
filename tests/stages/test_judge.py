from __future__ import annotations

import asyncio

import pytest

from curate.prompt import load_prompt
from curate.stages.judge import grade, judge
from curate.types import Completion, Failure, Sample, Verdict, drop

SAMPLE = Sample("s", ({"role": "user", "content": "Add 1 and 2."}, {"role": "assistant", "content": "3"}))


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Fine.\nscore: 4", 4),
        ("**Score: 4**", 4),
        ("> ## SCORE : `5`.  \n", 5),
        ("- a list\nscore：3", 3),
        ("score: 2\nOn second thought:\nscore: 5\nThat is all.", 5),  # the last one counts
        ("score: 1", 1),
        ("score: 4\nscore: N", None),  # the last one counts even if it is no grade
        ("score: 4\nscore:", None),
        ("score: 6", None),
        ("score: 0", None),
        ("score: -3", None),
        ("score: 4.5", None),
        ("score: 4/5", None),
        ("score: 4 or 5", None),
        ("score: 四", None),
        ("score: ４", None),
        ("score: " + "9" * 5000, None),
        ("The score: 4", None),
        ("The answer scores 4 of 5.", None),
        ("4", None),
        ("", None),
    ],
)
def test_grade(text, score):
    assert grade(text, 5) == score


def test_the_scale_is_the_domains():
    assert [grade("score: 9", scale) for scale in (5, 9, 10)] == [None, 9, 9]


def run(*completions: Completion, sample: Sample = SAMPLE, min_score: int = 4):
    asked = []
    replies = iter(completions)

    async def ask(request):
        asked.append(request)
        return next(replies)

    work = judge(
        sample, ask, load_prompt("judge/quality"), domain="math", rubric="Right?", min_score=min_score, scale_max=5
    )
    return *asyncio.run(work), asked


@pytest.mark.parametrize(
    ("completion", "note", "verdict"),
    [
        (Completion("k", "Right.\nscore: 5", model="m"), {"score": 5}, Verdict(True, score=5.0)),
        (Completion("k", "score: 4", model="m"), {"score": 4}, Verdict(True, score=4.0)),
        (Completion("k", "score: 3", model="m"), {"score": 3}, drop("judge_low_score", 3.0, min_score=4)),
        (
            Completion("k", "It is great.", model="m"),
            {"unscored": True, "cause": "off_menu"},
            Verdict(True, detail={"unscored": True, "cause": "off_menu"}),
        ),
        (
            Completion("k", failure=Failure("refusal", "no"), model="m"),
            {"unscored": True, "cause": "refusal"},
            Verdict(True, detail={"unscored": True, "cause": "refusal"}),
        ),
    ],
)
def test_one_sample(completion, note, verdict):
    sample, found, [request] = run(completion)
    assert found == verdict
    assert sample.meta == {"judge": {**note, "model": "m", "calls": ["k"]}}
    assert (request.role, request.stage, request.prompt) == ("judge", "judge", "judge/quality")
    assert (request.variables["instruction"], request.variables["response"]) == ("Add 1 and 2.", "3")


def test_a_conversation_is_shown_whole():
    turns = ({"role": "system", "content": "Be brief."}, *SAMPLE.messages, {"role": "user", "content": "Plus 1?"})
    sample = Sample("s", (*turns, {"role": "assistant", "content": "4"}))
    _, _, [request] = run(Completion("k", "score: 5"), sample=sample)
    assert (
        request.variables["instruction"] == "system: Be brief.\n\nuser: Add 1 and 2.\n\nassistant: 3\n\nuser: Plus 1?"
    )
    assert request.variables["response"] == "4"
