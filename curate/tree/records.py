"""What a tree keeps beside its tasks: examples, what `add` did, and the records of merges."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from curate.errors import InputError
from curate.tree.names import digest
from curate.types import Task

Example = dict[str, str]
"""`{"instruction", "input", "output"}`, all text; `input` may be empty."""

How = Literal["added", "repeated", "merged", "pruned"]


class Added(NamedTuple):
    """What `TaskTree.add` did. `task` is the new or the existing task, None only where `how` is "pruned".

    `how`: "added", "repeated" (it stands there already), "merged" (it stands elsewhere, or under another name), or
    "pruned" (it was pruned at that place and stays away).
    """

    task: Task | None
    how: How


def example_id(example: Mapping[str, str]) -> str:
    """Return 12 hex characters of an example's three fields."""
    fields = [example["instruction"], example["input"], example["output"]]
    return digest(json.dumps(fields, ensure_ascii=False))


def clean_example(example: Mapping[str, Any]) -> dict[str, str]:
    """Return the three fields of an example; a missing input or output is empty.

    Raises:
        InputError: a field is no text, or the instruction is empty.
    """
    fields = {field: example.get(field, "") for field in ("instruction", "input", "output")}
    wrong = next((field for field, value in fields.items() if not isinstance(value, str)), None)
    if wrong is None and not fields["instruction"].strip():
        wrong = "instruction"
    if wrong is not None:
        raise InputError(f"an example's {wrong} is {fields[wrong]!r}; it takes text")
    return fields


def with_examples(task: Task, ids: Iterable[str]) -> Task:
    """Return the task with the example ids it does not have yet added."""
    return replace(task, examples=tuple(dict.fromkeys((*task.examples, *ids))))


def merge_record(name: str, path: Sequence[str], parent: str, into: str, how: str, call: str = "") -> dict[str, Any]:
    """Return what is noted of a name that stands for the task `into`."""
    record = {"name": name, "path": list(path), "parent": parent, "into": into, "how": how}
    return {**record, "call": call} if call else record
