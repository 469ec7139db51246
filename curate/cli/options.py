"""Options that several verbs share."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from click.core import ParameterSource

Command = TypeVar("Command", bound=Callable[..., Any])

EMBEDDERS = "static (shipped), chargrams, minilm, a sentence-transformers model, openai:NAME@URL, or none."

WHOLE = click.IntRange(min=0)

JOB: tuple[tuple[str, str, Any, Any, str], ...] = (
    (
        "--domain",
        "D",
        str,
        None,
        "A shipped domain (math, rewriting, brainstorming, code, math-zh), a domain file, or any phrase: the teacher "
        "then drafts the file.",
    ),
    (
        "--tree",
        "FILE",
        str,
        None,
        "Take this task tree instead of exploring: tree.json, an Explore-Instruct folder, a YAML outline or an "
        "indented list.",
    ),
    ("--rows", "N", click.IntRange(min=1), 1000, "Accepted samples wanted."),
    (
        "--out",
        "DIR",
        click.Path(path_type=Path, file_okay=False),
        None,
        "Where the run is kept; runs/DOMAIN unless given. The same folder again goes on where it stopped.",
    ),
    ("--seed", "S", int, 0, "Another seed makes other draws: another run."),
    (
        "--teacher",
        "SPEC",
        str,
        None,
        "The model that writes: openai:NAME[@URL[,URL...]], vllm:NAME, hf:NAME, scripted:FILE.py or procedural.",
    ),
    ("--judge", "SPEC", str, None, "The model that grades; the teacher unless named."),
    ("--student", "MODEL", str, None, "Examine this model on the accepted samples, as `curate exam` does."),
    (
        "--treat",
        "T",
        str,
        None,
        "What becomes of what the student does not know: open_book, discard (unless given) or refuse.",
    ),
    (
        "--embedder",
        "NAME",
        str,
        None,
        EMBEDDERS,
    ),
    (
        "--threshold",
        "T",
        click.FloatRange(0, 1),
        None,
        "Cosine above which two samples are the same; each embedder has its own default.",
    ),
    ("--budget-calls", "N", WHOLE, None, "Never make more calls than this, over all runs in this folder."),
    ("--budget-tokens", "N", WHOLE, None, "Never use more tokens than this, in and out together."),
    ("--budget-usd", "X", click.FloatRange(min=0), None, "Never spend more than this; needs known prices."),
)
"""Name, metavar, type, default and help of each option that says what the job is."""


def job_options(command: Command) -> Command:
    """Add the options that say what the job is: the same for `explore` and `plan`."""
    return _add(command, JOB)


def trial_options(command: Command) -> Command:
    """Add what `try` takes: its domain as an argument, --calls, and the other options of the job.

    Who turns a line of `explore` into one of `try` has written --domain, which works as well.
    """
    calls = ("--calls", "N", click.IntRange(min=5), 20, "Calls to make at most.")
    command = click.option("--domain", "named", hidden=True)(_add(command, (calls, *JOB[1:])))
    return click.argument("domain", required=False)(command)


def _add(command: Command, options: Sequence[tuple[str, str, Any, Any, str]]) -> Command:
    for name, metavar, kind, default, text in reversed(options):
        shown = default is not None
        add = click.option(name, metavar=metavar, type=kind, default=default, show_default=shown, help=text)
        command = add(command)
    return command


def explore_line(context: click.Context) -> str:
    """Return the line of `curate explore` that has the options given to this verb."""
    words = ["curate", "explore"]
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in ("calls", "quiet", "as_json"):
            # `try` has its domain as an argument, and --domain hidden under another name.
            words += [f"--{'domain' if name == 'named' else name.replace('_', '-')}", str(context.params[name])]
    return shlex.join(words)


def end_options(command: Command) -> Command:
    """Add --until-novelty, which takes the limit off --rows unless --rows is given too."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        explicit = click.get_current_context().get_parameter_source("rows") is not ParameterSource.DEFAULT
        if options["until_novelty"] is not None and not explicit:
            options["rows"] = 0
        return command(*arguments, **options)

    return click.option(
        "--until-novelty",
        metavar="X",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        help="End where samples stop being new: where fewer than this share of the latest good ones, e.g. 0.1, are no "
        "near-duplicate of what is there. Without --rows there is then no limit to the rows.",
    )(cast("Command", run))


def compare_option(command: Command) -> Command:
    """Add --compare."""
    return click.option(
        "--compare",
        type=click.Choice(["self-instruct"]),
        help="Then make the flat Self-Instruct set: without the tree, with the same teacher, filters and number of "
        "calls (so twice the price: see `curate plan`), and show the figures of both side by side.",
    )(command)


def embedder_option(command: Command) -> Command:
    """Add --embedder to a verb that works on anybody's dataset."""
    return click.option("--embedder", metavar="NAME", help=f"{EMBEDDERS} [default: static; zh: chargrams]")(command)


def output_options(command: Command) -> Command:
    """Add --quiet and --json."""
    command = click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")(command)
    return click.option("--quiet", is_flag=True, help="No progress; the summary and errors only.")(command)
