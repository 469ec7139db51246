"""A sample on its way through a round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.stages.dedup import Compared
from curate.types import KEEP, Verdict

if TYPE_CHECKING:
    from curate.generate.candidates import Call


@dataclass(slots=True)
class Candidate(Compared):
    """A sample with the call it came from and its neighbour.

    `near` has the cosine to the nearest kept sample as its score and that sample's id as `neighbour`.
    """

    call: Call
    near: Verdict = KEEP

    @property
    def task_id(self) -> str:
        """The id of the task it was written for."""
        return self.call[0].id
