"""Turn a phrase into a domain file: the teacher drafts it, it is validated, and it stays in the run directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.config import Domain, domain_from_draft, load_domain, write_domain
from curate.errors import ModelError
from curate.pipeline.setup import DRAFT
from curate.prompt import LANGUAGES, Reply, ask_for, load_prompt
from curate.types import Ask

if TYPE_CHECKING:
    from curate.pipeline.setup import Job


ATTEMPTS = 3


def language_of(phrase: str) -> str:
    """Return the language that a phrase is written in, of those the rules know."""
    chinese = sum("\u4e00" <= character <= "\u9fff" for character in phrase)
    return "zh" if chinese * 2 > len(phrase.replace(" ", "")) and "zh" in LANGUAGES else "en"


def draft_domain(job: Job) -> Domain:
    """Ask the teacher for the domain file of a phrase, check it and write it to the run directory.

    Raises:
        ModelError: the teacher gave no usable draft; the message says why.
    """
    phrase, seed = job.setup.phrase, job.setup.seed
    language = language_of(phrase)
    prompt = load_prompt("explore/domain", language)

    async def work(attempt: int, ask: Ask) -> Reply:
        request = prompt.request("teacher", attempt=f"{seed}/domain/{attempt}", stage="draft", phrase=phrase)
        return await ask_for(ask, prompt, request)

    # One after the other: a second draft is paid for only where the first cannot be read.
    for attempt in range(ATTEMPTS):
        reply = next(job.engine.map([attempt], work)).value
        if reply.failure is None:
            path = job.run.path / DRAFT
            write_domain(domain_from_draft(reply.value, phrase, language), path)
            return load_domain(str(path))
        why = f"{reply.failure.kind}: {reply.failure.message}"
    raise ModelError(
        f"the teacher gave no usable draft of the domain {phrase!r} in {ATTEMPTS} attempts ({why}); "
        "try another teacher, or write a domain file yourself and give its path"
    )
