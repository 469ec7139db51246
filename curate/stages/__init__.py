"""The stages between generating and exporting, each a function of samples that says why it drops one.

`rules` and `judge` look at one sample; `dedup` (with `rouge`) and `select` at the whole dataset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from curate.stages.dedup import dedup_samples
from curate.stages.rules import filter_samples
from curate.types import Sample, Verdict

STAGES: dict[str, Callable[..., Iterator[tuple[Sample, Verdict]]]] = {
    "filter": filter_samples,
    "dedup": dedup_samples,
}
"""The stages that run on any dataset, by their verb; every sample comes back, in order, with its verdict."""

__all__ = ["STAGES", "dedup_samples", "filter_samples"]
