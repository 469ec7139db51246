"""The kinds of training, by the command of each."""

from __future__ import annotations

from curate.train.sft import Run

KINDS: dict[str, type[Run]] = {"sft": Run}
