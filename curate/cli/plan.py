"""`curate plan`: what a run will take, for free."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from curate.cli.display import amount, money
from curate.cli.options import compare_option, end_options, explore_line, job_options
from curate.cli.text import readable

if TYPE_CHECKING:
    from curate.pipeline.plan import Plan

EPILOG = """\b
Examples:
  curate plan --domain brainstorming --rows 10000 --teacher openai:gpt-5-mini
  curate plan --domain my-domain.yaml --json

\b
Nothing is asked of a model. Calls come from the run's own rules of growth and
quotas, with the yield of the folder's latest run, else a guess. Tokens are
the mean of the calls in its ledger, else they are estimated from prompts and
seeds (a third off either way). Repeated task names, lost replies and repairs
come on top. What is in the ledger already costs nothing again.
"""


@click.command(epilog=EPILOG)
@job_options
@end_options
@compare_option
@click.option("--json", "as_json", is_flag=True, help="Print the plan as one JSON object.")
def plan(as_json: bool, **options: Any) -> None:
    """Say how many calls, tokens and how much money `curate explore` with the same options will take."""
    from curate.pipeline.explore import Options
    from curate.pipeline.plan import plan as make

    made = make(Options(**options))
    if as_json:
        click.echo(json.dumps(made.as_json(), ensure_ascii=False))
        return
    for line in [*lines(made), "", f"Next: {explore_line(click.get_current_context())}"]:
        click.echo(readable(line))


def lines(plan: Plan) -> list[str]:
    """Return the plan as a table of steps, and what it costs."""
    models = ", ".join(f"{role} {name}" for role, name in plan.models.items())
    parts = [f"{plan.domain}: {plan.rows:,} accepted rows over about {plan.tasks:,} tasks; {models}", ""]
    parts.append(f"  {'step':<15}{'calls':>10}{'paid for':>10}{'tokens in':>12}{'tokens out':>12}")
    steps = [(step.name, step.calls, step.paid, *step.tokens) for step in plan.steps]
    for name, calls, paid, given, written in [*steps, ("total", plan.calls, plan.paid, *plan.tokens)]:
        parts.append(f"  {name:<15}{calls:>10,}{paid or '':>10}{amount(given):>12}{amount(written):>12}")
    if plan.paid:
        parts.append("  (paid for: in the ledger already; tokens and cost are of the others)")
    cost = (
        "nothing: the model runs here" if plan.free else f"about {money(plan.cost)}" if plan.cost else money(plan.cost)
    )
    parts += ["", f"  cost   {cost}", f"  basis  {plan.basis}"]
    if plan.cost is None:
        parts.append("         give price_in and price_out (USD per million tokens) under models in the domain file")
    return [*parts, *(f"  note   {note}" for note in plan.notes)]
