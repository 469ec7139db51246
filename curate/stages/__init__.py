"""The stages between generating and exporting, each a function of samples that says why it drops one.

`rules` and `judge` look at one sample, `dedup` (with `rouge`) at the whole dataset, and `decontaminate` at a sample
beside the items of benchmarks; `select` shares out the rows.
"""

from __future__ import annotations

from curate.stages.decontaminate import decontaminate_samples
from curate.stages.dedup import dedup_samples
from curate.stages.rules import filter_samples

__all__ = ["decontaminate_samples", "dedup_samples", "filter_samples"]
