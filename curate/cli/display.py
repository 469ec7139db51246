"""What a run shows while it goes on: a live panel on a terminal, plain lines elsewhere, nothing with --quiet.

Everything here goes to stderr, so that stdout holds the summary alone.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from curate.tree.names import printable

if TYPE_CHECKING:
    from curate.models import Engine, Stats
    from curate.pipeline.watch import Watch

Started = Callable[["Engine"], None]

PLAIN_SECONDS = 5.0
"""Seconds between two plain lines."""

TOP = 5
"""Reasons shown while a run goes on."""


@contextlib.contextmanager
def display(watch: Watch, *, quiet: bool = False) -> Iterator[Started]:
    """Show `watch` until the block ends; the yielded function takes the engine once it is open."""
    source = _Source(watch)
    if quiet:
        yield source.start
        return
    shown = _live(source) if sys.stderr.isatty() else _plain(source)
    with shown:
        yield source.start


class _Source:
    """The watch and, once it is open, the engine's figures."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.engine: Engine | None = None
        self.generating: float | None = None
        self.noted = 0

    def start(self, engine: Engine) -> None:
        """Take the engine."""
        self.engine = engine

    def stats(self) -> Stats | None:
        """Return the engine's figures, if it is open."""
        return self.engine.stats() if self.engine else None

    def new_notes(self) -> list[str]:
        """Return what was noted since the last call."""
        notes = self.watch.notes[self.noted :]
        self.noted += len(notes)
        return notes

    def seconds_left(self) -> float | None:
        """Return an estimate of the time left, from the rows accepted since generating began."""
        if self.watch.phase != "generate":
            return None
        now = time.monotonic()
        if self.generating is None:
            self.generating = now
        spent = now - self.generating
        if spent < 1.0 or not self.watch.accepted:
            return None
        return spent * (self.watch.rows - self.watch.accepted) / self.watch.accepted


def span(seconds: float) -> str:
    """Return a time as people say it: 41 s, 3 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def amount(number: float) -> str:
    """Return a count in few characters: 950, 12.3k, 4.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1e3 if letter == 'k' else size):.1f}{letter}"
    return f"{number:,.0f}"


def money(cost: float | None) -> str:
    """Return a cost in dollars, or that it is not known."""
    return "price unknown" if cost is None else f"${cost:,.4f}" if cost < 1 else f"${cost:,.2f}"


def reasons(counts: Any, top: int = TOP) -> str:
    """Return the most frequent reasons with their counts."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = sum(count for _, count in ranked[top:])
    words = [f"{printable(reason)} {count:,}" for reason, count in ranked[:top]]
    return " · ".join([*words, *([f"others {more:,}"] if more else [])])


def _line(source: _Source) -> str:
    watch, stats = source.watch, source.stats()
    words = [watch.phase]
    if watch.phase == "explore":
        words.append(f"{watch.tasks:,} tasks, {watch.calls_done:,} answers")
    if watch.phase == "generate":
        words.append(f"{watch.accepted:,} of {watch.rows:,} rows, round {watch.round}, {watch.tasks:,} tasks")
    if stats:
        words.append(
            f"{stats.calls:,} calls ({stats.rate:.1f}/s)" + (f", {stats.replayed:,} replayed" if stats.replayed else "")
        )
        words.append(f"{amount(stats.total.input_tokens + stats.total.output_tokens)} tokens")
        words.append(money(stats.cost))
    left = source.seconds_left()
    if left is not None:
        words.append(f"{span(left)} left")
    dropped = sum(watch.dropped.values())
    if dropped:
        words.append(f"dropped {dropped:,} ({reasons(watch.dropped, 3)})")
    return "; ".join(words)


@contextlib.contextmanager
def _plain(source: _Source) -> Iterator[None]:
    """Print a line every few seconds, from a thread of its own."""
    done = threading.Event()

    def speak() -> None:
        while not done.wait(PLAIN_SECONDS):
            for note in source.new_notes():
                click.echo(note, err=True)
            click.echo(_line(source), err=True)

    thread = threading.Thread(target=speak, daemon=True, name="curate-display")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def _live(source: _Source) -> Iterator[None]:
    """Redraw a panel four times a second."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    with Live(get_renderable=lambda: _panel(source), console=console, refresh_per_second=4, transient=True):
        yield


def _panel(source: _Source) -> Any:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    watch, stats = source.watch, source.stats()
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()

    def row(name: str, text: str) -> None:
        table.add_row(name, Text(text))

    row("phase", f"{watch.phase}   {span(time.monotonic() - watch.started)}")
    row("tree", f"{watch.tasks:,} tasks" + (f", {watch.calls_done:,} answers" if watch.phase == "explore" else ""))
    if watch.phase != "explore":
        left = source.seconds_left()
        bar = Table.grid(padding=(0, 1))
        words = f"{watch.accepted:,} / {watch.rows:,}" + (f"   {span(left)} left" if left is not None else "")
        bar.add_row(ProgressBar(total=watch.rows, completed=watch.accepted, width=40), Text(words))
        table.add_row("accepted", bar)
        calls = f"{watch.calls_done:,} of {watch.calls_planned:,} calls"
        row("asked", f"{watch.candidates:,} candidates, {calls}, round {watch.round}")
    if stats:
        tokens = f"{amount(stats.total.input_tokens)} in, {amount(stats.total.output_tokens)} out"
        replayed = f", {stats.replayed:,} replayed" if stats.replayed else ""
        row(
            "calls",
            f"{stats.calls:,}{replayed}, {stats.rate:.1f}/s, {stats.in_flight:,} in flight (limit {stats.limit:,})",
        )
        row("tokens", f"{tokens}   {money(stats.cost)}")
        if stats.retries:
            row("retried", reasons(stats.retries))
    if watch.dropped:
        row("dropped", reasons(watch.dropped))
    if watch.lost:
        row("lost", reasons(watch.lost))
    notes = [Text(note, style="yellow") for note in watch.notes[-3:]]
    return Group(table, *notes)
