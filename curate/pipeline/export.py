"""`curate export` and `curate pull`: a dataset's folder, on the disk and on the Hub."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import InputError, RunError
from curate.export.markdown import number
from curate.finished import is_run, open_run, stages_of
from curate.pipeline.card import adorned, card_of, files_of
from curate.pipeline.dataset import Tick, count_rows, untold
from curate.types import Sample

if TYPE_CHECKING:
    from curate.export import Card, Splits, Written
    from curate.export.hub import Pushed, Target
    from curate.pipeline.reviews import Decided, Tally

Tell = Callable[[str], None]
"""Told one line at a time what is about to be done."""


@dataclass(frozen=True)
class ExportReport:
    """What was exported: the folder (None where it went to the Hub alone), its rows, their format, and by split.

    `by_hand` says in words what decisions by hand changed; `pushed` is what the Hub has now.
    """

    out: Path | None
    rows: int
    format: str
    seconds: float
    by_hand: str = ""
    splits: Mapping[str, int] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    licence: str = ""
    pushed: Pushed | None = None
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "out": str(self.out) if self.out else None,
            "rows": self.rows,
            "format": self.format,
            "splits": dict(self.splits),
            "files": list(self.files),
            "licence": self.licence,
            "by_hand": self.by_hand,
            "pushed": self.pushed.as_json() if self.pushed else None,
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
        }


def export_dataset(
    source: str | Path,
    out: str | Path | None = None,
    *,
    format: str = "messages",
    reasoning: bool = False,
    splits: Splits | None = None,
    licence: str = "",
    push: str = "",
    public: bool = False,
    quiet: bool = True,
    tick: Tick = untold,
    tell: Tell = lambda line: None,
) -> ExportReport:
    """Write a run's accepted samples, or anybody's dataset, to the folder `out`: train.jsonl, train.parquet, README.md.

    `format` is messages, alpaca, prompt_completion or sharegpt; `reasoning` takes the teacher's reasoning along;
    `splits` holds rows out. `push` names a dataset on the Hub, which gets the Parquet files and the card with figures
    and pictures, private unless `public`; it needs a `licence`, and no `out`.

    Raises:
        InputError: no such source, format or licence, or a sample that the format cannot hold; `out` is then as it was.
        HubError: the Hub refuses, or cannot be reached.
    """
    from curate.export import Card, export
    from curate.export.hub import README, target
    from curate.pipeline.reviews import decided

    began = time.monotonic()
    licence = _checked(out, push, public, licence)
    to = target(push, public) if push else None
    data = decided(source)
    known, tally, total = _to_export(Path(source), data)
    with ExitStack() as stack:
        folder = Path(out) if out is not None else Path(stack.enter_context(_scratch()))
        card = known or Card(push.partition("/")[2] or folder.resolve().name, language="")
        card = replace(card, licence=licence, repo=push, by_hand=tally.line() if tally else "")
        files = files_of(Path(source)) if is_run(source) else {}
        notes = list(to.notes) if to else []
        if to:
            card, drawn, missing = adorned(card, data, Path(source), tick)
            files |= drawn
            notes += missing
        for note in notes:
            tell(f"note: {note}")
        rows = _ticked(data, total, tick)
        written = export(rows, folder, format=format, reasoning=reasoning, card=card, splits=splits, files=files)
        pushed = _push(to, folder, written, files, licence, tell, quiet) if to else None
    return ExportReport(
        Path(out) if out is not None else None,
        written.rows,
        format,
        time.monotonic() - began,
        card.by_hand,
        written.splits,
        (*written.files, README, *files),
        licence,
        pushed,
        tuple(notes),
    )


def _checked(out: str | Path | None, push: str, public: bool, licence: str) -> str:
    """Return the licence as the Hub spells it, where it is clear where the dataset is to go and how."""
    from curate.export.licences import check_licence

    if not push and out is None:
        raise InputError("where to? Name a folder with --out, or a dataset on the Hub with --push USER/NAME")
    if push and not licence:
        raise InputError("a dataset on the Hub needs a licence: add --licence apache-2.0, cc-by-4.0 or another")
    if public and not push:
        raise InputError("--public is for --push USER/NAME: a folder on the disk is neither public nor private")
    return check_licence(licence) if licence else ""


def _ticked(data: Iterable[Sample], total: int | None, tick: Tick) -> Iterator[Sample]:
    for done, sample in enumerate(data, 1):
        tick(done, total)
        yield sample


def _to_export(source: Path, data: Decided) -> tuple[Card | None, Tally, int | None]:
    """Return the card of a source if it is a run, what decisions by hand change, and the rows left where known."""
    tally = data.tally()
    if not is_run(source):
        return None, tally, tally.after or count_rows(str(source))
    # The run's own file, since its dataset has no reasoning unless that was asked for before.
    run = open_run(source)
    stages, summary = tally.told(stages_of(run.summary), run.summary)
    return card_of(run.folder, stages, summary), tally, tally.after or int(run.summary["accepted"])


def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that lasts as long as a push."""
    try:
        return tempfile.TemporaryDirectory(prefix="curate-", ignore_cleanup_errors=True)
    except OSError as error:
        raise RunError(f"no temporary folder can be made ({error.strerror}); name one with --out") from error


def _push(
    to: Target, folder: Path, written: Written, files: Iterable[str], licence: str, tell: Tell, quiet: bool
) -> Pushed:
    """Say what is sent, and send it: the Parquet files, the card and what belongs to it."""
    from curate.export.hub import README, push

    names = [README, *(f"{split}.parquet" for split in written.splits), *files]
    size = sum((folder / name).stat().st_size for name in names)
    rows = number(written.rows, "row") + (f" ({by_split(written.splits)})" if len(written.splits) > 1 else "")
    seen = "private" if to.private else "PUBLIC"
    sent = f"{size / 1e6:.1f} MB in {number(len(names), 'file')}"
    tell(f"pushing {rows}, {sent}, {seen}, licence {licence}, to {to.url}")
    return push(to, folder, names, f"{rows} with curate", quiet)


def by_split(splits: Mapping[str, int]) -> str:
    """Return the rows of each split in words."""
    return ", ".join(f"{name} {rows:,}" for name, rows in splits.items())


@dataclass(frozen=True)
class PullReport:
    """What was brought: the dataset, its folder and the rows of each split (below a configuration's name, if many)."""

    repo: str
    out: Path
    splits: Mapping[str, int]
    licence: str
    commit: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "repo": self.repo,
            "out": str(self.out),
            "rows": sum(self.splits.values()),
            "splits": dict(self.splits),
            "licence": self.licence,
            "commit": self.commit,
            "seconds": round(self.seconds, 3),
        }


def pull_dataset(
    repo: str, out: str | Path | None = None, *, quiet: bool = True, tick: Tick = untold, tell: Tell = lambda line: None
) -> PullReport:
    """Bring a dataset of the Hub to the folder `out` (NAME unless given): its card, and each split as JSON lines.

    Of a dataset that `export_dataset` pushed, the folder becomes what was exported. Of any other one the rows are
    written as they are, in SPLIT.jsonl; where it has several configurations, each has a folder of its own. The same
    again fetches what is new.

    Raises:
        InputError: no such name, a folder that holds something else, or rows that no line of JSON can hold.
        HubError: no such dataset, or no answer.
    """
    from curate.export.hub import remote
    from curate.export.pulling import fetch

    began = time.monotonic()
    of = remote(repo)
    folder = Path(out) if out is not None else Path(repo.partition("/")[2])
    tell(f"pulling {repo}: {sum(of.files.values()) / 1e6:.1f} MB")
    splits = fetch(of, folder, quiet, tick)
    licence = of.metadata.get("license") or ""
    return PullReport(repo, folder, splits, str(licence), of.commit, time.monotonic() - began)
