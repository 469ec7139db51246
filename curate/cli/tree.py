"""`curate tree`: look at a task tree and change it by hand."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from curate.text import printable
from curate.tree import verbs

EDITED = (
    "RUN is a run's folder (runs/math), or any folder with a tree.json. A TASK is its name, a path such as "
    '"Algebra/Linear equations", or the id that `curate tree show RUN --format json` prints.'
)


def _with_help(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add to a command's help what all that edit a run say alike."""
    function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{EDITED}"
    return function


def _note(text: str) -> None:
    click.echo(f"note: {printable(text)}", err=True)


class _InOrder(click.Group):
    """Lists its commands in the order of the work."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands as they stand below."""
        return list(self.commands)


author_option = click.option("--author", default="", metavar="NAME", help="Who decided this; kept with the edit.")


@click.group(cls=_InOrder, short_help="Look at a task tree and change it by hand.")
def tree() -> None:
    """Look at a task tree and change it by hand: show, import, prune, merge, rename, add.

    A hand edit is a line in tree.edits.jsonl beside tree.json. The next run applies it before anything else, and
    exploring never undoes it: what is pruned stays away, what is merged stays one task.

    \b
    Examples:
      curate tree show runs/math --depth 1
      curate tree prune runs/math "Algebra/Matrices"
      curate tree merge runs/math "Highest common factor" "Greatest common divisor"
      curate tree import outline.yaml --out runs/law
      curate explore --domain law --out runs/law
    """


@tree.command()
@click.argument("source", metavar="RUN_OR_FILE", type=click.Path(path_type=Path))
@click.option("--depth", type=click.IntRange(min=0), metavar="N", help="Show N levels below the root. [default: all]")
@click.option("--lines", type=click.IntRange(min=1), metavar="N", help="Stop the drawing after N lines.")
@click.option("--format", "form", type=click.Choice(list(verbs.FORMATS)), default="text", show_default=True)
def show(source: Path, depth: int | None, lines: int | None, form: str) -> None:
    """Print a tree and a summary of it.

    RUN_OR_FILE is a run's folder, or a tree in any form that `tree import` reads. The format yaml can be edited and
    imported again; json has the tasks' ids.

    \b
    Examples:
      curate tree show runs/math --depth 1
      curate tree show runs/math --format yaml > outline.yaml
      curate tree show outline.txt | less
    """
    for line in verbs.tree_show(source, depth=depth, lines=lines, format=form):
        click.echo(line)


@tree.command("import", short_help="Make a tree.json from somebody's tree.")
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.option("--out", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Where tree.json goes.")
def import_(source: Path, out: Path) -> None:
    """Make DIR/tree.json from somebody's tree, to explore or generate from it.

    SRC is a tree.json, a folder in the layout of Explore-Instruct (tree_meta_info.json), a nested YAML or JSON
    outline, or an indented list (.txt, .md). Tasks of the same name become one.

    \b
    An outline:                         An indented list:
      name: Law                           Law
      description: Everyday legal help      - Tenancy: renting a home
      tasks:                                  - Deposits
        - Tenancy: [Deposits, Notice]         - Notice
        - Contracts                         - Contracts

    \b
    Example:
      curate tree import outline.yaml --out runs/law
    """
    result, warnings = verbs.tree_import(source, out)
    for warning in warnings:
        _note(warning)
    for line in result.summary():
        click.echo(line)
    click.echo(f"written to {out / 'tree.json'}")


@tree.command(short_help="Remove tasks and all below them for good.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("tasks", metavar="TASK...", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Only print what would go.")
@author_option
@_with_help
def prune(run: Path, tasks: tuple[str, ...], dry_run: bool, author: str) -> None:
    """Remove tasks and everything below them for good.

    \b
    Examples:
      curate tree prune runs/math "Algebra/Matrices" --dry-run
      curate tree prune runs/math Matrices Topology
    """
    gone = verbs.tree_prune(run, *tasks, dry_run=dry_run, author=author, note=_note)
    for task in gone:
        click.echo(f"{'would prune' if dry_run else 'pruned'} {task.id} {printable(task.name)}")
    click.echo(f"{len(gone):,} {'task' if len(gone) == 1 else 'tasks'}")


@tree.command(short_help="Make a task part of another one.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("task")
@click.argument("into")
@author_option
@_with_help
def merge(run: Path, task: str, into: str, author: str) -> None:
    """Make TASK part of INTO: its examples join, its sub-tasks move, and its name stands for INTO from then on.

    \b
    Example:
      curate tree merge runs/math "Highest common factor" "Greatest common divisor"
    """
    kept = verbs.tree_merge(run, task, into, author=author, note=_note)
    click.echo(f"merged into {kept.id} {printable(kept.name)}")


@tree.command(short_help="Give a task another name.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("task")
@click.argument("name")
@author_option
@_with_help
def rename(run: Path, task: str, name: str, author: str) -> None:
    """Give TASK another NAME. Its id stays, and the old name keeps standing for it.

    \b
    Example:
      curate tree rename runs/math "Algebra" "School algebra"
    """
    renamed = verbs.tree_rename(run, task, name, author=author, note=_note)
    click.echo(f"renamed {renamed.id} {printable(renamed.name)}")


@tree.command(short_help="Add a task below another one.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("parent", metavar="TASK")
@click.argument("name")
@click.option("--description", default="", metavar="TEXT", help="Why the task exists; the teacher reads it.")
@author_option
@_with_help
def add(run: Path, parent: str, name: str, description: str, author: str) -> None:
    """Add a task called NAME below TASK, also where one was pruned.

    \b
    Example:
      curate tree add runs/math Algebra "Word problems" --description "From a story to an equation"
    """
    added = verbs.tree_add(run, parent, name, description, author=author, note=_note)
    click.echo(f"added {added.id} {printable(added.name)}")
