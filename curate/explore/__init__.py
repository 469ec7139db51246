"""Grow a task tree from a domain (Explore-Instruct, Wan et al. 2023, section 3).

Two moves, each one call of the teacher. *Lookahead* asks a task for sub-tasks. *Backtracking* asks a task that already
has sub-tasks for alternatives to them. Growth is breadth first: every task of a level is asked at the same time, first
looking ahead, then backtracking until the level is as wide as the domain file says, or an answer brings nothing new
`saturation` times in a row. Equal tasks are merged over the whole tree (`merge.py`).

The result depends on the domain, the seed and the teacher's replies alone: replies are taken in the order of the tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from curate.errors import InputError
from curate.explore.merge import SameTask
from curate.generate.candidates import OWN, example_problem
from curate.prompt import Prompt, Reply, ask_for, load_prompt
from curate.types import STOPPED, Ask, Request, Task

if TYPE_CHECKING:
    from curate.config import Domain
    from curate.embed import Encoder
    from curate.models import Engine
    from curate.tree import TaskTree

STAGE = "explore"


@dataclass
class Growth:
    """What growing did: counts, each lost reply and example by cause, and whether it ended of itself.

    `stopped` is why the engine stopped sending (budget, stopped), "enough" where the caller allowed no further move, or
    "" where the tree is complete.
    """

    lookahead: int = 0
    backtrack: int = 0
    added: int = 0
    merged: int = 0
    saturated: list[str] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)
    stopped: str = ""

    def counts(self) -> dict[str, Any]:
        """Return everything but why it stopped, as JSON."""
        return {name: value for name, value in asdict(self).items() if name != "stopped"}

    def lose(self, cause: str) -> None:
        """Count a reply or an example that could not be used."""
        self.lost[cause] = self.lost.get(cause, 0) + 1


class Explorer:
    """Grows one tree. `watch` is called after every answer, for a display.

    `allowed` is asked before every move (all questions of one kind for one level) whether so many more calls may be
    made (an upper bound); where it says no, growing ends there with `stopped` "enough".
    """

    def __init__(
        self,
        engine: Engine,
        domain: Domain,
        tree: TaskTree,
        encoder: Encoder | None,
        seed: int,
        watch: Callable[[Growth], None] = lambda growth: None,
        allowed: Callable[[int], bool] = lambda calls: True,
    ) -> None:
        self.engine = engine
        self.domain = domain
        self.tree = tree
        self.seed = seed
        self.watch = watch
        self.allowed = allowed
        self.growth = Growth()
        self.same_task = SameTask(engine, domain, tree, encoder, seed) if encoder else None
        self.prompts = {move: load_prompt(f"explore/{move}", domain.language) for move in ("lookahead", "backtrack")}
        # The examples that each task came with; what later merges bring comes behind them.
        known: dict[str, int] = tree.state.get(OWN, {})
        self.own = {task.id: known.get(task.id, len(task.examples)) for task in tree.walk()}
        # Answers in a row that brought a task nothing new.
        self.barren: dict[str, int] = {}

    def grow(self) -> Growth:
        """Grow the tree level by level until depth, width, the cap on tasks, saturation or the budget ends it."""
        for depth in range(self.domain.explore.depth):
            level = [task for task in self.tree.walk() if self.tree.depth(task.id) == depth]
            if not level or self.full():
                break
            self.look_ahead([task for task in level if not self.tree.children(task.id)])
            self.backtrack(level)
            if self.growth.stopped:
                break
        return self.growth

    def full(self) -> bool:
        """Is the cap on tasks reached?"""
        return len(self.tree) >= self.domain.explore.max_tasks

    def width(self, task: Task) -> int:
        """How many sub-tasks `task` is to have."""
        return self.domain.explore.width_at(self.tree.depth(task.id))

    def look_ahead(self, tasks: Sequence[Task]) -> None:
        """Ask every one of `tasks`, all at the same time, for its first sub-tasks."""
        self._move("lookahead", tasks, 0)

    def backtrack(self, tasks: Sequence[Task]) -> None:
        """Ask every one of `tasks` that is not yet wide enough for alternatives to what it has, round after round."""
        round_number = 0
        while not self.growth.stopped and not self.full():
            narrow = [task for task in tasks if self._open(task)]
            if not narrow:
                return
            round_number += 1
            self._move("backtrack", narrow, round_number)

    def _open(self, task: Task) -> bool:
        saturated = self.barren.get(task.id, 0) >= self.domain.explore.saturation
        return not saturated and len(self.tree.children(task.id)) < self.width(task)

    def _move(self, move: str, tasks: Sequence[Task], round_number: int) -> None:
        async def work(item: tuple[Task, Request], ask: Ask) -> Reply:
            return await ask_for(ask, self.prompts[move], item[1])

        if tasks and not self.allowed(self._cost(tasks)):
            self.growth.stopped = "enough"
            return
        newcomers: list[Task] = []
        # Every question is put before the first answer changes the tree: what is asked depends on no timing.
        for outcome in self.engine.map([(task, self._request(move, task, round_number)) for task in tasks], work):
            task, reply = outcome.item[0], outcome.value
            if move == "lookahead":
                self.growth.lookahead += 1
            else:
                self.growth.backtrack += 1
            newcomers += self._take(task, reply)
            self.watch(self.growth)
        if self.same_task and newcomers and not self.growth.stopped:
            self._merge(newcomers)
        if not self.growth.stopped:
            self._note_barren(tasks, {task.parent for task in newcomers if task.id in self.tree})

    def _cost(self, tasks: Sequence[Task]) -> int:
        """Return the most calls that a move takes, but for repairs: one for each task and one for each newcomer."""
        if self.same_task is None or not self.domain.explore.merge_candidates:
            return len(tasks)
        newcomers = sum(self._count(task) for task in tasks)
        # The very first newcomer has none that it could be the same as.
        return len(tasks) + newcomers - (len(self.tree) == 1)

    def _count(self, task: Task) -> int:
        """Return how many sub-tasks a call asks for: the whole gap, but never more than one reply can hold."""
        return max(1, min(self.domain.explore.per_call, self.width(task) - len(self.tree.children(task.id))))

    def _note_barren(self, asked: Sequence[Task], fruitful: set[str | None]) -> None:
        """Count who got nothing new; a newcomer that turned out to be an old task in other words is nothing new."""
        for task in asked:
            self.barren[task.id] = 0 if task.id in fruitful else self.barren.get(task.id, 0) + 1
            if self.barren[task.id] == self.domain.explore.saturation:
                self.growth.saturated.append(" > ".join(self.tree.path(task.id)))

    def _request(self, move: str, task: Task, round_number: int) -> Request:
        prompt: Prompt = self.prompts[move]
        return prompt.request(
            "teacher",
            attempt=f"{self.seed}/{task.id}/{move}/{round_number}",
            stage=STAGE,
            domain=self.domain.name,
            path=list(self.tree.path(task.id)),
            description=task.description,
            examples=self._examples(task),
            existing=[child.name for child in self.tree.children(task.id)],
            siblings=[sibling.name for sibling in self.tree.siblings(task.id)],
            count=self._count(task),
            guidance=self.domain.guidance,
            max_chars=self.domain.max_chars,
        )

    def _examples(self, task: Task) -> list[dict[str, str]]:
        """Two examples for a prompt: the task's own, else those of its nearest ancestor that has any."""
        node: Task | None = task
        while node is not None:
            if node.examples:
                return [self.tree.examples[example] for example in node.examples[:2]]
            node = self.tree.get(node.parent) if node.parent else None
        return []

    def _take(self, parent: Task, reply: Reply) -> Iterator[Task]:
        """Add the sub-tasks of one reply, yield the new ones; equal names merge, surplus ones are counted."""
        if reply.failure:
            if reply.failure.kind in STOPPED:
                self.growth.stopped = reply.failure.kind
            self.growth.lose(reply.failure.kind)
            return
        for entry in reply.value["tasks"]:
            # A reply is not bound to the number that was asked for.
            if self.full() or len(self.tree.children(parent.id)) >= self.width(parent):
                self.growth.lose("over_width")
                continue
            known = len(self.tree.merges)
            try:
                task, how = self.tree.add(parent.id, entry["name"], entry["reason"], self._sound_examples(entry))
            except InputError:  # a name of nothing but punctuation or control characters, or far too long
                self.growth.lose("unusable_name")
                continue
            if task is not None and how != "added":
                self._freeze(task)
            if task is not None and how == "added":
                self.growth.added += 1
                self.own[task.id] = len(task.examples)
                yield task
            elif how == "merged":
                # A name that was merged at this place before says nothing new.
                if len(self.tree.merges) > known:
                    self.growth.merged += 1
                else:
                    self.growth.lose("sub-task_repeated")
            else:
                self.growth.lose(f"sub-task_{how}")

    def _freeze(self, task: Task) -> None:
        """Note how many examples a task came with, once others have joined them."""
        if len(task.examples) > self.own[task.id]:
            self.tree.state.setdefault(OWN, {})[task.id] = self.own[task.id]

    def _sound_examples(self, entry: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return the examples that came with a sub-task and pass the domain's rules; the others are counted."""
        sound = []
        for example in entry["examples"]:
            problem = example_problem(example, self.domain)
            if problem:
                self.growth.lose(f"example_{problem}")
            else:
                sound.append({name: example[name] for name in ("instruction", "input", "output")})
        return sound

    def _merge(self, newcomers: Sequence[Task]) -> None:
        assert self.same_task is not None
        for newcomer, into, call in self.same_task.confirmed(newcomers, self.growth):
            self._freeze(self.tree.merge(newcomer.id, into.id, how="teacher", call=call))
            self.growth.merged += 1
            self.growth.added -= 1
            self.watch(self.growth)
