"""Ask the judge model whether two texts are duplicates. The last verdict counts; what is off the menu is none."""

from __future__ import annotations

import re

from curate.prompt import Prompt, ask_for
from curate.types import Ask, Failure

STAGE = "calibrate"

_MARKUP = re.compile(r"[*_`#>~|]")
_VERDICT = re.compile(r"\s*verdict\s*[:：]\s*(.*?)\s*\.?\s*", re.IGNORECASE)
_MENU = {"same": True, "different": False}


def verdict(text: str) -> bool | None:
    """Return whether a judge's reply says "same", or None where it says neither that nor "different".

    The last line `verdict: WORD` counts, in any case and with Markdown around it, and nothing is read into it: with
    "mostly the same" there is no verdict, even where an earlier line has one, since the model took that one back.
    """
    given = [match[1] for line in text.splitlines() if (match := _VERDICT.fullmatch(_MARKUP.sub("", line)))]
    return _MENU.get(given[-1].casefold()) if given else None


async def alike(left: str, right: str, ask: Ask, prompt: Prompt) -> bool | Failure | None:
    """Return whether two texts are duplicates, None for an off-menu reply, or why there is no reply."""
    reply = await ask_for(ask, prompt, prompt.request("judge", stage=STAGE, left=left, right=right))
    return reply.failure or verdict(reply.value)
