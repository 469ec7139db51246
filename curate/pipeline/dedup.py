"""`curate dedup`: the near-duplicates of anybody's dataset, and the decision anew at another threshold in an instant.

Beside NAME.jsonl lies NAME.report.html, which shows the largest groups, and the folder NAME.cache. That holds `pairs`:
the rows that were read, what makes them the same, and all near pairs; and, of encoders that are slow, their vectors. It
can be deleted at any time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from curate.embed import NO_EMBEDDER, default_encoder
from curate.errors import InputError
from curate.export.report.dedup import write_page
from curate.pipeline.dataset import Fields, StageReport, Tick, known_language, stage_report, untold
from curate.pipeline.dedup_calibrate import load_calibration
from curate.pipeline.dedup_files import Files
from curate.pipeline.dedup_find import Curve, Job, Phase, find, remembered
from curate.pipeline.dedup_groups import Group, groups
from curate.pipeline.dedup_paid import Plan, unplanned
from curate.stages.dedup import Field
from curate.stages.order import KEEPS, Keep

if TYPE_CHECKING:
    from curate.models import Budget


@dataclass
class DedupReport(StageReport):
    """What was dropped, and how it was found.

    `search` says how near pairs were searched for; `curve` is how many samples each threshold would keep, and `again`
    that nothing was read or compared anew; `replaced` is the encoder whose pairs, of an earlier run, these replace.
    `old` counts the samples that new ones were compared with. `groups` are the kept samples that the most were dropped
    for, and `page` shows them; there is none where samples went to a stream.
    """

    search: str = ""
    curve: Curve = field(default_factory=list)
    again: bool = False
    replaced: str = ""
    old: int = 0
    groups: list[Group] = field(default_factory=list)
    page: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        more = {
            "old": self.old,
            "search": self.search,
            "again": self.again,
            "replaced": self.replaced,
            "curve": [list(at) for at in self.curve],
            "groups": [[group.kept["id"], group.count] for group in self.groups],
            "page": str(self.page) if self.page else None,
        }
        return {**super().as_json(), **more}


def dedup_dataset(
    source: str | Path,
    *,
    keep: Keep = "best",
    score: str = "",
    rouge: float | None = 0.7,
    embedder: str | None = None,
    threshold: float | str | None = None,
    language: str = "en",
    field: Field = "text",
    fields: Fields = None,
    exact: bool = False,
    against: str | Path | None = None,
    add_to: str | Path | None = None,
    out: str | Path | None = None,
    stream: IO[str] | None = None,
    budget: Budget | None = None,
    tick: Tick = untold,
    phase: Phase | None = None,
    plan: Plan = unplanned,
) -> DedupReport:
    """Drop the samples that are the same as a kept one: equal, equal after normalising, by ROUGE-L, or in meaning.

    No two kept samples are then the same, and each dropped one names a kept one, with what they share. Samples are
    decided in the order of `keep` (see `curate.stages.order`); `score` names the number that is a sample's quality, the
    judge's grade unless given. `rouge` is the ROUGE-L above which two are the same (None: not compared), `embedder` the
    encoder of the comparison by meaning (None: the language's default; "none": not compared) and `threshold` its cosine
    (None: its own; "calibrated" or a folder NAME.calibration: what `open_calibration` found, whose encoder is then the
    default). `field` is what the last two compare; `fields` names the columns of a dataset in no known format. Files as
    for `filter_dataset`, NAME.cache, and NAME.report.html.

    Near pairs are searched for exactly up to half a million texts, with torch on a processor that multiplies int8 fast
    up to one and a half, and beyond with `exact`; else nearly all are found, and the report says the share. An embedder
    behind an API is asked within the `budget`, over all runs on NAME.cache; `plan` is told first what it will be asked.

    `against` is another dataset, of which all samples are held for kept; it is not written to. With `add_to`, a file of
    this package's own rows, the new ones are added to it, and its own rows and their decisions stay as they are.

    Raises:
        InputError: a value or file that cannot be used; an embedder that knows too little of the text.
        MissingExtraError: the embedder needs a package that is not installed.
        ModelError: the embedder gives no unit vectors.
        Unsent: the budget is spent; what was paid for is kept.
    """
    began = time.monotonic()
    calibration = load_calibration(threshold, source) if isinstance(threshold, str) else None
    named = embedder or (calibration.embedder if calibration else default_encoder(known_language(language)))
    cosine = calibration.threshold if calibration else None if isinstance(threshold, str) else threshold
    job = Job(
        str(source), str(against or ""), str(add_to or ""), keep, score, rouge, named, cosine, language, field, exact,
        calibration.owner if calibration else None, fields,
    )  # fmt: skip
    _check(job, out)
    if calibration:
        calibration.check_field(field)
    report = _report(job, out, stream)
    files = Files(job, report.out, stream)
    found = remembered(job, files) or find(job, files, tick, phase or _silent, budget, plan)
    if calibration:
        report.settings["calibrated"] = calibration.words(source)
    report.settings = {**report.settings, "embedder": found.encoder or None, "threshold": found.threshold}
    decided = found.decide()
    (phase or _silent)("write")
    report.reasons = files.write(found, decided)
    report.total = len(found.relations) - found.relations.fixed
    report.kept = report.total - sum(report.reasons.values())
    report.old = found.relations.fixed
    report.search, report.curve, report.again = found.search, found.curve, found.again
    report.replaced = found.replaced
    if report.curve and found.threshold is not None:
        report.curve = sorted({**dict(report.curve), found.threshold: report.kept}.items())
    report.groups = groups(found, decided)
    if report.out is not None:
        report.page = report.out.with_name(f"{report.out.name.removesuffix('.jsonl')}.report.html")
        write_page(report.page, _about(report), [(group.count, group.kept, group.copies) for group in report.groups])
    report.seconds = time.monotonic() - began
    return report


def _about(report: DedupReport) -> dict[str, Any]:
    """Return what the page says besides the groups."""
    return {
        "source": Path(report.source).name,
        "out": report.out.name if report.out else "",
        "total": report.total,
        "kept": report.kept,
        "settings": report.settings,
        "search": report.search,
        "curve": report.curve,
        "reasons": dict(report.reasons.most_common()),
    }


def _check(job: Job, out: str | Path | None) -> None:
    if job.rouge is not None and not 0 < job.rouge <= 1:
        raise InputError(f"the ROUGE-L threshold is {job.rouge:g}; it takes a number above 0 and up to 1")
    if job.field not in ("text", "instruction"):
        raise InputError(f"the field is {job.field!r}; it takes 'text' (instruction and input) or 'instruction'")
    if job.keep not in KEEPS:
        raise InputError(f"keep is {job.keep!r}; it takes {', '.join(KEEPS)}")
    if job.embedder == NO_EMBEDDER and job.threshold is not None:
        raise InputError(
            f"the threshold {job.threshold:g} is a cosine, and the embedder 'none' gives no vectors; drop one"
        )
    if job.embedder == NO_EMBEDDER and job.keep in ("center", "facility"):
        raise InputError(f"keep '{job.keep}' goes by cosines, and the embedder 'none' gives no vectors; drop one")
    if job.threshold is not None and not 0 < job.threshold <= 1:
        raise InputError(f"the threshold is {job.threshold:g}: give a number between 0 and 1")
    if job.add_to and (job.against or out is not None):
        raise InputError(
            f"new samples go to {job.add_to}, which they are compared with: leave out "
            f"{'--against' if job.against else '--out'}, or --add-to"
        )


def _report(job: Job, out: str | Path | None, stream: IO[str] | None) -> DedupReport:
    settings = {
        "keep": job.keep,
        "score": job.score or None,
        "rouge": job.rouge,
        "embedder": job.embedder,
        "threshold": job.threshold,
        "field": job.field,
        "language": job.language,
        "against": job.against or None,
        "add_to": job.add_to or None,
    }
    plain = stage_report("dedup", job.source, job.add_to or out, settings, stream)
    for path in (plain.out, plain.dropped_file):
        if job.against and path is not None and path.resolve() == Path(job.against).resolve():
            raise InputError(f"{path}: the samples are compared with those of this file; give another one with --out")
    return DedupReport("dedup", plain.source, plain.out, plain.dropped_file, settings)


def _silent(_: str) -> None:
    """Tell nobody."""
