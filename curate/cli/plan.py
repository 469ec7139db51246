"""`curate plan`: what a run will take, for free."""

from __future__ import annotations

import json
from typing import Any

import click

from curate.cli.options import job_options

EPILOG = """\b
Examples:
  curate plan --domain brainstorming --rows 10000 --teacher openai:gpt-5-mini
  curate plan --domain my-domain.yaml --json

\b
Nothing is asked of a model. Tokens are estimated from the prompts and the domain's seeds.
"""


@click.command(epilog=EPILOG)
@job_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as one JSON object.")
def plan(as_json: bool, **options: Any) -> None:
    """Say how many calls, tokens and how much money `curate explore` with the same options will take."""
    from curate.cli.display import amount, money
    from curate.pipeline.explore import Options
    from curate.pipeline.plan import plan as make

    made = make(Options(**options))
    if as_json:
        click.echo(json.dumps(made.as_json(), ensure_ascii=False))
        return
    models = ", ".join(f"{role} {name}" for role, name in made.models.items())
    click.echo(f"{made.domain}: {made.rows:,} accepted rows over about {made.tasks:,} tasks; {models}\n")
    click.echo(f"  {'step':<12}{'calls':>10}{'tokens in':>12}{'tokens out':>12}")
    steps = [(step.name, step.calls, step.input_tokens, step.output_tokens) for step in made.steps]
    for name, calls, given, written in [*steps, ("total", made.calls, *made.tokens)]:
        click.echo(f"  {name:<12}{calls:>10,}{amount(given):>12}{amount(written):>12}")
    cost = "nothing: the model runs here" if made.free else money(made.cost)
    click.echo(f"\n  cost   {cost}\n  basis  {made.basis}")
    if made.cost is None:
        click.echo("         give price_in and price_out (USD per million tokens) under models in the domain file")
