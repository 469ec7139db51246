"""What token-level fusion is told beside the settings of every training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from curate.errors import InputError
from curate.train.settings import Settings

CHOOSE = ("mince", "avgce")
TAIL = ("bucket", "renormalise")


@dataclass(frozen=True)
class Fusion(Settings):
    """The settings of `curate train fuse`.

    - dists: folders of distributions, in the tokens of the model that learns
    - teacher: models that are asked while the target trains, instead of or beside `dists`
    - weight: λ, the share of the usual loss; the fusion part has the rest
    - choose: one source for each turn, or all of them weighed, in either case by their nats per byte of it
    - tail: what is made of the probability beyond the k tokens that are kept
    - top_k: tokens that are kept of a `teacher`'s distribution
    """

    dists: tuple[str, ...] = ()
    teacher: tuple[str, ...] = ()
    weight: float = 0.9
    choose: str = "mince"
    tail: str = "bucket"
    top_k: int = 10
    verb: ClassVar[str] = "fuse"
    folders: ClassVar[tuple[str, ...]] = ("dists", "teacher")

    def identity(self) -> dict[str, Any]:
        """Return what decides the result, as JSON values."""
        return {**super().identity(), "dists": list(self.dists), "teacher": list(self.teacher)}


def check_fusion(settings: Fusion) -> None:
    """Raise InputError, which names the option, where one of these settings cannot work."""
    for name, known in (("choose", CHOOSE), ("tail", TAIL)):
        if getattr(settings, name) not in known:
            raise InputError(f"--{name} {getattr(settings, name)}: it takes {', '.join(known)}")
    if not 0 <= settings.weight <= 1:
        raise InputError(f"--weight {settings.weight:g}: λ, the share of the usual loss, is from 0 to 1")
    if settings.top_k < 1:
        raise InputError(f"--top-k {settings.top_k}: it takes 1 or more")
    if not settings.dists and not settings.teacher:
        raise InputError(
            "there is no source to learn from: name --dists DIR (curate fuse capture and align make them) or "
            "--teacher MODEL"
        )
    for name in ("dists", "teacher"):
        values = getattr(settings, name)
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise InputError(f"--{name} {twice}: it is named twice")
    if settings.stream:
        raise InputError("--stream: fusion looks every turn up by its number, so that its tokens are kept on the disk")
