"""The trainer: what `curate train` does, readable without the rest of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.errors import MissingExtraError

if TYPE_CHECKING:
    from curate.train.progress import Listener
    from curate.train.settings import Settings
    from curate.train.sft import Trained


def run_sft(settings: Settings, listener: Listener | None = None) -> Trained:
    """Return what `curate.train.sft.sft` does; raises MissingExtraError where torch or transformers are not there."""
    try:
        import accelerate  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError:
        raise MissingExtraError("curate train", "train") from None
    from curate.train.sft import sft

    return sft(settings, listener)
