"""`curate view`: serve the local page until Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from typing import TYPE_CHECKING

import click

from curate.cli.display import counted
from curate.cli.text import readable
from curate.errors import CurateError

if TYPE_CHECKING:
    from curate.view.server import View

EPILOG = """\b
Examples:
  curate view runs/math
  curate view data.jsonl               Alpaca, ShareGPT, messages, preferences
  curate view clean.jsonl              with what `filter` or `dedup` dropped
  curate view runs/math --no-browser --port 8123

\b
Keys: j k move, a accept, r reject, e edit, u take back, / search, ? shows all.
Decisions are lines in RUN/reviews.jsonl, or in NAME.reviews.jsonl beside a
file; `curate export` and the next `curate explore` honour them. What a model
wrote is never changed. Changes to the tree are lines in tree.edits.jsonl.
On another machine: curate view RUN --no-browser --port 8123 there, and
ssh -L 8123:127.0.0.1:8123 HOST here; then open the address that it printed.
"""


@click.command(epilog=EPILOG)
@click.argument("run", metavar="RUN|FILE")
@click.option("--port", metavar="N", type=click.IntRange(0, 65535), default=0, help="The port. [default: a free one]")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--quiet", is_flag=True, help="No progress; the address and errors only.")
@click.option("--json", "as_json", is_flag=True, help="Print address and counts as one JSON object on a line.")
def view(run: str, port: int, no_browser: bool, quiet: bool, as_json: bool) -> None:
    """Look through RUN or FILE in the browser, review its samples, and change its task tree by hand.

    The page is served on this machine only, to whoever has its address, until Ctrl-C. FILE is whatever the other verbs
    read: .jsonl, .json, .parquet or .csv (also .gz, .zst), a folder saved by `datasets`, or a name on the Hub.
    """
    from curate.view.server import View

    with counted("index", quiet=quiet) as meter:
        page = View(run, port, meter.tick)
    with page, contextlib.suppress(KeyboardInterrupt):
        click.echo(json.dumps(page.as_json()) if as_json else "\n".join(_lines(page)))
        sys.stdout.flush()
        if not no_browser and _has_screen():
            import webbrowser

            webbrowser.open(page.url)
        _wait(page, quiet)
        threading.Event().wait()
    if not (quiet or as_json):
        click.echo(f"\nNext: curate export {readable(run)} --out DIR", err=True)


def _wait(page: View, quiet: bool) -> None:
    """Wait until all samples are read. Where they cannot be, the first ones go on being shown."""
    try:
        with counted("index", quiet=quiet) as meter:
            page.wait(meter.tick)
    except CurateError as error:
        click.echo(f"note: only the first samples are shown: {readable(str(error))}", err=True)


def _lines(page: View) -> list[str]:
    """Return what is printed: the address, what is shown there, and where decisions go."""
    told = page.as_json()
    return [
        f"{readable(told['source'])}: {told['kept']:,} kept, {told['dropped']:,} dropped, {told['decided']:,} reviewed",
        *(f"  note       {readable(text)}" for text in told["notes"]),
        f"  decisions  {readable(told['journal'])}",
        f"  page       {page.url}",
        "",
        "Ctrl-C ends it.",
    ]


def _has_screen() -> bool:
    """Is there a desktop to open a browser on? On a terminal alone a browser of text would take the terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
