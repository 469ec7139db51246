"""The kinds of training, by the command of each."""

from __future__ import annotations

from curate.train.distill.run import FusionRun
from curate.train.preference.run import PreferenceRun
from curate.train.sft import Run

KINDS: dict[str, type[Run]] = {"sft": Run, "fuse": FusionRun, "dpo": PreferenceRun, "wrpo": PreferenceRun}
