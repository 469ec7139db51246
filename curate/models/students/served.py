"""Students behind a server: marked by the echo of each ending where the server has it, else by the letters it writes.

Both go through the engine, with its ledger, budget and limits. One call tells which way a server can be asked.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from curate.models.echo import echo_request, read_echo
from curate.models.engine import Engine
from curate.models.students.student import CONTEXT, UNANSWERED, Item, Mark
from curate.types import Ask, Completion, Failure, Request

STAGE = "exam"
ROLE = "student"

PROBE = Item("", (), "Monday, Tuesday, Wednesday,", (" Thursday", " yesterday"))

VOTES = 5
"""Letters that are written for each prompt."""

TEMPERATURE = 1.0
"""Letters are drawn as the model weighs them, so that their shares estimate its probabilities."""

REPLY_TOKENS = 16
INSTRUCTION = "Answer the last question. Write nothing but the letter of the right option.\n\n"

ALONE = re.compile(r"\A\W*([A-Ja-j])\W*\Z")
FIRST = re.compile(r"\A\W*([A-J])\s*(?:[.):,\]*\n-])")
SAID = re.compile(r"(?:answer|option|choice)\W+(?:is\W+|would be\W+)?\(?\*{0,2}([A-J])\b", re.IGNORECASE)


class _Served(ABC):
    """A model behind a server, asked through the engine. `resources` are what was opened for it."""

    together = 512

    def __init__(self, engine: Engine, role: str, name: str, resources: ExitStack) -> None:
        self.name = name
        self._engine, self._role, self._resources = engine, role, resources

    def mark(self, items: Sequence[Item]) -> Iterator[tuple[int, Mark]]:
        """Yield each item's number and its mark, in order."""
        for outcome in self._engine.map(enumerate(items), self._work):
            yield outcome.item[0], outcome.value

    def close(self) -> None:
        """Let go of the engine where it was opened for this student."""
        self._resources.close()

    @abstractmethod
    async def _work(self, numbered: tuple[int, Item], ask: Ask) -> Mark: ...


class EchoStudent(_Served):
    """A server that says how probable it finds a text: one call for each item, with all its endings."""

    votes = False

    def __init__(self, engine: Engine, role: str, name: str, resources: ExitStack) -> None:
        super().__init__(engine, role, name, resources)
        self.fingerprint = f"{name} echo"
        self.notes: tuple[str, ...] = ("log-probabilities by the server's echo of every option (/v1/completions)",)

    async def _work(self, numbered: tuple[int, Item], ask: Ask) -> Mark:
        item = numbered[1]
        shots = len(item.shots)
        while True:
            done = await ask(echo_request(self._role, item.prompt(shots), item.endings, STAGE))
            if done.failure is None:
                logprobs, tokens = read_echo(done.text)
                return Mark(logprobs, tokens, shots=shots)
            if done.failure.kind != "context_length" or not shots:
                return Mark(error=_error(done.failure))
            shots -= 1


class VoteStudent(_Served):
    """A server that only writes: each prompt is answered VOTES times, and the letters are counted."""

    votes = True

    def __init__(self, engine: Engine, role: str, name: str, why: str, resources: ExitStack) -> None:
        super().__init__(engine, role, name, resources)
        self.fingerprint = f"{name} {VOTES} votes at {TEMPERATURE:g}"
        self.notes: tuple[str, ...] = (
            f"{VOTES} written letters for each order, counted: the server gives no log-probabilities ({why})",
        )

    async def _work(self, numbered: tuple[int, Item], ask: Ask) -> Mark:
        item = numbered[1]
        letters = [ending.strip() for ending in item.endings]
        shots = len(item.shots)
        while True:
            requests = [self._request(item.prompt(shots), vote) for vote in range(VOTES)]
            done = [await ask(requests[0])]
            failure = done[0].failure
            if failure is None or failure.kind != "context_length" or not shots:
                break
            shots -= 1
        done += await asyncio.gather(*(ask(request) for request in requests[1:]))
        return _counted(done, letters, shots)

    def _request(self, prompt: str, vote: int) -> Request:
        message = {"role": "user", "content": INSTRUCTION + prompt}
        return Request(
            self._role, (message,), REPLY_TOKENS, temperature=TEMPERATURE, attempt=f"vote {vote}", stage=STAGE
        )


def probe(engine: Engine, role: str) -> Failure | None:
    """Return why a server gives no log-probabilities of what it is given, None where it does. One call."""
    done = next(iter(engine.run([echo_request(role, PROBE.prompt(), PROBE.endings, STAGE)])))
    return done.failure


def written_letter(reply: str, letters: Sequence[str]) -> str | None:
    """Return the letter that a reply gives, None where it gives none: alone, first, or after "the answer is"."""
    for pattern in (ALONE, FIRST, SAID):
        found = pattern.search(reply)
        if found and found[1].upper() in letters:
            return found[1].upper()
    return None


def _counted(done: Sequence[Completion], letters: Sequence[str], shots: int) -> Mark:
    """Return the votes of the replies; an error where none of them has a letter."""
    failures = [one.failure for one in done if one.failure is not None]
    if transient := [failure for failure in failures if _error(failure).startswith(UNANSWERED)]:
        return Mark(error=_error(transient[0]))
    written = [written_letter(one.text, letters) for one in done if one.failure is None]
    votes = tuple(written.count(letter) for letter in letters)
    if sum(votes):
        return Mark(votes=votes, shots=shots)
    if failures:
        return Mark(error=_error(failures[0]))
    return Mark(error=f"no letter: in {len(done)} replies, the first one {' '.join(done[0].text.split())[:60]!r}")


def _error(failure: Failure) -> str:
    from curate.types import BILLED, PERMANENT

    if failure.kind == "context_length":
        return f"{CONTEXT}: {failure.message}"
    known = failure.kind in PERMANENT + BILLED
    return f"{failure.kind}: {failure.message}" if known else f"{UNANSWERED} ({failure.kind}): {failure.message}"
