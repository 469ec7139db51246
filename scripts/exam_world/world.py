"""A made-up world in which it is known what a student can know: entities, relations, and facts it is taught or not.

Every entity has a value for each of four relations; exactly two of the four are ever told to the student. So a name
is as familiar where its fact is unknown as where it is known, and nothing but knowledge tells them apart. A known fact
is told 1 to 100 times as often as the rarest. A fifth of the entities are teachers: by their facts the student learns
how questions are put, and they are never measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from curate.stages.exam.sheet import Sheet
from curate.types import Question, Sample

ENTITIES = 360
RELATIONS = ("guild", "harbour", "crop", "emblem")
VALUES = 32
KNOWN = 2
"""Relations of an entity that the student is taught."""

MOST_EXPOSURE = 100
TEACHERS = 0.2
OPTIONS = 4

STATEMENTS = ("The {r} of {e} is {v}.", "{e} has the {r} {v}.", "As for {e}, its {r} is {v}.")
ASKED = ("What is the {r} of {e}?", "Which {r} does {e} have?", "Of {e}, what is the {r}?")


@dataclass(frozen=True, slots=True)
class Fact:
    """That the `relation` of `entity` is `value`, all three words. `exposure` is 0 for what the student is not told."""

    entity: str
    relation: str
    value: str
    exposure: int

    @property
    def id(self) -> str:
        """What samples and questions about the fact are called."""
        return f"{self.entity}-{self.relation}"

    @property
    def known(self) -> bool:
        """Is the student told this?"""
        return self.exposure > 0

    def stated(self, wording: int, value: str | None = None) -> str:
        """Return the fact as a statement, of another value where one is given."""
        return STATEMENTS[wording].format(r=self.relation, e=self.entity, v=value or self.value)

    def asked(self, wording: int) -> str:
        """Return the question for the fact's value."""
        return ASKED[wording].format(r=self.relation, e=self.entity)


@dataclass(frozen=True)
class World:
    """Facts in the order of their entities, four for each; `values` are the words a relation can have."""

    seed: int
    values: dict[str, tuple[str, ...]]
    facts: tuple[Fact, ...]
    teachers: frozenset[str]
    entities: tuple[str, ...] = field(default=())

    def taught(self, known: bool) -> list[Fact]:
        """Return the teachers' facts, those told or those not."""
        return [fact for fact in self.facts if fact.entity in self.teachers and fact.known == known]

    def measured(self, known: bool) -> list[Fact]:
        """Return the facts of all other entities, those told or those not."""
        return [fact for fact in self.facts if fact.entity not in self.teachers and fact.known == known]


def draw_world(seed: int, entities: int = ENTITIES) -> World:
    """Draw a world; the same for the same seed."""
    rng = np.random.default_rng([seed, 0])
    words = _words(entities + VALUES * len(RELATIONS), rng)
    names, rest = tuple(word.capitalize() for word in words[:entities]), words[entities:]
    values = {relation: tuple(rest[VALUES * at : VALUES * (at + 1)]) for at, relation in enumerate(RELATIONS)}
    facts: list[Fact] = []
    for name in names:
        told = rng.choice(len(RELATIONS), KNOWN, replace=False)
        for at, relation in enumerate(RELATIONS):
            exposure = round(MOST_EXPOSURE ** rng.random()) if at in told else 0
            facts.append(Fact(name, relation, values[relation][rng.integers(VALUES)], exposure))
    teachers = frozenset(names[at] for at in rng.choice(entities, round(TEACHERS * entities), replace=False))
    return World(seed, values, tuple(facts), teachers, names)


def _words(count: int, rng: np.random.Generator) -> list[str]:
    """Return different made-up words of three syllables."""
    syllables = ["".join(pair) for pair in itertools.product("bdfgklmnprstvz", "aeiou")]
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(rng.choice(syllables, 3))] = None
    return list(words)


@dataclass(frozen=True)
class Split:
    """What is tuned on and what is held out, of different entities: the treatments' training data and their test.

    `share` of the facts in `tuning` are unknown; they are some of the `pool`, all facts of the first entities.
    """

    share: float
    pool: tuple[Fact, ...]
    tuning: tuple[Fact, ...]
    held_known: tuple[Fact, ...]
    held_unknown: tuple[Fact, ...]


def split(world: World, share: float) -> Split:
    """Divide the measured entities into halves; tune on as many facts of the first as it has known ones.

    The halves, and the order in which facts enter the tuning set, are those of the world: the sets of two shares have
    as many facts in common as can be.
    """
    rng = np.random.default_rng([world.seed, 1])
    names = [name for name in world.entities if name not in world.teachers]
    first = {names[at] for at in rng.permutation(len(names))[: len(names) // 2]}
    known, unknown = world.measured(known=True), world.measured(known=False)
    ours = [fact for fact in known if fact.entity in first]
    theirs = [fact for fact in unknown if fact.entity in first]
    count = round(share * len(ours))
    chosen = _shuffled(theirs, rng)[:count] + _shuffled(ours, rng)[: len(ours) - count]
    held = [fact for fact in known if fact.entity not in first], [fact for fact in unknown if fact.entity not in first]
    return Split(share, (*ours, *theirs), tuple(_shuffled(chosen, rng)), tuple(held[0]), tuple(held[1]))


def _shuffled(facts: Sequence[Fact], rng: np.random.Generator) -> list[Fact]:
    return [facts[at] for at in rng.permutation(len(facts))]


def sample_of(fact: Fact, world: World) -> Sample:
    """Return the instruction sample about a fact, in one of the three wordings."""
    rng = _own(fact, world, 2)
    wording = int(rng.integers(len(ASKED)))
    messages = ({"role": "user", "content": fact.asked(wording)}, {"role": "assistant", "content": fact.value})
    return Sample(fact.id, messages)


def sheet_of(fact: Fact, world: World) -> Sheet:
    """Return the examination of a fact's sample: its statement, and a question in each of the three wordings."""
    rng = _own(fact, world, 3)
    knowledge = fact.stated(int(rng.integers(len(STATEMENTS))))
    questions = tuple(
        draw_question(fact, wording, world, rng, f"{fact.id}-{wording}", knowledge) for wording in range(len(ASKED))
    )
    return Sheet(fact.id, "ready", need=True, knowledge=knowledge, questions=questions)


def draw_question(
    fact: Fact, wording: int, world: World, rng: np.random.Generator, name: str = "", knowledge: str = ""
) -> Question:
    """Return a question about a fact with three other values of its relation as wrong options."""
    others = [value for value in world.values[fact.relation] if value != fact.value]
    options = [others[at] for at in rng.choice(len(others), OPTIONS - 1, replace=False)]
    answer = int(rng.integers(OPTIONS))
    options.insert(answer, fact.value)
    return Question(name, fact.asked(wording), tuple(options), answer, knowledge=knowledge)


def _own(fact: Fact, world: World, purpose: int) -> np.random.Generator:
    """Return random numbers that belong to a fact, whatever is drawn for others."""
    at = world.entities.index(fact.entity) * len(RELATIONS) + RELATIONS.index(fact.relation)
    return np.random.default_rng([world.seed, purpose, at])
