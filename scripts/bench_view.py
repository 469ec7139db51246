"""Measure `curate view` on a large run: the index, the page's opening, searches, and decisions.

    python scripts/make_big_run.py /tmp/big && python scripts/bench_view.py /tmp/big

Needs Chromium (its path in CURATE_CHROMIUM, else the system's). Decisions are taken back at the end, so only the
journal grows.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
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
    """Measure the index anew, then the server, then the page."""
    (run / ".view.sqlite").unlink(missing_ok=True)
    began = time.perf_counter()
    View(run).close()
    print(f"index built in {time.perf_counter() - began:.1f} s, {(run / '.view.sqlite').stat().st_size / 1e6:.0f} MB")
    began = time.perf_counter()
    with View(run) as view:
        print(f"opened again in {time.perf_counter() - began:.2f} s: {view.desk.store.kept:,} kept samples")
        print(f"\n  {'the server, over HTTP':<44}{'median':>12}{'worst':>12}")
        serve(view)
        print(f"\n  {'the page, in Chromium':<44}{'median':>12}{'worst':>12}")
        browse(view)


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

    program = os.environ.get("CURATE_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
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
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
