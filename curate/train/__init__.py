"""The trainer: what `curate train` does, readable without the rest of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.errors import MissingExtraError

if TYPE_CHECKING:
    from curate.train.evaluate import Evaluation
    from curate.train.outcome import Trained
    from curate.train.progress import Listener
    from curate.train.settings import Settings


def run_training(settings: Settings, listener: Listener | None = None) -> Trained:
    """Train as `settings` say, which also say by their class what kind of training it is, and return what came of it.

    Parameters and errors are those of `curate.train.sft.sft`; raises MissingExtraError where torch or transformers are
    not there.
    """
    look_for_torch("curate train")
    from curate.train.kinds import KINDS
    from curate.train.sft import carry_out

    return carry_out(KINDS[settings.verb], settings, listener)


def run_eval(listener: Listener | None = None, **options: Any) -> Evaluation:
    """Return what `curate.train.evaluate.evaluate` does with these options; MissingExtraError as in `run_training`."""
    look_for_torch("curate eval")
    from curate.train.evaluate import Options, evaluate

    return evaluate(Options(**options), listener)


def look_for_torch(verb: str) -> None:
    """Raise MissingExtraError, naming the verb, where what trains and reads models is not installed."""
    try:
        import accelerate  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError:
        raise MissingExtraError(verb, "train") from None
