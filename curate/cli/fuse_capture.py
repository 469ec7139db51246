"""`curate fuse capture` and `curate fuse align`: what sources find probable, and that in the target's tokens."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.cli.display import amount, shown, span
from curate.cli.eval import Measuring
from curate.cli.options import output_options
from curate.cli.text import readable
from curate.text import percent

if TYPE_CHECKING:
    from curate.fuse.align import Aligned
    from curate.fuse.capture import Captured, Plan

CAPTURE = """\b
Examples:
  curate fuse capture train.jsonl --model Qwen/Qwen2.5-7B-Instruct --out qwen
  curate fuse capture train.jsonl --model openai:NAME@http://HOST:8000/v1 \\
      --tokenizer NAME --out big --top-k 20
  curate fuse capture minipile.parquet --model mosaicml/mpt-7b --out mpt
  curate fuse align qwen --model SMALL --out qwen-aligned

\b
Of every token of the assistant's turns, the K most probable tokens are kept
with their log-probabilities and the mass of all others: about 35 bytes a
token at K = 10, and 13 more for its place and how improbable it was.
The source reads each sample in its own chat template.

\b
Rows of {"text": ...} are plain documents: every token of the text is kept, and
the one that ends it (the tokenizer's eos_token); no template is needed. One
that is longer than --max-length is read in pieces of that many tokens, each
without what came before it and beginning with the last token of the one
before. With the same tokenizer and --max-length these are the pieces of
`curate train fuse --long split`; else a piece of the one begins elsewhere than
one of the other, and only the text is the same.

\b
MODEL is a name on the Hub or a folder (in process), or openai:NAME@URL and
vllm:NAME for a server that gives log-probabilities of a prompt (vLLM does)
and lists as many as K (vLLM: --max-logprobs). openai:NAME@URL needs
--tokenizer, the folder or name of its tokenizer.

\b
The same command again goes on where it stopped, to the same bytes. Samples
without distributions are in OUT/dropped.jsonl, with the reason.
"""


ALIGN = """\b
Examples:
  curate fuse align qwen --model SMALL --out qwen-aligned
  curate fuse align qwen --model SMALL --out qwen-mined --method mined
  curate train fuse train.jsonl --model SMALL --dists qwen-aligned --out fused

\b
bytes        Where both tokenizers have a boundary at the same byte, the
             source's row in the target's ids: by the bytes a token stands
             for, else the first token of the target's spelling of them.
em           FuseLLM: time warping over the tokens, rows behind pairs that are
             spelled alike, ids by equal bytes.
mined        FuseLLM: likewise, and pairs that the vocabularies' map puts
             together; ids by equal bytes, else the least edit distance.
statistics   FuseChat: pairs by their ends; ids by equal bytes, else what time
             warping put together most often in this folder.
statistics-published   The same, with the weight of the released code.

\b
A place that the two do not share, or where the source read another text (lower
case, unknown characters), has no row. Mass of ids that fall together is
summed; what has no counterpart goes to the tail. The end of a turn is mapped
to the end of a turn, that of a document to that of a document, other special
tokens to nothing. The same tokenizer on both sides leaves all as it is.
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
    """Capture what a source finds probable at every token of the assistant, or of plain documents."""
    from curate.train import look_for_torch

    look_for_torch("curate fuse capture")
    from curate.fuse.capture import Options
    from curate.fuse.capture import capture as work

    options = Options(model, out, top_k, limit, max_length, template, tokenizer)

    def planned(plan: Plan) -> None:
        if not quiet:
            for line in _plan_lines(plan):
                click.echo(readable(line), err=True)

    meter = Measuring(quiet, "capture")
    with shown(meter, quiet=quiet):
        made = work(dataset, options, tick=meter.tick, doing=meter.doing, planned=planned)
    if as_json:
        click.echo(json.dumps(made.as_json(), ensure_ascii=False))
        return
    for line in _captured_lines(made):
        click.echo(readable(line))


@click.command(epilog=ALIGN)
@click.argument("captured", metavar="CAPTURED", type=click.Path(path_type=Path, file_okay=False))
@click.option("--model", metavar="TARGET", required=True, help="The model that is to learn; its tokenizer is enough.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), required=True,
              help="Where the aligned distributions are kept.")  # fmt: skip
@click.option("--method", metavar="NAME", default="bytes", show_default=True,
              help="bytes, em, mined, statistics, statistics-published; see below.")  # fmt: skip
@click.option("--template", metavar="NAME|FILE", help="A chat template, for targets that have none. [default: its own]")
@click.option("--cache", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
              help="Where maps between vocabularies are kept. [default: ~/.cache/curate/maps]")  # fmt: skip
@output_options
def align(
    captured: Path, model: str, out: Path, method: str, template: str | None, cache: Path | None, quiet: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Align captured distributions with the tokens of the target."""
    from curate.train import look_for_torch

    look_for_torch("curate fuse align")
    from curate.fuse.align import Options
    from curate.fuse.align import align as work

    meter = Measuring(quiet, "align", "turns")
    with shown(meter, quiet=quiet):
        made = work(captured, Options(model, out, method, template, cache), tick=meter.tick,
                    phase=lambda name, unit: begin(meter, name, unit))  # fmt: skip
    if as_json:
        click.echo(json.dumps(made.as_json(), ensure_ascii=False))
        return
    for line in _aligned_lines(made):
        click.echo(readable(line))


def begin(meter: Measuring, name: str, unit: str) -> None:
    """Let a part of an alignment have a time left of its own."""
    meter.unit = unit
    meter.doing(name)


def _aligned_lines(made: Aligned) -> Iterator[str]:
    unit = "documents" if made.documents else "turns"
    yield f"align {made.captured}: {made.records:,} {unit} in {span(made.seconds)}"
    yield f"  target   {made.model}"
    share = f" ({percent(made.rows / made.positions)})" if made.positions else ""
    yield f"  rows     {made.rows:,} of the target's {made.positions:,} tokens{share}, by {made.method}"
    yield f"  kinds    {', '.join(f'{kind} {count:,}' for kind, count in made.kinds.items())}"
    if made.tail is not None and made.before is not None:
        yield f"  tail     {made.tail:.3f} of the probability is in no row's tokens; captured {made.before:.3f}"
    if made.dropped:
        named = ", ".join(f"{reason} {count:,}" for reason, count in sorted(made.dropped.items()))
        yield f"  dropped  {sum(made.dropped.values()):,} {unit} without a row ({named})"
    for note in made.notes:
        yield f"  note     {note}"
    out, model = shlex.quote(str(made.out)), shlex.quote(made.model)
    yield f"\nNext: curate train fuse DATASET --model {model} --dists {out} --out fused"


def _plan_lines(plan: Plan) -> Iterator[str]:
    yield f"plan: {plan.samples:,} samples, about {amount(plan.tokens)} tokens to read, {amount(plan.rows)} to keep"
    done = f"; {plan.done:,} of {plan.shards:,} shards are there" if plan.done else ""
    yield f"  disk     about {_size(plan.bytes)}{done}"
    yield ""


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def _captured_lines(made: Captured) -> Iterator[str]:
    what = "documents" if made.documents else f"turns of {made.samples:,} samples"
    yield f"capture {made.source}: {made.records:,} {what} in {span(made.seconds)}"
    yield f"  source   {made.model}"
    per = f", {made.bytes / made.rows:.0f} bytes each with text and places" if made.rows else ""
    yield f"  tokens   {made.rows:,} ({_size(made.bytes)}{per})"
    if made.nats_per_byte is not None:
        yield f"  nll      {made.nats_per_byte:.4f} nats per byte"
    if made.cut and made.documents:
        yield (
            f"  pieces   {made.cut:,} documents have more than {made.max_length:,} tokens and were read in pieces of "
            "so many, each without what came before it"
        )
    elif made.cut:
        yield f"  cut      {made.cut:,} samples are longer than the source reads; their ends are not captured"
    if made.dropped:
        named = ", ".join(f"{reason} {count:,}" for reason, count in sorted(made.dropped.items()))
        yield f"  dropped  {sum(made.dropped.values()):,} ({named}), in {made.out / 'dropped.jsonl'}"
    for note in made.notes:
        yield f"  note     {note}"
    out = shlex.quote(str(made.out))
    yield f"\nNext: curate fuse align {out} --model TARGET --out {shlex.quote(str(made.out) + '-aligned')}"
