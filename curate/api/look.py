"""Look at what a run made."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset

    from curate.export.report import ReportFile
    from curate.pipeline.diff import Diff
    from curate.pipeline.stats import Stats
    from curate.pipeline.why import Why
    from curate.view.server import View


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


def report(
    run: str | Path, *, out: str | Path | None = None, umap: bool = False, show: bool = False, quiet: bool = False
) -> ReportFile:
    """Write the page of a run, RUN/report.html unless `out` is given, and return its path, size and counts.

    One file that loads nothing and opens from disk: the task tree, a map of the samples, the yield of every stage,
    near-duplicates, novelty and cost. With `umap`, the map has a UMAP of 10,000 samples too (extra `umap`, a minute).
    `show` opens it in the browser.

    Raises:
        RunError: no run is there, or the page cannot be written.
        MissingExtraError: a UMAP is wanted and umap-learn is missing.
    """
    from curate.cli.display import counted
    from curate.export.report import open_to_report, write_report

    with counted("read", quiet=quiet) as meter:
        written = write_report(open_to_report(run), out, umap=umap, tick=meter.tick)
    if show:
        webbrowser.open(written.path.resolve().as_uri())
    return written


def why(row: str, run: str | Path | None = None) -> Why:
    """Say why a sample is in a dataset or not: prompt, demonstrations, calls, cost, verdicts, nearest neighbour.

    `row` is a sample's id or its beginning, or "RUN:N" for the N-th accepted one; `run` is a run's folder or a .jsonl
    file, the run in runs/ that ended last unless given. Dropped samples and lost calls have ids too.

    Raises:
        InputError: no such row or run, or an id that several begin with.
    """
    from curate.pipeline.why import why as explain

    return explain(row, run)


def diff(a: str | Path, b: str | Path, *, figures: bool = True, quiet: bool = False) -> Diff:
    """Hold two runs against each other: settings, trees, yield, drops, cost, samples in common, and figures.

    `a` and `b` are folders of runs. `figures` are those of `stats`, each run's also on a sample as large as the smaller
    one; they take a while. Only settings that differ are listed.

    Raises:
        InputError: both are the same folder.
        RunError: one is not a run, or has published nothing yet.
    """
    from curate.cli.display import counted
    from curate.pipeline.diff import diff as compare

    with counted("diff", quiet=quiet) as meter:

        def tell(what: str, done: int, total: int) -> None:
            meter.name = what
            meter.tick(done, total)

        return compare(a, b, figures=figures, tell=tell)


def view(run: str | Path, *, port: int = 0, quiet: bool = False) -> View:
    """Serve the local page of a run, or of any dataset, and return it at once; `.close()` ends it.

    `.url` is its address, which a notebook shows as a link. The page is served on this machine only, on `port` or a
    free one, in a thread of this process. Decisions go to the journal that `curate export` honours. Of a large run the
    first samples are shown while the others are read; `.wait()` returns once all are.

    Raises:
        InputError: nothing to look at is there.
        RunError: the port is taken.
    """
    from curate.cli.display import counted
    from curate.view.server import View

    with counted("index", quiet=quiet) as meter:
        return View(run, port, meter.tick)


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
