"""The libraries' own talk, silenced: what a user is to know of a run is said by it."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Let transformers and the Hub's client draw no bars and log errors alone, and Python warn of one thing alone.

    That is a kernel of PyTorch that does not compute the same bits twice, as resuming promises the same bits.
    """
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging

    shown, level, hub_level = logging.is_progress_bar_enabled(), logging.get_verbosity(), hub.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    hub.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("default", message=".*deterministic")
            yield
    finally:
        logging.set_verbosity(level)
        hub.set_verbosity(hub_level)
        if shown:
            logging.enable_progress_bar()
