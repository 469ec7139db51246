"""One run in many processes, as torchrun and `accelerate launch` start them; the configurations of accelerate.

Every process makes its own part of an update; the first alone writes, prints and logs.
"""

from __future__ import annotations

import os
from pathlib import Path

from curate.errors import InputError

FOLDER = Path(__file__).parent


def rank() -> int:
    """Return the number of this process among those of a launch, from 0."""
    return int(os.environ.get("RANK", "0"))


def processes() -> int:
    """Return how many processes the launch has."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def device_number() -> int:
    """Return the number of this process among those on its machine, which is that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def shards() -> tuple[int, int]:
    """Return over how many processes the weights are dealt, and over how many the gradients and moments.

    accelerate says in the environment of a launch whether it is FSDP, or which stage of ZeRO (arXiv 1910.02054).
    """
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        return processes(), processes()
    stage = zero_stage()
    return processes() if stage > 2 else 1, processes() if stage > 1 else 1


def zero_stage() -> int:
    """Return the stage of ZeRO that accelerate has put into the environment, 0 for none."""
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") != "true":
        return 0
    return int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2"))


def check_stage(stage: int) -> None:
    """Raise InputError where DeepSpeed would take the last layer's weights away, of which the loss is computed."""
    if stage == 3:
        raise InputError(
            "the loss is computed straight from the last layer's weights, which ZeRO-3 keeps away outside of the "
            "layer itself; launch with fsdp2.yaml, which shards as much, or with zero2.yaml"
        )
