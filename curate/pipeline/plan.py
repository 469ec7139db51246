"""What a run will take, estimated from the domain file alone; nothing is asked of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curate.errors import InputError
from curate.generate.quotas import FIRST_YIELD
from curate.pipeline.setup import Setup, model_options, resolve
from curate.prompt import load_prompt

if TYPE_CHECKING:
    from curate.config import Domain
    from curate.models.prices import Price
    from curate.pipeline.explore import Options
    from curate.types import Message

CHARS_PER_TOKEN = {"en": 4.0, "zh": 1.5}
"""Characters of text to one token: a rule of thumb for today's tokenizers, off by a third either way."""

EXPECTED_YIELD = 0.7
"""Share of candidates that are accepted, where this domain has no finished run to go by."""

SUB_TASK_TOKENS = 60
"""Tokens of a sub-task's name and reason; its two examples come on top."""


@dataclass(frozen=True)
class Step:
    """Calls of one kind and their tokens, all told."""

    name: str
    calls: int
    input_tokens: int
    output_tokens: int
    role: str = "teacher"


@dataclass
class Plan:
    """An estimate. `cost` is in US dollars, None where a price is unknown; `basis` says where the yield comes from."""

    domain: str
    rows: int
    tasks: int
    steps: list[Step] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)
    cost: float | None = None
    free: bool = False
    basis: str = ""

    @property
    def calls(self) -> int:
        """Calls of all steps."""
        return sum(step.calls for step in self.steps)

    @property
    def tokens(self) -> tuple[int, int]:
        """Input and output tokens of all steps."""
        return sum(step.input_tokens for step in self.steps), sum(step.output_tokens for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "domain": self.domain,
            "rows": self.rows,
            "tasks": self.tasks,
            "models": self.models,
            "calls": self.calls,
            "input_tokens": self.tokens[0],
            "output_tokens": self.tokens[1],
            "cost_usd": self.cost,
            "basis": self.basis,
            "steps": [vars(step) for step in self.steps],
        }


def plan(options: Options) -> Plan:
    """Return what `explore` with the same options would take.

    Raises:
        InputError: as `explore` would, before it asks anything; and for a phrase, whose domain file is not drafted yet.
    """
    from curate.models import open_model

    setup = resolve(options)
    if setup.domain is None:
        raise InputError(
            f"{setup.phrase!r} is no shipped domain or file, so the teacher would draft one first; "
            "`curate explore --tree-only` does that for one call and a small tree, and then it can be planned"
        )
    domain = setup.domain
    tree, internal = _size(setup, options)
    made = Plan(domain.name, options.rows, tree)
    share, made.basis = _yield(setup)
    gauge = _Gauge(domain)
    made.steps = [*_explore_steps(domain, gauge, tree, internal), *_generate_steps(setup, gauge, options.rows, share)]
    models = {role: open_model(role, spec, model_options(domain, role)) for role, spec in setup.specs.items()}
    made.models = {role: model.name for role, model in models.items()}
    made.free = not any(model.limited for model in models.values())
    made.cost = 0.0 if made.free else _cost(made.steps, {role: getattr(m, "price", None) for role, m in models.items()})
    return made


def _cost(steps: list[Step], prices: Mapping[str, Price | None]) -> float | None:
    """Return US dollars, or None where the price of a model that is asked is unknown."""
    total = 0.0
    for step in steps:
        price = prices[step.role]
        if price is None:
            return None
        total += price.cost(step.input_tokens, step.output_tokens)
    return total


def _size(setup: Setup, options: Options) -> tuple[int, int]:
    """Return the number of tasks, and of those that are still to be asked for sub-tasks (0 for a finished tree)."""
    from pathlib import Path

    from curate.tree.files import load_tree_with_edits
    from curate.tree.imports import import_tree

    assert setup.domain is not None
    if (setup.out / "tree.json").exists():
        return len(load_tree_with_edits(setup.out)[0]), 0
    if options.tree:
        return len(import_tree(Path(options.tree))[0]), 0
    explore = setup.domain.explore
    tasks, level, internal = 1, 1, 0
    for depth in range(explore.depth):
        internal += level
        level *= explore.width_at(depth)
        tasks += level
    return min(tasks, explore.max_tasks), min(internal, explore.max_tasks)


def _yield(setup: Setup) -> tuple[float, str]:
    """Return the share of candidates accepted in this folder's latest run, else a general guess, and which it is."""
    from curate.errors import RunError
    from curate.run import latest, read_summary

    try:
        summary = read_summary(setup.out, *latest(setup.out))
    except RunError:
        summary = None
    if summary and summary["candidates"]:
        share = max(summary["accepted"] / summary["candidates"], 0.01)
        return share, f"yield {share:.0%}, as in the latest run in {setup.out}"
    return EXPECTED_YIELD, f"yield {EXPECTED_YIELD:.0%}, a guess: `curate explore --rows 50` gives a measured one"


class _Gauge:
    """Measures prompts and samples of a domain in tokens, by its seeds."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.rate = CHARS_PER_TOKEN.get(domain.language, 4.0)
        self.seeds = domain.seed_examples()
        sizes = [sum(len(seed.get(name, "")) for name in ("instruction", "input", "output")) for seed in self.seeds]
        self.sample = self.tokens(sum(sizes) / len(sizes)) + 15 if sizes else 250

    def tokens(self, characters: float) -> int:
        """Return the tokens of so many characters."""
        return math.ceil(characters / self.rate)

    def prompt(self, name: str, **values: Any) -> int:
        """Return the tokens of a prompt rendered with the domain's own values."""
        prompt = load_prompt(name, self.domain.language)
        shown = self.seeds[: self.domain.generate.demonstrations]
        examples = [{key: seed.get(key, "") for key in ("instruction", "input", "output")} for seed in shown]
        path = [self.domain.root.name, "A sub-task", "A sub-task of it"]
        common: dict[str, Any] = {
            "domain": self.domain.name,
            "path": path,
            "description": self.domain.root.description,
            "guidance": self.domain.guidance,
            "rubric": self.domain.judge.rubric if self.domain.judge else "",
            "examples": examples,
            "demonstrations": examples,
            "existing": ["Another sub-task"] * 4,
            "siblings": ["Another sub-task"] * 4,
            "count": self.domain.generate.per_call,
            "max_chars": self.domain.max_chars,
            "scale_max": 5,
        }
        given = {key: {**common, **values}[key] for key in prompt.variables}
        messages: tuple[Message, ...] = prompt.render(**given)
        return self.tokens(sum(len(message["content"]) for message in messages))


def _explore_steps(domain: Domain, gauge: _Gauge, tasks: int, internal: int) -> list[Step]:
    if not internal:
        return []
    explore = domain.explore
    widest = max(explore.width)
    more = math.ceil(max(0, widest - explore.per_call) / explore.per_call)
    output = explore.per_call * (SUB_TASK_TOKENS + 2 * gauge.sample)
    again = internal * more
    steps = [
        Step("lookahead", internal, internal * gauge.prompt("explore/lookahead"), internal * output),
        Step("backtrack", again, again * gauge.prompt("explore/backtrack"), again * output),
    ]
    if domain.dedup and explore.merge_candidates:
        task = {"name": "A sub-task", "description": domain.root.description, "path": [domain.root.name]}
        candidates = [{"number": number, **task} for number in range(1, explore.merge_candidates + 1)]
        size = gauge.prompt("explore/same_task", task=task, candidates=candidates)
        steps.append(Step("same task", tasks - 1, (tasks - 1) * size, (tasks - 1) * 30))
    return steps


def _generate_steps(setup: Setup, gauge: _Gauge, rows: int, share: float) -> list[Step]:
    assert setup.domain is not None
    domain = setup.domain
    per_call = domain.generate.per_call
    calls = math.ceil(rows / (per_call * share))
    steps = [Step("generate", calls, calls * gauge.prompt("generate/samples"), calls * per_call * gauge.sample)]
    # Votes and grades are asked for what the free filters let through.
    asked = math.ceil(min(rows / share, rows / FIRST_YIELD))
    if domain.verify.kind == "math" and setup.specs["teacher"] != "procedural":
        votes = asked * domain.verify.votes
        size = gauge.prompt("generate/solve", problem="x" * int(gauge.sample * gauge.rate / 2))
        steps.append(Step("verify", votes, votes * size, votes * gauge.sample))
    if domain.judge:
        text = "x" * int(gauge.sample * gauge.rate / 2)
        size = gauge.prompt("judge/quality", instruction=text, response=text)
        role = "judge" if "judge" in setup.specs else "teacher"
        steps.append(Step("judge", asked, asked * size, asked * 150, role))
    return steps
