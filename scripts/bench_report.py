"""How large is the report of a large run, how long does it take to write, and how long to open?

    python scripts/bench_report.py [SAMPLES=100000] [TASKS=10000]

Makes the run with `make_big_run.py`, writes its report, and opens it five times from disk in headless Chromium. Prints
megabytes, the seconds of writing, and of opening: until the tree stands, until the map is drawn, until a click on a
task shows its samples, a search among all tasks, and a frame of the map while it is zoomed.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import make_big_run

OPENED = 5

WATCH = """
new MutationObserver(() => {
    if (!window.treeAt && document.querySelector("#treemap button")) window.treeAt = performance.now();
    if (!window.mapAt && document.documentElement.dataset.ready) window.mapAt = performance.now();
}).observe(document, { subtree: true, childList: true, attributes: true });
"""

FRAMES = """
async () => {
    const canvas = document.getElementById("points");
    canvas.focus();
    const times = [];
    for (let step = 0; step < 30; step++) {
        const begun = performance.now();
        const { left, top, width, height } = canvas.getBoundingClientRect();
        const [clientX, clientY] = [left + width / 2, top + height / 2];
        canvas.dispatchEvent(new WheelEvent("wheel", {
            deltaY: step < 15 ? -40 : 40, clientX, clientY, bubbles: true, cancelable: true,
        }));
        await new Promise((then) => requestAnimationFrame(() => setTimeout(then)));
        times.push(performance.now() - begun);
    }
    return times.sort((a, b) => a - b)[15];
}
"""


def opened(browser: object, page_path: Path) -> dict[str, float]:
    """Open the report once; return seconds by what was waited for."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()  # type: ignore[attr-defined]
    page.add_init_script(WATCH)
    page.goto(page_path.as_uri())
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    times = {"tree": page.evaluate("treeAt") / 1000, "map": page.evaluate("mapAt") / 1000}
    times["frame"] = page.evaluate(FRAMES) / 1000
    times["search"] = (
        page.evaluate(
            "() => { const begun = performance.now(); search.matches('winter'); return performance.now() - begun; }"
        )
        / 1000
    )
    times["samples"] = (
        page.evaluate(
            """async () => {
            const begun = performance.now();
            treemap.show(tasks.tree.n >> 1);
            while (!document.querySelector("#task .sample")) await new Promise((then) => setTimeout(then, 1));
            return performance.now() - begun;
        }"""
        )
        / 1000
    )
    page.context.close()
    return times


def main(rows: int, tasks: int) -> None:
    """Make, write, open, print."""
    from playwright.sync_api import sync_playwright

    from curate.export.report import open_to_report, write_report

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        make_big_run.main(run, rows, tasks)
        for soon in (True, False):
            written = write_report(open_to_report(run), soon=soon)
            when = "at the end of a run" if soon else "by curate report"
            print(f"written {when}: {written.bytes / 1e6:.1f} MB in {written.seconds:.1f} s")
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-gpu"]
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
            times = [opened(browser, written.path) for _ in range(OPENED)]
        for name in times[0]:
            found = sorted(time[name] for time in times)
            print(f"{name:<8} {statistics.median(found):.3f} s  (of {OPENED}: {found[0]:.3f} to {found[-1]:.3f})")


if __name__ == "__main__":
    main(*(int(value) for value in (sys.argv[1:] + ["100000", "10000"][len(sys.argv) - 1 :])[:2]))
