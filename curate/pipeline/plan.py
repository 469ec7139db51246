"""What a run will take, estimated from the domain file and what its folder holds; nothing is asked of a model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import InputError, RunError
from curate.pipeline.estimate import CHARS_PER_TOKEN, Gauge, Growing, generation, growing
from curate.pipeline.setup import Setup, model_options, resolve
from curate.run import key_of, latest, read_settings, read_summary
from curate.text import percent

if TYPE_CHECKING:
    from curate.config import Domain
    from curate.models import Model, Total
    from curate.models.prices import Price
    from curate.pipeline.explore import Options
    from curate.stages.exam.sheet import Settings
    from curate.tree import TaskTree

EXPECTED_YIELD = 0.7
"""Share of candidates that are accepted, where this folder has no run to go by."""

EXPECTED_PASSING = 0.9
"""Share of candidates that the free filters let through to votes and grades, where nothing was measured."""

LEAST_GOOD = 0.05
"""Good samples of a call that are expected even where a run had none."""

ENOUGH = 10
"""Calls of a stage in the ledger from which their mean number of tokens is better than the rule of thumb."""

SUB_TASK_TOKENS = 60
"""Tokens of a sub-task's name and reason; its two examples come on top."""


@dataclass(frozen=True)
class Step:
    """Calls of one kind. `paid` of them are in the folder's ledger; tokens are per call, of what is left to ask."""

    name: str
    stage: str
    calls: int
    input_each: int
    output_each: int
    role: str = "teacher"
    paid: int = 0

    @property
    def left(self) -> int:
        """Calls that are still to be made."""
        return self.calls - self.paid

    @property
    def tokens(self) -> tuple[int, int]:
        """Input and output tokens of the calls that are still to be made."""
        return self.left * self.input_each, self.left * self.output_each


@dataclass
class Plan:
    """An estimate. Tokens and `cost` (US dollars, None where a price is unknown) are of what is left to ask.

    `basis` says where the figures come from, `notes` what stands in the way.
    """

    domain: str
    rows: int
    tasks: int
    steps: list[Step] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)
    cost: float | None = None
    free: bool = False
    basis: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """Calls of all steps, paid ones too."""
        return sum(step.calls for step in self.steps)

    @property
    def paid(self) -> int:
        """Calls that the ledger will answer."""
        return sum(step.paid for step in self.steps)

    @property
    def left(self) -> int:
        """Calls that are still to be made."""
        return self.calls - self.paid

    @property
    def tokens(self) -> tuple[int, int]:
        """Input and output tokens of all calls that are still to be made."""
        return sum(step.tokens[0] for step in self.steps), sum(step.tokens[1] for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "domain": self.domain,
            "rows": self.rows,
            "tasks": self.tasks,
            "models": self.models,
            "calls": self.calls,
            "paid": self.paid,
            "input_tokens": self.tokens[0],
            "output_tokens": self.tokens[1],
            "cost_usd": self.cost,
            "basis": self.basis,
            "notes": self.notes,
            "steps": [asdict(step) for step in self.steps],
        }


def plan(options: Options) -> Plan:
    """Return what `explore` with the same options would take.

    Raises:
        InputError: as `explore` would, before it asks anything; and for a phrase, whose domain file is not drafted yet.
    """
    from curate.pipeline.compare import check_comparable

    if not options.rows:
        raise InputError(
            "nobody knows beforehand after how many calls samples are no longer new: give --rows N beside "
            "--until-novelty for the most that it can take, or a budget to `curate explore`"
        )
    setup = resolve(options)
    check_comparable(setup, options)
    if setup.domain is None:
        raise InputError(
            f"{setup.phrase!r} is no shipped domain or file, so the teacher would draft one first; "
            "`curate try` does that, shows what comes of it, and says what a run will take"
        )
    models = named_models(setup)
    return estimated(setup, options, models, past_of(setup))


def named_models(setup: Setup) -> dict[str, Model]:
    """Return the model of each role, opened for its name and price only, and note the names in `setup`."""
    from curate.models import open_model

    models = {
        role: open_model(role, spec, model_options(setup.domain, role), to_ask=False)
        for role, spec in setup.specs.items()
    }
    if setup.api is not None:
        models["embedder"] = setup.api.model
    setup.model_names = {role: model.name for role, model in models.items()}
    return models


def estimated(setup: Setup, options: Options, models: Mapping[str, Model], past: Past) -> Plan:
    """Return the plan of a run whose yield, tokens and calls so far are as `past` says. Its domain stands."""
    domain = setup.domain
    assert domain is not None
    tree, grown = _tree(setup, options)
    growth = Growing() if grown else growing(domain, tree)
    tasks = len(tree) + growth.added
    made = Plan(domain.name, options.rows, tasks, models=setup.model_names, basis=past.basis)
    steps = _Steps(setup, domain, past)
    steps.explore(growth)
    steps.generate(generation(options.rows, past.good or domain.generate.per_call * EXPECTED_YIELD))
    made.steps = past.paid([step for step in steps.steps if step.calls])
    if setup.exam is not None:
        made.steps += past.paid(
            exam_steps(setup.exam.terms.settings, options.rows, steps.gauge.sample, setup.exam.documents)
        )
    if options.compare:
        made.steps += _flat(setup, domain, made.steps, past)
    made.free = not any(model.limited for model in models.values())
    prices = {role: getattr(model, "price", None) for role, model in models.items()}
    made.cost = 0.0 if made.free else _cost(made.steps, prices)
    made.notes = [*past.notes, *_budgets(made, options, past.spent)]
    if options.until_novelty is not None:
        made.notes.append(f"this is the most: the run ends earlier where novelty falls below {options.until_novelty:g}")
    return made


def exam_steps(settings: Settings, rows: int, sample: int, documents: object) -> list[Step]:
    """Return the calls that write and check the exam of so many accepted samples of about `sample` tokens."""
    from curate.stages.exam.sheet import expected_calls

    rate = CHARS_PER_TOKEN.get(settings.language, 4.0)
    expected = expected_calls(settings, sample_characters=round(sample * rate), documents=documents is not None)
    return [
        Step(
            f"exam {one.prompt}",
            "exam",
            math.ceil(rows * one.calls),
            math.ceil(one.input_characters / rate),
            math.ceil(one.output_characters / rate),
            one.role,
        )
        for one in expected
    ]


def _cost(steps: Sequence[Step], prices: Mapping[str, Price | None]) -> float | None:
    """Return US dollars, or None where the price of a model that is asked is unknown."""
    total = 0.0
    for step in steps:
        price = prices[step.role]
        if price is None:
            return None
        total += price.cost(*step.tokens)
    return total


def _budgets(made: Plan, options: Options, spent: Sequence[Total]) -> list[str]:
    """Return a line for each budget that the plan exceeds; budgets count what the folder has spent before."""
    need: list[tuple[str, float | None, float, float | None]] = [
        ("calls", options.budget_calls, sum(t.calls for t in spent), made.left),
        ("tokens", options.budget_tokens, sum(t.input_tokens + t.output_tokens for t in spent), sum(made.tokens)),
        ("US dollars", options.budget_usd, sum(t.cost for t in spent), made.cost),
    ]
    return [
        f"the budget of {budget:,} {what} is likely to end the run early: {used:,.6g} spent, about {more:,.6g} to come"
        for what, budget, used, more in need
        if budget is not None and more is not None and used + more > budget
    ]


@dataclass
class Past:
    """What is known of calls like those that are planned.

    `spent` is what the run's ledger holds, `good` how many samples a call brings that are accepted, and `passing` the
    share of candidates that the free filters let through; 0 where nobody knows. From `enough` calls of a stage on,
    their mean number of tokens counts.
    """

    basis: str = f"yield {percent(EXPECTED_YIELD)}, a guess: `curate try` gives a measured one"
    spent: Sequence[Total] = ()
    good: float = 0.0
    passing: float = 0.0
    enough: int = ENOUGH
    notes: list[str] = field(default_factory=list)

    def paid(self, steps: Sequence[Step]) -> list[Step]:
        """Return the steps with what is in the ledger counted as paid, in order, as far as it goes.

        A run asks for the same calls in the same order, so those that are there are the first ones it will need.
        """
        there: Counter[str] = Counter()
        for total in self.spent:
            # An attempt that may have been billed brought nothing that could be replayed.
            there[total.stage] += total.calls if total.kind != "possibly_billed" else 0
        done = []
        for step in steps:
            paid = min(step.calls, there[step.stage])
            there[step.stage] -= paid
            done.append(Step(**{**asdict(step), "paid": paid}))
        return done

    def tokens(self, stage: str) -> tuple[int, int] | None:
        """Return the mean input and output tokens of a stage's usable replies, where there are enough of them."""
        usable = [total for total in self.spent if total.stage == stage and not total.kind]
        calls = sum(total.calls for total in usable)
        if calls < self.enough:
            return None
        given, written = sum(t.input_tokens for t in usable), sum(t.output_tokens for t in usable)
        return math.ceil(given / calls), math.ceil(written / calls)


def past_of(setup: Setup) -> Past:
    """Return what the run's folder tells: its latest summary and the calls in its ledger. Nothing is written."""
    from curate.models.ledger_view import read_totals

    past, out = Past(), setup.out
    try:
        before = read_settings(out).get("identity", {})
    except RunError:
        return past
    if changed := [name for name, value in setup.identity().items() if before.get(name, value) != value]:
        past.notes.append(f"{out} holds a run with another {', '.join(changed)}: give another folder, --out")
        return past
    past.spent = read_totals(out / "calls.sqlite")
    try:
        summary = read_summary(out, *latest(out)) or {}
    except RunError:
        return past
    if not summary.get("candidates"):
        return past
    lost: Counter[str] = Counter()
    for reason, count in summary["dropped"].items():
        lost[reason.partition(":")[0]] += count
    # What its task no longer needed was good all the same, and a lost call is asked as much as any.
    good = summary["accepted"] + lost["quota"] + lost["exam"]
    past.good = max(good / summary["calls"], LEAST_GOOD)
    past.passing = (good + lost["verify"] + lost["judge"]) / summary["candidates"]
    past.basis = f"yield {percent(good / summary['candidates'])}, as in the latest run in {out}"
    return past


def _tree(setup: Setup, options: Options) -> tuple[TaskTree, bool]:
    """Return the tree that a run begins with, and whether it is grown as far as the domain file asks."""
    from curate.pipeline.grow import first_tree
    from curate.tree import import_tree, load_tree_with_edits

    assert setup.domain is not None
    if (setup.out / "tree.json").exists():
        tree = load_tree_with_edits(setup.out)[0]
        wish = key_of(setup.domain.explore.model_dump(mode="json"))
        return tree, options.tree is not None or tree.state.get("explore") == wish
    if options.tree:
        return import_tree(Path(options.tree))[0], True
    return first_tree(setup.domain), False


def _flat(setup: Setup, domain: Domain, steps: Sequence[Step], past: Past) -> list[Step]:
    """Return the steps of the flat set beside a run of these steps: as many calls, and more demonstrations in each."""
    from curate.generate.self_instruct import SHOWN
    from curate.models.ledger_view import read_totals
    from curate.pipeline.compare import FLAT, GROWING, tree_calls

    # Of a tree that stands already, no step is left: its calls are in the ledger.
    growing = sum(step.calls for step in steps if step.stage in GROWING) or tree_calls(past.spent)
    written = sum(step.calls for step in steps if step.stage == "generate")
    before = Past(spent=read_totals(setup.out / FLAT / "calls.sqlite"), passing=past.passing)
    flat = _Steps(setup, domain, before)
    shown = [{name: seed.get(name, "") for name in ("instruction", "input", "output")} for seed in flat.gauge.seeds]
    flat.generate(growing + written, demonstrations=shown[:SHOWN])
    return [replace(step, name=f"flat {step.name}") for step in before.paid(flat.steps)]


class _Steps:
    """The steps of a run, with tokens as measured in its folder, else by the domain's seeds."""

    def __init__(self, setup: Setup, domain: Domain, past: Past) -> None:
        self.setup = setup
        self.domain = domain
        self.past = past
        self.gauge = Gauge(domain)
        self.steps: list[Step] = []

    def _add(self, name: str, stage: str, calls: int, prompt: str, output: int, **values: Any) -> None:
        """Add `calls` calls with this prompt, whose replies have about `output` tokens."""
        role = stage if stage in self.setup.specs else "teacher"
        given, written = self.past.tokens(stage) or (self.gauge.prompt(prompt, **values), output)
        if self.setup.specs[role] == "procedural":
            given = written = 0  # computes, and reads no text
        self.steps.append(Step(name, stage, calls, given, written, role))

    def explore(self, growth: Growing) -> None:
        """Add the calls that grow the tree."""
        explore, gauge = self.domain.explore, self.gauge
        output = explore.per_call * (SUB_TASK_TOKENS + 2 * gauge.sample)
        self._add("lookahead", "explore", growth.lookahead, "explore/lookahead", output)
        self._add("backtrack", "explore", growth.backtrack, "explore/backtrack", output)
        if self.setup.encoder and explore.merge_candidates:
            task = {"name": "A sub-task", "description": self.domain.root.description, "path": [self.domain.root.name]}
            near = [{"number": number, **task} for number in range(1, explore.merge_candidates + 1)]
            self._add("same task", "merge", growth.added, "explore/same_task", 30, task=task, candidates=near)

    def generate(self, calls: int, **values: Any) -> None:
        """Add so many calls that write samples, their prompt with `values`, and the calls that check the samples."""
        domain, gauge, per_call = self.domain, self.gauge, self.domain.generate.per_call
        self._add("generate", "generate", calls, "generate/samples", per_call * gauge.sample, **values)
        # Votes and grades are asked for what the free filters let through.
        asked = math.ceil(calls * per_call * (self.past.passing or EXPECTED_PASSING))
        half = "x" * int(gauge.sample * gauge.rate / 2)
        if domain.verify.kind == "math" and self.setup.specs["teacher"] != "procedural":
            self._add("verify", "verify", asked * domain.verify.votes, "generate/solve", gauge.sample, problem=half)
        if "embedder" in self.setup.model_names:
            self._embed(math.ceil(calls * per_call * EXPECTED_PASSING))
        if domain.judge:
            self._add("judge", "judge", asked, "judge/quality", 150, instruction=half, response=half)

    def _embed(self, texts: int) -> None:
        """Add the calls for the vectors of so many candidates; those of tasks are few beside them."""
        from curate.embed.api import BATCH, STAGE

        given, _ = self.past.tokens(STAGE) or (BATCH * math.ceil(self.gauge.sample / 2), 0)
        self.steps.append(Step("embed", STAGE, math.ceil(texts / BATCH), given, 0, "embedder"))
