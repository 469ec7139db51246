"""Where figures go besides metrics.jsonl: TensorBoard where it is installed, Weights & Biases where asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from curate.train.progress import Progress
from curate.train.settings import Settings

Tracker = tuple[Callable[[Progress], None], Callable[[], None]]
"""Takes a row of figures; ends."""


def open_trackers(settings: Settings, step: int) -> list[Tracker]:
    """Return the trackers of a run that goes on after update `step`."""
    found = [_tensorboard(settings.out / "tensorboard", step)]
    if settings.wandb:
        found.append(_wandb(settings))
    return [tracker for tracker in found if tracker is not None]


def _tensorboard(folder: Path, step: int) -> Tracker | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    # What a killed process wrote of later updates is not shown.
    writer = SummaryWriter(str(folder), purge_step=step + 1)

    def add(progress: Progress) -> None:
        for name, value in progress.row().items():
            if name not in ("step", "steps") and isinstance(value, (int, float)):
                writer.add_scalar(f"train/{name}", value, progress.step)

    return add, writer.close


def _wandb(settings: Settings) -> Tracker:
    import wandb

    # The same folder is the same run there.
    name = hashlib.blake2b(str(settings.out.resolve()).encode(), digest_size=8).hexdigest()
    run = wandb.init(project="curate", id=name, name=settings.out.name, resume="allow", config=settings.identity())
    return lambda progress: run.log(progress.row(), step=progress.step), run.finish
