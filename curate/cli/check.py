"""`curate check`: is a domain file right; nothing is asked of a model."""

from __future__ import annotations

import json

import click

from curate.cli.text import labelled, readable

EPILOG = """\b
Examples:
  curate check                     all shipped domains
  curate check my-domain.yaml      a file of your own
  curate check math --json

\b
Checked are every key and value, what the file extends, its seeds, and every
prompt rendered with its values. A mistake is named with file, line and what
would be right. Exit codes: 0 right, 2 a mistake.
"""


@click.command(epilog=EPILOG)
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, one object per domain.")
def check(domains: tuple[str, ...], as_json: bool) -> None:
    """Say whether domain files are right, before any call is paid for, and what they ask for.

    DOMAIN is a shipped domain or a file; all shipped ones unless any is given.
    """
    from curate.pipeline.check import check_domains

    results = check_domains(domains)
    for result in results:
        if as_json:
            click.echo(json.dumps(result.as_json(), ensure_ascii=False))
            continue
        for problem in result.problems:
            click.echo(f"{readable(problem)}")
        if not result.problems:
            click.echo(f"{readable(result.name)}: right")
            for subject, words in result.says:
                click.echo(labelled(subject, words, indent=14))
    wrong = sum(len(result.problems) for result in results)
    if wrong:
        click.echo(f"{wrong:,} {'problem' if wrong == 1 else 'problems'}", err=True)
        click.get_current_context().exit(2)
    elif not as_json:
        click.echo("\nNext: curate plan --domain " + (domains[0] if domains else "math"))
