"""The whole job, its price, and whether a domain file is right."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from curate.api.rows import exported
from curate.tree import TaskTree, load_tree_with_edits

if TYPE_CHECKING:
    from datasets import Dataset

    from curate.pipeline.plan import Plan
    from curate.pipeline.trial import Trial


@overload
def explore(
    domain: str | Path | None = None,
    *,
    tree: str | Path | None = None,
    rows: int | None = None,
    until_novelty: float | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    teacher: str | None = None,
    judge: str | None = None,
    student: str | None = None,
    treat: Literal["open_book", "discard", "refuse"] | None = None,
    embedder: str | None = None,
    threshold: float | None = None,
    budget_calls: int | None = None,
    budget_tokens: int | None = None,
    budget_usd: float | None = None,
    tree_only: Literal[False] = False,
    compare: Literal["self-instruct"] | None = None,
    quiet: bool = False,
) -> Dataset: ...
@overload
def explore(
    domain: str | Path | None = None,
    *,
    tree: str | Path | None = None,
    rows: int | None = None,
    until_novelty: float | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    teacher: str | None = None,
    judge: str | None = None,
    student: str | None = None,
    treat: Literal["open_book", "discard", "refuse"] | None = None,
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
    rows: int | None = None,
    until_novelty: float | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    teacher: str | None = None,
    judge: str | None = None,
    student: str | None = None,
    treat: Literal["open_book", "discard", "refuse"] | None = None,
    embedder: str | None = None,
    threshold: float | None = None,
    budget_calls: int | None = None,
    budget_tokens: int | None = None,
    budget_usd: float | None = None,
    tree_only: bool = False,
    compare: Literal["self-instruct"] | None = None,
    quiet: bool = False,
) -> Dataset | TaskTree:
    """Turn a domain into a dataset: grow its task tree, write samples for every task, filter, export.

    `domain` is a shipped domain (math, rewriting, brainstorming, code, math-zh), a domain file, or any phrase, from
    which the teacher drafts the file; `tree` a task tree to take instead of exploring. `teacher` and `judge` are model
    specs (openai:NAME@URL, vllm:NAME, hf:NAME, scripted:FILE.py, procedural), `threshold` is a cosine. The run is kept
    in `out` (runs/DOMAIN): the same call again goes on there, and pays only for what is new.

    `rows` is 1,000 unless given. With `until_novelty` (a share, e.g. 0.1) the run ends where fewer of the latest good
    samples than that are no near-duplicate of what is there; there is then no limit to the rows unless one is given.
    `compare="self-instruct"` then makes the flat set in `out`/self-instruct, without the tree and with as many calls;
    `curate.stats(out, f"{out}/self-instruct")` shows the figures of both.

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
        rows=_wanted(rows, until_novelty),
        out=_path(out),
        seed=seed,
        teacher=teacher,
        judge=judge,
        student=student,
        treat=treat,
        embedder=embedder,
        threshold=threshold,
        budget_calls=budget_calls,
        budget_tokens=budget_tokens,
        budget_usd=budget_usd,
        until_novelty=until_novelty,
        tree_only=tree_only,
        compare=compare,
    )
    watch = Watch()
    with display(watch, quiet=quiet) as shown:
        report = explore_run(options, watch=watch, started=shown.start)
    if not quiet:
        shown.say()
    if report.exit_code:
        of = f" of {report.rows:,}" if report.rows else ""
        what = "the task tree is not finished" if tree_only else f"{report.accepted:,}{of} rows stand"
        warnings.warn(f"{report.out}: {what} ({report.stopped})", UserWarning, stacklevel=2)
    if tree_only:
        return load_tree_with_edits(report.out)[0]
    return exported(report.dataset)


def plan(
    domain: str | Path | None = None,
    *,
    tree: str | Path | None = None,
    rows: int | None = None,
    until_novelty: float | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    teacher: str | None = None,
    judge: str | None = None,
    student: str | None = None,
    treat: Literal["open_book", "discard", "refuse"] | None = None,
    embedder: str | None = None,
    threshold: float | None = None,
    budget_calls: int | None = None,
    budget_tokens: int | None = None,
    budget_usd: float | None = None,
    compare: Literal["self-instruct"] | None = None,
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
            rows=_wanted(rows, until_novelty),
            out=_path(out),
            seed=seed,
            teacher=teacher,
            judge=judge,
            student=student,
            treat=treat,
            embedder=embedder,
            threshold=threshold,
            budget_calls=budget_calls,
            budget_tokens=budget_tokens,
            budget_usd=budget_usd,
            until_novelty=until_novelty,
            compare=compare,
        )
    )


def try_(
    domain: str | Path | None = None,
    *,
    calls: int = 20,
    tree: str | Path | None = None,
    rows: int = 1000,
    out: str | Path | None = None,
    seed: int = 0,
    teacher: str | None = None,
    judge: str | None = None,
    student: str | None = None,
    treat: Literal["open_book", "discard", "refuse"] | None = None,
    embedder: str | None = None,
    threshold: float | None = None,
    budget_calls: int | None = None,
    budget_tokens: int | None = None,
    budget_usd: float | None = None,
    quiet: bool = False,
) -> Trial:
    """Make the first `calls` calls of the run that `explore` makes with the same parameters, and show what they give.

    The result has the `tree` as far as it was grown, the samples `kept` and `dropped` (datasets, with the columns of
    `show`), and the `projection` of yield, calls, tokens, cost and time to a run of `rows` rows. `explore` finds the
    calls in the ledger and does not pay for them again.

    Raises:
        CurateError: as `explore`.
    """
    from curate.cli.display import display
    from curate.pipeline.explore import Options
    from curate.pipeline.trial import try_run
    from curate.pipeline.watch import Watch

    options = Options(
        domain=_text(domain),
        tree=_text(tree),
        rows=rows,
        out=_path(out),
        seed=seed,
        teacher=teacher,
        judge=judge,
        student=student,
        treat=treat,
        embedder=embedder,
        threshold=threshold,
        budget_calls=budget_calls,
        budget_tokens=budget_tokens,
        budget_usd=budget_usd,
    )
    watch = Watch()
    with display(watch, quiet=quiet) as shown:
        trial = try_run(options, calls, watch=watch, started=shown.start)
    if not quiet:
        shown.say()
    return trial


def check(*domains: str | Path) -> dict[str, list[str]]:
    """Return the problems of each domain (a shipped name or a file; all shipped ones unless any is given).

    A problem is a line that names file, line, key and what would be right; a domain without any is right.
    """
    from curate.pipeline.check import check_domains

    return {result.name: result.problems for result in check_domains([str(name) for name in domains])}


def _wanted(rows: int | None, until_novelty: float | None) -> int:
    """Return the rows of a run: 1,000 unless given, and without limit (0) where its novelty ends it."""
    if rows is not None:
        return rows
    return 1000 if until_novelty is None else 0


def _text(value: str | Path | None) -> str | None:
    return None if value is None else str(value)


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)
