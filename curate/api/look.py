"""Look at what a run made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset


def show(
    run: str | Path,
    *,
    dropped: bool = False,
    stage: str | None = None,
    reason: str | None = None,
    task: str | None = None,
    limit: int | None = None,
) -> Dataset:
    """Return samples of a run, or of a file that `filter` or `dedup` wrote: the kept ones, or the dropped ones.

    The columns are `id`, `task`, `messages`, `meta` (JSON) and, of dropped samples, `stage`, `reason`, `score`,
    `neighbour` (the id of the kept sample that it was too near to) and `detail` (JSON). A `stage` or `reason` means
    dropped samples; `task` is a name or a path such as "Algebra/Matrices".

    Raises:
        InputError: no run or file there.
    """
    from curate.pipeline.show import as_dataset, show_samples

    return as_dataset(show_samples(run, dropped=dropped, stage=stage, reason=reason, task=task, limit=limit))
