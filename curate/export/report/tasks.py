"""The tasks of a run as the page lists them, with what became of the candidates of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curate.io import whole
from curate.measure.novelty import Tally
from curate.text import printable

if TYPE_CHECKING:
    from curate.finished import Row
    from curate.measure.novelty import CallYield
    from curate.tree import TaskTree

GONE = "No longer in the tree"
"""Name of the place of samples whose task was pruned by hand since they were written."""


@dataclass
class Tasks:
    """The tasks breadth first, so that parents stand before their children; all lists run parallel to `names`.

    `parents` holds places in these lists, -1 for the root. `drops[i]` counts the dropped candidates of task i by the
    number of their reason, `lost[i]` the calls of which nothing could be used.
    """

    tree: TaskTree
    names: list[str] = field(default_factory=list)
    abouts: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    drops: list[Counter[int]] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for task in self.tree.walk():
            self._add(task.id, task.name, task.description, -1 if task.parent is None else self.places[task.parent])

    def _add(self, ident: str, name: str, about: str, parent: int) -> int:
        place = self.places[ident] = len(self.names)
        self.names.append(printable(whole(name)))
        self.abouts.append(whole(about))
        self.parents.append(parent)
        self.kept.append(0)
        self.drops.append(Counter())
        self.lost.append(0)
        return place

    def place(self, ident: str) -> int:
        """Return the place of a task, or of the one it was merged into; a pruned one's is that of GONE."""
        for known in (ident, self.tree.current(ident)):
            if known in self.places:
                return self.places[known]
        return self.places[GONE] if GONE in self.places else self._add(GONE, GONE, "", 0)

    def place_of(self, row: Row) -> int:
        """Return the place of a sample's task."""
        return self.place(str(row["meta"].get("generate", {}).get("task_id", "")))

    def as_json(self, calls: list[CallYield]) -> dict[str, Any]:
        """Return the lists for the page.

        `novelty` is of a task with all below it, and `own` of its own candidates; None where no candidate tells.
        `drops` are flat: reason, count, reason, count.
        """
        own = [Tally() for _ in self.names]
        for call in calls:
            own[self.place(call.task_id)] += call.tally
        sums = list(own)
        for place in range(len(sums) - 1, 0, -1):
            sums[self.parents[place]] += sums[place]
        return {
            "names": self.names,
            "abouts": self.abouts,
            "parents": self.parents,
            "kept": self.kept,
            "drops": [[number for pair in sorted(drops.items()) for number in pair] for drops in self.drops],
            "lost": self.lost,
            "novelty": [_rounded(tally.novelty) for tally in sums],
            "own": [_rounded(tally.novelty) for tally in own],
        }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
