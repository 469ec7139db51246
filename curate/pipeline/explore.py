"""The whole job: a domain becomes a task tree, the tree becomes samples, the samples become a dataset."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.finished import open_run, stages_of
from curate.generate.sweeps import NO_LIMIT, Sweeps
from curate.measure.novelty import Novelty, enough, novelty_of
from curate.pipeline.setup import DRAFT, Job, model_options, open_job, resolve, settle_encoder
from curate.pipeline.watch import Watch
from curate.prompt import load_prompt
from curate.run import key_of, name_latest, published, read_summary, write_summary
from curate.types import STOPPED, TRANSIENT

ACCEPTED = "accepted"
"""Name of the file that the loop of rounds publishes."""

PROMPTS = ("generate/samples", "generate/solve", "judge/quality", "repair")
"""The prompts that the accepted rows depend on, besides the tree."""

LOOP = {"name", "language", "guidance", "generate", "rules", "rouge", "verify", "judge"}
"""The parts of a domain file that the loop reads; root, tasks and seeds are in the tree, the encoder in the setup."""

COMPARED = ("self-instruct",)
"""What a run can be compared with."""

PACE = 8
"""Calls that write samples and are ahead of their checks, where there is a budget: each may need a dozen more."""

MEANING = 1
"""Raised when the loop can give other rows for the same configuration and ledger."""

if TYPE_CHECKING:
    from curate.config import Domain
    from curate.models import Engine, Stats
    from curate.pipeline.rounds import Result, Rounds
    from curate.run import Publication
    from curate.tree import TaskTree

    Begin = Callable[..., Rounds]


@dataclass(frozen=True)
class Options:
    """What one invocation of `explore` asks for; None leaves a choice to the domain file.

    `domain` is a shipped domain's name, a path, or any phrase; `tree` a file or folder to take instead of exploring.
    Budgets count everything the run directory has ever spent, so they hold across runs. Below the novelty
    `until_novelty` the run ends; `rows` is 0 where nothing but that is to end it. `compare` names a method that makes
    another dataset with as many calls, one of COMPARED. `student` is examined on the accepted samples, and `treat` says
    what becomes of what it does not know.
    """

    domain: str | None = None
    tree: str | None = None
    rows: int = 1000
    out: Path | None = None
    seed: int = 0
    teacher: str | None = None
    judge: str | None = None
    embedder: str | None = None
    threshold: float | None = None
    budget_calls: int | None = None
    budget_tokens: int | None = None
    budget_usd: float | None = None
    until_novelty: float | None = None
    tree_only: bool = False
    compare: str | None = None
    student: str | None = None
    treat: str | None = None


@dataclass
class Report:
    """What a run did, for the summary, `--json` and the dataset card.

    `stopped` is "" where N rows stand, else novelty, saturated, budget or stopped. `rows` is 0 where only novelty was
    to end the run, at `until`. `counts` are those of the loop of rounds, and under "explore" those of the tree.
    `first_row` is in seconds from the start; None where nothing was decided now. `flat` is the report of the dataset
    that the run was to be compared with. `stage` and `key` name the files that hold the dataset. `unable` is true where
    the student cannot take the exam; nothing is treated then.
    """

    out: Path
    rows: int
    domain: str = ""
    teacher: str = ""
    accepted: int = 0
    stopped: str = ""
    until: float | None = None
    tree_only: bool = False
    key: str = ""
    dataset: Path | None = None
    page: Path | None = None
    tree_lines: list[str] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)
    stats: Stats | None = None
    novelty: Novelty | None = None
    flat: Report | None = None
    stage: str = ACCEPTED
    unable: bool = False
    notes: list[str] = field(default_factory=list)
    first_row: float | None = None
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """The exit code of the command line: 3 for fewer rows than asked.

        A run that was to go on until samples are no longer new is done where no task yields any.
        """
        if self.tree_only:
            return 3 if self.stopped else 0
        if self.unable:
            return 1
        if self.until is not None and self.stopped in ("novelty", "saturated") and self.accepted:
            return 0
        if not self.rows:
            return 3
        return 3 if self.accepted < self.rows else 0

    def stages(self) -> list[tuple[str, int, int]]:
        """Return (stage, samples in, samples kept) in the order of the loop, without stages that dropped nothing."""
        return stages_of(self.counts)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values, for `--json`."""
        used = self.stats.total if self.stats else None
        return {
            "domain": self.domain,
            "out": str(self.out),
            "dataset": str(self.dataset) if self.dataset else None,
            "report": str(self.page) if self.page else None,
            "rows": self.rows or None,
            "until_novelty": self.until,
            "accepted": self.accepted,
            "stopped": self.stopped,
            "teacher": self.teacher,
            "calls": used.calls if used else 0,
            "replayed": used.replayed if used else 0,
            "input_tokens": used.input_tokens if used else 0,
            "output_tokens": used.output_tokens if used else 0,
            "cost_usd": self.stats.cost if self.stats else None,
            "failures": dict(self.stats.failures) if self.stats else {},
            "first_row_seconds": self.first_row,
            "seconds": round(self.seconds, 3),
            "stages": self.stages(),
            "counts": self.counts,
            "notes": self.notes,
            "novelty": self.novelty.as_json() if self.novelty else None,
            "self_instruct": self.flat.as_json() if self.flat else None,
        }


Confirm = Callable[["Domain", Path], bool]
"""Shown a drafted domain and where it is kept; False stops there, so that it can be edited."""


def explore_run(
    options: Options,
    *,
    watch: Watch | None = None,
    started: Callable[[Engine], None] = lambda engine: None,
    confirm: Confirm | None = None,
) -> Report:
    """Run or resume the whole job and return what it did.

    Raises:
        InputError: the domain, a model, a threshold or the folder cannot be used; nothing was asked of a model yet.
        ModelError: a model stopped the run (wrong key, unknown name, no server).
    """
    watch = watch or Watch()
    watch.rows, watch.until = options.rows, options.until_novelty
    setup = resolve(options)
    if options.compare:
        from curate.pipeline.compare import check_comparable

        check_comparable(setup, options)
    with open_job(setup, options, watch) as job:
        started(job.engine)
        if setup.specs["teacher"] == "procedural":
            watch.note(
                "procedural wrote this: mathematics made and solved by computer algebra, not a language model; "
                "for one, add --teacher openai:NAME@URL (or vllm:NAME)"
            )
        if setup.domain is None:
            from curate.pipeline.draft import draft_domain

            setup.domain = draft_domain(job)
            # What is not confirmed can still be edited, its root too: the run is not settled on it yet.
            if setup.domain is None or (confirm and not confirm(setup.domain, job.run.path / DRAFT)):
                return _without_domain(job)
            settle_encoder(setup, options)
            job.run.settle(setup.identity(), setup.configuration())
        report = _work(job)
    if options.compare and report.dataset and report.stopped not in STOPPED:
        from curate.pipeline.compare import flat_run

        report.flat = flat_run(setup, options, report, watch, started)
    return report


def _without_domain(job: Job) -> Report:
    """Return the report of a run that ended before its domain stood."""
    setup, engine = job.setup, job.engine
    report = Report(setup.out, job.options.rows, setup.phrase, setup.model_names["teacher"])
    report.stopped = engine.stopped or "stopped"
    report.tree_only, report.until = job.options.tree_only, job.options.until_novelty
    report.stats = engine.stats()
    report.notes = [*job.watch.notes]
    report.seconds = time.monotonic() - job.watch.started
    return report


def _work(job: Job) -> Report:
    from curate.pipeline.exam_stage import examined
    from curate.pipeline.grow import grow_tree

    job.watch.phase = "explore"
    tree, growth = grow_tree(job)
    report = Report(job.run.path, job.options.rows, job.domain.name, job.setup.model_names["teacher"])
    report.tree_only, report.until = job.options.tree_only, job.options.until_novelty
    report.stopped = growth.stopped
    report.tree_lines = tree.summary()
    report.counts["explore"] = growth.counts()
    if not job.options.tree_only and not growth.stopped:
        job.watch.phase = "generate"
        generate_rows(job, tree, report)
        if examined(job, report, ACCEPTED):
            job.watch.phase = "export"
            report.dataset = export_run(job, report)
        job.watch.phase = "measure"
        report.novelty = novelty_of(open_run(job.run.path))
    if job.run.tree.is_file():
        job.watch.phase = "report"
        report.page = write_page(job, report.novelty)
    report.stats = job.engine.stats()
    report.notes = [*job.watch.notes]
    report.first_row = job.watch.first_row
    report.seconds = time.monotonic() - job.watch.started
    return report


def write_page(job: Job, novelty: Novelty | None) -> Path | None:
    """Write report.html and return its path; None, with a note, where that failed."""
    from curate.export.report import open_to_report, write_report

    try:
        run = open_to_report(job.run.path)
        return write_report(run, encoder=job.setup.encoder, novelty=novelty, soon=True).path
    except Exception as error:  # whatever it is, the dataset stands and was paid for: no page may fail its run
        again = f"`curate report {job.run.path}` writes it"
        job.watch.note(f"report.html was not written ({type(error).__name__}: {error}); {again}")
        return None


def generate_rows(job: Job, tree: TaskTree, report: Report) -> None:
    """Fill the run's accepted file with samples for the tree and note in `report` what came of it."""
    options = job.options
    # What has no other end keeps the key it had before there was one.
    asked = options.rows if options.until_novelty is None else [options.rows, options.until_novelty]

    def loop(begin: Begin, out: Publication) -> Result:
        quotas = _sweeps(job.domain, tree, options)
        return begin(rows=options.rows, out=out, quotas=quotas, until=options.until_novelty).run()

    fill(job, tree, report, rows_key(job, tree, asked), loop)


def fill(job: Job, tree: TaskTree, report: Report, key: str, loop: Callable[[Begin, Publication], Result]) -> None:
    """Fill the accepted file of this key by `loop`, and note in `report` what came of it.

    `loop` gets the loop of rounds, with everything that the domain file says of it, and the open files. A file that is
    whole under the same key is taken as it is: it depends on nothing that is not in the key.
    """
    from curate.pipeline.checks import open_checks
    from curate.pipeline.rounds import Rounds
    from curate.stages.dedup import Comparisons

    setup, domain = job.setup, job.domain
    summary = read_summary(job.run.path, ACCEPTED, key)
    if summary is None or _unfinished(summary):
        rouge = domain.rouge
        comparisons = Comparisons(
            domain.language,
            rouge.threshold if rouge else None,
            rouge.field if rouge else "text",
            setup.compared_by,
            setup.threshold,
        )
        with job.run.publish(ACCEPTED, key) as out, open_checks(job) as checks:
            begin = partial(
                Rounds,
                job.engine,
                domain,
                tree,
                setup.seed,
                comparisons=comparisons,
                checks=checks,
                watch=job.watch,
                pace=PACE if checks and _has_budget(job.options) else None,
            )
            summary = loop(begin, out).summary(tree, job.watch)
        write_summary(job.run.path, ACCEPTED, key, summary)
    else:  # another threshold or number of rows may have been published meanwhile
        name_latest(job.run.path, ACCEPTED, key)
    report.key = key
    report.accepted = summary["accepted"]
    report.stopped = summary["stopped"]
    report.counts |= summary


def _sweeps(domain: Domain, tree: TaskTree, options: Options) -> Sweeps | None:
    """Return what deals the calls of a run that ends by its novelty; None for one that is to reach its rows alone."""
    if options.until_novelty is None:
        return None
    # Four rounds and more until the novelty can be told, so that little is asked beyond the end.
    return Sweeps(
        list(tree.walk()),
        options.rows or NO_LIMIT,
        domain.generate.per_call,
        domain.generate.saturation,
        least=enough(options.until_novelty) // 4,
    )


def _has_budget(options: Options) -> bool:
    return (options.budget_calls, options.budget_tokens, options.budget_usd) != (None, None, None)


def _unfinished(summary: dict[str, Any]) -> bool:
    """Would running again ask something? Yes after a stop, and where too few rows stand and calls failed in transit."""
    from curate.pipeline.checks import UNVERIFIED

    if summary["stopped"] in STOPPED:
        return True
    causes = {*summary["lost"], *(reason.removeprefix(f"verify: {UNVERIFIED}") for reason in summary["dropped"])}
    return bool(summary["stopped"]) and not causes.isdisjoint(TRANSIENT)


def rows_key(job: Job, tree: TaskTree, asked: Any) -> str:
    """Return the key of the accepted file: a hash of everything that it depends on besides the ledger, and no more.

    `asked` (JSON values) says how far the loop is to go.
    """
    setup = job.setup
    domain = job.domain.model_dump(mode="json", include=LOOP)
    encoder = setup.compared_by.name if setup.compared_by else None
    prompts = [load_prompt(name, job.domain.language).fingerprint for name in PROMPTS]
    tasks = [(task.id, task.parent, task.name, task.description, task.examples) for task in tree.walk()]
    # Of a model's settings, those that change what it is asked or what is kept of its replies.
    of_models = {role: model_options(job.domain, role) for role in setup.specs}
    models = {
        role: [setup.model_names[role], given.temperature, given.max_tokens, given.reasoning]
        for role, given in of_models.items()
    }
    return key_of(MEANING, asked, setup.seed, models, domain, encoder, setup.threshold, prompts, tasks)


def export_run(job: Job, report: Report) -> Path:
    """Write the accepted samples, as decisions by hand leave them, as a dataset with its card; return the folder."""
    from curate.export import export
    from curate.pipeline.card import card_of, files_of
    from curate.pipeline.reviews import decided_files, journal_of, read_reviews

    reviews = read_reviews(journal_of(job.run.path))
    data = decided_files(*published(job.run.path, report.stage, report.key), reviews)
    tally = data.tally()
    if tally:
        job.watch.note(f"{tally.line()} ({reviews.path}): the dataset has {tally.after:,} rows")
    card = card_of(job.run.path, *tally.told(report.stages(), report.counts))
    options = job.domain.export
    files = files_of(job.run.path)
    export(data, job.run.dataset, format=options.format, reasoning=options.reasoning, card=card, files=files)
    return job.run.dataset
