"""One stage on anybody's dataset: filter, dedup, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from curate.api.rows import exported, kept

if TYPE_CHECKING:
    from datasets import Dataset

Format = Literal["messages", "alpaca", "prompt_completion", "sharegpt"]


def filter(
    file: str | Path,
    *,
    domain: str | Path | None = None,
    rules: str | Path | None = None,
    language: str = "",
    out: str | Path | None = None,
    quiet: bool = False,
) -> Dataset:
    """Keep the samples of a dataset that hold to the rules of a domain, or of a rules file.

    `file` is a .jsonl, .json, .parquet or .csv file, a run's folder, a folder saved by `datasets`, or a name on the
    Hub. The kept samples are written to `out` (FILE.filtered.jsonl) and returned with the columns `id`, `task`,
    `messages` and `meta` (JSON). The dropped ones lie beside it as NAME.dropped.jsonl, with reasons: read them with
    `curate.show(out, dropped=True)`.

    Raises:
        InputError: neither or both of `domain` and `rules`, or a file or value that cannot be used.
    """
    from curate.cli.display import counted
    from curate.pipeline.dataset import filter_dataset

    with counted("filter", quiet=quiet) as meter:
        report = filter_dataset(file, domain=domain, rules=rules, language=language, out=out, tick=meter.tick)
    return kept(report)


def dedup(
    file: str | Path,
    *,
    rouge: float | None = 0.7,
    embedder: str | None = None,
    threshold: float | None = None,
    language: str = "en",
    field: Literal["text", "instruction"] = "text",
    out: str | Path | None = None,
    quiet: bool = False,
) -> Dataset:
    """Drop exact, ROUGE-L and semantic near-duplicates over a whole dataset; the first of its like is kept.

    `rouge` is the ROUGE-L above which two samples are the same, None leaves that comparison out, as the embedder
    "none" does for the one by meaning. `threshold` is a cosine, the embedder's own unless given. `file` and what is
    written and returned are as for `filter`; FILE.deduped.jsonl is the default `out`, and a dropped sample names its
    neighbour.

    Raises:
        InputError: a file or value that cannot be used.
        MissingExtraError: the embedder needs a package that is not installed.
    """
    from curate.cli.display import counted
    from curate.pipeline.dataset import dedup_dataset

    with counted("dedup", quiet=quiet) as meter:
        report = dedup_dataset(
            file,
            rouge=rouge,
            embedder=embedder,
            threshold=threshold,
            language=language,
            field=field,
            out=out,
            tick=meter.tick,
        )
    return kept(report)


def export(
    source: str | Path, *, out: str | Path, format: Format = "messages", reasoning: bool = False, quiet: bool = False
) -> Dataset:
    """Write the accepted samples of a run, or any dataset, to the folder `out`, and return the rows as written.

    The folder holds train.jsonl, train.parquet and the dataset card; `reasoning` takes the teacher's reasoning along.

    Raises:
        InputError: no such source or format, or a sample that the format cannot hold.
    """
    from curate.cli.display import counted
    from curate.pipeline.dataset import export_dataset

    with counted("export", quiet=quiet) as meter:
        report = export_dataset(source, out, format=format, reasoning=reasoning, tick=meter.tick)
    return exported(report.out)
