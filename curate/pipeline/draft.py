"""Turn a phrase into a domain file: the teacher drafts it, it is validated, and it stays in the run directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.config import Domain, domain_from_draft, load_domain, write_domain
from curate.errors import InputError, ModelError
from curate.pipeline.grow import first_tree
from curate.pipeline.setup import DRAFT
from curate.prompt import LANGUAGES, Reply, ask_for, load_prompt
from curate.text import printable
from curate.types import STOPPED, Ask

if TYPE_CHECKING:
    from curate.pipeline.setup import Job


ATTEMPTS = 3


def language_of(phrase: str) -> str:
    """Return the language that a phrase is written in, of those the rules know."""
    chinese = sum("\u4e00" <= character <= "\u9fff" for character in phrase)
    return "zh" if chinese * 2 > len(phrase.replace(" ", "")) and "zh" in LANGUAGES else "en"


def draft_domain(job: Job) -> Domain | None:
    """Ask the teacher for the domain file of a phrase, check it and write it to the run directory.

    None where the engine was stopped before there was one.

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
        if reply.failure and reply.failure.kind in STOPPED:
            return None
        if reply.failure:
            why = f"{reply.failure.kind}: {reply.failure.message}"
            continue
        try:
            domain = domain_from_draft(reply.value, phrase, language)
            first_tree(domain)  # names that no tree takes are found now, and not when the user has confirmed them
        except InputError as error:
            why = printable(str(error))
            continue
        path = job.run.path / DRAFT
        write_domain(domain, path)
        return load_domain(str(path))
    raise ModelError(
        f"the teacher gave no usable draft of the domain {phrase!r} in {ATTEMPTS} attempts ({why}); "
        "try another teacher, or write a domain file yourself and give its path"
    )
