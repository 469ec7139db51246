"""`curate explore`: the whole job."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.options import compare_option, end_options, job_options, output_options
from curate.cli.text import readable

if TYPE_CHECKING:
    from curate.config import Domain

EPILOG = """\b
Examples:
  curate explore --domain math --rows 1000
  curate explore --domain code --teacher openai:gpt-5-mini --budget-usd 5
  curate explore --domain math --until-novelty 0.1
  curate explore --domain "tenancy law" --teacher vllm:Qwen/Qwen3-8B
  curate explore --domain code --teacher vllm:NAME --compare self-instruct
  curate explore --tree outline.yaml --teacher openai:NAME@http://HOST:8000/v1

\b
Files, in runs/DOMAIN unless --out names another folder:
  dataset/                  the accepted samples, to train on: train.jsonl,
                            train.parquet and the dataset card README.md
  accepted.*.dropped.jsonl  every dropped sample with its reason
                            (curate show runs/DOMAIN --dropped)
  report.html               tree, map, yield and cost on one page
  tree.json                 the task tree (curate tree show runs/DOMAIN)
  self-instruct/            what --compare made, a run of its own
  calls.sqlite              every reply that was paid for
  run.yaml                  the resolved configuration

\b
Ctrl-C once ends the run in order: what is in flight is awaited and kept.
Twice: out at once, nothing lost. The same command again goes on and pays only
for what is new. Exit codes: 0 done, 1 failed, 2 bad input, 3 fewer rows than
asked. With --until-novelty a run is done where samples are no longer new.
"""


@click.command(epilog=EPILOG)
@job_options
@end_options
@compare_option
@click.option("--tree-only", is_flag=True, help="Stop when the task tree is grown.")
@output_options
def explore(quiet: bool, as_json: bool, **options: Any) -> None:
    """Turn a domain into a dataset: grow its task tree, write samples for every task, filter, export."""
    from curate.cli.comparison import figures_of_both, lines
    from curate.cli.display import Display, display
    from curate.cli.summary import print_report
    from curate.pipeline.explore import Options, explore_run
    from curate.pipeline.watch import Watch

    watch = Watch()

    def confirm(domain: Domain, path: Path) -> bool:
        with shown.silent():
            return confirm_domain(path)

    shown: Display
    with display(watch, quiet=quiet) as shown:
        report = explore_run(Options(**options), watch=watch, started=shown.start, confirm=confirm)
    # What was noted after the report was made is part of it, and what a line has shown already is not said again.
    report.notes = list(watch.notes)
    if as_json:
        made = report.as_json()
        if (both := figures_of_both(report, quiet=quiet)) is not None:
            made["self_instruct"]["stats"] = both.as_json()
        click.echo(json.dumps(made, ensure_ascii=False))
    else:
        beside = lines(report, figures_of_both(report, quiet=quiet)) if report.flat else []
        print_report(report, shown.unsaid(), beside)
    click.get_current_context().exit(report.exit_code)


def confirm_domain(path: Path) -> bool:
    """Show a drafted domain and, on a terminal, ask whether to go on with it."""
    click.echo(f"The teacher drafted this domain; it is kept in {path}\n", err=True)
    click.echo(readable(path.read_text(encoding="utf-8")) + "\n", err=True)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    return click.confirm(f"Go on with it? (n: edit {path} and give the same command again)", default=True, err=True)
