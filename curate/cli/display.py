"""What a run shows while it goes on: a live panel on a terminal, plain lines elsewhere, nothing with --quiet.

Everything here goes to stderr, so that stdout holds the summary alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from curate.text import printable

if TYPE_CHECKING:
    from rich.live import Live

    from curate.models import Engine, Stats
    from curate.pipeline.watch import Watch

PLAIN_SECONDS = 5.0
"""Seconds between two plain lines."""

REDRAWS = 4
"""Times a second that a panel is drawn."""

PATIENCE = 2.0
"""Seconds that a stage may take without a word."""

TOP = 5
"""Reasons shown while a run goes on."""


class Display:
    """What is shown of one run, and how it is silenced for a question. `unsaid` notes belong into the summary."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.engine: Engine | None = None
        self.generating: float | None = None
        self.said = 0
        self.paused = threading.Event()
        self.live: Live | None = None

    def start(self, engine: Engine) -> None:
        """Take the engine once it is open."""
        self.engine = engine

    def stats(self) -> Stats | None:
        """Return the engine's figures, if it is open."""
        return self.engine.stats() if self.engine else None

    def unsaid(self) -> list[str]:
        """Return the notes that no line has shown yet."""
        return self.watch.notes[self.said :]

    def say(self) -> None:
        """Print the new notes as lines of their own, above the panel if there is one; no summary repeats them."""
        for note in self.unsaid():
            self.said += 1
            line = f"note: {printable(note)}"
            if self.live and not self.paused.is_set():
                self.live.console.print(line, style="yellow", markup=False, highlight=False)
            else:
                click.echo(line, err=True)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Show nothing while the block runs: it asks a question on the same terminal."""
        self.paused.set()
        if self.live:
            self.live.stop()
        try:
            yield
        finally:
            if self.live:
                # Not the same one: it would take the lines above for its own and write over them.
                self.live = _panel_of(self)
                self.live.start()
            self.paused.clear()

    def seconds_left(self) -> float | None:
        """Return an estimate of the time left, from the rows accepted since generating began."""
        if self.watch.phase != "generate":
            return None
        now = time.monotonic()
        if self.generating is None:
            self.generating = now
        spent = now - self.generating
        if spent < 1.0 or not self.watch.accepted or not self.watch.rows:
            return None
        return spent * (self.watch.rows - self.watch.accepted) / self.watch.accepted


@contextlib.contextmanager
def display(watch: Watch, *, quiet: bool = False) -> Iterator[Display]:
    """Show `watch` until the block ends. Where it ends in an error, there is no summary: notes are printed now."""
    shown = Display(watch)
    try:
        if quiet:
            yield shown
        elif on_screen():
            with _live(shown):
                yield shown
        else:
            with _spoken(lambda: _speak(shown), PLAIN_SECONDS):
                yield shown
    except BaseException:
        if not quiet:
            shown.say()
        raise


def on_screen() -> bool:
    """Can a display redraw itself here: on a terminal, or in a notebook that has widgets?"""
    if sys.stderr.isatty():
        return os.environ.get("TERM") != "dumb"
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell" and importlib.util.find_spec("ipywidgets") is not None


class Meter:
    """How far a stage is in a dataset, or in whatever else it counts."""

    def __init__(self, name: str, unit: str = "samples") -> None:
        self.name = name
        self.unit = unit
        self.began = time.monotonic()
        self.done = 0
        self.total: int | None = None

    def tick(self, done: int, total: int | None) -> None:
        """Take the number that is done, and of all where it is known."""
        if not 0 < self.done <= done:  # what came before a first sample says nothing of how fast they go
            self.began = time.monotonic()
        self.done, self.total = done, total

    def line(self) -> str:
        """Return where it stands, how fast it is and how long it will take yet; nothing in the first moments."""
        spent = time.monotonic() - self.began
        if spent < PATIENCE or not self.done or self.done == self.total:
            return ""
        rate = self.done / spent
        # Rows that hold several samples make more than was counted.
        known = self.total is not None and self.done <= self.total
        of = f" of {self.total:,}" if known else ""
        left = f", {span((self.total - self.done) / rate)} left" if known and self.total else ""
        return f"{self.name}: {self.done:,}{of} {self.unit}, {amount(rate)}/s{left}"


@contextlib.contextmanager
def counted(name: str, *, quiet: bool = False, unit: str = "samples") -> Iterator[Meter]:
    """Show how far a stage is, once it takes longer than a moment. `unit` is what it counts."""
    meter = Meter(name, unit)
    with shown(meter, quiet=quiet):
        yield meter


@contextlib.contextmanager
def shown(meter: Meter, *, quiet: bool = False) -> Iterator[None]:
    """Show the line of `meter` until the block ends."""
    if quiet:
        yield
    elif on_screen():
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        console = Console(stderr=True)
        with Live(
            get_renderable=lambda: Text(meter.line()), console=console, refresh_per_second=REDRAWS, transient=True
        ):
            yield
    else:

        def speak() -> None:
            if line := meter.line():
                click.echo(line, err=True)

        with _spoken(speak, PATIENCE):
            yield


def say(line: str) -> None:
    """Print a line on stderr, above the line of a meter that is shown there."""
    # Not by click, which writes past what stands in for stderr meanwhile.
    print(line, file=sys.stderr, flush=True)


def span(seconds: float) -> str:
    """Return a time as people say it: 0.4 s, 41 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
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
    if cost is None:
        return "price unknown"
    return f"${cost:,.4f}" if 0 < cost < 1 else f"${cost:,.2f}"


IN_WORDS = {
    "exact: exact_duplicate": "exact: copy",
    "exact: normalised_duplicate": "exact: copy but for punctuation or case",
    "rouge: rouge": "rouge: mostly the same words",
    "dedup: semantic_duplicate": "dedup: near-copy by meaning",
    "quota: surplus": "quota: good but not needed",
}
"""Reasons whose names in the files say little to a reader."""


def reasons(counts: Mapping[str, int], top: int = TOP, *, as_named: bool = False) -> str:
    """Return the most frequent reasons with their counts, in words or as the files name them.

    `counts` may grow meanwhile.
    """
    ranked = sorted(dict(counts).items(), key=lambda item: (-item[1], item[0]))
    more = sum(count for _, count in ranked[top:])
    words = [
        f"{printable(reason if as_named else IN_WORDS.get(reason, reason.replace('_', ' ')))} {count:,}"
        for reason, count in ranked[:top]
    ]
    return " · ".join([*words, *([f"others {more:,}"] if more else [])])


def novelty(watch: Watch) -> str:
    """Return how new the latest candidates were, a share, and where that ends the run."""
    end = f" (the run ends below {watch.until:.3g})" if watch.until is not None else ""
    return f"{watch.novelty:.2f}{end}" if watch.novelty is not None else f"not known yet{end}"


def _speak(shown: Display) -> None:
    if not shown.paused.is_set():
        shown.say()
        click.echo(_line(shown), err=True)


def _say(shown: Display) -> None:
    if not shown.paused.is_set():
        shown.say()


def _line(shown: Display) -> str:
    watch, stats = shown.watch, shown.stats()
    words = [watch.phase]
    if watch.phase == "explore":
        words.append(f"{watch.tasks:,} tasks, {watch.calls_done:,} answers")
    if watch.phase in ("generate", "export", "compare"):
        of = f" of {watch.rows:,}" if watch.rows else ""
        words.append(f"{watch.accepted:,}{of} rows, round {watch.round}, {watch.tasks:,} tasks")
        if watch.novelty is not None:
            words.append(f"novelty {novelty(watch)}")
    if stats:
        replayed = f", {stats.replayed:,} replayed" if stats.replayed else ""
        words.append(f"{stats.calls:,} calls ({stats.rate:.1f}/s){replayed}")
        words.append(f"{amount(stats.total.input_tokens + stats.total.output_tokens)} tokens")
        words.append(money(stats.cost))
    left = shown.seconds_left()
    if left is not None:
        words.append(f"{span(left)} left")
    dropped = sum(watch.dropped.values())
    if dropped:
        words.append(f"dropped {dropped:,} ({reasons(watch.dropped, 3)})")
    return "; ".join(words)


@contextlib.contextmanager
def _spoken(speak: Callable[[], object], seconds: float) -> Iterator[None]:
    """Call `speak` every few seconds, in a thread of its own."""
    done = threading.Event()

    def repeat() -> None:
        while not done.wait(seconds):
            speak()

    thread = threading.Thread(target=repeat, daemon=True, name="curate-display")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def _live(shown: Display) -> Iterator[None]:
    """Redraw a panel, with the notes as lines above it."""
    shown.live = _panel_of(shown)
    shown.live.start()
    try:
        with _spoken(lambda: _say(shown), 1 / REDRAWS):
            yield
    finally:
        shown.live.stop()
        shown.live = None


def _panel_of(shown: Display) -> Live:
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    return Live(get_renderable=lambda: _panel(shown), console=console, refresh_per_second=REDRAWS, transient=True)


def _panel(shown: Display) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    watch, stats = shown.watch, shown.stats()
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()

    def row(name: str, text: str) -> None:
        table.add_row(name, Text(text))

    row("phase", f"{watch.phase}   {span(time.monotonic() - watch.started)}")
    row("tree", f"{watch.tasks:,} tasks" + (f", {watch.calls_done:,} answers" if watch.phase == "explore" else ""))
    if watch.phase != "explore":
        left = shown.seconds_left()
        bar = Table.grid(padding=(0, 1))
        if watch.rows:
            words = f"{watch.accepted:,} / {watch.rows:,}" + (f"   {span(left)} left" if left is not None else "")
            bar.add_row(ProgressBar(total=watch.rows, completed=watch.accepted, width=40), Text(words))
            table.add_row("accepted", bar)
        else:
            row("accepted", f"{watch.accepted:,}")
        if watch.novelty is not None or watch.until is not None:
            row("novelty", novelty(watch))
        calls = f"{watch.calls_done:,} of {watch.calls_planned:,} calls"
        row("asked", f"{watch.candidates:,} candidates, {calls}, round {watch.round}")
    if stats:
        tokens = f"{amount(stats.total.input_tokens)} in, {amount(stats.total.output_tokens)} out"
        replayed = f", {stats.replayed:,} replayed" if stats.replayed else ""
        out = f", {stats.in_flight:,} in flight (limit {stats.limit:,})" if stats.limit else ""
        row("calls", f"{stats.calls:,}{replayed}, {stats.rate:.1f}/s{out}")
        row("tokens", f"{tokens}   {money(stats.cost)}")
        if stats.retries:
            row("retried", reasons(stats.retries))
    if watch.dropped:
        row("dropped", reasons(watch.dropped))
    if watch.lost:
        row("lost", reasons(watch.lost))
    return table
