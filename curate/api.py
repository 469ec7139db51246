"""The verbs as Python functions: what `curate.explore("math", rows=1000)` calls.

A verb's parameters are the options of the command line, and it returns the rows as a `datasets.Dataset`, or the object
the verb is about. Progress goes to stderr (a panel on a terminal or in a notebook with widgets, else lines) unless
`quiet`. What cannot work raises `curate.errors.CurateError`, whose message says what would.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from curate.tree import TaskTree, load_tree_with_edits, tree_import, tree_merge, tree_prune, tree_show

if TYPE_CHECKING:
    from datasets import Dataset

    from curate.pipeline.dataset import StageReport
    from curate.pipeline.plan import Plan

__all__ = [
    "check",
    "dedup",
    "explore",
    "export",
    "filter",
    "plan",
    "show",
    "tree_import",
    "tree_merge",
    "tree_prune",
    "tree_show",
]

Format = Literal["messages", "alpaca", "prompt_completion", "sharegpt"]


@overload
def explore(
    domain: str | Path | None = None,
    *,
    tree: str | Path | None = None,
    rows: int = 1000,
    out: str | Path | None = None,
    seed: int = 0,
    teacher: str | None = None,
    judge: str | None = None,
    embedder: str | None = None,
    threshold: float | None = None,
    budget_calls: int | None = None,
    budget_tokens: int | None = None,
    budget_usd: float | None = None,
    tree_only: Literal[False] = False,
    quiet: bool = False,
) -> Dataset: ...
@overload
def explore(
    domain: str | Path | None = None,
    *,
    tree: str | Path | None = None,
    rows: int = 1000,
    out: str | Path | None = None,
    seed: int = 0,
    teacher: str | None = None,
    judge: str | None = None,
    embedder: str | None = None,
    threshold: float | None = None,
    budget_calls: int | None = None,
    budget_tokens: int | None = None,
    budget_usd: float | None = None,
    tree_only: Literal[True],
    quiet: bool = False,
) -> TaskTree: ...
def explore(
    domain: str | Path | None = None,
    *,
    tree: str | Path | None = None,
    rows: int = 1000,
    out: str | Path | None = None,
    seed: int = 0,
    teacher: str | None = None,
    judge: str | None = None,
    embedder: str | None = None,
    threshold: float | None = None,
    budget_calls: int | None = None,
    budget_tokens: int | None = None,
    budget_usd: float | None = None,
    tree_only: bool = False,
    quiet: bool = False,
) -> Dataset | TaskTree:
    """Turn a domain into a dataset: grow its task tree, write samples for every task, filter, export.

    `domain` is a shipped domain (math, rewriting, brainstorming, code, math-zh), a domain file, or any phrase, from
    which the teacher drafts the file; `tree` a task tree to take instead of exploring. `teacher` and `judge` are model
    specs (openai:NAME@URL, vllm:NAME, hf:NAME, scripted:FILE.py, procedural), `threshold` is a cosine. The run is kept
    in `out` (runs/DOMAIN): the same call again goes on there, and pays only for what is new.

    Returns the accepted rows as exported (`id`, `task` and, unless the domain file names another format, `messages`);
    with `tree_only` the task tree. Fewer than `rows` rows are a UserWarning that says why. Dropped samples are in
    `curate.show(out, dropped=True)`.

    Raises:
        CurateError: InputError for what cannot be used, before any call; ModelError where a model stopped the run.
    """
    from curate.cli.display import display
    from curate.pipeline.explore import Options, explore_run
    from curate.pipeline.watch import Watch

    options = Options(
        domain=_text(domain),
        tree=_text(tree),
        rows=rows,
        out=_path(out),
        seed=seed,
        teacher=teacher,
        judge=judge,
        embedder=embedder,
        threshold=threshold,
        budget_calls=budget_calls,
        budget_tokens=budget_tokens,
        budget_usd=budget_usd,
        tree_only=tree_only,
    )
    watch = Watch()
    with display(watch, quiet=quiet) as shown:
        report = explore_run(options, watch=watch, started=shown.start)
    if not quiet:
        shown.say()
    if report.exit_code:
        what = "the task tree is not finished" if tree_only else f"{report.accepted:,} of {rows:,} rows stand"
        warnings.warn(f"{report.out}: {what} ({report.stopped})", UserWarning, stacklevel=2)
    if tree_only:
        return load_tree_with_edits(report.out)[0]
    return _exported(report.dataset)


def plan(
    domain: str | Path | None = None,
    *,
    tree: str | Path | None = None,
    rows: int = 1000,
    out: str | Path | None = None,
    seed: int = 0,
    teacher: str | None = None,
    judge: str | None = None,
    embedder: str | None = None,
    threshold: float | None = None,
    budget_calls: int | None = None,
    budget_tokens: int | None = None,
    budget_usd: float | None = None,
) -> Plan:
    """Say how many calls, tokens and how much money `explore` with the same parameters will take; nothing is asked.

    Raises:
        InputError: as `explore` would before its first call; and for a phrase, whose domain file is yet to be drafted.
    """
    from curate.pipeline.explore import Options
    from curate.pipeline.plan import plan as make

    return make(
        Options(
            domain=_text(domain),
            tree=_text(tree),
            rows=rows,
            out=_path(out),
            seed=seed,
            teacher=teacher,
            judge=judge,
            embedder=embedder,
            threshold=threshold,
            budget_calls=budget_calls,
            budget_tokens=budget_tokens,
            budget_usd=budget_usd,
        )
    )


def check(*domains: str | Path) -> dict[str, list[str]]:
    """Return the problems of each domain (a shipped name or a file; all shipped ones unless any is given).

    A problem is a line that names file, line, key and what would be right; a domain without any is right.
    """
    from curate.pipeline.check import check_domains

    return {result.name: result.problems for result in check_domains([str(name) for name in domains])}


def filter(
    file: str | Path,
    *,
    domain: str | Path | None = None,
    rules: str | Path | None = None,
    language: str = "",
    out: str | Path | None = None,
    quiet: bool = False,
) -> Dataset:
    """Keep the samples of a dataset that hold to the rules of a domain, or of a rules file.

    `file` is a .jsonl, .json, .parquet or .csv file, a run's folder, a folder saved by `datasets`, or a name on the
    Hub. The kept samples are written to `out` (FILE.filtered.jsonl) and returned with the columns `id`, `task`,
    `messages` and `meta` (JSON). The dropped ones lie beside it as NAME.dropped.jsonl, with reasons: read them with
    `curate.show(out, dropped=True)`.

    Raises:
        InputError: neither or both of `domain` and `rules`, or a file or value that cannot be used.
    """
    from curate.cli.display import counted
    from curate.pipeline.dataset import filter_dataset

    with counted("filter", quiet=quiet) as meter:
        report = filter_dataset(file, domain=domain, rules=rules, language=language, out=out, tick=meter.tick)
    return _kept(report)


def dedup(
    file: str | Path,
    *,
    rouge: float | None = 0.7,
    embedder: str | None = None,
    threshold: float | None = None,
    language: str = "en",
    field: Literal["text", "instruction"] = "text",
    out: str | Path | None = None,
    quiet: bool = False,
) -> Dataset:
    """Drop exact, ROUGE-L and semantic near-duplicates over a whole dataset; the first of its like is kept.

    `rouge` is the ROUGE-L above which two samples are the same, None leaves that comparison out, as the embedder
    "none" does for the one by meaning. `threshold` is a cosine, the embedder's own unless given. `file` and what is
    written and returned are as for `filter`; FILE.deduped.jsonl is the default `out`, and a dropped sample names its
    neighbour.

    Raises:
        InputError: a file or value that cannot be used.
        MissingExtraError: the embedder needs a package that is not installed.
    """
    from curate.cli.display import counted
    from curate.pipeline.dataset import dedup_dataset

    with counted("dedup", quiet=quiet) as meter:
        report = dedup_dataset(
            file,
            rouge=rouge,
            embedder=embedder,
            threshold=threshold,
            language=language,
            field=field,
            out=out,
            tick=meter.tick,
        )
    return _kept(report)


def export(
    source: str | Path, *, out: str | Path, format: Format = "messages", reasoning: bool = False, quiet: bool = False
) -> Dataset:
    """Write the accepted samples of a run, or any dataset, to the folder `out`, and return the rows as written.

    The folder holds train.jsonl, train.parquet and the dataset card; `reasoning` takes the teacher's reasoning along.

    Raises:
        InputError: no such source or format, or a sample that the format cannot hold.
    """
    from curate.cli.display import counted
    from curate.pipeline.dataset import export_dataset

    with counted("export", quiet=quiet) as meter:
        report = export_dataset(source, out, format=format, reasoning=reasoning, tick=meter.tick)
    return _exported(report.out)


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


def _text(value: str | Path | None) -> str | None:
    return None if value is None else str(value)


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _kept(report: StageReport) -> Dataset:
    """Return the samples that a stage kept."""
    from curate.io import read_jsonl
    from curate.pipeline.show import as_dataset

    assert report.out is not None
    columns = ["id", "task", "messages", "meta"]
    return as_dataset(read_jsonl(report.out)).select_columns(columns)


def _exported(folder: Path | None) -> Dataset:
    """Return the rows of an exported folder; none where a run ended before its first row."""
    import pyarrow.parquet as pq
    from datasets import Dataset

    if folder is None:
        return Dataset.from_dict({"id": [], "task": [], "messages": []})
    # Not load_dataset: its cache would keep a second copy of every run on the disk.
    return Dataset(pq.read_table(folder / "train.parquet"))
