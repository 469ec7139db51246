"""The skills of a made-up world: what can be asked of a string, and what the right answer is.

A prompt is the letter of a skill and a string over ten symbols in capitals, such as `RBDAC`. The answer, which follows
from both, is in small letters: so that tokens of several symbols stand in answers alone, where they are predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

SYMBOLS = "abcdefghij"
SHORTEST, LONGEST = 3, 4
"""Symbols of a string."""

SKILLS: dict[str, Callable[[str], str]] = {
    "R": lambda text: text[::-1],
    "S": lambda text: "".join(sorted(text)),
    "T": lambda text: text[1:] + text[0],
    "N": lambda text: "".join(SYMBOLS[(SYMBOLS.index(one) + 1) % len(SYMBOLS)] for one in text),
    "W": lambda text: text + text,
    "L": lambda text: "".join(one for one in text if one in SYMBOLS[5:]),
}
"""What is done with a string, by the letter that asks for it."""

NAMES = {"R": "reverse", "S": "sort", "T": "turn", "N": "next symbol", "W": "write twice", "L": "only late symbols"}

VARYING = ("W", "L")
"""The skills whose answers are not as long as the string."""


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt and its right answer, which is never empty."""

    prompt: str
    answer: str

    @property
    def skill(self) -> str:
        """The letter of the skill."""
        return self.prompt[0]


def draw(rng: np.random.Generator, skills: Sequence[str], count: int) -> list[Task]:
    """Draw tasks, equally many of each skill to one, with no prompt twice."""
    found: dict[str, Task] = {}
    while len(found) < count:
        skill = skills[len(found) % len(skills)]
        places = rng.integers(len(SYMBOLS), size=rng.integers(SHORTEST, LONGEST + 1))
        text = "".join(SYMBOLS[place] for place in places)
        if answer := SKILLS[skill](text):
            found.setdefault(skill + text.upper(), Task(skill + text.upper(), answer))
    return list(found.values())


@dataclass(frozen=True)
class World:
    """Who knows what, and what is asked. `skills` has the two of each source, in the order of the sources.

    `prompts` are those of every arm, `checks` decide when a model has learnt enough, `tests` measure the arms; no
    prompt is in two of them.
    """

    seed: int
    skills: tuple[tuple[str, str], ...]
    prompts: tuple[Task, ...]
    checks: tuple[Task, ...]
    tests: tuple[Task, ...]

    @cached_property
    def kept_back(self) -> frozenset[str]:
        """The prompts that no model reads while it is made."""
        return frozenset(task.prompt for part in (self.prompts, self.checks, self.tests) for task in part)


def draw_world(seed: int, prompts: int = 3000, tests: int = 600, checks: int = 600) -> World:
    """Draw a world; the same for the same seed."""
    rng = np.random.default_rng([seed, 0])
    letters = [str(one) for one in rng.permutation(list(SKILLS))]
    # Equally many of each skill in every part, in an order of chance.
    tasks = draw(rng, letters, prompts + tests + checks)
    parts = tasks[:prompts], tasks[prompts : prompts + tests], tasks[prompts + tests :]
    shuffled = [tuple(part[place] for place in rng.permutation(len(part))) for part in parts]
    skills = tuple((letters[place], letters[place + 1]) for place in range(0, len(letters), 2))
    return World(seed, skills, shuffled[0], shuffled[2], shuffled[1])
