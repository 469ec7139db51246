"""Make the pictures of the README from a real run: docs/explore.svg, docs/report.png and docs/view.png.

python scripts/pictures.py [ROWS=1000]      needs the extra dev and an installed Chromium
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.text import Text

import curate

DOCS = Path(__file__).resolve().parents[1] / "docs"
WIDTH = 118
PAGE = {"width": 1280, "height": 1000}


def run(command: str, folder: str) -> str:
    """Run a curate command in a folder and return what it printed."""
    words = [sys.executable, "-m", "curate.cli", *command.split()[1:]]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout


def terminal(rows: int, folder: str) -> None:
    """Draw what the commands print on a terminal."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    for command in (
        f"curate explore --domain math --rows {rows} --quiet",
        "curate show runs/math --limit 2",
        "curate show runs/math --dropped --stage rouge --limit 1",
    ):
        console.print(Text(f"$ {command}", style="bold green"))
        console.print(Text(run(command, folder).rstrip() + "\n"))
    console.save_svg(str(DOCS / "explore.svg"), title="curate")


def report(page: Page, folder: str) -> None:
    """Photograph the top of the report: figures, task tree, map of the samples."""
    page.goto(Path(folder, "runs", "math", "report.html").as_uri())
    page.wait_for_timeout(1500)  # for the map to be drawn
    page.set_viewport_size({"width": 1280, "height": 1960})
    page.wait_for_timeout(500)
    page.screenshot(path=DOCS / "report.png")


def view(page: Page, folder: str) -> None:
    """Photograph the review page after two decisions."""
    os.environ["CURATE_AUTHOR"] = "ada"
    os.chdir(folder)
    with curate.view(Path("runs", "math"), quiet=True) as served:
        page.goto(served.url)
        for _ in range(2):
            page.wait_for_timeout(1000)
            page.keyboard.press("a")
        page.wait_for_timeout(1000)
        page.screenshot(path=DOCS / "view.png")


def main(rows: int) -> None:
    """Write the pictures."""
    chromium = os.environ.get("CURATE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    DOCS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        terminal(rows, folder)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for photograph in (report, view):
            photograph(browser.new_page(viewport=PAGE, color_scheme="light"), folder)
        browser.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
