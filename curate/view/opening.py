"""The store of a source, at once: where there is no index yet, the first rows are shown while one is built."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from curate.errors import CurateError, RunError
from curate.view.index import Index, Tick, build_index, find_index, first_index
from curate.view.source import Source
from curate.view.store import Store

FIRST = 5_000
"""Rows that are shown at once. A run that has no more is read whole before anything is shown, which takes a moment."""

log = logging.getLogger("curate.view")


class _Closed(Exception):
    """Nobody waits for the index any more."""


class Opening:
    """`store` answers: at first perhaps of the first rows alone, then of all.

    While the others are read, `is_reading` says so; `problem` says why they cannot be, "" where nothing is wrong.

    Raises:
        InputError: a row, the journal or the tree cannot be read.
        RunError: the index can be written nowhere.
    """

    def __init__(self, source: Source, tick: Tick) -> None:
        self.problem = ""
        self._tick = tick
        self._done = 0
        self._began = time.monotonic()
        self._closed = threading.Event()
        self._over = threading.Event()
        self._stores: list[Store] = []
        self._reader = threading.Thread(target=self._read, name="curate view index", daemon=True)
        stamp = source.stamp()
        index = find_index(source, stamp)
        is_large = index is None and source.lines is not None and (source.total or 0) > FIRST
        if is_large and source.lines is not None:
            self._show(Store(source, stamp, first_index(source.lines, FIRST)))
            self._reader.start()
        else:
            self._show(Store(source, stamp, index or build_index(source, stamp, tick)))
            self._over.set()

    def _show(self, store: Store) -> None:
        self._stores.append(store)
        self.store = store

    @property
    def is_reading(self) -> bool:
        """Are there rows that are yet to be read?"""
        return not self._over.is_set()

    def wait(self, tick: Tick) -> None:
        """Wait until all rows are read.

        Raises:
            RunError: they cannot be.
        """
        while not self._over.wait(0.1):
            tick(self._done, self.store.source.total)
        if self.problem:
            raise RunError(self.problem)

    def progress(self) -> dict[str, Any] | None:
        """Return how far reading is, with the seconds left where they are known; None once it is over."""
        total = self.store.source.total
        if not self.is_reading or not total:
            return None
        spent = time.monotonic() - self._began
        left = spent * (total - self._done) / self._done if self._done else None
        return {"done": self._done, "total": total, "left": left, "first": len(self.store.columns)}

    def close(self) -> None:
        """End reading, and close the indexes."""
        self._closed.set()
        if self._reader.ident is not None:
            self._reader.join()
        for store in self._stores:
            store.close()

    def _read(self) -> None:
        first = self.store
        try:
            self._follow(first, build_index(first.source, first.stamp, self._note))
        except _Closed:
            pass
        except CurateError as error:
            self.problem = str(error)
        except Exception as error:  # the first rows go on being shown
            log.exception("the index of '%s' failed", first.source.path)
            self.problem = f"{type(error).__name__}: {error}"
        finally:
            self._over.set()

    def _note(self, done: int, total: int | None) -> None:
        if self._closed.is_set():
            raise _Closed
        self._done = done
        self._tick(done, total)

    def _follow(self, first: Store, index: Index) -> None:
        """Show all rows instead of the first. Who holds the first store still may finish with it: it stays open."""
        places = first.places
        store = Store(first.source, first.stamp, index)
        with first.lock:
            store.follow(first, places)
            self._show(store)
