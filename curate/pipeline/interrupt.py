"""Ctrl-C: once ends the run in order, twice ends it at once. Either way nothing that was paid for is lost."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curate.models import Engine
    from curate.pipeline.watch import Watch


@contextlib.contextmanager
def stop_on_interrupt(engine: Engine, watch: Watch) -> Iterator[None]:
    """Turn the first Ctrl-C into `engine.stop()`; the second raises KeyboardInterrupt as usual.

    Outside the main thread signals are somebody else's, and nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def first(signum: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        watch.note("stopping: what is in flight is awaited and kept; Ctrl-C again leaves at once, and nothing is lost")
        engine.stop("stopped")

    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
