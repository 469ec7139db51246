"""Which tasks are the same task? Embeddings propose, the teacher decides.

No threshold on embeddings could decide it: "first-order" and "second-order differential equations" are nearer to each
other than "greatest common divisor" is to "highest common factor". So each new task is shown to the teacher with its
nearest neighbours in the whole tree, and the answer is kept in the ledger like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from curate.embed import Unsent
from curate.prompt import Reply, ask_for, load_prompt
from curate.types import STOPPED, Ask, Request, Task

if TYPE_CHECKING:
    from curate.config import Domain
    from curate.embed import Encoder
    from curate.explore import Growth
    from curate.models import Engine
    from curate.tree import TaskTree

FLOOR = 0.25
"""Cosine below which a pair is not worth a question. "Greatest common divisor" and "highest common factor" have .33."""


class SameTask:
    """Proposes and confirms merges for one tree. Vectors of tasks are kept from one level to the next."""

    def __init__(self, engine: Engine, domain: Domain, tree: TaskTree, encoder: Encoder, seed: int) -> None:
        self.engine = engine
        self.domain = domain
        self.tree = tree
        self.encoder = encoder
        self.seed = seed
        self.prompt = load_prompt("explore/same_task", domain.language)
        self._vectors: dict[str, Any] = {}

    def candidates(self, newcomers: Sequence[Task]) -> list[tuple[Task, list[Task]]]:
        """Return each newcomer that has neighbours above FLOOR, with at most `merge_candidates` of them.

        Of two newcomers only the later one is asked about the earlier, and nobody about its own ancestors or
        descendants: a task and its sub-task are never the same.
        """
        import numpy as np

        tasks = list(self.tree.walk())
        missing = [task for task in tasks if task.id not in self._vectors]
        if missing:
            texts = [f"{task.name}. {task.description}" for task in missing]
            names = self.encoder.encode([task.name for task in missing])
            whole = self.encoder.encode(texts)
            for task, name, text in zip(missing, names, whole, strict=True):
                self._vectors[task.id] = (name, text)
        by_name = np.stack([self._vectors[task.id][0] for task in tasks])
        by_text = np.stack([self._vectors[task.id][1] for task in tasks])
        later = {task.id: position for position, task in enumerate(newcomers)}
        found = []
        for task in newcomers:
            name, text = self._vectors[task.id]
            scores = np.maximum(by_name @ name, by_text @ text)
            family = {*self._ancestors(task.id), *self._descendants(task.id), task.id}
            near: list[Task] = []
            for position in np.argsort(-scores, kind="stable"):
                other = tasks[int(position)]
                if scores[position] < FLOOR or len(near) == self.domain.explore.merge_candidates:
                    break
                if other.id not in family and later.get(other.id, -1) < later[task.id]:
                    near.append(other)
            if near:
                found.append((task, near))
        return found

    def confirmed(self, newcomers: Sequence[Task], growth: Growth) -> Iterator[tuple[Task, Task, str]]:
        """Ask the teacher about every candidate, all at the same time; yield (newcomer, what it is, the call's key)."""

        async def work(item: tuple[Task, list[Task], Request], ask: Ask) -> Reply:
            return await ask_for(ask, self.prompt, item[2])

        gone: dict[str, str] = {}
        # Every question is put before the first merge changes the tree: what is asked depends on no timing.
        try:
            asked = [(task, near, self._request(task, near)) for task, near in self.candidates(newcomers)]
        except Unsent as unsent:
            growth.stopped = unsent.kind
            return
        for outcome in self.engine.map(asked, work):
            (task, near, _), reply = outcome.item, outcome.value
            if reply.failure:
                if reply.failure.kind in STOPPED:
                    growth.stopped = reply.failure.kind
                growth.lose(reply.failure.kind)
                continue
            choice = int(reply.value["same"])
            if not 1 <= choice <= len(near):
                continue
            into = near[choice - 1].id
            while into in gone:  # the chosen task was itself merged a moment ago
                into = gone[into]
            if into != task.id:
                gone[task.id] = into
                yield task, self.tree.get(into), reply.completions[-1].key

    def _request(self, task: Task, near: list[Task]) -> Request:
        def shown(number: int, other: Task) -> dict[str, Any]:
            path = list(self.tree.path(other.id))
            return {"number": number, "name": other.name, "description": other.description, "path": path}

        return self.prompt.request(
            "teacher",
            attempt=f"{self.seed}/{task.id}/same",
            stage="merge",
            domain=self.domain.name,
            task={"name": task.name, "description": task.description, "path": list(self.tree.path(task.id))},
            candidates=[shown(number, other) for number, other in enumerate(near, 1)],
        )

    def _ancestors(self, task_id: str) -> Iterator[str]:
        parent = self.tree.get(task_id).parent
        while parent is not None:
            yield parent
            parent = self.tree.get(parent).parent

    def _descendants(self, task_id: str) -> Iterator[str]:
        for child in self.tree.children(task_id):
            yield child.id
            yield from self._descendants(child.id)
