"""What a training run is told, and which of it decides the weights that come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from curate.errors import InputError

METHODS = ("full", "lora", "qlora")
SCHEDULES = ("cosine", "linear", "constant")
WEIGHTS = ("float32", "bfloat16")
STATES = ("float32", "8bit")

DEFAULT_RATE = {"full": 2e-5, "lora": 2e-4, "qlora": 2e-4}
"""Learning rates that are common for each method; LoRA's is ten times as high (Hu et al., arXiv 2106.09685)."""


@dataclass(frozen=True)
class Settings:
    """The settings of one run.

    `batch` counts samples for each update, and `tokens` is the most that one pass through the model holds: an update
    takes as many passes as its samples need. None stands for a default that depends on the others or on the device.

    - datasets: files, runs or names on the Hub, each perhaps with a weight: FILE=2
    - method: all weights, LoRA, or LoRA on a model in 4 bits; `merge` puts LoRA's result into the weights at the end
    - weights, states: how the trained weights and the two moments of AdamW are kept
    - recompute: layers whose activations are computed again in the backward pass; None means as few as memory needs
    - held_out: share of the samples that is not trained on, and on which the loss is measured
    - fields: which columns hold what in a format that is not known, of datasets that do not say it themselves
    - stream: read and encode the samples while the model trains, instead of keeping their tokens on the disk first
    - long: what becomes of a sample of more than `max_length` tokens
    """

    datasets: tuple[str, ...]
    model: str
    out: Path
    method: str = "full"
    merge: bool = True
    epochs: int = 3
    steps: int | None = None
    batch: int = 64
    tokens: int | None = None
    pack: bool = True
    max_length: int | None = None
    long: str = "truncate"
    template: str | None = None
    lr: float | None = None
    schedule: str = "cosine"
    warmup: float = 0.03
    weight_decay: float = 0.0
    clip: float = 1.0
    neftune: float = 0.0
    lora_rank: int = 16
    lora_alpha: int = 32
    weights: str = "float32"
    states: str = "float32"
    recompute: int | None = None
    compile: bool = False
    held_out: float = 0.0
    stream: bool = False
    fields: Mapping[str, str] | None = None
    seed: int = 0
    save_every: int | None = None
    keep: int = 1
    samples: int = 3
    wandb: bool = False
    verb: ClassVar[str] = "sft"
    """The command of this kind of training."""
    folders: ClassVar[tuple[str, ...]] = ()
    """The settings of this kind alone that are lists of folders."""

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        return self.lr if self.lr is not None else DEFAULT_RATE[self.method]

    @property
    def lean(self) -> bool:
        """Whether the weights need an optimiser that knows how they are kept."""
        return self.states != "float32" or (self.weights == "bfloat16" and self.method == "full")

    def identity(self) -> dict[str, Any]:
        """Return what decides the result, as JSON values: another value of any of these is another run."""
        values = {name: value for name, value in asdict(self).items() if name not in FREE}
        return {**values, "datasets": list(self.datasets), "lr": self.rate}


FREE = ("out", "keep", "save_every", "wandb", "samples", "recompute", "compile")
"""Settings that a run may be resumed with other values of; the last two change rounding alone."""


Kind = TypeVar("Kind", bound=Settings)


def checked(settings: Kind) -> Kind:
    """Return the settings; raises InputError, which names the option, where one cannot work."""
    choices = {"method": METHODS, "schedule": SCHEDULES, "weights": WEIGHTS, "states": STATES}
    for name, known in choices.items():
        if getattr(settings, name) not in known:
            raise InputError(f"--{name} {getattr(settings, name)}: it takes {', '.join(known)}")
    lowest = {"epochs": 1, "steps": 1, "batch": 1, "tokens": 1, "max_length": 2, "lora_rank": 1, "keep": 1,
              "save_every": 1, "weight_decay": 0, "clip": 0, "neftune": 0, "samples": 0, "recompute": 0}  # fmt: skip
    for name, least in lowest.items():
        value = getattr(settings, name)
        if value is not None and value < least:
            raise InputError(f"--{name.replace('_', '-')} {value}: it takes {least} or more")
    for name in ("warmup", "held_out"):
        if not 0 <= getattr(settings, name) < 1:
            raise InputError(
                f"--{name.replace('_', '-')} {getattr(settings, name)}: it takes a share from 0 to below 1"
            )
    if settings.rate <= 0:
        raise InputError(f"--lr {settings.rate}: it takes a number above 0")
    if settings.wandb:
        try:
            import wandb  # noqa: F401
        except ImportError:
            raise InputError("--wandb needs Weights & Biases: pip install wandb") from None
    if settings.states == "8bit" and settings.method == "qlora":
        # Its adapters are so few that the states do not count.
        return replace(settings, states="float32")
    return settings


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return in words what differs between two identities, "" for nothing."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return ", ".join(f"{name} was {old.get(name)!r} and is {new.get(name)!r}" for name in names)
