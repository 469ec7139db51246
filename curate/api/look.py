"""Look at what a run made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset

    from curate.pipeline.stats import Stats
    from curate.pipeline.why import Why


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


def why(row: str, run: str | Path | None = None) -> Why:
    """Say why a sample is in a dataset or not: prompt, demonstrations, calls, cost, verdicts, nearest neighbour.

    `row` is a sample's id or its beginning, or "RUN:N" for the N-th accepted one; `run` is a run's folder or a .jsonl
    file, the run in runs/ that ended last unless given. Dropped samples and lost calls have ids too.

    Raises:
        InputError: no such row or run, or an id that several begin with.
    """
    from curate.pipeline.why import why as explain

    return explain(row, run)


def stats(
    *files: str | Path,
    embedder: str | None = None,
    language: str = "",
    seed: int = 0,
    quiet: bool = False,
) -> Stats:
    """Measure how diverse datasets or runs are, side by side, each figure with its 95 % interval.

    Files of different sizes are each measured on a random subset as large as the smallest too; a single run is held
    against a random subset of everything that was written for it. `embedder` is the language's default unless named
    ("none": no figures of embeddings), `language` the runs' own, else "en". Print `.table()`, read `.as_json()` or
    `.files[0].figures`, draw with `.plot("stats.png")`.

    Raises:
        InputError: no file, one that cannot be read or holds no sample, or a wrong value.
        MissingExtraError: the embedder needs a package that is not installed.
    """
    from curate.cli.stats import measured

    return measured(files, plot=None, embedder=embedder, language=language, seed=seed, quiet=quiet)
