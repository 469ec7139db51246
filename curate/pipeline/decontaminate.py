"""`curate decontaminate`: a dataset without the samples that contain benchmark text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from curate.embed import NO_EMBEDDER, Encoder, default_encoder, open_encoder
from curate.embed.store import stored
from curate.errors import InputError
from curate.pipeline.benchmarks import Source, read_items, sources
from curate.pipeline.dataset import Fields, StageReport, Tick, known_language, stage_report, untold, write_verdicts
from curate.pipeline.reviews import STAGE as REVIEW
from curate.pipeline.reviews import Decided, decided
from curate.stages.decontaminate import REASONS, STAGE, Benchmarks, Item, decontaminate_samples
from curate.types import Sample, Verdict

Phase = Callable[[str], None]
"""Told which part of the work begins: read (the benchmarks), then compare."""


@dataclass
class Contamination:
    """What was found of one benchmark: its items, those that can be found, and the samples dropped for each reason.

    Items that cannot be found have no telling text: their question is too short, or is that of other items too.
    """

    name: str
    items: int = 0
    compared: int = 0
    ngram: int = 0
    semantic: int = 0


@dataclass
class DecontaminateReport(StageReport):
    """What was dropped, for each benchmark; `note` says what was left out, and how to have it."""

    benchmarks: list[Contamination] = field(default_factory=list)
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {**super().as_json(), "benchmarks": [asdict(one) for one in self.benchmarks], "note": self.note}


def decontaminate_dataset(
    source: str | Path,
    *,
    against: str | Path | Iterable[str | Path],
    embedder: str | None = None,
    threshold: float | None = None,
    language: str = "en",
    fields: Fields = None,
    out: str | Path | None = None,
    stream: IO[str] | None = None,
    tick: Tick = untold,
    phase: Phase = lambda name: None,
) -> DecontaminateReport:
    """Drop the samples that contain text of a benchmark, by n-grams and by meaning (see `curate.stages.decontaminate`).

    `against` names the benchmarks: gsm8k, math, mmlu, ifeval (from the Hub), a file, or NAME=FILE. `embedder` is the
    encoder of the comparison by meaning (None: the language's default; "none": not compared) and `threshold` its cosine
    (None: its own; an encoder without one does not compare then). Files as for `filter_dataset`. Of a run's folder, the
    accepted samples are taken, and of any source the decisions by hand are honoured: a rejected sample is dropped, with
    the stage `review`. `fields` names the columns of a dataset in no known format.

    Raises:
        InputError: a value, a file or a benchmark that cannot be used, or one without any text to look for.
        MissingExtraError: the embedder needs a package that is not installed.
    """
    wanted = sources(against)
    encoder, note = _encoder(embedder or default_encoder(known_language(language)), threshold)
    settings: dict[str, Any] = {
        "against": ",".join(one.name for one in wanted),
        "embedder": encoder.name if encoder else None,
    }
    plain = stage_report(STAGE, source, out, settings, stream)
    _check_outputs(plain, wanted)
    if encoder is not None and plain.out is not None:
        encoder = stored(plain.out.with_name(f"{plain.out.name.removesuffix('.jsonl')}.cache"), encoder)
    phase("read")
    items = {one.name: _items(one, tick) for one in wanted}
    benchmarks = Benchmarks(items, encoder, threshold)
    settings["threshold"] = benchmarks.threshold
    report = DecontaminateReport(STAGE, plain.source, plain.out, plain.dropped_file, settings, note=note)
    compared = benchmarks.compared()
    report.benchmarks = [Contamination(name, len(all_), compared[name]) for name, all_ in items.items()]
    _check_items(report.benchmarks, wanted)
    phase("compare")
    found: Counter[tuple[str, str]] = Counter()
    report = write_verdicts(report, _verdicts(decided(source, fields), benchmarks, found), _stage, stream, tick)
    for one in report.benchmarks:
        one.ngram, one.semantic = (found[one.name, reason] for reason in REASONS)
    return report


def _encoder(name: str, threshold: float | None) -> tuple[Encoder | None, str]:
    """Open the encoder; or none, and say why."""
    if threshold is not None and not 0 < threshold <= 1:
        raise InputError(f"the threshold is {threshold:g}: give a number between 0 and 1")
    if name == NO_EMBEDDER:
        if threshold is not None:
            raise InputError(
                f"the threshold {threshold:g} is a cosine, and the embedder 'none' gives no vectors; drop one"
            )
        return None, ""
    encoder = open_encoder(name)
    if threshold is None and encoder.default_threshold is None:
        return None, f"not compared by meaning: no threshold of {name} was measured; --threshold T gives one"
    return encoder, ""


def _check_outputs(report: StageReport, wanted: list[Source]) -> None:
    for one in wanted:
        for path in (report.out, report.dropped_file):
            if path is not None and one.source and path.resolve() == Path(one.source).resolve():
                raise InputError(f"{path}: a benchmark is read from this file; give another one with --out")


def _items(one: Source, tick: Tick) -> list[Item]:
    items = []
    for item in read_items(one):
        items.append(item)
        tick(len(items), None)
    return items


def _check_items(benchmarks: list[Contamination], wanted: list[Source]) -> None:
    for one, asked in zip(benchmarks, wanted, strict=True):
        if not one.compared:
            place = asked.source or asked.name
            why = "none of its questions has 8 words, or is of one item only" if one.items else "it is empty"
            raise InputError(f"{place}: the benchmark '{one.name}' has no text to look for: {why}")


def _verdicts(
    data: Decided, benchmarks: Benchmarks, found: Counter[tuple[str, str]]
) -> Iterator[tuple[Sample, Verdict]]:
    """Yield every sample with its verdict, in order, and count what is found; rejected ones keep their verdict."""
    rejected: dict[int, Verdict] = {}

    def samples() -> Iterator[Sample]:
        for number, (sample, verdict) in enumerate(data.all()):
            if not verdict.keep:
                rejected[number] = verdict
            yield sample

    for number, (sample, verdict) in enumerate(decontaminate_samples(samples(), benchmarks)):
        # What a person rejected has left before, and is not counted as contaminated.
        by_hand = rejected.pop(number, None)
        if by_hand is None and not verdict.keep:
            found[verdict.detail["benchmark"], verdict.reason] += 1
        yield sample, by_hand or verdict


def _stage(verdict: Verdict) -> str:
    return STAGE if "benchmark" in verdict.detail else REVIEW
