"""`curate eval`: how well models do on samples, side by side."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.cli.display import Meter, amount, on_screen, say, shown
from curate.cli.options import output_options
from curate.cli.text import readable
from curate.text import percent

if TYPE_CHECKING:
    from curate.train.evaluate import Evaluation
    from curate.train.progress import Listener
    from curate.train.scores import Difference, Scores, Share

EPILOG = """\b
Examples:
  curate eval models/math --data held-out.jsonl
  curate eval Qwen/Qwen2.5-0.5B-Instruct models/math --data gsm8k.jsonl
  curate eval BASE models/math --data a.jsonl --data b.jsonl --template chatml
  curate eval BASE models/more --data held-out-texts.jsonl
  curate eval models/math --data gsm8k.jsonl --limit 200 --new-tokens 0 --json

\b
loss         mean negative log-likelihood (nats) of a token of the assistant,
             with a 95 % interval over samples; perplexity is exp(loss)
exact match  share of problems whose marked answer (boxed, or after Answer:
             or ####) equals the known one as mathematics (math-verify)
last number  the same, with the last number where no answer is marked
no mark      share of the replies without a marked answer

\b
Problems are the samples with a known answer: a column final_answer, answer or
gold, or what the response itself marks, as GSM8K's does. Models answer
greedily. Rows of {"text": ...} are plain documents: the loss of every token of
their first --max-length, without a template, and no problems. Of several
models, each later one is compared with the first, sample by sample; a loss for
each token compares only models with the same tokens. The same command again
computes only what is missing.
"""


@click.command(name="eval", epilog=EPILOG)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--data", metavar="FILE", multiple=True, required=True, help="Samples, in any format; repeat for more.")
@click.option("--limit", metavar="N", type=int, help="Take the first N samples of each file. [default: all]")
@click.option("--new-tokens", metavar="N", type=int, default=512, show_default=True,
              help="Tokens of a reply at most; 0: no replies, the loss alone.")  # fmt: skip
@click.option("--max-length", metavar="N", type=int, help="Tokens of a sample at most. [default: 2,048 or the context]")
@click.option("--template", metavar="NAME|FILE", help="A chat template, for models that have none. [default: its own]")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), default="evaluations",
              show_default=True, help="Where figures, losses and replies go.")  # fmt: skip
@output_options
def eval_(
    models: tuple[str, ...],
    data: tuple[str, ...],
    limit: int | None,
    new_tokens: int,
    max_length: int | None,
    template: str | None,
    out: Path,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure models on samples they were not trained on: loss, and exact match on mathematics.

    MODEL is a folder, of adapters too, or a name on the Hub; give the one from before training first.
    """
    found = evaluated(models, data, limit, new_tokens, max_length, template, out, quiet=quiet)
    if as_json:
        click.echo(json.dumps(found.as_json(), ensure_ascii=False))
        return
    for text in summary(found):
        click.echo(readable(text))


def evaluated(
    models: Sequence[str],
    data: Sequence[str],
    limit: int | None,
    new_tokens: int,
    max_length: int | None,
    template: str | None,
    out: Path,
    *,
    quiet: bool,
) -> Evaluation:
    """Evaluate with progress on stderr; the parameters are those of the command."""
    from curate.train import run_eval

    meter = Measuring(quiet)
    with shown(meter, quiet=quiet):
        return run_eval(
            meter.listener(), models=tuple(models), data=tuple(data), out=out, limit=limit, new=new_tokens,
            max_length=max_length, template=template,
        )  # fmt: skip


class Measuring(Meter):
    """What is done with which model, and how far that is."""

    def __init__(self, quiet: bool, verb: str = "eval", unit: str = "samples") -> None:
        super().__init__(f"{verb}: loads PyTorch", unit)
        self.quiet, self.verb = quiet, verb
        self.said = ""

    def listener(self) -> Listener:
        """Return what an evaluation tells of itself to."""
        from curate.train.progress import Listener

        return Listener(say=self.say, doing=self.doing, reading=self.tick)

    def say(self, note: str) -> None:
        """Print a note as a line of its own."""
        if not self.quiet:
            say(readable(f"note: {note}"))

    def doing(self, name: str) -> None:
        """Take what begins."""
        self.name, self.done, self.total = readable(f"{self.verb}: {name}"), 0, None

    def line(self) -> str:
        """Return what to show; off a terminal nothing where that was shown already."""
        line = super().line() or self.name
        if not on_screen() and line == self.said:
            return ""
        self.said = line
        return line


def summary(found: Evaluation) -> Iterator[str]:
    """Yield a table for each dataset, the models beside each other, and how they differ."""
    for path in dict.fromkeys(one.data for one in found.scores):
        scores = [one for one in found.scores if one.data == path]
        yield f"{path}: {_counts(scores[0])}"
        yield from _table(scores)
        yield from (line for one in found.differences if one.data == path and (line := _difference(one, scores)))
        yield ""
    yield f"  rows     {found.out}/*/losses.jsonl, answers.jsonl"
    yield f"  figures  {found.out / 'results.json'}"
    if len({one.model for one in found.scores}) == 1:
        files = " ".join(f"--data {shlex.quote(path)}" for path in dict.fromkeys(one.data for one in found.scores))
        yield f"\nNext: curate eval BEFORE {shlex.quote(found.scores[0].model)} {files}"


def _counts(scores: Scores) -> str:
    words = [f"{scores.samples:,} samples, {amount(scores.targets)} target tokens"]
    if scores.dropped:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(scores.dropped.items()))
        words.append(f"{sum(scores.dropped.values()):,} dropped ({reasons})")
    if scores.cut:
        words.append(f"{scores.cut:,} longer than a document, cut and not asked")
    if scores.exact:
        words.append(f"{scores.exact.of:,} problems")
    return "; ".join(words)


def _table(scores: Sequence[Scores]) -> Iterator[str]:
    rows = [
        ["", *_names([one.model for one in scores])],
        ["loss", *(_plus(one.loss.value, one.loss.half, 4) for one in scores)],
        ["perplexity", *(f"{one.perplexity:,.4g}" for one in scores)],
    ]
    if any(one.exact for one in scores):
        for name, key in (("exact match", "exact"), ("last number", "lenient"), ("no mark", "unmarked")):
            rows.append([name, *(_share(getattr(one, key)) for one in scores)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _names(models: Sequence[str]) -> list[str]:
    short = [Path(model).name for model in models]
    return short if len(set(short)) == len(short) else list(models)


def _plus(value: float, half: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" + (f" ± {half:.{digits}f}" if half is not None else "")


def _share(share: Share | None) -> str:
    if share is None:
        return "-"
    low, high = share.interval
    return f"{percent(share.value)} ({percent(low)} to {percent(high)})"


def _difference(one: Difference, scores: Sequence[Scores]) -> str:
    names = dict(zip([each.model for each in scores], _names([each.model for each in scores]), strict=True))
    words = []
    if one.loss is not None:
        half = f" ± {one.loss.half:.4f}" if one.loss.half is not None else ""
        words.append(f"loss {one.loss.value:+.4f}{half}")
    else:
        words.append("losses do not compare (other tokens)")
    if one.gained is not None:
        words.append(f"{one.gained:,} more problems right, {one.lost:,} no longer")
    return f"  {names[one.model]} against {names[scores[0].model]}: {'; '.join(words)}"
