"""Work of a proof that is done side by side: a process of one core for each piece, and a word on how far they are."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any

from curate.cli.display import span

_done: Any = None


def _start(done: Any) -> None:
    global _done
    _done = done
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    logging.set_verbosity_error()


def tick(steps: int) -> None:
    """Say in a process that so many more of the crew's steps are done; it ends here where nobody is there to know."""
    parent = multiprocessing.parent_process()
    if parent is None or not parent.is_alive():
        os._exit(1)  # killed, it could not tell its processes to end
    with _done.get_lock():
        _done.value += steps


class Crew:
    """Processes that do pieces of a work, which is `total` steps in all."""

    def __init__(self, processes: int, total: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._done, self._total = context.Value("l", 0), total
        self._pool = ProcessPoolExecutor(processes, context, _start, (self._done,))
        self._began = time.monotonic()
        self._tty = sys.stderr.isatty()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        if self._tty:
            print(file=sys.stderr)

    def submit(self, work: Callable[..., None], *arguments: Any) -> Future[None]:
        """Queue a piece of the work; `work` is a function of a module."""
        return self._pool.submit(work, *arguments)

    def finished(self, waiting: Collection[Future[None]]) -> set[Future[None]]:
        """Wait a while for some of the pieces, say how far the whole is, and return those that are done.

        An error in one of them is raised.
        """
        done = wait(waiting, 1 if self._tty else 20, FIRST_COMPLETED).done
        for future in done:
            future.result()
        share, spent = self._done.value / self._total, time.monotonic() - self._began
        left = f", {span(spent * (1 - share) / share)} left" if share > 0.02 else ""
        line = f"{share:4.0%} done, {span(spent)}{left}"
        print(f"\r{line:<60}" if self._tty else line, end="" if self._tty else "\n", file=sys.stderr, flush=True)
        return done
