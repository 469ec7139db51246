"""What came of a run, in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from torch import nn

from curate.train.feed import Counts
from curate.train.launch import processes
from curate.train.progress import Progress, Speed

COMMON = [one.name for one in fields(Progress)]
"""The figures of an update that every kind of training has."""


@dataclass(frozen=True)
class Trained:
    """What a run came to. Losses are means over targets; `before` and `after` are those of the held-out samples.

    `more` are the means over the last updates of the figures that this kind of training has of its own.
    """

    out: Path
    steps: int
    samples: int
    dropped: int
    tokens: int
    loss: float
    before: float | None
    after: float | None
    tokens_per_second: float
    mfu: float
    peak: str
    padding: float
    memory: int
    seconds: float
    parameters: int
    trained: int
    more: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {**asdict(self), "out": str(self.out)}


def figures_of(
    out: Path, steps: int, model: nn.Module, counts: Counts, rows: Sequence[dict[str, Any]], speed: Speed, peak: str,
    before: float | None,
) -> Trained:  # fmt: skip
    """Return what a run came to; speed and memory are those of this process, the rest of the whole run."""
    recent = rows[-20:]
    parameters = list(model.parameters())
    return Trained(
        out=out,
        steps=steps,
        samples=counts.documents,
        dropped=counts.dropped,
        tokens=counts.tokens,
        loss=mean_of(recent, "loss"),
        before=before,
        after=next((row["held_out_loss"] for row in reversed(rows) if "held_out_loss" in row), None),
        tokens_per_second=speed.tokens / max(speed.seconds, 1e-9),
        mfu=speed.operations / max(speed.seconds, 1e-9) / speed.peak / processes(),
        peak=peak,
        padding=speed.padding_share,
        memory=rows[-1]["memory"],
        seconds=speed.seconds,
        parameters=sum(weight.numel() for weight in parameters),
        trained=sum(weight.numel() for weight in parameters if weight.requires_grad),
        more={name: mean_of(recent, name) for name in rows[-1] if name not in COMMON},
    )


def mean_of(rows: Sequence[dict[str, Any]], name: str) -> float:
    """Return the mean of a figure over rows of metrics.jsonl; of held-out samples, which few rows have, the last."""
    if name.startswith("held_out"):
        return float(rows[-1][name])
    return float(sum(row[name] for row in rows) / len(rows))
