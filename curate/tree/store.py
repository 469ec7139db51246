"""TaskTree: the domain's tasks as a tree in which no two tasks have the same name."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.text import printable
from curate.tree.names import clean_name, name_key, task_id
from curate.tree.records import Added, Example, clean_example, example_id, merge_record, with_examples
from curate.types import Task

MAX_DEPTH = 100
"""Deepest level. A chain this long is a mistake in a file, and JSON and YAML writers recurse once per level."""


class TaskTree:
    """A tree of tasks, their examples, and what was merged and pruned.

    Public data, all JSON: `examples` {id: example}; `merges`, a record for each name that stands for another task
    ({"name", "path", "parent", "into", "how"}, "call" where a teacher confirmed it, "id" where it was a task itself);
    `pruned` ({"id", "path", "places": [[parent id, name key]], "ids", "merges"?}); `applied`, ids of the hand edits
    already in this tree; `state`, the explorer's own notes. Children keep the order in which they came.
    """

    def __init__(self, name: str, description: str = "", examples: Iterable[Mapping[str, str]] = ()) -> None:
        import networkx as nx

        self._graph: Any = nx.DiGraph()
        self.examples: dict[str, Example] = {}
        self.merges: list[dict[str, Any]] = []
        self.pruned: list[dict[str, Any]] = []
        self.applied: list[str] = []
        self.state: dict[str, Any] = {}
        self._names: dict[str, str] = {}  # name key -> task id, for names and for what was merged into a task
        self._moved: dict[str, str] = {}  # id of a task that was merged -> id of the task it is part of
        self._places: set[tuple[str, str]] = set()  # (parent id, name key) that were pruned
        self._refused: set[str] = set()  # ids that were pruned
        self._recorded: set[tuple[str, str]] = set()  # (parent id, name key) of `merges`
        name = clean_name(name)
        key = name_key(name)
        self._root = task_id(None, key)
        self._names[key] = self._root
        self._put(Task(self._root, name, description.strip(), None, self._keep_examples(examples)))

    # Looking

    @property
    def root(self) -> Task:
        """The task all others are part of."""
        return self.get(self._root)

    def __len__(self) -> int:
        return len(self._graph)

    def __contains__(self, ident: str) -> bool:
        return ident in self._graph

    def get(self, ident: str) -> Task:
        """Return a task by its id.

        Raises:
            InputError: no such task.
        """
        try:
            task: Task = self._graph.nodes[ident]["task"]
        except KeyError:
            raise InputError(f"no task has the id {ident!r} in the tree '{printable(self.root.name)}'") from None
        return task

    def current(self, ident: str) -> str:
        """Return the id of the task that `ident` is part of since it was merged, else `ident`."""
        return self._moved.get(ident, ident)

    def named(self, name: str) -> Task | None:
        """Return the task that has this name, or into which a task of this name was merged."""
        ident = self._names.get(name_key(name))
        return None if ident is None else self.get(ident)

    def find(self, path: Sequence[str]) -> Task | None:
        """Return the task at a path of names, with or without the root's name, or None."""
        keys = [name_key(name) for name in path]
        if not keys:
            return self.root
        task = self.named(path[-1])
        if task is None:
            return None
        whole = [name_key(name) for name in self.path(task.id)]
        return task if keys in (whole, whole[1:]) else None

    def path(self, ident: str) -> tuple[str, ...]:
        """Return the names from the root down to the task."""
        names = []
        task: Task | None = self.get(ident)
        while task is not None:
            names.append(task.name)
            task = None if task.parent is None else self.get(task.parent)
        return tuple(reversed(names))

    def depth(self, ident: str) -> int:
        """Return how far the task is from the root (the root: 0)."""
        return len(self.path(ident)) - 1

    def children(self, ident: str) -> list[Task]:
        """Return the sub-tasks of a task, in the order in which they came."""
        self.get(ident)
        nodes = self._graph.nodes
        return [nodes[child]["task"] for child in self._graph.successors(ident)]

    def siblings(self, ident: str) -> list[Task]:
        """Return the other sub-tasks of the task's parent."""
        parent = self.get(ident).parent
        return [] if parent is None else [task for task in self.children(parent) if task.id != ident]

    def walk(self, start: str | None = None) -> Iterator[Task]:
        """Yield `start` (the root) and everything below it, breadth first."""
        queue = deque([self.get(start or self._root)])
        while queue:
            task = queue.popleft()
            yield task
            queue.extend(self.children(task.id))

    def is_pruned(self, parent: str, name: str) -> bool:
        """Was a task of this name pruned at this place, or a task above it?"""
        parent, key = self.current(parent), name_key(name)
        return parent in self._refused or (parent, key) in self._places or task_id(parent, key) in self._refused

    # Changing

    def add(self, parent: str, name: str, description: str = "", examples: Iterable[Mapping[str, str]] = ()) -> Added:
        """Add a task below `parent` (an id), unless a task of that name stands anywhere in the tree.

        Then the examples go to that task, and where the place differs the merge is recorded, once. The parent may have
        been merged into another task: that one is the parent. What was pruned at this place is refused.

        Raises:
            InputError: no such parent, no usable name, a wrong example, or deeper than MAX_DEPTH.
        """
        name = clean_name(name)
        if self.is_pruned(parent, name):
            return Added(None, "pruned")
        parent = self.current(parent)
        depth = len(self.path(parent))
        key = name_key(name)
        known = self._names.get(key)
        if known is None and depth > MAX_DEPTH:
            raise InputError(f"task {printable(name)!r} would be {depth} levels deep; {MAX_DEPTH} is the limit")
        ids = self._keep_examples(examples)
        if known is not None:
            task = self._put(with_examples(self.get(known), ids))
            if task.parent == parent and name_key(task.name) == key:
                return Added(task, "repeated")
            self._record(name, parent, known, "name")
            return Added(task, "merged")
        task = self._put(Task(task_id(parent, key), name, description.strip(), parent, ids))
        self._graph.add_edge(parent, task.id)
        self._names[key] = task.id
        return Added(task, "added")

    def merge(self, what: str, into: str, *, how: str = "hand", call: str = "") -> Task:
        """Make the task `what` part of the task `into` (ids); return that one.

        `what` goes: its sub-tasks move below `into`, its examples join. `how` says who decided it, `call` is the ledger
        key of the reply that did. From then on the name of `what` stands for `into`.

        Raises:
            InputError: no such task, or `what` is `into` or one of the tasks above it.
        """
        gone, kept = self.get(what), self.get(self.current(into))
        above: str | None = kept.id
        while above is not None:
            if above == gone.id:
                what = "itself" if gone.id == kept.id else f"{printable(kept.name)!r}, which is below it"
                raise InputError(
                    f"task {printable(gone.name)!r} cannot be merged into {what}; name a task outside of its own branch"
                )
            above = self.get(above).parent
        record = merge_record(gone.name, self.path(gone.id), gone.parent or "", kept.id, how, call)
        for child in self.children(gone.id):
            if (kept.id, name_key(child.name)) in self._places:
                self.prune(child.id)
            else:
                self._graph.add_edge(kept.id, child.id)
                self._put(replace(child, parent=kept.id))
        self._graph.remove_node(gone.id)
        kept = self._put(with_examples(self.get(kept.id), gone.examples))
        for merge in self.merges:
            if merge["into"] == gone.id:
                merge["into"] = kept.id
                if "id" in merge:
                    self._moved[merge["id"]] = kept.id
        self.merges.append({**record, "id": gone.id})
        self._recorded.add((record["parent"], name_key(gone.name)))
        self._moved[gone.id] = kept.id
        self._move_places(gone.id, kept.id)
        for key, ident in self._names.items():
            if ident == gone.id:
                self._names[key] = kept.id
        return kept

    def give_examples(self, ident: str, examples: Iterable[Mapping[str, str]]) -> Task:
        """Add examples to a task; return it."""
        return self._put(with_examples(self.get(ident), self._keep_examples(examples)))

    def rename(self, ident: str, name: str) -> Task:
        """Give a task another name; its id stays, and the old name keeps standing for it.

        Raises:
            InputError: no such task, no usable name, or a name that stands for another task.
        """
        task, name = self.get(ident), clean_name(name)
        self._check_free(name, ident)
        if name_key(task.name) != name_key(name):
            self._record(task.name, task.parent or "", ident, "rename")
            self._names[name_key(name)] = ident
        return self._put(replace(task, name=name))

    def prune(self, ident: str) -> list[Task]:
        """Remove a task and everything below it for good; return them, breadth first.

        `add` refuses it at its place, at the places of what was merged into it, and below any task that went.

        Raises:
            InputError: no such task, or it is the root.
        """
        task = self.get(ident)
        if task.parent is None:
            raise InputError(f"{printable(task.name)!r} is the root and cannot be pruned; prune tasks below it")
        gone = list(self.walk(ident))
        ids = {below.id: None for below in gone}
        lost = [merge for merge in self.merges if merge["into"] in ids]
        places = {(task.parent, name_key(task.name)): None}
        places.update({(merge["parent"], name_key(merge["name"])): None for merge in lost if merge["into"] == ident})
        went = [*ids, *(merge["id"] for merge in lost if "id" in merge)]
        record = {"id": ident, "path": [*self.path(ident)], "places": [[*place] for place in places], "ids": went}
        self._refuse({**record, "merges": lost} if lost else record)
        self.merges = [merge for merge in self.merges if merge["into"] not in ids]
        self._recorded.difference_update((merge["parent"], name_key(merge["name"])) for merge in lost)
        self._names = {key: owner for key, owner in self._names.items() if owner not in ids}
        self._moved = {old: into for old, into in self._moved.items() if into not in ids}
        self._graph.remove_nodes_from(ids)
        self._drop_examples({example for below in gone for example in below.examples})
        return gone

    def refuse(self, ident: str, path: Sequence[str] = ()) -> None:
        """Prune what is not in the tree yet: a task of this id, or at this path of names below the root, is refused."""
        places = []
        if path:
            parent = self._root
            for name in path[:-1]:
                parent = self._names.get(name_key(name)) or task_id(parent, name_key(name))
            places.append([parent, name_key(path[-1])])
            ident = ident or task_id(parent, name_key(path[-1]))
        self._refuse({"id": ident, "path": [self.root.name, *path], "places": places, "ids": [ident]})

    def readmit(self, parent: str, name: str) -> None:
        """Take back the pruning of this name at this place, so that `add` accepts it again."""
        place = [self.current(parent), name_key(name)]
        self.pruned = [record for record in self.pruned if place not in record["places"]]
        self._index()

    def save(self, path: Path) -> None:
        """Write tree.json; see `curate.tree.files.save_tree`."""
        from curate.tree.files import save_tree

        save_tree(self, path)

    @staticmethod
    def load(path: Path) -> TaskTree:
        """Read tree.json; see `curate.tree.files.load_tree`."""
        from curate.tree.files import load_tree

        return load_tree(path)

    def summary(self) -> list[str]:
        """Return lines: how many tasks at each depth, leaves, examples, merged and pruned tasks, the widest tasks."""
        from curate.tree.draw import summary

        return summary(self)

    def show(self, max_depth: int | None = None, max_lines: int | None = None) -> Iterator[str]:
        """Yield the tree drawn with box characters, line by line; see `curate.tree.draw.drawing`."""
        from curate.tree.draw import drawing

        return drawing(self, max_depth, max_lines)

    # Keeping the books

    @classmethod
    def restore(
        cls, tasks: Sequence[Task], examples: dict[str, Example], merges: list[dict[str, Any]],
        pruned: list[dict[str, Any]], applied: list[str], state: dict[str, Any],
    ) -> TaskTree:  # fmt: skip
        """Build a tree from its parts, which are sound: the root first, every parent before its children."""
        tree = cls(tasks[0].name)
        tree._graph.remove_node(tree._root)
        tree._root = tasks[0].id
        tree._graph.add_nodes_from((task.id, {"task": task}) for task in tasks)
        tree._graph.add_edges_from((task.parent, task.id) for task in tasks[1:])
        tree.examples, tree.merges, tree.pruned = examples, merges, pruned
        tree.applied, tree.state = applied, state
        tree._index()
        return tree

    def _index(self) -> None:
        """Rebuild what is derived from the public data."""
        self._names = {name_key(task.name): ident for ident, task in self._graph.nodes(data="task")}
        for merge in self.merges:
            self._names.setdefault(name_key(merge["name"]), merge["into"])
        self._recorded = {(merge["parent"], name_key(merge["name"])) for merge in self.merges}
        self._moved = {merge["id"]: merge["into"] for merge in self.merges if "id" in merge}
        self._places, self._refused = set(), set()
        for record in self.pruned:
            self._places.update((parent, key) for parent, key in record["places"])
            self._refused.update(record["ids"])

    def _put(self, task: Task) -> Task:
        self._graph.add_node(task.id, task=task)
        return task

    def _check_free(self, name: str, ident: str) -> None:
        """Raise InputError where `name` stands for another task than `ident`."""
        owner = self._names.get(name_key(name), ident)
        if owner != ident:
            other = " > ".join(map(printable, self.path(owner)))
            raise InputError(
                f"the name {printable(name)!r} already stands for '{other}'; merge the two, or take another"
            )

    def _record(self, name: str, parent: str, into: str, how: str) -> None:
        """Note that `name` below `parent` ("" above the root) stands for `into`, once."""
        place = (parent, name_key(name))
        if place not in self._recorded:
            self._recorded.add(place)
            path = (*self.path(parent), name) if parent else (name,)
            self.merges.append(merge_record(name, path, parent, into, how))

    def _move_places(self, gone: str, kept: str) -> None:
        """What was pruned below `gone` is refused below `kept` too, unless it stands there by its own right."""
        own = {name_key(task.name) for task in self.children(kept)}
        for record in self.pruned:
            moved = [[kept, key] for parent, key in record["places"] if parent == gone and key not in own]
            record["places"] += [place for place in moved if place not in record["places"]]
            self._places.update((parent, key) for parent, key in moved)

    def _refuse(self, record: dict[str, Any]) -> None:
        self.pruned.append(record)
        self._places.update((parent, key) for parent, key in record["places"])
        self._refused.update(record["ids"])

    def _keep_examples(self, examples: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
        ids = []
        for example in examples:
            fields = clean_example(example)
            ids.append(example_id(fields))
            self.examples[ids[-1]] = fields
        return tuple(dict.fromkeys(ids))

    def _drop_examples(self, ids: set[str]) -> None:
        """Remove those of `ids` that no task has."""
        if ids:
            for _, task in self._graph.nodes(data="task"):
                ids.difference_update(task.examples)
        for ident in ids:
            del self.examples[ident]
