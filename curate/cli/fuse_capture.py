"""`curate fuse capture` and `curate fuse align`: what sources find probable, and that in the target's tokens."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.cli.display import amount, counted, span
from curate.cli.options import output_options
from curate.cli.text import readable

if TYPE_CHECKING:
    from curate.fuse.capture import Captured, Plan

CAPTURE = """\b
Examples:
  curate fuse capture train.jsonl --model Qwen/Qwen2.5-7B-Instruct --out qwen
  curate fuse capture train.jsonl --model openai:NAME@http://HOST:8000/v1 \\
      --tokenizer NAME --out big --top-k 20
  curate fuse align qwen --model SMALL --out qwen-aligned

\b
Of every token of the assistant's turns, the K most probable tokens are kept
with their log-probabilities and the mass of all others: about 35 bytes a
token at K = 10, and 13 more for its place and how improbable it was.
The source reads each sample in its own chat template.

\b
MODEL is a name on the Hub or a folder (in process), or openai:NAME@URL and
vllm:NAME for a server that gives log-probabilities of a prompt (vLLM does);
such a source needs --tokenizer, the folder or name of its tokenizer, and a
server that lists as many as K (vLLM: --max-logprobs).

\b
The same command again goes on where it stopped, to the same bytes. Samples
without distributions are in OUT/dropped.jsonl, with the reason.
"""


@click.command(epilog=CAPTURE)
@click.argument("dataset", metavar="DATASET")
@click.option("--model", metavar="MODEL", required=True, help="The source: a causal model, or a server of one.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), required=True,
              help="Where the distributions are kept.")  # fmt: skip
@click.option("--top-k", metavar="K", type=int, default=10, show_default=True, help="Tokens kept of each place.")
@click.option("--limit", metavar="N", type=int, help="Take the first N samples. [default: all]")
@click.option("--max-length", metavar="N", type=int, help="Tokens of a sample at most. [default: 2,048 or the context]")
@click.option("--template", metavar="NAME|FILE", help="A chat template, for models that have none. [default: its own]")
@click.option("--tokenizer", metavar="MODEL", help="The tokenizer of a source behind a server.")
@output_options
def capture(
    dataset: str, model: str, out: Path, top_k: int, limit: int | None, max_length: int | None, template: str | None,
    tokenizer: str | None, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Capture what a source finds probable at every token of the assistant."""
    from curate.train import look_for_torch

    look_for_torch("curate fuse capture")
    from curate.fuse.capture import Options
    from curate.fuse.capture import capture as work

    options = Options(model, out, top_k, limit, max_length, template, tokenizer)

    def planned(plan: Plan) -> None:
        if not quiet:
            for line in _plan_lines(plan):
                click.echo(readable(line), err=True)

    with counted("capture", quiet=quiet) as meter:
        made = work(dataset, options, tick=meter.tick, planned=planned)
    if as_json:
        click.echo(json.dumps(made.as_json(), ensure_ascii=False))
        return
    for line in _captured_lines(made):
        click.echo(readable(line))


def _plan_lines(plan: Plan) -> Iterator[str]:
    yield f"plan: {plan.samples:,} samples, about {amount(plan.tokens)} tokens to read, {amount(plan.rows)} to keep"
    done = f"; {plan.done:,} of {plan.shards:,} shards are there" if plan.done else ""
    yield f"  disk     about {_size(plan.bytes)}{done}"
    yield ""


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def _captured_lines(made: Captured) -> Iterator[str]:
    yield f"capture {made.source}: {made.records:,} turns of {made.samples:,} samples in {span(made.seconds)}"
    yield f"  source   {made.model}"
    per = f", {made.bytes / made.rows:.0f} bytes each with text and places" if made.rows else ""
    yield f"  tokens   {made.rows:,} ({_size(made.bytes)}{per})"
    if made.nats_per_byte is not None:
        yield f"  nll      {made.nats_per_byte:.4f} nats per byte"
    if made.cut:
        yield f"  cut      {made.cut:,} samples are longer than the source reads; their ends are not captured"
    if made.dropped:
        named = ", ".join(f"{reason} {count:,}" for reason, count in sorted(made.dropped.items()))
        yield f"  dropped  {sum(made.dropped.values()):,} ({named}), in {made.out / 'dropped.jsonl'}"
    for note in made.notes:
        yield f"  note     {note}"
    out = shlex.quote(str(made.out))
    yield f"\nNext: curate fuse align {out} --model TARGET --out {shlex.quote(str(made.out) + '-aligned')}"
