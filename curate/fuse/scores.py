"""How good is each response, as a number: by a reward model in process, or by a judge through the engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from curate.fuse.prompts import Prompt
from curate.fuse.sample import Stopped, Tick
from curate.prompt import load_prompt
from curate.stages.judge import STAGE as GRADE
from curate.stages.judge import judge
from curate.text import content_id
from curate.types import STOPPED, Ask, Message, Sample

if TYPE_CHECKING:
    from curate.fuse.rewards import RewardModel, Scored
    from curate.models import Engine, Ledger

Checked = tuple[Prompt, dict[str, Any], str]
"""A prompt, the row of a response to it, and the status of its verdict."""

USEFUL = ("pass", "fail", "skip")
"""Statuses of which something can be made; no other response is scored."""

BLOCK = 512
"""Responses that are sorted by length at a time."""

SCALE = 10

RUBRIC = (
    f"{SCALE} is a response that does all that was asked, is right in every statement and is as long as needed. 5 is "
    "usable with faults: something asked for is missing, or a detail is wrong. 1 does not answer, or is wrong where it "
    "matters. Use the whole scale."
)

MEANING = "1"
"""Raised when the same model can give the same conversation another score."""


def conversation(prompt: Prompt, row: dict[str, Any]) -> list[Message]:
    """Return the prompt with the response."""
    return [*prompt.messages, {"role": "assistant", "content": row["content"]}]


def by_reward(
    responses: Iterable[Checked], model: RewardModel, ledger: Ledger, tick: Tick, total: int
) -> Iterator[dict[str, Any]]:
    """Yield the row of every response in scores.jsonl, in order.

    A block is scored whole or taken whole from `ledger`, so that a run that was stopped ends with the same scores:
    what stands beside a text in a batch moves the last bits of its score.
    """
    rest, done = iter(responses), 0
    while block := list(islice(rest, BLOCK)):
        wanted = [(prompt, row) for prompt, row, status in block if status in USEFUL]
        texts = [conversation(prompt, row) for prompt, row in wanted]
        name = " ".join(map(content_id, texts))
        kept = ledger.get_verdict("reward", MEANING, model.fingerprint, name)
        told = partial(_further, tick, done, total)
        scored: list[Scored] = [(value, why) for value, why in kept] if kept else model.score(texts, told)
        if not kept and scored:
            ledger.put_verdict("reward", MEANING, model.fingerprint, name, scored)
        found = iter(scored)
        for _, row, status in block:
            value, why = next(found) if status in USEFUL else (None, status)
            yield score_row(row, model.name, value, why)
        done += len(block)
        tick(done, total)


def _further(tick: Tick, before: int, total: int, new: int) -> None:
    tick(before + new, total)


def by_judge(
    responses: Iterable[Checked], engine: Engine, name: str, tick: Tick, total: int
) -> Iterator[dict[str, Any]]:
    """Yield the row of every response in scores.jsonl, in order: grades from 1 to SCALE.

    Raises:
        Stopped: before all were graded; what was paid for is in the ledger.
    """
    prompt = load_prompt("judge/quality", "en")

    async def work(item: Checked, ask: Ask) -> tuple[float | None, str]:
        asked, row, status = item
        if status not in USEFUL:
            return None, status
        sample = Sample(row["response_id"], tuple(conversation(asked, row)))
        graded, _ = await judge(sample, ask, prompt, domain=asked.domain, rubric=RUBRIC, min_score=0, scale_max=SCALE)
        notes = graded.meta[GRADE]
        return (None, notes["cause"]) if notes.get("unscored") else (float(notes["score"]), "")

    for done, outcome in enumerate(engine.map(responses, work), 1):
        value, why = outcome.value
        if why in STOPPED:
            raise Stopped(why)
        tick(done, total)
        yield score_row(outcome.item[1], name, value, why)


def score_row(row: dict[str, Any], scorer: str, value: float | None, why: str) -> dict[str, Any]:
    """Return a row of scores.jsonl."""
    return {"response_id": row["response_id"], "scorer_id": scorer, "score": value, "attributes": [], "why": why}
