"""The reference knowledge of a sample: the teacher writes it, from documents if there are any; the judge checks it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from curate.embed import Unsent
from curate.errors import ParseError
from curate.stages.exam.asking import Chain, Check, Unanswered
from curate.stages.exam.documents import Documents, Passage, Span
from curate.stages.exam.need import Need
from curate.stages.judge import asked
from curate.types import Failure, Sample


@dataclass(frozen=True, slots=True)
class Knowledge:
    """A reference text and the passages it cites; `passages` are their texts, in the order of `sources`."""

    text: str
    sources: tuple[Span, ...] = ()
    passages: tuple[str, ...] = ()


async def find_passages(documents: Documents, sample: Sample, need: Need, count: int) -> list[Passage]:
    """Return the `count` passages nearest to the instruction and to the teacher's queries.

    The search runs in a thread of its own: an encoder may take milliseconds, or be a server. Raises Unanswered where
    the vectors of the queries were not had.
    """
    try:
        return await asyncio.to_thread(documents.search, (asked(sample), *need.queries), count)
    except Unsent as error:
        raise Unanswered(Failure(error.kind, str(error))) from error


async def write_knowledge(chain: Chain, sample: Sample, need: Need, passages: Sequence[Passage]) -> Knowledge:
    """Ask the teacher for what a reader has to know to write this response. Raises Unanswered."""
    reply = await chain.put(
        "knowledge",
        "teacher",
        check=_citing(len(passages)),
        instruction=asked(sample),
        response=sample.response,
        reason=need.reason,
        queries=list(need.queries),
        passages=[
            {"number": number, "file": passage.span.file, "text": passage.text}
            for number, passage in enumerate(passages, 1)
        ],
        # Without passages a citation means nothing and is not read.
        last_passage=max(len(passages), 1),
    )
    cited = [passages[number - 1] for number in dict.fromkeys(reply["cited"])] if passages else []
    return Knowledge(
        reply["knowledge"].strip(), tuple(passage.span for passage in cited), tuple(passage.text for passage in cited)
    )


async def doubt(chain: Chain, sample: Sample, knowledge: Knowledge) -> str:
    """Return what the judge holds to be wrong in the knowledge or the response, or the empty string.

    An examination that rests on a wrong answer would call a student ignorant for knowing better. Raises Unanswered.
    """
    reply = await chain.put(
        "sound",
        chain.judge,
        instruction=asked(sample),
        response=sample.response,
        knowledge=knowledge.text,
        passages=list(knowledge.passages),
    )
    return "" if reply["sound"] else reply["why"].strip() or "the judge gives no reason"


def _citing(count: int) -> Check:
    """Return a check that only passages that were shown are cited, and that there is a text."""

    def check(reply: Any) -> None:
        if not reply["knowledge"].strip():
            raise ParseError("the knowledge is empty")
        wrong = [number for number in reply["cited"] if not 1 <= number <= count]
        if count and wrong:
            raise ParseError(f"cited names passage {wrong[0]}, but passages 1 to {count} were shown")

    return check
