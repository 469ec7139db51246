"""Ask the judge model for a grade by the domain's rubric. The last verdict counts; what is off the menu is no grade."""

from __future__ import annotations

import re

from curate.prompt import Prompt, ask_for
from curate.types import Ask, Sample, Verdict, drop

STAGE = "judge"

_MARKUP = re.compile(r"[*_`#>~|]")
_GRADE = re.compile(r"\s*score\s*[:：]\s*(.*?)\s*\.?\s*", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+")


def grade(text: str, scale_max: int) -> int | None:
    """Return the grade in a judge's reply, a whole number from 1 to `scale_max`, or None where it gives none.

    The last line `score: N` counts, in any case and with Markdown around it. Nothing is read into it: with "4.5",
    "4 or 5", "N", or 9 on a scale of 5 the reply is unscored, even where an earlier line has a grade, since the model
    took that one back.
    """
    given = [match[1] for line in text.splitlines() if (match := _GRADE.fullmatch(_MARKUP.sub("", line)))]
    if not given or not _NUMBER.fullmatch(given[-1]):
        return None
    score = int(given[-1]) if len(given[-1]) <= 9 else 0
    return score if 1 <= score <= scale_max else None


async def judge(
    sample: Sample,
    ask: Ask,
    prompt: Prompt,
    *,
    domain: str,
    rubric: str,
    min_score: float,
    scale_max: int,
    role: str = "judge",
) -> tuple[Sample, Verdict]:
    """Grade one sample with one call; return it with `meta["judge"]` and the verdict.

    Below `min_score` it is dropped as "judge_low_score". A sample that could not be graded (an off-menu reply, a failed
    call) is neither good nor bad: it is kept, and both `meta["judge"]` and the verdict's detail say `unscored: True`
    with the cause ("off_menu" or the kind of failure), by which a run counts them.
    """
    request = prompt.request(
        role,
        stage=STAGE,
        domain=domain,
        rubric=rubric,
        instruction=asked(sample),
        response=sample.response,
        scale_max=scale_max,
    )
    reply = await ask_for(ask, prompt, request)
    notes = {"model": reply.completions[-1].model, "calls": [completion.key for completion in reply.completions]}
    score = grade(reply.value, scale_max) if reply.failure is None else None
    if score is None:
        lost = {"unscored": True, "cause": reply.failure.kind if reply.failure else "off_menu"}
        return sample.tag(STAGE, **lost, **notes), Verdict(True, detail=lost)
    graded = sample.tag(STAGE, score=score, **notes)
    if score < min_score:
        return graded, drop("judge_low_score", float(score), min_score=min_score)
    return graded, Verdict(True, score=float(score))


def asked(sample: Sample) -> str:
    """Return what the last response answers: the user's message, or the whole conversation before the response."""
    before = list(sample.messages)
    if before and before[-1]["role"] == "assistant":
        before.pop()
    if [message["role"] for message in before] == ["user"]:
        return before[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in before)
