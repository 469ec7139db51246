"""A tree as nested YAML or JSON: mappings with name, description, tasks, or names that hold names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.tree.imports import Entry
from curate.tree.store import MAX_DEPTH

CHILDREN = ("tasks", "children")
FIELDS = ("name", "description", *CHILDREN, "examples", "id")
"""What a task written as a mapping takes; `id` is accepted and not used, as `curate tree show --format json` has it."""

SHAPES = "write a task as its name, as 'name: [sub-tasks]', or as a mapping with name, description and tasks"


def outline_entries(path: Path, text: str) -> Iterator[Entry]:
    """Yield the tasks of an outline, depth first. JSON is read as the YAML it is.

    Raises:
        InputError: not YAML, or something that is no task; the message names file and line.
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        event: Any
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            # compose() recurses in C, where too deep is the end of the process. A level takes at most two collections.
            if depth > 2 * MAX_DEPTH + 2:
                where = f"{path}:{event.start_mark.line + 1}"
                raise InputError(f"{where}: nested too deep; a tree has at most {MAX_DEPTH} levels")
        top = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(f"{path}:{line}: not YAML: {problem}; check quotes, colons and indentation") from error
    if top is not None:
        yield from _Outline(path).entries(top)


class _Outline:
    """Walks the nodes of one file; every node knows its line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: set[int] = set()

    def place(self, node: Any) -> str:
        return f"{self.path}:{node.start_mark.line + 1}"

    def entries(self, top: Any) -> Iterator[Entry]:
        # Each item: the node of a name (None: it is in the value), the node of a task, its depth.
        stack: list[tuple[Any, Any, int]] = list(reversed(self.tasks(top, 0)))
        while stack:
            key, node, depth = stack.pop()
            if depth > MAX_DEPTH:
                raise InputError(f"{self.place(node)}: nested too deep; a tree has at most {MAX_DEPTH} levels")
            entry, children = self.task(key, node, depth)
            yield entry
            stack += reversed(children)

    def tasks(self, node: Any, depth: int) -> list[tuple[Any, Any, int]]:
        """Return the tasks that a node holds: a list of them, a mapping of names, or a single one."""
        # An anchor used twice would be copied, and one inside itself never ends.
        if id(node) in self.seen:
            raise InputError(f"{self.place(node)}: anchors are not read in an outline; write the tasks out")
        self.seen.add(id(node))
        if node.id == "sequence":
            return [(None, item, depth) for item in node.value]
        if node.id == "mapping" and not self.is_task(node):
            return [(key, value, depth) for key, value in node.value]
        return [(None, node, depth)]

    def is_task(self, node: Any) -> bool:
        """Is a mapping one task with fields, rather than names that hold their sub-tasks?"""
        keys = {key.value for key, _ in node.value if key.id == "scalar"}
        return "name" in keys or (bool(keys) and keys <= set(FIELDS))

    def task(self, key: Any, node: Any, depth: int) -> tuple[Entry, list[tuple[Any, Any, int]]]:
        """Read one task and say which tasks are below it."""
        place = self.place(key or node)
        if key is None and node.id == "scalar":
            return Entry(depth, self.text(node), "", [], place), []
        if key is None and node.id == "mapping" and not self.is_task(node):
            if len(node.value) != 1:
                names = ", ".join(str(each.value) for each, _ in node.value[:3])
                raise InputError(f"{place}: one entry of a list holds several names ({names}); give each its own '-'")
            key, node = node.value[0]
        if key is not None and node.id == "scalar":
            description = "" if node.tag.endswith(":null") else self.text(node)
            return Entry(depth, self.text(key), description, [], place), []
        if node.id == "mapping" and self.is_task(node):
            return self.fields(key, node, depth, place)
        if key is None:
            raise InputError(f"{place}: a list stands where a task should; {SHAPES}")
        return Entry(depth, self.text(key), "", [], place), self.tasks(node, depth + 1)

    def fields(self, key: Any, node: Any, depth: int, place: str) -> tuple[Entry, list[tuple[Any, Any, int]]]:
        """Read a task that is written as a mapping of fields."""
        found = {self.text(each): value for each, value in node.value}
        for each, _ in node.value:
            if each.value not in FIELDS:
                raise InputError(
                    f"{self.place(each)}: a task has no field {each.value!r}; it takes {', '.join(FIELDS)}"
                )
        name = self.text(found["name"]) if "name" in found else self.text(key) if key is not None else ""
        description = self.text(found["description"]) if "description" in found else ""
        children: list[tuple[Any, Any, int]] = []
        for field in CHILDREN:
            if field in found and not found[field].tag.endswith(":null"):
                children += self.tasks(found[field], depth + 1)
        examples = self.examples(found["examples"]) if "examples" in found else []
        return Entry(depth, name, description, examples, place), children

    def examples(self, node: Any) -> list[dict[str, str]]:
        """Read examples; a number of them, as `show --format json` prints it, is none."""
        if node.tag.endswith(":int"):
            return []
        rows = []
        for item in node.value if node.id == "sequence" else [node]:
            if item.id != "mapping":
                raise InputError(f"{self.place(item)}: an example is a mapping with instruction, input and output")
            rows.append({self.text(key): self.text(value) for key, value in item.value})
        return rows

    def text(self, node: Any) -> str:
        """Return the text of a scalar; 1, yes and null must be quoted, as a name is never a number by accident."""
        if node.id != "scalar" or not node.tag.endswith(":str"):
            what = f"{node.value!r} is read as {node.tag.rpartition(':')[2]}; put it in quotes"
            raise InputError(f"{self.place(node)}: {what if node.id == 'scalar' else 'expected text here; ' + SHAPES}")
        return str(node.value)
