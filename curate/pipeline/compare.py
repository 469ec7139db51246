"""What a run is compared with: the flat Self-Instruct set, of the same teacher and as many calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from curate.errors import InputError
from curate.finished import open_run
from curate.generate.self_instruct import FlatWriter
from curate.generate.sweeps import NO_LIMIT, Sweeps
from curate.measure.novelty import novelty_of
from curate.models.ledger_view import read_totals
from curate.pipeline.explore import COMPARED, Options, Report, export_run, fill, rows_key
from curate.pipeline.setup import Job, Setup, open_job, settle_encoder
from curate.run import Publication
from curate.tree import TaskTree
from curate.types import Sample

if TYPE_CHECKING:
    from curate.generate.candidates import Call
    from curate.models import Engine, Total
    from curate.pipeline.explore import Begin
    from curate.pipeline.rounds import Result
    from curate.pipeline.watch import Watch

FLAT = COMPARED[0]
"""The folder below the run's, and the name, of the flat set."""

BATCH = 8
"""Calls that the first rounds make: the model's own samples are shown from the second round on."""

GROWING = ("explore", "merge")
"""Stages of the ledger that grow a tree: a flat set writes with these calls instead."""


@dataclass
class _Remembered(Publication):
    """The open files, and the samples that were kept since they were last looked at."""

    latest: dict[str, Sample] = field(default_factory=dict)

    def keep(self, sample: Sample) -> None:
        super().keep(sample)
        self.latest[sample.id] = sample


def flat_run(setup: Setup, options: Options, report: Report, watch: Watch, started: Callable[[Engine], None]) -> Report:
    """Make or resume the flat set beside a finished run and return what came of it.

    It lies in a run directory of its own below the run's, with its own ledger. Budgets hold for both together: it gets
    what the run has left.

    Raises:
        ModelError: a model stopped it.
    """
    assert setup.domain is not None
    spent = read_totals(setup.out / "calls.sqlite")
    calls = report.counts["calls"] + tree_calls(spent)
    flat = replace(setup, out=setup.out / FLAT, encoder=None, threshold=None)
    settle_encoder(flat, options)
    watch.begin("compare")
    watch.note(f"the flat set beside it: as many calls without the tree, {calls:,}, and what checks their samples")
    began = time.monotonic()
    with open_job(flat, _left(options, spent), watch) as job:
        started(job.engine)
        made = Report(flat.out, 0, f"{job.domain.name}, {FLAT}", flat.model_names["teacher"])
        tree = flat_tree(setup)
        tree.save(job.run.tree)
        watch.tasks = len(tree)
        _write(job, tree, made, calls)
        made.dataset = export_run(job, made)
        made.stats = job.engine.stats()
        made.novelty = novelty_of(open_run(job.run.path))
    made.tree_lines = tree.summary()
    made.seconds = time.monotonic() - began
    return made


def flat_tree(setup: Setup) -> TaskTree:
    """Return a tree of the root alone, with all seeds as its examples."""
    domain = setup.domain
    assert domain is not None
    return TaskTree(domain.root.name, domain.root.description, domain.seed_examples())


def tree_calls(spent: Sequence[Total]) -> int:
    """Return how many calls of a ledger grew its tree."""
    return sum(total.calls for total in spent if total.stage in GROWING and total.kind != "possibly_billed")


def check_comparable(setup: Setup, options: Options) -> None:
    """Refuse a comparison that could not say anything, before a call is made.

    Raises InputError.
    """
    if options.compare is None:
        return
    if options.compare not in COMPARED:
        raise InputError(f"compare is {options.compare!r}; it takes {', '.join(COMPARED)}")
    if setup.specs["teacher"] == "procedural":
        raise InputError(
            f"--compare {options.compare}: the embedded teacher, procedural, looks at no demonstration, so there is "
            "nothing to compare; name a language model, e.g. --teacher openai:NAME@URL"
        )
    if options.tree_only:
        raise InputError(f"--compare {options.compare} compares samples, and --tree-only makes none; leave one out")


def _left(options: Options, spent: Sequence[Total]) -> Options:
    """Return the options with what the run has left of each budget."""
    calls, tokens = options.budget_calls, options.budget_tokens
    usd = options.budget_usd
    return replace(
        options,
        budget_calls=None if calls is None else max(0, calls - sum(total.calls for total in spent)),
        budget_tokens=None
        if tokens is None
        else max(0, tokens - sum(total.input_tokens + total.output_tokens for total in spent)),
        budget_usd=None if usd is None else max(0.0, usd - sum(total.cost for total in spent)),
    )


def _write(job: Job, tree: TaskTree, report: Report, calls: int) -> None:
    """Write with so many calls; each shows what earlier rounds accepted."""
    generate = job.domain.generate
    writer = FlatWriter(job.domain, tree, job.setup.seed)
    # A barren call says nothing of a whole domain: no patience ends it before the calls are made.
    sweeps = Sweeps(
        [tree.root], NO_LIMIT, generate.per_call, calls + 1, least=BATCH * generate.per_call, most_calls=calls
    )

    def loop(begin: Begin, out: Publication) -> Result:
        remembered = _Remembered(out.kept_file, out.dropped_file)

        def plans() -> list[Call]:
            writer.learn(remembered.latest)
            remembered.latest.clear()
            return sweeps.calls()

        result = begin(rows=NO_LIMIT, out=remembered, writer=writer, quotas=sweeps).run(plans)
        if result.stopped == "saturated":
            result.stopped = "calls"
        return result

    fill(job, tree, report, rows_key(job, tree, [FLAT, calls]), loop)
