"""Demonstrations as in Self-Instruct: without a task tree, some of the seeds and some of what was written so far.

Wang et al. 2023 (arXiv 2212.10560, section 2.2 and its code): a call shows eight instructions in random order, six of
people and two of the model; while the model has written fewer, people's take their place. Everything else, the prompt
and its wording too, is that of a call for a task, so that a comparison with a tree compares nothing but the tree.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from curate.generate.candidates import Writer
from curate.types import Sample, Task

if TYPE_CHECKING:
    from curate.config import Domain
    from curate.tree import TaskTree

SHOWN = 8
"""Demonstrations of a call."""

MACHINE = 2
"""Those of them that a model wrote."""


class FlatWriter(Writer):
    """Writes for the root alone, whose examples are the seeds.

    `written` are the accepted samples that a call may show. They change between two rounds only: a call is then a
    function of the ledger, whatever the order in which replies arrive.
    """

    def __init__(self, domain: Domain, tree: TaskTree, seed: int) -> None:
        super().__init__(domain, tree, seed)
        self.written: dict[str, dict[str, str]] = {}

    def learn(self, samples: dict[str, Sample]) -> None:
        """Take accepted samples, by id, among those that later calls may show."""
        for ident, sample in samples.items():
            source = sample.meta["source"]
            self.written[ident] = {name: source[name] for name in ("instruction", "input", "output")}

    def demonstrations(self, task: Task, attempt: int) -> list[str]:
        """Return ids of the examples to show: a seeded draw from what was written and from the seeds, mixed."""
        rng = random.Random(f"{self.seed}/{task.id}/{attempt}/self-instruct")
        machine = rng.sample(list(self.written), min(MACHINE, len(self.written)))
        human = rng.sample(task.examples, min(SHOWN - len(machine), len(task.examples)))
        shown = [*machine, *human]
        rng.shuffle(shown)
        return shown

    def example(self, ident: str) -> dict[str, str]:
        """Return a seed or a written sample."""
        return self.written[ident] if ident in self.written else super().example(ident)
