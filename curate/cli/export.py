"""`curate export` and `curate pull`: datasets on the disk and on the Hub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.display import counted, span
from curate.cli.options import output_options
from curate.cli.text import readable

if TYPE_CHECKING:
    from curate.pipeline.export import ExportReport

EXPORT_EPILOG = """\b
Examples:
  curate export runs/math --format alpaca --out math-alpaca
  curate export clean.jsonl --format sharegpt --out data --split test=0.1
  curate export runs/law --reasoning --out law-with-reasoning
  curate export runs/math --push me/math-1k --licence apache-2.0
  curate export runs/math --push me/math-1k --licence cc-by-4.0 --public

\b
Files: DIR/train.jsonl and DIR/train.parquet (the same rows; two such files for
each split), and the dataset card DIR/README.md. `datasets.load_dataset("DIR")`
reads them. A domain of your own goes along as DIR/domain.yaml.

\b
On the Hub: the Parquet files, and the card with figures of diversity and two
pictures (the extra `plot`). Private unless --public; a repository that is
public already is not pushed to without it. The token is HF_TOKEN, or the login
of `hf auth login`. The same command again sends only what is new, and goes on
where an interrupted push stopped.
"""

PULL_EPILOG = """\b
Examples:
  curate pull me/math-1k
  curate pull me/math-1k --out data/math
  curate pull openai/gsm8k && curate stats gsm8k/main

\b
Files: DIR/SPLIT.jsonl for each split, and the dataset card. Of a dataset that
`curate export --push` made, the folder becomes what was exported. A dataset of
several configurations has a folder for each. `curate view DIR`, `stats`,
`dedup` and the others work on it. The same command again brings what is new.
"""


@click.command(epilog=EXPORT_EPILOG)
@click.argument("source", metavar="RUN|FILE")
@click.option(
    "--format",
    type=click.Choice(["messages", "alpaca", "prompt_completion", "sharegpt"]),
    default="messages",
    show_default=True,
    help="The columns of the rows.",
)
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="The dataset's folder.")
@click.option("--reasoning", is_flag=True, help="Take the teacher's reasoning along.")
@click.option(
    "--split",
    "splits",
    metavar="NAME=SHARE",
    multiple=True,
    help="Hold a share of the rows out, as in test=0.1; may be given again. The rest is train. Which row is held out "
    "depends on its instruction alone, so that more rows move none.",
)
@click.option("--split-seed", metavar="S", type=int, default=0, show_default=True, help="Another seed, other splits.")
@click.option("--licence", "--license", metavar="ID", default="", help="The licence: apache-2.0, cc-by-4.0, mit, …")
@click.option("--push", metavar="USER/NAME", default="", help="Upload to this dataset on the Hub; needs --licence.")
@click.option("--public", is_flag=True, help="Make the dataset on the Hub public; it is private otherwise.")
@output_options
def export(
    source: str, out: Path | None, splits: tuple[str, ...], split_seed: int, quiet: bool, as_json: bool, **options: Any
) -> None:
    """Write the accepted samples of a run, or any dataset, in a format that training tools read, with its card.

    RUN is a run's folder; FILE a file or folder of rows, or a dataset on the Hub. What a person decided in
    `curate view` is honoured.
    """
    from curate.export.splits import parse_splits
    from curate.pipeline.export import export_dataset

    def tell(line: str) -> None:
        if not quiet:
            click.echo(readable(line), err=True)

    held_out = parse_splits(splits, split_seed)
    with counted("export", quiet=quiet) as meter:
        report = export_dataset(source, out, splits=held_out, quiet=quiet, tick=meter.tick, tell=tell, **options)
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False))
        return
    # What was told as it went on is not said again.
    for line in _lines(report, report.notes if quiet else ()):
        click.echo(line)


def _lines(report: ExportReport, notes: Sequence[str]) -> list[str]:
    from curate.pipeline.export import by_split

    held = f" ({by_split(report.splits)})" if len(report.splits) > 1 else ""
    lines = [f"{report.rows:,} rows{held} as {report.format} in {span(report.seconds)}"]
    if report.by_hand:
        lines.append(f"  by hand  {readable(report.by_hand)}")
    if report.out:
        lines.append(f"  dataset  {report.out}  ({', '.join(report.files)})")
    place = str(report.out)
    if pushed := report.pushed:
        seen = "private" if pushed.private else "public"
        news = "" if pushed.changed else "; nothing had changed"
        lines.append(f"  hub      {pushed.url}  ({seen}, {report.licence}{news})")
        place = pushed.repo
    lines += [f"  note     {readable(note)}" for note in notes]
    return [*lines, "", f'Next: python -c "import datasets; print(datasets.load_dataset({place!r}))"']


@click.command(epilog=PULL_EPILOG)
@click.argument("repo", metavar="USER/NAME")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="The folder.  [default: NAME]")
@output_options
def pull(repo: str, out: Path | None, quiet: bool, as_json: bool) -> None:
    """Bring a dataset from the Hub: its card, and its rows as JSON lines, on which the other verbs work."""
    from curate.pipeline.export import by_split, pull_dataset

    def tell(line: str) -> None:
        if not quiet:
            click.echo(readable(line), err=True)

    with counted("pull", quiet=quiet) as meter:
        report = pull_dataset(repo, out, quiet=quiet, tick=meter.tick, tell=tell)
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False))
        return
    click.echo(f"{repo}: {sum(report.splits.values()):,} rows ({by_split(report.splits)}) in {span(report.seconds)}")
    click.echo(f"  dataset  {report.out}  ({', '.join(f'{name}.jsonl' for name in report.splits)})")
    click.echo(f"  licence  {readable(report.licence) or 'none is named'}")
    first = next(iter(report.splits), "")
    click.echo(f"\nNext: curate stats {report.out / first.partition('/')[0] if '/' in first else report.out}")
