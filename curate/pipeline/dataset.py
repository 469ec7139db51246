"""One stage on anybody's dataset: `curate filter`, and what `curate dedup` and `decontaminate` share with it."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from curate.errors import InputError, RunError
from curate.io import atomic, read_samples
from curate.run import Publication
from curate.types import Sample, Verdict

if TYPE_CHECKING:
    from curate.config import Rules

Tick = Callable[[int, int | None], None]
"""Told after every sample how many are decided, and of how many (None where that is not known beforehand)."""

SUFFIXES = (".gz", ".zst", ".jsonl", ".ndjson", ".json", ".parquet", ".csv")


DONE = {"filter": "filtered", "dedup": "deduped", "decontaminate": "decontaminated"}
"""What a verb has done to a dataset: the name of its file says so."""


def untold(done: int, total: int | None) -> None:
    """Tell nobody."""


@dataclass
class StageReport:
    """What a stage did to a dataset. `out` and `dropped_file` are None where the kept samples went to a stream.

    `reasons` counts dropped samples by "stage: reason"; `settings` says what was applied; `seconds` is the time taken.
    """

    verb: str
    source: str
    out: Path | None
    dropped_file: Path | None
    settings: dict[str, Any]
    total: int = 0
    kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def dropped(self) -> int:
        """Samples dropped; with the kept ones they are all that came in."""
        return sum(self.reasons.values())

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "source": self.source,
            "out": str(self.out) if self.out else None,
            "dropped_file": str(self.dropped_file) if self.dropped_file else None,
            "in": self.total,
            "kept": self.kept,
            "dropped": self.dropped,
            "reasons": dict(self.reasons.most_common()),
            "settings": self.settings,
            "seconds": round(self.seconds, 3),
        }


Report = TypeVar("Report", bound=StageReport)

Fields = Mapping[str, str] | None
"""Which columns hold instruction, input, response, system or messages, where no known format fits."""


def filter_dataset(
    source: str | Path,
    *,
    domain: str | Path | None = None,
    rules: str | Path | None = None,
    language: str = "",
    fields: Fields = None,
    out: str | Path | None = None,
    stream: IO[str] | None = None,
    tick: Tick = untold,
) -> StageReport:
    """Apply the rules of a domain, or of a rules file, to every sample of `source`.

    The kept samples go to `out` (FILE.filtered.jsonl unless given), the dropped ones beside it as NAME.dropped.jsonl
    with stage, reason and detail; to `stream` instead, nothing is written to the disk. `language` is the domain's
    unless given, and "en" for a rules file. `fields` names the columns of a format that is not known (see
    `curate.io.read_samples`).

    Raises:
        InputError: neither or both of `domain` and `rules`, or a file that cannot be used; the message names it.
    """
    from curate.stages import filter_samples

    applied, spoken, settings = _rules(domain, rules, language)
    report = stage_report("filter", source, out, settings, stream)
    verdicts = filter_samples(read_samples(source, fields=fields), applied, spoken)
    return write_verdicts(report, verdicts, lambda verdict: "rules", stream, tick)


def _rules(domain: str | Path | None, rules: str | Path | None, language: str) -> tuple[Rules, str, dict[str, Any]]:
    from curate.config import load_domain
    from curate.config.rules import load_rules

    if (domain is None) == (rules is None):
        raise InputError(
            "which rules? Give --domain (math, rewriting, brainstorming, code, math-zh or a domain file) or "
            "--rules FILE (YAML with the keys instruction, input, response), one of the two"
        )
    if rules is not None:
        spoken = known_language(language or "en")
        return load_rules(Path(rules)), spoken, {"rules": str(rules), "language": spoken}
    found = load_domain(str(domain))
    spoken = known_language(language or found.language)
    return found.rules, spoken, {"domain": found.name, "language": spoken}


def known_language(language: str) -> str:
    """Return the language. Raises InputError for one that has no rules for its tokens."""
    from curate.prompt import LANGUAGES

    if language not in LANGUAGES:
        raise InputError(f"the language is {language!r}; known are {', '.join(LANGUAGES)}")
    return language


def stage_report(
    verb: str, source: str | Path, out: str | Path | None, settings: dict[str, Any], stream: IO[str] | None
) -> StageReport:
    """Return the empty report of a stage; its files are named, and none of them is the one that is read.

    Raises:
        InputError: `out` is no JSONL file, or is where the samples come from.
    """
    if stream is not None:
        return StageReport(verb, str(source), None, None, settings)
    target = Path(out) if out is not None else default_out(source, verb)
    if target.suffix != ".jsonl":
        raise InputError(
            f"{target}: samples are written as JSON lines; name a .jsonl file (`curate export` gives more)"
        )
    for path in (target, dropped_beside(target)):
        if path.resolve() == Path(source).resolve():
            raise InputError(f"{path}: the samples are read from this file; give another one with --out")
    return StageReport(verb, str(source), target, dropped_beside(target), settings)


def default_out(source: str | Path, verb: str) -> Path:
    """Return where the kept samples go unless told: what `curate dedup` makes of data.jsonl is data.deduped.jsonl."""
    return beside(Path(source), f"{DONE[verb]}.jsonl")


def beside(source: Path, ending: str) -> Path:
    """Return the file that belongs to a dataset: with the ending "x.jsonl", data.jsonl.gz has data.x.jsonl."""
    if not source.exists():  # a dataset of the Hub has no folder here
        source = Path(source.name)
    name = source.name
    while not source.is_dir() and (suffix := Path(name).suffix) in SUFFIXES:
        name = name.removesuffix(suffix)
    return source.with_name(f"{name}.{ending}")


def dropped_beside(kept: Path) -> Path:
    """Return where the dropped samples of a kept file lie: clean.jsonl has clean.dropped.jsonl."""
    return kept.with_name(f"{kept.name.removesuffix('.jsonl')}.dropped.jsonl")


def write_verdicts(
    report: Report,
    verdicts: Iterable[tuple[Sample, Verdict]],
    stage: Callable[[Verdict], str],
    stream: IO[str] | None,
    tick: Tick,
) -> Report:
    """Write every sample to its file and count it; both files take their names when all is written.

    `stage` says which stage a dropping verdict is of.
    """
    began = time.monotonic()
    total = count_rows(report.source)
    with contextlib.ExitStack() as stack:
        if stream is not None:
            files = Publication(stream, stack.enter_context(Path(os.devnull).open("w", encoding="utf-8")))
        else:
            assert report.out is not None and report.dropped_file is not None
            make_folder(report.out.parent)
            # The one opened last is published first, so that a kept file is never without its dropped ones.
            kept_file = stack.enter_context(atomic(report.out))
            files = Publication(kept_file, stack.enter_context(atomic(report.dropped_file)))
        for sample, verdict in verdicts:
            report.total += 1
            if verdict.keep:
                files.keep(sample)
            else:
                files.drop(sample, stage(verdict), verdict)
                report.reasons[f"{stage(verdict)}: {verdict.reason}"] += 1
            tick(report.total, total)
    report.kept = files.kept
    report.seconds = time.monotonic() - began
    return report


def make_folder(folder: Path) -> None:
    """Make a folder where there is none. Raises RunError where that is refused."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); name another place with --out") from error


def count_rows(source: str) -> int | None:
    """Return how many rows a source has where that is quickly known, for the time left; else None."""
    path = Path(source)
    if path.is_dir():
        path = next((p for p in (path / "dataset" / "train.jsonl", path / "train.jsonl") if p.is_file()), path)
    if not path.is_file():
        return None
    with contextlib.suppress(OSError, ValueError):  # what cannot be read is told when it is read
        if path.suffix in (".jsonl", ".ndjson"):
            with path.open("rb") as file:
                return sum(1 for line in file if line.strip())
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            return int(pq.read_metadata(path).num_rows)
    return None
