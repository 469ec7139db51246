"""One call of the teacher and the candidate samples in its reply."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from curate.io import join_input
from curate.prompt import Prompt, Reply, ask_for, load_prompt
from curate.stages import rules
from curate.text import content_id
from curate.types import Ask, Message, Request, Sample, Task

if TYPE_CHECKING:
    from curate.config import Domain
    from curate.tree import TaskTree

STAGE = "generate"
ROLE = "teacher"

COMPUTED = "procedural-"
"""How the name begins of a teacher that computes its answers. What any other calls an answer is only its opinion."""

OWN = "own"
"""In a tree's state: how many examples a task came with, where merges brought more. Only those are demonstrated, so
that a call for a task is the same call however the rest of the tree grows."""

Call = tuple[Task, int]
"""A task and the number of the attempt within it: with the seed, the identity of a call."""


class Writer:
    """Builds the requests of the generation loop and reads their replies."""

    def __init__(self, domain: Domain, tree: TaskTree, seed: int) -> None:
        self.domain = domain
        self.tree = tree
        self.seed = seed
        self.prompt: Prompt = load_prompt("generate/samples", domain.language)

    def demonstrations(self, task: Task, attempt: int) -> list[str]:
        """Return ids of the examples to show: a seeded draw from the task's own, then its parent's, then the root's.

        The pool is what these tasks came with, so a call depends neither on what was generated before it nor on tasks
        that were merged into them while the rest of the tree grew.
        """
        rng = random.Random(f"{self.seed}/{task.id}/{attempt}")
        parent = self.tree.get(task.parent) if task.parent else self.tree.root
        wanted = self.domain.generate.demonstrations
        own = self._own(task)
        drawn = rng.sample(own, min(1, wanted, len(own)))
        # Only one is surely the task's own: a task has few, and the same few repeat themselves call after call.
        wider = dict.fromkeys((*own, *self._own(parent), *self._own(self.tree.root)))
        pool = [example for example in wider if example not in drawn]
        return drawn + rng.sample(pool, min(wanted - len(drawn), len(pool)))

    def _own(self, task: Task) -> tuple[str, ...]:
        """Return ids of the examples that a task came with: all, where no merge brought others."""
        return task.examples[: self.tree.state.get(OWN, {}).get(task.id)]

    def example(self, ident: str) -> dict[str, str]:
        """Return an example by its id."""
        return self.tree.examples[ident]

    def request(self, call: Call) -> Request:
        """Return the request of one call."""
        task, attempt = call
        return self.prompt.request(
            ROLE,
            attempt=f"{self.seed}/{task.id}/{attempt}",
            stage=STAGE,
            domain=self.domain.name,
            path=list(self.tree.path(task.id)),
            description=task.description,
            guidance=self.domain.guidance,
            demonstrations=[self.example(ident) for ident in self.demonstrations(task, attempt)],
            count=self.domain.generate.per_call,
            max_chars=self.domain.max_chars,
            seed=self.seed,
            task_id=task.id,
            attempt_number=attempt,
        )

    async def write(self, call: Call, ask: Ask) -> Reply:
        """Ask for one call's samples; a `work` function of the engine."""
        return await ask_for(ask, self.prompt, self.request(call))

    def samples(self, call: Call, reply: Reply, round_number: int) -> Iterator[Sample]:
        """Yield the candidates of a reply that could be read, each with where it came from."""
        task, attempt = call
        last = reply.completions[-1]
        origin: dict[str, Any] = {
            "task_id": task.id,
            "attempt": attempt,
            "round": round_number,
            "model": last.model,
            "prompt": self.prompt.name,
            "calls": [completion.key for completion in reply.completions],
            "demonstrations": self.demonstrations(task, attempt),
        }
        if last.reasoning:
            origin["reasoning"] = last.reasoning
        for position, row in enumerate(reply.value["samples"]):
            meta: dict[str, Any] = {"source": {name: row[name] for name in ("instruction", "input", "output")}}
            meta[STAGE] = {**origin, "position": position}
            if origin["model"].startswith(COMPUTED):
                meta[STAGE] |= {"answer": row["answer"], "kind": row["kind"]}
            yield make_sample(row, self.tree.path(task.id), meta)

    def lost(self, call: Call, reply: Reply, round_number: int) -> Sample:
        """Return what is kept on disk of a call that gave no sample: its keys, and the head of what the model wrote."""
        task, attempt = call
        last = reply.completions[-1] if reply.completions else None
        meta: dict[str, Any] = {
            "task_id": task.id,
            "attempt": attempt,
            "round": round_number,
            "calls": [completion.key for completion in reply.completions],
            "reply": last.text[:2000] if last else "",
        }
        return Sample(f"call-{task.id}-{attempt}", (), self.tree.path(task.id), {STAGE: meta})


def make_sample(row: Mapping[str, str], path: tuple[str, ...], meta: dict[str, Any]) -> Sample:
    """Return the sample of an {instruction, input, output} row; an input is part of the first user message."""
    instruction, text = row["instruction"].strip(), (row.get("input") or "").strip()
    messages: tuple[Message, ...] = (
        {"role": "user", "content": join_input(instruction, text)},
        {"role": "assistant", "content": row["output"].strip()},
    )
    return Sample(content_id(messages), messages, path, meta)


def example_problem(example: Mapping[str, str], domain: Domain) -> str:
    """Return the reason why the rules drop an example that came with a sub-task, or the empty string."""
    row = {name: example.get(name, "") for name in ("instruction", "input", "output")}
    verdict = rules.check(make_sample(row, (), {"source": row}), domain.rules, domain.language)
    return verdict.reason
