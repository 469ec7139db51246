"""Does a sample need factual knowledge? The teacher says so, with its reason and what to look up."""

from __future__ import annotations

from dataclasses import dataclass

from curate.stages.exam.asking import Chain
from curate.stages.judge import asked
from curate.types import Sample

QUERIES = 4
"""The most queries that are kept: each is searched for in the user's documents."""


@dataclass(frozen=True, slots=True)
class Need:
    """The teacher's word on one sample."""

    needed: bool
    reason: str
    queries: tuple[str, ...]


async def find_need(chain: Chain, sample: Sample) -> Need:
    """Ask the teacher whether writing this response takes knowledge of the world. Raises Unanswered.

    KCA's first stage (arXiv 2401.10768, section 3.1) without demonstrations: a reply has a schema, so that none is
    needed to show its form, and none can show a form that is then not read.
    """
    reply = await chain.put("need", "teacher", instruction=asked(sample), response=sample.response)
    queries = dict.fromkeys(query for text in reply["queries"] if (query := " ".join(text.split())))
    return Need(reply["needs_knowledge"], reply["reason"].strip(), tuple(queries)[:QUERIES])
