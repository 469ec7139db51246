"""curate: from one domain name to a trained model.

    import curate
    dataset = curate.explore("math", rows=1000)

Every verb of the command line is a function here; see `curate.api`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.api import (
        calibrate,
        check,
        decontaminate,
        dedup,
        diff,
        eval,
        exam,
        explore,
        export,
        filter,
        fuse_align,
        fuse_build,
        fuse_capture,
        fuse_collect,
        fuse_run,
        merge,
        plan,
        pull,
        report,
        show,
        stats,
        train_dpo,
        train_fuse,
        train_sft,
        train_wrpo,
        tree_add,
        tree_import,
        tree_merge,
        tree_prune,
        tree_rename,
        tree_show,
        try_,
        view,
        why,
    )

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


def __getattr__(name: str) -> Any:
    """Import a verb when it is first used, so that `import curate` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'curate' has no attribute {name!r}")
    from curate import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """The package's module, in which a verb is never hidden by the sub-package of the same name."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Importing `curate.explore` or `curate.export` would bind the module over the verb.
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
