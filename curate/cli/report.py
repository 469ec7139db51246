"""`curate report`: a run on one page that opens from disk."""

from __future__ import annotations

import json
from pathlib import Path

import click

from curate.cli.display import counted, span

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
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="[default: in RUN]")
@click.option("--umap", is_flag=True, help="Lay out 10,000 samples by UMAP too: the extra 'umap', and a minute.")
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option("--json", "as_json", is_flag=True, help="Print path, size and counts as one JSON object.")
def report(run: Path, out: Path | None, umap: bool, show: bool, quiet: bool, as_json: bool) -> None:
    """Write report.html of RUN, a run's folder: what was made, what was dropped and why, and what it cost."""
    from curate.export.report import open_to_report, write_report

    with counted("read", quiet=quiet or as_json) as meter:
        written = write_report(open_to_report(run), out, umap=umap, tick=meter.tick)
    if as_json:
        click.echo(json.dumps(written.as_json(), ensure_ascii=False))
    else:
        size = f"{written.bytes / 1e6:.1f} MB, {written.tasks:,} tasks, {written.points:,} samples on the map"
        click.echo(f"{written.path}  ({size}) in {span(written.seconds)}")
        if not show:
            click.echo("Next: open it in a browser, or the same command with --open")
    if show:
        click.launch(str(written.path.resolve()))
