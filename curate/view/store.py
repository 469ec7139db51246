"""What the page shows and does, as functions that give JSON values: search, look at one, decide, change the tree."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from curate.errors import InputError
from curate.finished import Row
from curate.io import whole
from curate.pipeline.reviews import DECISIONS, Review, Reviews, read_reviews
from curate.tree import load_tree_with_edits
from curate.types import Message
from curate.view.brief import brief, turns_of
from curate.view.columns import DECIDED, Columns, Mask, Numbers, together
from curate.view.index import Index, spaced
from curate.view.places import Places
from curate.view.search import ID, ORDERS, Wish, masks, match_of, pattern_of, terms_of
from curate.view.source import Source

PAGE = 200
"""Most samples that one answer lists."""

VIEWS = 16
"""Searches whose order is remembered: decisions do not move the samples of a list that is being worked through."""

NUMBERS = itertools.count(1)
"""Of searches, so that none is taken for one of another store."""

TABLES = """
PRAGMA temp_store=MEMORY;
CREATE VIRTUAL TABLE temp.edited USING fts5(text, content='', columnsize=0, tokenize='unicode61 remove_diacritics 2');
"""
"""The words of edited samples, beside those of the index."""

MATCHING = "SELECT rowid FROM words WHERE words MATCH ?1 UNION ALL SELECT rowid FROM edited WHERE edited MATCH ?1"

Json = dict[str, Any]


class Store:
    """One source with its index, decisions and tree. Every method may be called from any thread.

    Raises:
        InputError: the journal or the tree cannot be read.
    """

    def __init__(self, source: Source, stamp: str, index: Index) -> None:
        self.source = source
        self.lock = threading.RLock()
        self.stamp = stamp
        self.index = index
        self.connection = index.connection
        self.connection.executescript(TABLES)
        self.columns = Columns(self.connection)
        self.kept = int(self.columns.kept.sum())
        self.dropped = len(self.columns) - self.kept
        self.reviews: Reviews = read_reviews(source.journal)
        self._seen = -1
        self._views: OrderedDict[int, Numbers] = OrderedDict()
        self._found: tuple[str, Mask | None] = ("", None)
        self.places: Places
        self.notes: list[str] = []
        self.read_tree()
        self._read_journal()

    def close(self) -> None:
        """Close the index."""
        with self.lock:
            self.index.close()

    def follow(self, before: Store, places: Places) -> None:
        """Take the place of a store of the first rows: its searches go on, as rows have the same numbers here.

        `places` are those that it had when this one was made: the tree may have been changed since.
        """
        self._views = before._views
        if before.places is not places:
            self.read_tree()

    # The tree

    def read_tree(self) -> None:
        """Read the tree with its hand edits, and find every sample's place in it."""
        with self.lock:
            rows = self.connection.execute("SELECT place, task, path FROM places").fetchall()
            tree = None
            if self.source.has_tree:
                assert self.source.folder is not None
                tree, self.notes = load_tree_with_edits(self.source.folder)
            self.places = Places(rows, tree)
            self.positions = self.places.positions()

    def tree(self) -> Json:
        """Return the nodes, parents first."""
        with self.lock:
            nodes = [node.as_json() for node in self.places.nodes.values()]
            return {"nodes": nodes, "editable": self.source.has_tree, "notes": self.notes}

    # Decisions

    def _read_journal(self) -> None:
        """Read the journal again where somebody else has written to it, and keep what stands where SQL finds it."""
        path = self.source.journal
        size = path.stat().st_size if path.is_file() else 0
        if size == self._seen:
            return
        self.reviews = read_reviews(path)
        self._seen = size
        self.columns.forget()
        self.connection.execute("INSERT INTO edited(edited) VALUES('delete-all')")
        for ident in self.reviews.standing:
            self._note(ident)

    def _note(self, ident: str) -> None:
        """Keep what stands decided of a sample where a search finds it, with the words of an edited text."""
        review = self.reviews.of(ident)
        found = self.connection.execute("SELECT row FROM samples WHERE id = ?", (ident,))
        rows = [row for (row,) in found]
        self.columns.decide(rows, review)
        if review is not None and review.messages is not None:
            text = "\n".join(spaced(whole(turn["content"])) for turn in review.messages)
            self.connection.executemany("INSERT INTO edited(rowid, text) VALUES(?, ?)", [(row, text) for row in rows])
            self._found = ("", None)

    def decide(self, row: int, decision: str, reason: str, messages: Any, author: str) -> Json:
        """Add a decision on a sample to the journal, "undo" to take back the last; return the sample as it stands.

        Raises:
            InputError: no such sample or decision, or nothing that could be kept.
            RunError: the journal cannot be written.
        """
        with self.lock:
            self._read_journal()
            sample = self._row(row)
            ident = sample["id"]
            if decision == "undo":
                self.reviews.undo(ident, author)
            elif decision not in DECISIONS:
                raise InputError(f"the decision is {decision[:40]!r}; it takes {', '.join(DECISIONS)} or undo")
            elif not sample["messages"]:
                raise InputError(f"{ident}: this call gave no sample, so there is nothing to decide")
            else:
                text = _edited(messages, sample) if decision == "edit" else None
                self.reviews.decide(ident, Review(decision, reason.strip()[:500], text, author.strip()[:100]))
            self._seen = self.source.journal.stat().st_size if self.source.journal.is_file() else 0
            self._note(ident)
            return self.sample(row)

    # Looking

    def search(self, wish: Wish) -> Json:
        """Find the samples of a wish; return a number by which `page` lists them, how many there are, and the first.

        Raises:
            InputError: no such task.
        """
        with self.lock:
            self._read_journal()
            rows = np.flatnonzero(together(self._masks(wish), len(self.columns)))
            keys = ORDERS[wish.order](self.columns)
            if keys is not None:
                rows = rows[np.argsort(keys[rows], kind="stable")]
            view = next(NUMBERS)
            self._views[view] = rows + 1
            while len(self._views) > VIEWS:
                self._views.popitem(last=False)
            terms = [{"tokens": term.tokens, "open": term.open} for term in terms_of(wish.q)]
            return {"view": view, "terms": terms, **self.page(view, 0, PAGE, wish.q)}

    def _masks(self, wish: Wish) -> dict[str, Mask]:
        return masks(wish, self.columns, self._branch(wish), self.positions, self._having(wish.q.strip()))

    def _having(self, query: str) -> Mask | None:
        """Return which samples the words of a query are in, None where it has none; the last query is remembered."""
        if not query:
            return None
        if self._found[0] != query:
            if ID.fullmatch(query):
                found = self.connection.execute("SELECT row FROM samples WHERE id = ?", (query,)).fetchall()
            elif match := match_of(terms_of(query)):
                found = self.connection.execute(MATCHING, (match,)).fetchall()
            else:  # nothing but signs, which no index holds
                found = []
            rows = np.fromiter((row for (row,) in found), dtype=np.int64, count=len(found))
            self._found = (query, self.columns.mask_of(rows))
        return self._found[1]

    def page(self, view: int, begin: int, count: int, query: str = "") -> Json:
        """Return some samples of a search in its order, in brief.

        Raises:
            InputError: the search is forgotten; it is to be made again.
        """
        with self.lock:
            if view not in self._views:
                raise InputError("this list is no longer remembered; search again")
            self._views.move_to_end(view)
            rows = self._views[view]
            pattern = pattern_of(terms_of(query))
            begin = max(begin, 0)
            wanted = rows[begin : begin + min(max(count, 0), PAGE)].tolist()
            listed = [self._brief(number, self._row(number), pattern) for number in wanted]
            return {"total": len(rows), "begin": begin, "rows": listed}

    def facets(self, wish: Wish) -> Json:
        """Count the samples of a wish by task, by cause of the drop, by decision, and kept or dropped.

        Each count leaves out the part of the wish that it would choose, so that it says what choosing it would give.
        """
        with self.lock:
            columns, parts = self.columns, self._masks(wish)

            def count(part: str, numbers: Numbers, least: int) -> list[int]:
                mask = together(parts, len(columns), part)
                return [*map(int, np.bincount(numbers[mask & (numbers >= 0)], minlength=least))]

            per_cause = count("cause", columns.cause, len(columns.causes))
            causes = [[*cause, number] for cause, number in zip(columns.causes, per_cause, strict=True)]
            dropped, kept = count("which", columns.kept.astype(np.int64), 2)
            return {
                "tasks": self.places.counts(count("task", columns.place, 0)),
                "causes": sorted((cause for cause in causes if cause[2]), key=lambda cause: -cause[2]),
                "reviews": dict(zip(DECIDED, count("review", columns.decision, len(DECIDED)), strict=True)),
                "which": {"kept": kept, "dropped": dropped},
            }

    def _branch(self, wish: Wish) -> tuple[int, int] | None:
        if not wish.task:
            return None
        if wish.task not in self.places.nodes:
            raise InputError("this task is no longer in the tree; choose another")
        return self.places.nodes[wish.task].span

    def sample(self, row: int) -> Json:
        """Return all there is to know of a sample: its row, its task, what stands decided, its nearest kept sample.

        Raises:
            InputError: no such sample.
        """
        with self.lock:
            self._read_journal()
            sample = self._row(row)
            query = "SELECT kept, place, neighbour, near FROM samples WHERE row = ?"
            kept, place, neighbour, near = self.connection.execute(query, (row,)).fetchone()
            return {
                "brief": self._brief(row, sample, None),
                "sample": sample,
                "kept": bool(kept),
                "path": self.places.path(self.places.node_of[place]),
                "near": near,
                "neighbour": self._kept(neighbour, row) if neighbour else None,
                "messages": turns_of(sample, self.reviews.of(sample["id"])),
            }

    def _row(self, number: int) -> Row:
        row = self.index.row(number) if 0 < number <= len(self.columns) else None
        if row is None:
            raise InputError(f"there is no sample {number}")
        return row

    def _kept(self, ident: str, but: int) -> Json | None:
        """Return the kept sample with an id."""
        query = "SELECT row FROM samples WHERE id = ? AND kept = 1 AND row != ? LIMIT 1"
        found = self.connection.execute(query, (ident, but)).fetchone()
        if found is None:
            return None
        row = self._row(found[0])
        return {"row": found[0], "id": row["id"], "task": row["task"], "messages": row["messages"]}

    def _brief(self, number: int, row: Row, pattern: Any) -> Json:
        return brief(number, row, self.reviews.of(row["id"]), pattern)

    def about(self) -> Json:
        """Return what the page says of the source as a whole."""
        with self.lock:
            used = sorted({review.reason for review in self.reviews.standing.values() if review.reason})
            return {
                "name": self.source.name,
                "path": self.source.path,
                "kept": self.kept,
                "dropped": self.dropped,
                "judged": not bool(np.isnan(self.columns.judge).all()),
                "compared": not bool(np.isnan(self.columns.near).all()),
                "reasons": used,
                "out": str(self.source.out),
                "format": self.source.format,
                "warnings": self.reviews.warnings,
            }


def _edited(messages: Any, sample: Row) -> tuple[Message, ...]:
    """Return an edited text: as many turns as the sample has, of the same roles, none of them empty.

    Raises:
        InputError: anything else.
    """
    roles = [turn["role"] for turn in sample["messages"]]
    sound = isinstance(messages, list) and all(
        isinstance(turn, dict) and isinstance(turn.get("content"), str) for turn in messages
    )
    if not sound or [turn.get("role") for turn in messages] != roles:
        raise InputError(f"{sample['id']}: an edit keeps the turns of a sample; expected {', '.join(roles)}")
    if any(not turn["content"].strip() for turn in messages):
        raise InputError(f"{sample['id']}: a turn is empty; reject the sample if nothing of it is worth keeping")
    return tuple({"role": turn["role"], "content": whole(turn["content"])} for turn in messages)
