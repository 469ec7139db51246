"""The verbs as Python functions: what `curate.explore("math", rows=1000)` calls.

A verb's parameters are the options of the command line, and it returns the rows as a `datasets.Dataset`, or the object
the verb is about. Progress goes to stderr (a panel on a terminal or in a notebook with widgets, else lines) unless
`quiet`. What cannot work raises `curate.errors.CurateError`, whose message says what would.
"""

from curate.api.data import calibrate, decontaminate, dedup, export, filter, pull
from curate.api.evaluate import eval
from curate.api.exam import exam
from curate.api.fusion import fuse_align, fuse_build, fuse_capture, fuse_collect, fuse_run, merge
from curate.api.job import check, explore, plan, try_
from curate.api.look import diff, report, show, stats, view, why
from curate.api.train import train_dpo, train_fuse, train_sft, train_wrpo
from curate.tree import tree_add, tree_import, tree_merge, tree_prune, tree_rename, tree_show

__all__ = [
    "calibrate",
    "check",
    "decontaminate",
    "dedup",
    "diff",
    "eval",
    "exam",
    "explore",
    "export",
    "filter",
    "fuse_align",
    "fuse_build",
    "fuse_capture",
    "fuse_collect",
    "fuse_run",
    "merge",
    "plan",
    "pull",
    "report",
    "show",
    "stats",
    "train_dpo",
    "train_fuse",
    "train_sft",
    "train_wrpo",
    "tree_add",
    "tree_import",
    "tree_merge",
    "tree_prune",
    "tree_rename",
    "tree_show",
    "try_",
    "view",
    "why",
]
