"""What a student is: something that says how probable each ending of a prompt is, or which ending it would write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

PRECISIONS = ("float32", "bfloat16", "float16")
"""What a student in process can be loaded in."""

CONTEXT = "context"
"""How the error of a prompt begins that is too long for the student even without demonstrations."""

UNANSWERED = "unanswered"
"""How the error of a prompt begins that a server did not answer; put again, it may."""


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt with the endings that are compared.

    The prompt is `head`, then the demonstrations `shots`, then `tail`. Where it is too long for the student, the last
    demonstrations are left out one by one; `head` and `tail` never are. Items that begin alike are cheap together.
    """

    head: str
    shots: tuple[str, ...]
    tail: str
    endings: tuple[str, ...]

    def prompt(self, shots: int | None = None) -> str:
        """Return the prompt with its first `shots` demonstrations, or with all."""
        return self.head + "".join(self.shots[:shots]) + self.tail


@dataclass(frozen=True, slots=True)
class Mark:
    """What a student gave for one item, an entry for each ending in its order.

    `logprobs` are natural logarithms of the probability of the whole ending after the prompt, `tokens` how many tokens
    that is the product of; both are empty where the student has no log-probabilities. `votes` says how often each
    ending was written; it is empty where log-probabilities were read. `shots` demonstrations were shown. With `error`,
    a cause and after a colon its details, there is nothing else.
    """

    logprobs: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    votes: tuple[int, ...] = ()
    shots: int = 0
    error: str | None = None


class Student(Protocol):
    """A model that takes an exam.

    `name` is what people call it. `fingerprint` is equal where the marks must be: it is made of the weights, or of the
    served name, and of how the marks are read. `votes` is true where the student only writes letters, so that texts
    cannot be compared. `together` questions at a time are best handed over. `notes` are lines on what was found when it
    was opened: which way of reading marks was chosen, and why.
    """

    name: str
    fingerprint: str
    votes: bool
    together: int
    notes: tuple[str, ...]

    def mark(self, items: Sequence[Item]) -> Iterator[tuple[int, Mark]]:
        """Yield the number of an item and its mark, each item once, in whatever order they are done.

        What is wrong with one item is that mark's `error`. Raises ModelError where the student cannot go on.
        """

    def close(self) -> None:
        """Let go of the model."""
