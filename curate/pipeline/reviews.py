"""The journal of hand decisions, `reviews.jsonl`: what a person accepted, rejected or rewrote, beside what models made.

    {"id": "37148c472ae7a50e", "decision": "reject", "reason": "wrong answer", "author": "ada", "time": "2026-11-21T…Z"}
    {"id": "37148c472ae7a50e", "decision": "edit", "messages": [{"role": "user", "content": "…"}, …], …}
    {"id": "37148c472ae7a50e", "decision": "undo", …}

A line is only ever added. The last decision on a sample counts, `undo` takes back the one before it, and `edit` accepts
the sample with another text, which later decisions carry on. A sample is named by its id, the hash of its messages, so
decisions survive another run, and hold for every copy of a sample. The file lies in the run's folder; beside data.jsonl
it is data.reviews.jsonl.
"""

from __future__ import annotations

import getpass
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from curate.finished import is_run, open_run
from curate.io import read_jsonl, read_samples, row_to_sample, whole
from curate.io.journal import append_journal, read_journal
from curate.pipeline.dataset import Fields, beside, dropped_beside
from curate.text import content_id
from curate.types import KEEP, Message, Sample, Verdict, drop

JOURNAL = "reviews.jsonl"

STAGE = "review"
"""The stage under which a sample that a person rejected is dropped."""

REJECTED = "rejected"
"""The reason where a person gave none."""

EQUAL = "equal to another"
"""The reason where an edit made two samples one: the first of them stays."""

DECISIONS = ("accept", "reject", "edit")

WHAT = "a decision"

Row = dict[str, Any]

Yield = tuple[str, int, int]
"""A stage, the samples that came in, and those it kept."""


@dataclass(frozen=True)
class Review:
    """What stands decided of a sample: `decision` is one of DECISIONS, `messages` its text by hand if it has one."""

    decision: str
    reason: str = ""
    messages: tuple[Message, ...] | None = None
    author: str = ""
    time: str = ""

    @property
    def keeps(self) -> bool:
        """Does the sample belong in the dataset?"""
        return self.decision != "reject"


@dataclass
class Reviews:
    """The decisions that stand, by sample id, the one changed last at the end; `warnings` says what was not read."""

    path: Path
    standing: dict[str, Review] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    _before: dict[str, list[Review]] = field(default_factory=dict)

    def of(self, ident: str) -> Review | None:
        """Return what stands decided of a sample."""
        return self.standing.get(ident)

    def decide(self, ident: str, review: Review) -> Review:
        """Add a decision to the journal and return it as it stands; it is on the disk then.

        Raises:
            InputError: not a decision.
            RunError: the journal cannot be written.
        """
        known = self.of(ident)
        if review.messages is None and known is not None:
            review = replace(review, messages=known.messages)
        review = replace(review, time=review.time or now())
        append_journal(self.path, _line(ident, review), WHAT, check_line)
        self._take(ident, review)
        return review

    def undo(self, ident: str, author: str = "") -> Review | None:
        """Take back the last decision on a sample that stands; return the one before it, None where there is none.

        Raises:
            RunError: the journal cannot be written.
        """
        if self.of(ident) is not None:
            row = {"id": ident, "decision": "undo", "author": author, "time": now()}
            append_journal(self.path, row, WHAT, check_line)
            self._take(ident, None)
        return self.of(ident)

    def _take(self, ident: str, review: Review | None) -> None:
        """Let a decision stand, or (None) the one before the last."""
        before = self._before.setdefault(ident, [])
        known = self.standing.pop(ident, None)
        if review is not None and known is not None:
            before.append(known)
        elif review is None and before:
            review = before.pop()
        if review is not None:
            self.standing[ident] = review  # at the end: the order is that of the last change


def check_line(row: Any) -> str:
    """Return what is wrong with a line of the journal, or ""."""
    if not isinstance(row, dict) or row.get("decision") not in (*DECISIONS, "undo"):
        return f"expected an object whose 'decision' is one of {', '.join(DECISIONS)}, undo"
    if not isinstance(row.get("id"), str) or not row["id"]:
        return "expected a sample's id as 'id'"
    if wrong := [name for name in ("reason", "author", "time") if not isinstance(row.get(name, ""), str)]:
        return f"'{wrong[0]}' must be text"
    messages = row.get("messages")
    if messages is None:
        return "an 'edit' needs the new 'messages'" if row["decision"] == "edit" else ""
    sound = isinstance(messages, list) and all(
        isinstance(turn, dict)
        and turn.get("role") in ("system", "user", "assistant")
        and isinstance(turn.get("content"), str)
        for turn in messages
    )
    if not sound or not any(turn["role"] == "user" and turn["content"].strip() for turn in messages):
        return "'messages' must be a list of role and content, one of them with a user's text"
    return ""


def _line(ident: str, review: Review) -> Row:
    row: Row = {"id": ident, "decision": review.decision}
    if review.reason:
        row["reason"] = review.reason
    if review.messages is not None:
        row["messages"] = [{"role": turn["role"], "content": turn["content"]} for turn in review.messages]
    return {**row, "author": review.author, "time": review.time}


def read_reviews(path: Path) -> Reviews:
    """Read a journal; none is no decisions. A last line that a crash cut off is ignored, with a warning.

    Raises:
        InputError: another line that is no decision; the message names file and line.
    """
    rows, warnings = read_journal(path, WHAT, check_line)
    reviews = Reviews(path, warnings=warnings)
    for row in rows:
        # Half a surrogate pair, which a page may send, can be in no dataset.
        turns = [{"role": turn["role"], "content": whole(turn["content"])} for turn in row.get("messages") or ()]
        reason, author, time = (whole(row.get(name, "")) for name in ("reason", "author", "time"))
        review = Review(row["decision"], reason, tuple(turns) if turns else None, author, time)
        reviews._take(row["id"], None if review.decision == "undo" else review)
    return reviews


def journal_of(source: str | Path) -> Path:
    """Return where the decisions on a source lie: in its folder, or beside it as NAME.reviews.jsonl."""
    path = Path(source)
    return path / JOURNAL if path.is_dir() else beside(path, JOURNAL)


def now() -> str:
    """Return the time as the journal has it: UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def author() -> str:
    """Return who decides: CURATE_AUTHOR, else the login name, else nobody."""
    if name := os.environ.get("CURATE_AUTHOR", "").strip():
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        return ""


@dataclass
class Tally:
    """What hand decisions did to a dataset: rows before and after, those taken in or rewritten, and why others left."""

    before: int = 0
    after: int = 0
    taken_in: int = 0
    edited: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(self.taken_in or self.edited or self.reasons)

    def told(self, stages: list[Yield], summary: Row) -> tuple[list[Yield], Row]:
        """Return the yields of a run's stages and its counts with the decisions as one more stage."""
        if not self:
            return stages, summary
        drops = {f"{STAGE}: {reason}": count for reason, count in self.reasons.most_common()}
        last = (STAGE, self.before + self.taken_in, self.after)
        return [*stages, last], {**summary, "dropped": {**summary["dropped"], **drops}}

    def line(self) -> str:
        """Return the tally in words."""
        equal = self.reasons[EQUAL]
        rejected = sum(self.reasons.values()) - equal
        parts = [(rejected, "rejected"), (self.taken_in, "taken in"), (self.edited, "edited")]
        line = ", ".join(f"{count:,} {what}" for count, what in parts if count) + " by hand"
        return f"{line}; {equal:,} left out as {EQUAL} then" if equal else line


def reviewed(
    kept: Iterable[Sample], dropped: Iterable[Row], reviews: Reviews, tally: Tally | None = None
) -> Iterator[tuple[Sample, Verdict]]:
    """Yield the kept samples with the verdict of the hand decisions, then the dropped ones that a person took in.

    `dropped` are rows as a run keeps them. A rejected sample has the person's reason in its verdict; a decided one says
    so in `meta["review"]`, and an edited one carries the new text, its id, and the id of the original. Where an
    edit gives a sample the text of another, the first one stays. `tally` counts.
    """
    tally = Tally() if tally is None else tally
    taken: set[str] = set()
    texts: dict[str, str] = {}

    def given(sample: Sample, review: Review | None, **more: Any) -> tuple[Sample, Verdict]:
        """Return a sample that stays, unless its text is by now that of another sample."""
        made = sample if review is None else _marked(sample, review, **more)
        if texts.setdefault(made.id, sample.id) != sample.id:
            tally.reasons[EQUAL] += 1
            return made, drop(EQUAL)
        tally.edited += review is not None and _rewrites(review, sample)
        tally.after += 1
        return made, KEEP

    for sample in kept:
        tally.before += 1
        review = reviews.of(sample.id)
        if review is not None:
            taken.add(sample.id)
            if not review.keeps:
                tally.reasons[review.reason or REJECTED] += 1
                yield _marked(sample, review), drop(review.reason or REJECTED, author=review.author)
                continue
        yield given(sample, review)
    for row in dropped:
        review = reviews.of(row["id"])
        # What was dropped as a copy has the id of the kept sample, which a decision must not double.
        if review is None or not review.keeps or row["id"] in taken or not row["messages"]:
            continue
        taken.add(row["id"])
        sample = Sample(row["id"], tuple(row["messages"]), tuple(row["task"]), row["meta"])
        tally.taken_in += 1
        cause = {name: row["dropped"].get(name) for name in ("stage", "reason")}
        yield given(sample, review, dropped=cause)


def _rewrites(review: Review, sample: Sample) -> bool:
    return review.messages is not None and review.messages != sample.messages


def _marked(sample: Sample, review: Review, **more: Any) -> Sample:
    """Return a decided sample with its text and its note."""
    note = {"decision": review.decision, "author": review.author, "time": review.time, **more}
    if review.reason:
        note["reason"] = review.reason
    if review.messages is not None and _rewrites(review, sample):
        note["original"] = sample.id
        sample = replace(sample, id=content_id(review.messages), messages=review.messages)
    return replace(sample, meta={**sample.meta, STAGE: note})


@dataclass(frozen=True)
class Decided:
    """A dataset as hand decisions leave it; iterating reads it anew. `kept` and `dropped` open its two files."""

    kept: Callable[[], Iterable[Sample]]
    dropped: Callable[[], Iterable[Row]]
    reviews: Reviews

    def __iter__(self) -> Iterator[Sample]:
        return (sample for sample, verdict in self.all() if verdict.keep)

    def all(self, tally: Tally | None = None) -> Iterator[tuple[Sample, Verdict]]:
        """Yield every sample with its verdict, as `reviewed` does."""
        wanted = any(review.keeps for review in self.reviews.standing.values())
        return reviewed(self.kept(), self.dropped() if wanted else (), self.reviews, tally)

    def tally(self) -> Tally:
        """Count what the decisions do; the files are read for it only where there are any."""
        counts = Tally()
        if self.reviews.standing:
            for _ in self.all(counts):
                pass
        return counts


def decided(source: str | Path, fields: Fields = None) -> Decided:
    """Open a run directory, or anybody's dataset, with the hand decisions that lie in it or beside it.

    `fields` names the columns of a dataset in no known format.

    Raises:
        InputError: no such source, or a journal that is not one.
    """
    path = Path(source)
    reviews = read_reviews(journal_of(source))
    if is_run(path):
        run = open_run(path)
        return decided_files(run.kept_file, run.dropped_file, reviews)
    left = dropped_beside(path)
    return Decided(
        lambda: read_samples(source, fields=fields), lambda: read_jsonl(left) if left.is_file() else (), reviews
    )


def decided_files(kept: Path, dropped: Path, reviews: Reviews) -> Decided:
    """Open the two files that a run published, with decisions."""
    return Decided(lambda: map(row_to_sample, read_jsonl(kept)), lambda: read_jsonl(dropped), reviews)
