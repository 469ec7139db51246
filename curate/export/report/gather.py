"""One pass over a run's rows: counts for each task, some samples to read, the points of the map, near-duplicates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curate.export.report.shown import LONGEST, as_shown, size
from curate.export.report.tasks import Tasks
from curate.finished import ORDER
from curate.io import whole
from curate.measure import random_places
from curate.types import Sample

if TYPE_CHECKING:
    from curate.finished import FinishedRun, Row

Tick = Callable[[int, int | None], None]
"""Told how many rows are read, of how many."""

POINTS = 150_000
"""Points of the map at most, kept and dropped ones together; of a larger run a random part."""

TOO_NEAR = ("exact", "rouge", "dedup")
"""The stages whose drops name the kept sample that they were too near to."""

GROUPS = 40
"""Groups of near-duplicates shown, the largest."""

COPIES = 8
"""Dropped samples shown of a group, the first."""

PER_TASK = 6
"""Kept samples shown of a task at most, and dropped ones."""

DETAIL = 10_000_000
"""Bytes of samples to read, all tasks together, before they are packed."""

FIGURES, SOON = 5_000, 1_000
"""Accepted samples on which the figures are taken at most, and where the page must not keep a run waiting."""

LEAST = 500
"""Bytes of samples that every task has for itself, however many tasks there are."""


def first_user(row: Row) -> str:
    """Return the text of a row's first user message, which the filters compare; "" where there is none."""
    return next((str(turn["content"]) for turn in row["messages"] if turn["role"] == "user"), "")


@dataclass
class Shelf:
    """Samples of one task to read, as many as its allowance (bytes, for kept and for dropped ones each) holds."""

    room: list[int]
    samples: list[dict[str, Any]] = field(default_factory=list)
    taken: list[int] = field(default_factory=lambda: [0, 0])
    per_reason: dict[int, int] = field(default_factory=dict)

    def offer(self, row: Row, reason: int) -> None:
        """Take a sample where there is room; of dropped ones no more than two for the same reason. 0 is kept."""
        side = int(reason > 0)
        if self.taken[side] >= PER_TASK or self.room[side] <= 0 or (side and self.per_reason.get(reason, 0) >= 2):
            return
        shown = as_shown(row, min(LONGEST, max(self.room[side] // 2, LEAST // 2)))
        self.room[side] -= sum(size(text) for _, text in shown["m"])
        self.taken[side] += 1
        self.per_reason[reason] = self.per_reason.get(reason, 0) + 1
        self.samples.append(shown | {"r": reason})


@dataclass
class Points:
    """The samples of the map: texts to encode, ids, places of their tasks, and numbers of their reasons (0: kept).

    `total` is how many samples there are; fewer of them are points where they are too many.
    """

    texts: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    reasons: list[int] = field(default_factory=list)
    total: int = 0

    def add(self, row: Row, task: int, reason: int) -> None:
        """Make a sample a point."""
        self.texts.append(whole(first_user(row)))
        self.ids.append(str(row["id"]))
        self.tasks.append(task)
        self.reasons.append(reason)


@dataclass
class Gathered:
    """What one pass over the rows gives. `reasons[i - 1]` is the (stage, reason) that has the number i."""

    tasks: Tasks
    reasons: list[tuple[str, str]] = field(default_factory=list)
    shelves: dict[int, Shelf] = field(default_factory=dict)
    points: Points = field(default_factory=Points)
    measured: dict[int, Sample] = field(default_factory=dict)
    """A random part of the accepted samples, for the figures, by their places among the points."""
    groups: dict[str, list[Any]] = field(default_factory=dict)
    """By the id of a kept sample: how many dropped ones name it, the first of them, and it itself once it is read."""

    def number(self, stage: str, reason: str) -> int:
        """Return the number of a reason, from 1."""
        key = whole(stage), whole(reason)
        if key not in self.reasons:
            self.reasons.append(key)
        return self.reasons.index(key) + 1


def gather(run: FinishedRun, tick: Tick, detail: int = DETAIL, figures: int = FIGURES) -> Gathered:
    """Read the rows of a run once.

    `detail` is how many bytes of samples there are to read in all, `figures` how many samples to measure.
    """
    found = Gathered(Tasks(run.tree))
    drops = run.summary.get("dropped", {})
    for name in sorted(drops, key=_turn):
        found.number(*name.split(": ", 1))
    kept, dropped = run.summary.get("accepted", 0), sum(drops.values())
    share = max(detail // max(len(found.tasks.names), 1), 2 * LEAST)
    points, measured = _Chosen(kept + dropped, POINTS), _Chosen(kept, figures)

    def shelf(place: int) -> Shelf:
        return found.shelves.setdefault(place, Shelf([share // 2, share // 2]))

    done = 0
    for rows in (run.dropped(), run.kept()):
        for row in rows:
            place, reason = found.tasks.place_of(row), _reason(found, row)
            _count(found, row, place, reason)
            shelf(place).offer(row, reason)
            point = points.take() and bool(row["messages"])
            if point:
                found.points.add(row, place, reason)
            if not reason and measured.take() and point:
                found.measured[len(found.points.ids) - 1] = _plain(row)
            done += 1
            tick(done, kept + dropped)
        if len(found.groups) > GROUPS:
            largest = sorted(found.groups, key=lambda name: (-found.groups[name][0], name))[:GROUPS]
            found.groups = {name: found.groups[name] for name in largest}
    found.points.total = sum(found.tasks.kept) + sum(sum(reasons.values()) for reasons in found.tasks.drops)
    return found


def _turn(name: str) -> tuple[int, str]:
    """Return where a "stage: reason" stands: by the order of the stages, so that runs have the same colours."""
    stage = name.partition(": ")[0]
    return ORDER.index(stage) if stage in ORDER else len(ORDER), name


def _plain(row: Row) -> Sample:
    """Return a row as a sample without its notes, and without half surrogate pairs, which encoders refuse."""
    turns = tuple({"role": turn["role"], "content": whole(turn["content"])} for turn in row["messages"])
    return Sample(str(row["id"]), turns, tuple(map(whole, row["task"])))


class _Chosen:
    """Says of one row after the other whether it is among `size` random ones of `total`."""

    def __init__(self, total: int, size: int) -> None:
        self.places = random_places(total, size, seed=0) if total > size else None
        self.next = self.at = 0

    def take(self) -> bool:
        """Is the next row chosen?"""
        self.at += 1
        if self.places is None:
            return True
        chosen = self.next < len(self.places) and bool(self.places[self.next] == self.at - 1)
        self.next += chosen
        return chosen


def _reason(found: Gathered, row: Row) -> int:
    verdict = row.get("dropped")
    return found.number(str(verdict["stage"]), str(verdict["reason"])) if verdict else 0


def _count(found: Gathered, row: Row, place: int, reason: int) -> None:
    """Count a row for its task, and for the group of near-duplicates that it belongs to."""
    if not reason:
        found.tasks.kept[place] += 1
        if row["id"] in found.groups:
            found.groups[row["id"]][2] = as_shown(row, 2_000)
        return
    if not row["messages"]:
        found.tasks.lost[place] += 1
        return
    found.tasks.drops[place][reason] += 1
    neighbour = row["dropped"].get("neighbour")
    if row["dropped"]["stage"] in TOO_NEAR and isinstance(neighbour, str) and neighbour:
        group = found.groups.setdefault(neighbour, [0, [], None])
        group[0] += 1
        if group[0] <= COPIES:
            group[1].append(as_shown(row, 2_000) | {"r": reason})
