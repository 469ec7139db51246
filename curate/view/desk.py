"""What the page can ask for: each request's name, and the function that answers it with JSON values."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from curate.errors import InputError
from curate.export import FORMATS
from curate.io import whole
from curate.pipeline.export import export_dataset
from curate.pipeline.reviews import author
from curate.run import is_locked
from curate.tree.verbs import tree_add, tree_merge, tree_prune, tree_rename
from curate.view.index import Tick
from curate.view.opening import Opening
from curate.view.search import Wish
from curate.view.source import open_source
from curate.view.store import Json, Store

Given = Mapping[str, Any]


class _Signed(TypedDict):
    author: str
    note: Callable[[str], None]


class Desk:
    """Answers the page's requests. `ask` are those that change nothing, `act` those that write."""

    def __init__(self, path: str, tick: Tick) -> None:
        self.opening = Opening(open_source(path), tick)
        self.ask: dict[str, Callable[[Given], Json]] = {
            "about": self.about,
            "search": self.search,
            "page": self.page,
            "facets": self.facets,
            "sample": lambda given: self.store.sample(_whole(given, "row")),
            "tree": lambda given: self.store.tree(),
        }
        self.act: dict[str, Callable[[Given], Json]] = {
            "decide": self.decide,
            "tree": self.change,
            "export": self.export,
            "reopen": self.reopen,
        }

    @property
    def store(self) -> Store:
        """What answers now."""
        return self.opening.store

    @property
    def counts(self) -> tuple[int, int]:
        """How many samples were kept and dropped, also while most of them are yet to be read."""
        store, counts = self.store, self.store.source.counts
        return counts if counts is not None and self.opening.is_reading else (store.kept, store.dropped)

    def close(self) -> None:
        """Close the index."""
        self.opening.close()

    def search(self, given: Given) -> Json:
        """Return what a search finds."""
        return self._whole(Wish.of(given), but=Wish()).search(Wish.of(given))

    def facets(self, given: Given) -> Json:
        """Return the counts beside a search."""
        return self._whole(Wish.of(given)).facets(Wish.of(given))

    def _whole(self, wish: Wish, but: Wish | None = None) -> Store:
        """Return the store if it can answer a wish: while rows are yet to be read, the first ones can be listed only.

        Raises:
            InputError: it cannot yet.
        """
        is_reading, store = self.opening.is_reading, self.store
        if is_reading and wish != but:
            raise InputError("the samples are still being read; this is answered once they are")
        return store

    def about(self, given: Given) -> Json:
        """Return what the page says of the source, and what has become of it since."""
        source = self.store.source
        kept, dropped = self.counts
        domain = shlex.quote(str(source.settings.get("identity", {}).get("domain", "DOMAIN")))
        return {
            **self.store.about(),
            "kept": kept,
            "dropped": dropped,
            "reading": self.opening.progress(),
            "problem": self.opening.problem,
            "author": author(),
            "stale": source.has_newer() or source.stamp() != self.store.stamp,
            "busy": self.is_busy(),
            "formats": list(FORMATS),
            "command": f"curate export {shlex.quote(source.path)} --out {shlex.quote(str(source.out))}",
            "explore": f"curate explore --domain {domain} --out {shlex.quote(source.path)}" if source.folder else "",
        }

    def is_busy(self) -> bool:
        """Is a run at work in this folder?"""
        folder = self.store.source.folder
        return folder is not None and is_locked(folder)

    def page(self, given: Given) -> Json:
        """Return samples of a search."""
        begin, count = _whole(given, "begin"), _whole(given, "count")
        return self.store.page(_whole(given, "view"), begin, count, _text(given, "q"))

    def decide(self, given: Given) -> Json:
        """Decide on a sample."""
        return self.store.decide(
            _whole(given, "row"),
            _text(given, "decision"),
            _text(given, "reason"),
            given.get("messages"),
            _text(given, "author"),
        )

    def change(self, given: Given) -> Json:
        """Change the tree by a line in its journal, and return the tree as it is then with what was done, in words."""
        source = self.store.source
        if source.folder is None or not source.has_tree:
            raise InputError(f"{source.path}: there is no tree here to change")
        op, task, name = _text(given, "op"), _text(given, "task"), _text(given, "name")
        # Edits that wait for their task are told with the tree.
        by: _Signed = {"author": _text(given, "author"), "note": lambda text: None}
        with self.store.lock:
            if op == "add":
                made = tree_add(source.folder, task, name, _text(given, "description"), **by)
                done = f"Added “{made.name}”"
            elif op == "rename":
                done = f"Renamed to “{tree_rename(source.folder, task, name, **by).name}”"
            elif op == "merge":
                done = f"Merged into “{tree_merge(source.folder, task, _text(given, 'into'), **by).name}”"
            elif op == "prune":
                gone = tree_prune(source.folder, task, **by)
                done = f"Pruned {len(gone):,} task{'s' if len(gone) != 1 else ''}"
            else:
                raise InputError(f"the change is {op[:40]!r}; it takes add, rename, merge or prune")
            self.store.read_tree()
            return {**self.store.tree(), "done": done, "busy": self.is_busy()}

    def export(self, given: Given) -> Json:
        """Write the dataset as decisions leave it to the folder that the page names."""
        source = self.store.source
        report = export_dataset(source.path, source.out, format=_text(given, "format") or source.format)
        return report.as_json()

    def reopen(self, given: Given) -> Json:
        """Take what the run has published since."""
        opening = Opening(open_source(self.store.source.path), lambda done, total: None)
        before, self.opening = self.opening, opening
        before.close()
        return self.about(given)


def _whole(given: Given, name: str) -> int:
    value = given.get(name)
    try:
        return int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else int("")
    except ValueError:
        raise InputError(f"'{name}' must be a whole number, not {str(value)[:40]!r}") from None


def _text(given: Given, name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"'{name}' must be text, not {type(value).__name__}")
    return whole(value)
