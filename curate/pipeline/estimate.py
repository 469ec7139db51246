"""How many calls and tokens a run's steps take, by running its own rules of growth and quotas on expected answers."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.prompt import load_prompt
from curate.types import Message

if TYPE_CHECKING:
    from curate.config import Domain
    from curate.tree import TaskTree

CHARS_PER_TOKEN = {"en": 4.0, "zh": 1.5}
"""Characters of text to one token: a rule of thumb for today's tokenizers, off by a third either way."""


@dataclass
class Growing:
    """How a tree would grow: calls of either move and new tasks, if every answer brings only new ones."""

    lookahead: int = 0
    backtrack: int = 0
    added: int = 0


def growing(domain: Domain, tree: TaskTree) -> Growing:
    """Return what growing `tree` takes: breadth first, as `curate.explore` does it."""
    explore, growth = domain.explore, Growing()
    room = explore.max_tasks - len(tree)
    # The tasks of a level by how many sub-tasks they have, and the tree's own tasks by their depth.
    own: list[Counter[int]] = [Counter() for _ in range(explore.depth + 1)]
    for task in tree.walk():
        depth = min(tree.depth(task.id), explore.depth)
        own[depth][len(tree.children(task.id))] += 1
    newcomers = 0
    for depth in range(explore.depth):
        level, width = own[depth] + Counter({0: newcomers}), explore.width_at(depth)
        newcomers = 0
        for children, tasks in sorted(level.items()):
            if room <= 0 or not tasks:
                break
            gap = max(0, width - children)
            first = min(gap, explore.per_call) if not children else 0
            growth.lookahead += tasks if not children else 0
            growth.backtrack += tasks * math.ceil((gap - first) / explore.per_call)
            newcomers += min(room, tasks * gap)
            room -= min(room, tasks * gap)
        growth.added += newcomers
    return growth


def generation(rows: int, good: float) -> int:
    """Return the calls until `rows` samples stand, if each call brings `good` ones; quotas waste next to none."""
    return math.ceil(round(rows / good, 6))


class Gauge:
    """Measures prompts and samples of a domain in tokens, by its seeds."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.rate = CHARS_PER_TOKEN.get(domain.language, 4.0)
        self.seeds = domain.seed_examples()
        sizes = [sum(len(seed.get(name, "")) for name in ("instruction", "input", "output")) for seed in self.seeds]
        self.sample = self.tokens(sum(sizes) / len(sizes)) + 15 if sizes else 250

    def tokens(self, characters: float) -> int:
        """Return the tokens of so many characters."""
        return math.ceil(characters / self.rate)

    def prompt(self, name: str, **values: Any) -> int:
        """Return the tokens of a prompt rendered with the domain's own values."""
        prompt = load_prompt(name, self.domain.language)
        shown = self.seeds[: self.domain.generate.demonstrations]
        examples = [{key: seed.get(key, "") for key in ("instruction", "input", "output")} for seed in shown]
        path = [self.domain.root.name, "A sub-task", "A sub-task of it"]
        common: dict[str, Any] = {
            "domain": self.domain.name,
            "path": path,
            "description": self.domain.root.description,
            "guidance": self.domain.guidance,
            "rubric": self.domain.judge.rubric if self.domain.judge else "",
            "examples": examples,
            "demonstrations": examples,
            "existing": ["Another sub-task"] * 4,
            "siblings": ["Another sub-task"] * 4,
            "count": self.domain.generate.per_call,
            "max_chars": self.domain.max_chars,
            "scale_max": 5,
        }
        given = {key: {**common, **values}[key] for key in prompt.variables}
        messages: tuple[Message, ...] = prompt.render(**given)
        return self.tokens(sum(len(message["content"]) for message in messages))
