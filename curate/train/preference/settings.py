"""What a run on preferences is told beside what every run is told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from curate.errors import InputError
from curate.train.settings import Settings

BETA = {"dpo": 0.1, "ln-dpo": 10.0, "simpo": 2.5, "wrpo": 0.01}
"""The published scale of the reward: DPO (Rafailov et al., arXiv 2305.18290, appendix B), FuseChat-3.0's
length-normalised one, SimPO's for Llama-3-8B-Instruct (arXiv 2405.14734), WRPO (arXiv 2412.03187)."""

GAMMA = 1.375
"""SimPO's margin for Llama-3-8B-Instruct: 0.55 times its beta."""

RATE = {"dpo": 5e-7, "ln-dpo": 8e-7, "simpo": 1e-6, "wrpo": 3e-7}
"""The published learning rates of models of 7 to 9 billion weights."""

ADAPTERS = 10
"""Times that a rate is higher where adapters alone are trained."""

SCHEDULES = ("linear", "constant")

FREE = ("share_prompts", "references")
"""Settings that a run may be resumed with other values of: they change rounding at most."""


@dataclass(frozen=True)
class Preference(Settings):
    """The settings of every run on preferences; `epochs`, `batch` and `warmup` are FuseChat-3.0's and WRPO's.

    - beta: scale of the rewards; None for the one that is published for the loss
    - share_prompts: let the answers to a prompt share it, where the model's attention can; changes the speed, not the
      result
    - references: the folder where the log-probabilities of the model before training are kept for other runs; None for
      `references` beside `out`
    """

    epochs: int = 1
    batch: int = 128
    warmup: float = 0.1
    loss: str = "dpo"
    beta: float | None = None
    share_prompts: bool = True
    references: Path | None = None
    sides: ClassVar[tuple[str, ...]] = ("chosen", "rejected")
    losses: ClassVar[tuple[str, ...]] = ()

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        usual = RATE[self.loss] * (1 if self.method == "full" else ADAPTERS)
        return self.lr if self.lr is not None else usual

    @property
    def scale(self) -> float:
        """The scale of the rewards."""
        return self.beta if self.beta is not None else BETA[self.loss]

    def identity(self) -> dict[str, Any]:
        """Return what decides the result, as JSON values."""
        values = {name: value for name, value in super().identity().items() if name not in FREE}
        return {**values, "beta": self.scale}


@dataclass(frozen=True)
class Dpo(Preference):
    """Training on pairs. `gamma` is the margin that SimPO asks for; the other losses have none."""

    gamma: float | None = None
    verb: ClassVar[str] = "dpo"
    losses: ClassVar[tuple[str, ...]] = ("dpo", "ln-dpo", "simpo")

    def identity(self) -> dict[str, Any]:
        """Return what decides the result, as JSON values."""
        return {**super().identity(), "gamma": self.margin}

    @property
    def margin(self) -> float | None:
        """The margin that is asked for, None where the loss has none."""
        return (self.gamma if self.gamma is not None else GAMMA) if self.loss == "simpo" else None


@dataclass(frozen=True)
class Wrpo(Preference):
    """Training on pairs and a source's answer.

    `alpha` is the highest weight of the source's answer; it is reached by a `linear` schedule, or `constant`.
    """

    loss: str = "wrpo"
    alpha: float = 0.1
    alpha_schedule: str = "linear"
    verb: ClassVar[str] = "wrpo"
    sides: ClassVar[tuple[str, ...]] = ("chosen_source", "chosen", "rejected")
    losses: ClassVar[tuple[str, ...]] = ("wrpo",)

    def weight(self, step: int, steps: int) -> float:
        """Return the weight of the source's answer in the update after `step` of `steps`."""
        return self.alpha * step / steps if self.alpha_schedule == "linear" else self.alpha


Kind = TypeVar("Kind", bound=Preference)


def checked_preference(settings: Kind) -> Kind:
    """Return the settings; raises InputError, which names the option, where one cannot work."""
    verb = f"curate train {settings.verb}"
    if settings.loss not in settings.losses:
        raise InputError(f"--loss {settings.loss}: {verb} takes {', '.join(settings.losses)}")
    if settings.scale <= 0:
        raise InputError(f"--beta {settings.scale:g}: it takes a number above 0")
    if settings.stream:
        raise InputError(f"{verb} does not stream: what the model says of the answers before training is kept on disk")
    if settings.neftune:
        raise InputError(f"{verb} adds no noise to embeddings (neftune {settings.neftune:g}): the reference has none")
    if settings.long == "split":
        raise InputError(f"--long split: an answer cannot be split for {verb}; it takes truncate, drop")
    if isinstance(settings, Dpo) and settings.gamma is not None and settings.loss != "simpo":
        raise InputError(f"--gamma {settings.gamma:g}: --loss {settings.loss} has no margin; it is simpo's")
    if isinstance(settings, Wrpo):
        if not 0 <= settings.alpha <= 1:
            raise InputError(f"--alpha {settings.alpha:g}: it takes 0 to 1, the weight of the source's answer")
        if settings.alpha_schedule not in SCHEDULES:
            raise InputError(f"--alpha-schedule {settings.alpha_schedule}: it takes {', '.join(SCHEDULES)}")
    return replace(settings, references=settings.references or settings.out.resolve().parent / "references")
