"""The task tree: its file, the journal of hand edits, other people's trees, and the verbs of `curate tree`."""

from curate.tree.edits import append_edit, apply_edits, read_edits
from curate.tree.files import load_tree_with_edits
from curate.tree.imports import import_tree
from curate.tree.names import name_key
from curate.tree.records import Added
from curate.tree.store import TaskTree
from curate.tree.verbs import tree_add, tree_import, tree_merge, tree_prune, tree_rename, tree_show

__all__ = [
    "Added",
    "TaskTree",
    "append_edit",
    "apply_edits",
    "import_tree",
    "load_tree_with_edits",
    "name_key",
    "read_edits",
    "tree_add",
    "tree_import",
    "tree_merge",
    "tree_prune",
    "tree_rename",
    "tree_show",
]
