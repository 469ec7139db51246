"""What `curate fuse` says before it spends anything, and what it made."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from curate.cli.display import amount, money, span
from curate.text import percent

if TYPE_CHECKING:
    from curate.fuse.build import Built
    from curate.fuse.collect import Collected
    from curate.fuse.margins import Histogram
    from curate.fuse.plan import Plan
    from curate.fuse.tally import ModelTally

STOPS = {"budget": "the budget allows no further call", "stopped": "stopped by hand"}

CHECKS = {"math": "with a known answer", "code": "with tests", "none": "that no rule checks"}

NAME = 20
"""Characters of a model's name that a line has room for on a terminal of 80 columns."""

COLUMNS = {"pass": 7, "fail": 7, "error": 7, "timeout": 8, "skip": 7}
"""The statuses of a verdict, and the width of their columns."""

BAR = 30


def plan_lines(plan: Plan) -> list[str]:
    """Return what a collection will take."""
    checks = ", ".join(f"{count:,} {CHECKS[kind]}" for kind, count in plan.checks.items())
    dropped = f"; left out {_counts(plan.dropped)}" if plan.dropped else ""
    cost = plan.cost
    lines = [f"plan: {plan.prompts:,} prompts ({checks}){dropped}"]
    for step in plan.steps:
        paid = f", {step.paid:,} of them paid for" if step.paid else ""
        tokens = f"about {amount(step.input_tokens)} tokens in, {amount(step.output_tokens)} out"
        lines.append(f"  {step.role:<7} {step.model}: {step.calls:,} calls{paid}, {tokens}; {_price(step.cost)}")
    return [*lines, f"  cost    {_price(cost)}", ""]


def _price(cost: float | None) -> str:
    return "price unknown" if cost is None else "nothing" if not cost else f"about {money(cost)}"


def collected_lines(made: Collected) -> list[str]:
    """Return what was collected, and what to type next."""
    out = shlex.quote(str(made.out))
    if made.stopped:
        more = ", with a larger budget" if made.stopped == "budget" else ""
        return [
            f"collect {made.source}: not finished ({STOPS[made.stopped]}), {span(made.seconds)}; {made.calls:,} calls "
            f"this time, {money(made.cost)}",
            *(f"  note     {note}" for note in made.notes),
            "",
            f"Next: the same command goes on where it stopped{more}",
        ]
    counted = "".join(f"{name:>{width}}" for name, width in COLUMNS.items())
    head = f"  {'':<{NAME}}{'n':>7}{counted} {'right':>6} {'score':>6}"
    lines = [
        f"collected {sum(one.responses for one in made.models):,} responses to {made.plan.prompts:,} prompts in "
        f"{span(made.seconds)}; {made.calls:,} calls this time, {money(made.cost)}",
        "",
        head,
        *map(_model, made.models),
        "",
        *_troubles(made),
        *(f"  note     {note}" for note in made.notes),
        f"  kept     {made.out}",
    ]
    again = ["", "Next: the same command asks again for what failed, or"] if made.transient else ["", "Next:"]
    target = any(one.role == "target" for one in made.models)
    kinds = ("sft", "dpo", *(["wrpo"] if target else []))
    # A judge's grades are whole numbers: the usual window, of a reward model's scores, holds none of their margins.
    graded = any(step.role == "judge" for step in made.plan.steps)
    margins = {"dpo": " --margin 1:9" if graded else ""}
    return [*lines, *again, *(f"  curate fuse build {kind} {out}{margins.get(kind, '')}" for kind in kinds)]


def _model(one: ModelTally) -> str:
    name = one.model if one.role == "source" else f"{one.model} (target)"
    shown = name if len(name) <= NAME else f"…{name[-NAME + 1 :]}"
    counts = "".join(f"{one.statuses[status]:>{width},}" for status, width in COLUMNS.items())
    right = "-" if math.isnan(one.share) else percent(one.share)
    score = f"{one.total / one.scored:.3g}" if one.scored else "-"
    return f"  {shown:<{NAME}}{one.responses:>7,}{counts} {right:>6} {score:>6}"


def _troubles(made: Collected) -> list[str]:
    """Return what went wrong, and what can be done about it."""
    lines = []
    for one in made.models:
        if one.failures:
            lines.append(f"  failed   {one.model}: {_counts(one.failures)} (calls)")
        if one.reasons:
            lines.append(f"  checks   {one.model}: {_counts(one.reasons)}")
        if one.unscored:
            lines.append(f"  unscored {one.model}: {_counts(one.unscored)}")
    if any(one.reasons["no_final_answer"] for one in made.models):
        lines.append("  hint     --math-suffix 'Put your final answer in \\boxed{}.' says where it is looked for")
    if any("cut at max_tokens" in one.reasons for one in made.models):
        lines.append("  hint     a larger --max-tokens asks anew, for responses that are not cut")
    return lines


def built_lines(built: Built) -> list[str]:
    """Return what was built of what, the margins, and what to type next."""
    asked = built.prompts - built.other_side
    side = f" ({built.other_side:,} more are for {'preference' if built.kind == 'sft' else 'sft'})"
    lines = [
        f"build {built.kind} {built.source}: kept {built.kept:,} of {asked:,} prompts"
        f"{side if built.other_side else ''}, {span(built.seconds)}",
        "",
    ]
    for name, tally in sorted(built.domains.items()):
        dropped = f"; dropped {_counts(tally.dropped)}" if tally.dropped else ""
        lines.append(f"  {name:<8} kept {tally.kept:,}{dropped}")
    lines.append(f"  from     {_counts(built.models)}")
    if built.margins is not None:
        lines += ["", *_bars(built.margins, built.settings["margin"])]
    elif built.kind == "dpo" and built.settings["scorer"] is None:
        lines.append("  scores   none were collected, so margins are not looked at")
    lines += ["", f"  {built.out}", f"  {built.dropped_file}", ""]
    if built.kind != "sft":
        lines += ["The rows are preferences as TRL's trainers read them, too: prompt, chosen, rejected.", ""]
    # Preferences are for the model that learnt from the samples of sft, where there are any.
    model = "TARGET" if built.kind == "sft" or not built.other_side else "TARGET-AFTER-SFT"
    return [*lines, "Next:", f"  curate train {built.kind} {shlex.quote(str(built.out))} --model {model} --out DIR"]


def _bars(found: Histogram, window: str | None) -> list[str]:
    most = max(found.counts)
    inside = f"; {found.inside:,} in the window {window}" if window else ""
    lines = [f"  margins of {sum(found.counts):,} pairs{inside}"]
    for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
        bar = "█" * math.ceil(BAR * count / most)
        lines.append(f"    {low:>9.4g} to {high:>9.4g} {count:>7,} {bar}".rstrip())
    return lines


def _counts(counts: Mapping[str, int]) -> str:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count:,}" for name, count in ranked if count)
