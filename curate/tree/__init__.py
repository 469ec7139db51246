"""The task tree: its file, the journal of hand edits, other people's trees, and the verbs of `curate tree`."""

from curate.tree.names import name_key, printable
from curate.tree.store import Added, TaskTree

__all__ = ["Added", "TaskTree", "name_key", "printable"]
