"""One stage on anybody's dataset: filter, dedup, decontaminate; and where it goes: export, pull."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from curate.api.rows import kept, split_rows

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from curate.pipeline.dedup_calibrate import Calibration

Format = Literal["messages", "alpaca", "prompt_completion", "sharegpt"]


def filter(
    file: str | Path,
    *,
    domain: str | Path | None = None,
    rules: str | Path | None = None,
    language: str = "",
    fields: Mapping[str, str] | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
) -> Dataset:
    """Keep the samples of a dataset that hold to the rules of a domain, or of a rules file.

    `file` is a .jsonl, .json, .parquet or .csv file, a run's folder, a folder saved by `datasets`, or a name on the
    Hub. The kept samples are written to `out` (FILE.filtered.jsonl) and returned with the columns `id`, `task`,
    `messages` and `meta` (JSON). The dropped ones lie beside it as NAME.dropped.jsonl, with reasons: read them with
    `curate.show(out, dropped=True)`. `fields` names the columns of a format that is not known, such as
    `{"instruction": "question", "response": "reply"}`.

    Raises:
        InputError: neither or both of `domain` and `rules`, or a file or value that cannot be used.
    """
    from curate.cli.display import counted
    from curate.pipeline.dataset import filter_dataset

    with counted("filter", quiet=quiet) as meter:
        report = filter_dataset(
            file, domain=domain, rules=rules, language=language, fields=fields, out=out, tick=meter.tick
        )
    return kept(report)


def dedup(
    file: str | Path,
    *,
    keep: Literal["best", "first", "longest", "center", "facility"] = "best",
    score: str = "",
    rouge: float | None = 0.7,
    embedder: str | None = None,
    threshold: float | str | None = None,
    language: str = "en",
    field: Literal["text", "instruction"] = "text",
    fields: Mapping[str, str] | None = None,
    exact: bool = False,
    against: str | Path | None = None,
    add_to: str | Path | None = None,
    out: str | Path | None = None,
    budget_calls: int | None = None,
    budget_tokens: int | None = None,
    budget_usd: float | None = None,
    quiet: bool = False,
) -> Dataset:
    """Drop exact, ROUGE-L and semantic near-duplicates over a whole dataset, and return what is kept.

    No two kept samples are the same; each dropped one names a kept one, and the score. `keep` says who of its like
    stays: `best` has the highest number in the column `score` (the judge's grade unless given), `first` goes by the
    rows, and nothing else does. `rouge` is the ROUGE-L above which two samples are the same, None leaves that
    comparison out, as the embedder "none" does for the one by meaning. `threshold` is a cosine, the embedder's own
    unless given, or "calibrated": what `curate.calibrate` found. Another one after a first run is decided at once.
    `exact` finds every near pair also beyond 500,000 texts (with torch 1,500,000), where it takes long.

    `against` is another dataset, of which nothing may come again. `add_to` is a file to which the new samples are
    added, and it is returned whole. `file` and what is written and returned are as for `filter`; FILE.deduped.jsonl is
    the default `out`. Budgets are for an embedder behind an API, over all calls for this `out`; nothing is paid twice.

    Raises:
        InputError: a file or value that cannot be used.
        MissingExtraError: the embedder needs a package that is not installed.
        Unsent: the budget is spent; the same call with a larger one goes on.
    """
    from curate.cli.display import counted
    from curate.models import Budget
    from curate.pipeline.dedup import dedup_dataset

    with counted("dedup", quiet=quiet) as meter:
        report = dedup_dataset(
            file,
            keep=keep,
            score=score,
            rouge=rouge,
            embedder=embedder,
            threshold=threshold,
            language=language,
            field=field,
            fields=fields,
            exact=exact,
            against=against,
            add_to=add_to,
            out=out,
            budget=Budget(budget_calls, budget_tokens, budget_usd),
            tick=meter.tick,
        )
    return kept(report)


def calibrate(
    file: str | Path,
    *,
    precision: float = 0.95,
    pairs: int = 200,
    judge: str | None = None,
    mark: Callable[[str, str], bool | None] | None = None,
    rouge: float | None = 0.7,
    embedder: str | None = None,
    language: str = "en",
    field: Literal["text", "instruction"] = "text",
    fields: Mapping[str, str] | None = None,
    budget_calls: int | None = None,
    budget_tokens: int | None = None,
    budget_usd: float | None = None,
    quiet: bool = False,
) -> Calibration:
    """Find the cosine above which the share `precision` of pairs are duplicates, by marked pairs.

    `pairs` pairs are drawn by bands of the cosine. Those without a mark are shown to the model `judge`
    ("openai:NAME@URL"), within the budgets, or to `mark(left, right)`, which returns True for duplicates, False, or
    None where nobody can tell; with neither, they wait in FILE.calibration/pairs.jsonl for an editor. Marks are kept,
    and nobody is asked twice. What comes back has `threshold` (None where none has the precision), its interval `low`
    to `high`, and the `estimates`; `curate.dedup(file, threshold="calibrated")` uses it.

    Raises:
        InputError: a value or file that cannot be used, or a dataset without any near pair.
        ModelError: the judge cannot be asked.
    """
    from curate.cli.display import counted
    from curate.embed import default_encoder
    from curate.models import Budget, open_model
    from curate.pipeline.dataset import known_language
    from curate.pipeline.dedup_calibrate import open_calibration

    named = embedder or default_encoder(known_language(language))
    with counted("calibrate", quiet=quiet) as meter:
        work = open_calibration(
            file,
            pairs=pairs,
            tick=meter.tick,
            rouge=rouge,
            embedder=named,
            language=language,
            field=field,
            fields=fields,
        )
        if judge is not None:
            work.ask(open_model("judge", judge), Budget(budget_calls, budget_tokens, budget_usd), meter.tick)
        for pair in work.open if mark is not None else ():
            assert mark is not None
            work.marks.add(pair, mark(pair.left, pair.right))
        return work.finish(precision)


def decontaminate(
    file: str | Path,
    *,
    against: str | Path | Iterable[str | Path],
    embedder: str | None = None,
    threshold: float | None = None,
    language: str = "en",
    fields: Mapping[str, str] | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
) -> Dataset:
    """Drop the samples that contain text of a benchmark, and return what is kept.

    `against` names the benchmarks: "gsm8k", "math", "mmlu" and "ifeval" come from the Hub; a file, or "NAME=FILE", has
    a column question, problem or prompt, or any layout that `file` may have. A sample is dropped if it has at least
    half of an item's question, question with choices, or worked answer in runs of 13 words (`ngram`), or if its
    instruction means what a question does (`semantic`): a cosine above `threshold`, the embedder's own unless given.
    The embedder "none" leaves the latter out.

    `file` and what is written and returned are as for `filter`; FILE.decontaminated.jsonl is the default `out`. The
    dropped rows have the benchmark, the item and both passages: `curate.show(out, dropped=True)`.

    Raises:
        InputError: a file, a value or a benchmark that cannot be used.
        MissingExtraError: the embedder needs a package that is not installed.
    """
    from curate.cli.display import counted
    from curate.pipeline.decontaminate import decontaminate_dataset

    with counted("decontaminate", quiet=quiet) as meter:
        report = decontaminate_dataset(
            file,
            against=against,
            embedder=embedder,
            threshold=threshold,
            language=language,
            fields=fields,
            out=out,
            tick=meter.tick,
        )
    return kept(report)


def export(
    source: str | Path,
    *,
    out: str | Path | None = None,
    format: Format = "messages",
    reasoning: bool = False,
    splits: Mapping[str, float] | None = None,
    split_seed: int = 0,
    licence: str = "",
    push: str = "",
    public: bool = False,
    quiet: bool = False,
) -> Dataset | DatasetDict:
    """Write the accepted samples of a run, or any dataset, to the folder `out` or to the Hub; return the rows.

    The folder holds train.jsonl, train.parquet and the dataset card; `reasoning` takes the teacher's reasoning along.
    `splits={"test": 0.1}` holds a tenth of the rows out, and a `DatasetDict` is returned. `push="user/name"` uploads to
    the Hub, private unless `public`, and needs a `licence` such as "apache-2.0"; the token is HF_TOKEN or the login.
    What a person decided in the local page is honoured.

    Raises:
        InputError: no such source, format or licence, or a sample that the format cannot hold.
        HubError: the Hub refuses, or cannot be reached.
    """
    import tempfile
    from contextlib import ExitStack

    from curate.cli.display import counted
    from curate.export.splits import Splits
    from curate.pipeline.export import export_dataset

    with ExitStack() as stack:
        # The rows are read from the folder, so there is one even where they go to the Hub alone.
        folder = out if out is not None or not push else stack.enter_context(tempfile.TemporaryDirectory())
        with counted("export", quiet=quiet) as meter:
            report = export_dataset(
                source,
                folder,
                format=format,
                reasoning=reasoning,
                splits=Splits(splits or {}, split_seed),
                licence=licence,
                push=push,
                public=public,
                quiet=quiet,
                tick=meter.tick,
                tell=_quiet if quiet else _tell,
            )
        assert report.out is not None
        return split_rows(report.out, report.splits)


def pull(repo: str, *, out: str | Path | None = None, quiet: bool = False) -> Path:
    """Bring a dataset from the Hub to the folder `out` (NAME unless given), and return it.

    It holds the dataset card and SPLIT.jsonl for each split; `curate.stats(folder)`, `curate.dedup(folder)` and the
    others work on it. What `export(push=...)` uploaded comes back as it was.

    Raises:
        InputError: no such name, or a folder that holds something else.
        HubError: no such dataset, or the Hub cannot be reached.
    """
    from curate.cli.display import counted
    from curate.pipeline.export import pull_dataset

    with counted("pull", quiet=quiet) as meter:
        return pull_dataset(repo, out, quiet=quiet, tick=meter.tick, tell=_quiet if quiet else _tell).out


def _tell(line: str) -> None:
    import click

    from curate.cli.text import readable

    click.echo(readable(line), err=True)


def _quiet(line: str) -> None:
    """Say nothing."""
