"""The tree of a run: taken from the run directory, from a file, or grown from the domain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import RunError
from curate.explore import Explorer, Growth
from curate.pipeline.watch import Watch
from curate.run import key_of
from curate.tree import TaskTree

if TYPE_CHECKING:
    from curate.config import Domain, TaskSpec
    from curate.pipeline.setup import Job


def grow_tree(
    job: Job, allowed: Callable[[int], bool] = lambda calls: True, *, keep: bool = True
) -> tuple[TaskTree, Growth]:
    """Return the run's tree and what growing it did; `allowed` ends the growth early, as `explore.Explorer` says.

    A tree that was grown to its end is written as the run's, unless `keep` is false.

    A tree that was grown to the end is authoritative: it is loaded with its hand edits, and grown on only where the
    domain file now asks for more. One that was interrupted is grown again from its start, which costs nothing, since
    its replies are in the ledger.
    """
    from curate.tree.files import load_tree_with_edits

    watch = job.watch
    wish = key_of(job.domain.explore.model_dump(mode="json"))
    if job.run.tree.exists():
        tree, warnings = load_tree_with_edits(job.run.path)
        watch.notes += warnings
    elif job.options.tree is None:
        tree = first_tree(job.domain)
    else:
        tree = imported(Path(job.options.tree), job.domain, watch)
        tree.state["given"] = _content(tree)
        tree.save(job.run.tree)
    _check_given(job, tree)
    begin = _beginning(first_tree(job.domain))
    if tree.state.get("begin", begin) != begin:
        watch.note(
            f"the root, first tasks or seeds of the domain file have changed; {job.run.path} keeps the tree it has: "
            "change that with `curate tree`, or grow another in a folder of its own with --out"
        )
    if job.options.tree is not None or tree.state.get("explore") == wish:
        watch.tasks = len(tree)
        return tree, Growth(**tree.state.get("growth", {}))

    def look(growth: Growth) -> None:
        watch.tasks = len(tree)
        watch.calls_done = growth.lookahead + growth.backtrack

    growth = Explorer(job.engine, job.domain, tree, job.setup.encoder, job.setup.seed, look, allowed).grow()
    watch.tasks = len(tree)
    watch.calls_done = 0
    if keep and not growth.stopped:
        # What it was grown from stays known: later edits of the file do not reach it, and the user is to hear so.
        tree.state |= {"explore": wish, "growth": growth.counts(), "begin": tree.state.get("begin", begin)}
        tree.save(job.run.tree)
    return tree, growth


def _content(tree: TaskTree) -> str:
    """Return a hash of the tasks of a tree that somebody gave."""
    return key_of([(task.id, task.name, task.description) for task in tree.walk()])


def _beginning(tree: TaskTree) -> str:
    """Return a hash of the tasks and examples that a tree is grown from."""
    return key_of(_content(tree), sorted(tree.examples))


def _check_given(job: Job, tree: TaskTree) -> None:
    """Refuse a file of a tree that holds something else than it did when the run took it over.

    The run's own tree.json is authoritative, and a changed file would be passed over without a word.
    """
    given, known = job.options.tree, tree.state.get("given")
    if given is None or known is None or Path(given).resolve() in (job.run.tree.resolve(), job.run.path.resolve()):
        return
    if _content(imported(Path(given), job.domain, Watch())) != known:
        raise RunError(
            f"{job.run.path}: the run works on the tree that it took from --tree, and {given} now holds another; "
            "change the run's with `curate tree`, or give a folder of its own with --out"
        )


def first_tree(domain: Domain) -> TaskTree:
    """Return the tree before any question: the root, the domain file's first tasks, and the seeds as their examples."""
    by_task: dict[str, list[dict[str, str]]] = {}
    for seed in domain.seed_examples():
        by_task.setdefault(seed.get("task", "") or domain.root.name, []).append(seed)
    tree = TaskTree(domain.root.name, domain.root.description, by_task.get(domain.root.name, ()))

    def add(parent: str, specs: tuple[TaskSpec, ...]) -> None:
        for spec in specs:
            task = tree.add(parent, spec.name, spec.description, by_task.get(spec.name, ())).task
            if task is not None:
                add(task.id, spec.tasks)

    add(tree.root.id, domain.tasks)
    return tree


def imported(path: Path, domain: Domain, watch: Watch) -> TaskTree:
    """Return somebody's tree; what is odd about it is noted."""
    from curate.tree.imports import import_tree

    tree, warnings = import_tree(path)
    for warning in warnings:
        watch.note(warning)
    if not tree.root.examples:
        seeds: list[dict[str, Any]] = domain.seed_examples()
        tree.give_examples(tree.root.id, seeds)
    return tree
