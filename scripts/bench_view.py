"""Measure `curate view` on a large run: the first opening, later ones, searches, and decisions.

    python scripts/make_big_run.py /tmp/big && python scripts/bench_view.py /tmp/big

Needs Chromium (its path in CURATE_CHROMIUM, else the system's). Decisions are taken back at the end, so only the
journal grows.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curate.view.server import View

QUERIES = ("", "explain", "the", "a", "the river", '"of the"', "expl win", "zzzz")
SHOWN = '#detail[aria-busy="false"]'
"""The sample that was chosen stands on the page."""

ORDERS = ("near", "novel", "best", "long")


def timed(work: Callable[[], Any], times: int = 5) -> tuple[float, float]:
    """Return the median and the worst time of `work` in milliseconds."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        spent.append((time.perf_counter() - began) * 1000)
    return statistics.median(spent), max(spent)


def told(name: str, figures: tuple[float, float]) -> None:
    """Print a line of the table."""
    print(f"  {name:<44}{figures[0]:>9.0f} ms{figures[1]:>9.0f} ms")


def main(run: Path) -> None:
    """Measure the first open, without an index, then the server, then the page."""
    for _ in range(3):
        first_open(run)
    print(f"the index has {(run / '.view.sqlite').stat().st_size / 1e6:.0f} MB")
    began = time.perf_counter()
    with View(run) as view:
        print(f"opened again in {time.perf_counter() - began:.2f} s: {view.desk.store.kept:,} kept samples")
        print(f"\n  {'the server, over HTTP':<44}{'median':>12}{'worst':>12}")
        serve(view)
        print(f"\n  {'the page, in Chromium':<44}{'median':>12}{'worst':>12}")
        browse(view)


def first_open(run: Path) -> None:
    """Time the command without an index, until the first sample is shown and until a search is answered."""
    from playwright.sync_api import sync_playwright

    (run / ".view.sqlite").unlink(missing_ok=True)
    command = [sys.executable, "-c", "from curate.cli import main; main()", "view", str(run), "--json", "--no-browser"]
    with sync_playwright() as playwright, chromium(playwright) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        spent = sum(os.times()[2:4])
        began = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            page.goto(json.loads(server.stdout.readline())["url"])
            served = time.perf_counter() - began
            page.wait_for_selector(".turn")
            shown = time.perf_counter() - began
            page.fill("#q", "river")
            page.wait_for_selector(".item mark", timeout=120_000)
            found = time.perf_counter() - began
            server.send_signal(signal.SIGINT)
        spent = sum(os.times()[2:4]) - spent
    print(
        f"first open, without an index: served in {served:.1f} s, a sample shown in {shown:.1f} s, "
        f"a search answered in {found:.1f} s; {spent:.1f} s of processor time"
    )


def chromium(playwright: Any) -> Any:
    """Start the browser."""
    program = os.environ.get("CURATE_CHROMIUM") or shutil.which("chromium")
    return playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])


def ask(view: View, name: str, **given: str) -> Any:
    """Send the server a request of the page."""
    with urllib.request.urlopen(f"{view.url}api/{name}?{urllib.parse.urlencode(given)}") as answer:
        return json.load(answer)


def serve(view: View) -> None:
    """Time the server's answers."""
    for query in QUERIES:
        number = 0

        def search(query: str = query) -> int:
            nonlocal number
            # Spaces make it another query, which is not remembered.
            number += 1
            return int(ask(view, "search", q=f"{query}{' ' * number}", which="all")["total"])

        told(f"search {query!r} ({search():,} found)", timed(search))
    for order in ORDERS:
        told(f"all, sorted by '{order}'", timed(lambda order=order: ask(view, "search", which="all", order=order)))
    told("counts of all filters", timed(lambda: ask(view, "facets", which="all")))


def browse(view: View) -> None:
    """Time what a reader waits for."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, chromium(playwright) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})

        def opened() -> None:
            page.goto(view.url)
            page.wait_for_selector(".turn")

        told("open: until the first sample is shown", timed(opened, 3))
        for query in ("explain", "the river", '"of the"'):

            def typed(query: str = query) -> None:
                page.fill("#q", query)
                page.wait_for_selector(".item mark")

            figures = []
            for _ in range(3):
                page.fill("#q", "")
                page.wait_for_selector(".item:not(:has(mark))")
                figures.append(timed(typed, 1)[0])
            told(f"type {query!r}: until matches are marked", (statistics.median(figures), max(figures)))
        page.fill("#q", "")
        page.wait_for_selector(".item:not(:has(mark))")
        page.keyboard.press("Escape")
        page.wait_for_selector(SHOWN)

        def accepted() -> None:
            before = page.locator(".item.chosen").get_attribute("id")
            page.keyboard.press("a")
            page.wait_for_selector(f".item.chosen:not(#{before})")
            page.wait_for_selector(SHOWN)

        def ended() -> None:
            page.keyboard.press("End")
            page.wait_for_selector(SHOWN)

        told("accept: until the next sample is shown", timed(accepted, 10))
        told("to the last of all samples", timed(ended, 1))
        for _ in range(10):
            page.keyboard.press("u")
            page.wait_for_timeout(50)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
