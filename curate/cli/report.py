"""`curate report`: a run on one page that opens from disk."""

from __future__ import annotations

import json
from pathlib import Path

import click

from curate.cli.display import counted, span
from curate.cli.options import output_options
from curate.cli.text import readable

EPILOG = """\b
Examples:
  curate report runs/math
  curate report runs/math --open
  curate report runs/math --out math.html --umap

\b
The page holds the task tree coloured by yield, novelty or drops, a map of the
samples, the yield of every stage, the largest groups of near-duplicates, how
new the last calls were, and what every stage asked of every model. It is one
file that loads nothing: it opens from disk and can be sent to somebody else.
`curate explore` writes it at the end of each run.
"""


@click.command(epilog=EPILOG)
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the page goes. [default: RUN/report.html]",
)
@click.option("--umap", is_flag=True, help="Lay out 10,000 samples by UMAP too: the extra 'umap', and a minute.")
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@output_options
def report(run: Path, out: Path | None, umap: bool, show: bool, quiet: bool, as_json: bool) -> None:
    """Write report.html of RUN, a run's folder: what was made, what was dropped and why, and what it cost."""
    from curate.export.report import open_to_report, write_report

    with counted("read", quiet=quiet) as meter:
        written = write_report(open_to_report(run), out, umap=umap, tick=meter.tick)
    if as_json:
        click.echo(json.dumps(written.as_json(), ensure_ascii=False))
    else:
        size = f"{written.bytes / 1e6:.1f} MB, {written.tasks:,} tasks, {written.points:,} samples on the map"
        click.echo(readable(f"{written.path}  ({size}) in {span(written.seconds)}"))
        where = "" if show else "open it in a browser, or review the samples: "
        click.echo(readable(f"\nNext: {where}curate view {run}"))
    if show:
        click.launch(str(written.path.resolve()))
