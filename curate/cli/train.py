"""`curate train`: fine-tune a model on a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.dataset import fields_option
from curate.cli.display import Meter, amount, on_screen, shown, span
from curate.cli.options import output_options
from curate.cli.text import readable
from curate.errors import InputError

if TYPE_CHECKING:
    from curate.export.hub import Pushed
    from curate.train.outcome import Trained
    from curate.train.progress import Listener, Progress
    from curate.train.settings import Settings

EPILOG = """\b
Examples:
  curate train sft runs/math --model Qwen/Qwen2.5-0.5B --out models/math
  curate train sft data.jsonl --model Qwen/Qwen3-8B --out m --method lora
  curate train sft a.jsonl:0.7 b.jsonl:0.3 --model M --out m --held-out 0.02
  curate train sft a.json --model M --out m --weights bfloat16 --states 8bit
  curate train sft data.jsonl --model BASE --out m --template chatml
  curate train sft data.jsonl --model M --out m --recipe explore-instruct
  curate train sft data.jsonl --model M --out m --push me/my-model

\b
DATASET is what `curate export` writes or a run's folder, a file in the same
formats, or a name on the Hub; several are mixed, each FILE or FILE:WEIGHT, or
a .yaml that lists them. The loss is on the assistant's tokens alone. Samples
are packed without seeing each other: packing changes the speed, not the
result.

\b
The same command again goes on from the last checkpoint, to the same weights.
--out then holds
  *.safetensors, tokenizer, config   the model, for transformers and vLLM
  README.md, loss.svg, samples.json  its card; what it said before and after
  metrics.jsonl, tensorboard/        figures of each update
  checkpoints/, tokens/              to go on from; may be deleted at the end
"""


SHORT = """\b
Examples:
  curate train sft runs/math --model Qwen/Qwen2.5-0.5B --out models/math
  curate train sft --help
"""


@click.group(epilog=SHORT)
def train() -> None:
    """Train a model on a dataset."""


def _recipe(context: click.Context, _: click.Parameter, name: str | None) -> str | None:
    """Put a recipe's settings in the place of the defaults; what the command says itself goes before both."""
    if name:
        from curate.train.recipe import load_recipe

        context.default_map = load_recipe(name).settings
    return name


@train.command(epilog=EPILOG)
@click.option("--recipe", metavar="NAME|FILE", is_eager=True, expose_value=False, callback=_recipe,
              help="Settings as published: explore-instruct, kca, fusechat-3.0-llama, -qwen, -gemma; or a .yaml of "
              "options.")  # fmt: skip
@click.argument("datasets", metavar="DATASET...", nargs=-1, required=True)
@click.option("--model", metavar="NAME|DIR", required=True, help="The model to start from, on the Hub or in a folder.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), required=True,
              help="Where the trained model goes.")  # fmt: skip
@click.option("--method", type=click.Choice(["full", "lora", "qlora"]), default="full", show_default=True,
              help="All weights, low-rank adapters, or adapters on a model in 4 bits.")  # fmt: skip
@click.option("--merge/--adapter", default=True, help="Put adapters into the weights at the end, or keep them apart.")
@click.option("--epochs", metavar="N", type=int, default=3, show_default=True, help="Times through the samples.")
@click.option("--steps", metavar="N", type=int, help="End after so many updates. [default: all of the epochs]")
@click.option("--batch", metavar="N", type=int, default=64, show_default=True, help="Samples for each update.")
@click.option("--tokens", metavar="N", type=int, help="Tokens that pass through the model at a time. "
              "[default: 16,384 on a GPU, 4,096 on a CPU]")  # fmt: skip
@click.option("--pack/--no-pack", default=True, help="Put several samples into one pass, or one.")
@click.option("--max-length", metavar="N", type=int, help="Tokens of a sample at most. [default: 2,048 or the context]")
@fields_option
@click.option("--long", type=click.Choice(["truncate", "split", "drop"]), default="truncate", show_default=True,
              help="What becomes of longer samples.")  # fmt: skip
@click.option("--template", metavar="NAME|FILE", help="A chat template, for a model that has none. [default: its own]")
@click.option("--lr", metavar="X", type=float, help="Highest learning rate. [default: 2e-5; adapters: 2e-4]")
@click.option("--schedule", type=click.Choice(["cosine", "linear", "constant"]), default="cosine", show_default=True,
              help="How the learning rate falls.")  # fmt: skip
@click.option("--warmup", metavar="X", type=float, default=0.03, show_default=True, help="Share of the "
              "updates in which the learning rate rises.")  # fmt: skip
@click.option("--weight-decay", metavar="X", type=float, default=0.0, show_default=True, help="Of AdamW.")
@click.option("--clip", metavar="X", type=float, default=1.0, show_default=True, help="Largest norm of a gradient.")
@click.option("--neftune", metavar="X", type=float, default=0.0, show_default=True,
              help="Noise on the embeddings; its authors use 5.")  # fmt: skip
@click.option("--lora-rank", metavar="N", type=int, default=16, show_default=True, help="Rank of the adapters.")
@click.option("--lora-alpha", metavar="N", type=int, default=32, show_default=True, help="Their scale, times rank.")
@click.option("--weights", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True,
              help="How trained weights are kept; bfloat16 is rounded stochastically.")  # fmt: skip
@click.option("--states", type=click.Choice(["float32", "8bit"]), default="float32", show_default=True,
              help="How AdamW's moments are kept.")  # fmt: skip
@click.option("--recompute", metavar="N", type=int, help="Layers whose activations are computed again to save memory. "
              "[default: as few as fit]")  # fmt: skip
@click.option("--compile", is_flag=True, help="Compile the layers: a slow start, then faster.")
@click.option("--held-out", metavar="X", type=float, default=0.0, show_default=True,
              help="Share of the samples to measure the loss on instead of training.")  # fmt: skip
@click.option("--stream", is_flag=True, help="Read JSON lines or Parquet while training, for data larger than memory "
              "and disk.")  # fmt: skip
@click.option("--seed", metavar="S", type=int, default=0, show_default=True, help="Of order, adapters and noise.")
@click.option("--save-every", metavar="N", type=int, help="Updates between checkpoints. [default: a tenth of all]")
@click.option("--keep", metavar="N", type=int, default=1, show_default=True, help="Checkpoints to keep.")
@click.option(
    "--samples", metavar="N", type=int, default=3, show_default=True, help="Prompts to answer before and after."
)
@click.option("--push", metavar="USER/NAME", default="", help="Upload the model and its card to the Hub at the end.")
@click.option("--public", is_flag=True, help="Make the model on the Hub public; it is private otherwise.")
@click.option("--wandb", is_flag=True, help="Send the figures to Weights & Biases too.")
@output_options
def sft(quiet: bool, as_json: bool, push: str, public: bool, **options: Any) -> None:
    """Fine-tune a causal language model on conversations.

    Packs of whole samples, a loss on the assistant's tokens alone, one mean over all of an update's targets.
    """
    from curate.train.launch import rank
    from curate.train.settings import Settings

    others = rank() > 0  # the first process of a launch speaks for all
    trained, pushed = train_and_push(Settings(**options), "" if others else push, public, quiet or others)
    if others:
        return
    if as_json:
        click.echo(json.dumps({**trained.as_json(), **({"pushed": pushed.as_json()} if pushed else {})}))
        return
    for text in _summary(trained, pushed):
        click.echo(readable(text))


def train_and_push(settings: Settings, push: str, public: bool, quiet: bool) -> tuple[Trained, Pushed | None]:
    """Train, and upload the model where `push` names one; whether that may be done is asked before the training."""
    from curate.export.hub import MODEL, push_model, target
    from curate.train import run_sft

    if public and not push:
        raise InputError("--public says how a model lies on the Hub; name it with --push USER/NAME")
    meter = Training(quiet)
    to = target(push, public, MODEL) if push else None
    for note in to.notes if to else ():
        meter.say(note)
    with shown(meter, quiet=quiet):
        trained = run_sft(settings, meter.listener())
    return trained, push_model(to, trained.out, meter.say, quiet) if to else None


class Training(Meter):
    """What a run is doing: how far the reading of the dataset is, then the figures of the last update."""

    def __init__(self, quiet: bool = False) -> None:
        super().__init__("train: loads PyTorch")
        self.quiet = quiet
        self.progress: Progress | None = None
        self.said = ""

    def listener(self) -> Listener:
        """Return what a run tells of itself to."""
        from curate.train.progress import Listener

        return Listener(self.watch, self.say, self.doing, self.tick)

    def say(self, note: str) -> None:
        """Print a note as a line of its own."""
        if not self.quiet:
            click.echo(readable(f"note: {note}"), err=True)

    def doing(self, name: str) -> None:
        """Take what begins."""
        self.name, self.progress, self.done = f"train: {name}", None, 0

    def watch(self, progress: Progress) -> None:
        """Take the figures of an update."""
        self.progress = progress

    def line(self) -> str:
        """Return what to show; off a terminal nothing where that was shown already."""
        line = self._update(self.progress) if self.progress else super().line() or self.name
        if not on_screen() and line == self.said:
            return ""
        self.said = line
        return line

    @staticmethod
    def _update(now: Progress) -> str:
        held = f" · held out {now.held_out_loss:.4f}" if now.held_out_loss is not None else ""
        return (
            f"update {now.step:,} of {now.steps:,} · epoch {now.epoch:.2f} · loss {now.loss:.4f}{held} · "
            f"lr {now.lr:.2e} · {amount(now.tokens_per_second)} tokens/s · MFU {now.mfu:.2f} · "
            f"padding {now.padding:.1%} · {now.memory / 1e9:.1f} GB · {span(now.left)} left"
        )


def _summary(trained: Trained, pushed: Pushed | None) -> list[str]:
    dropped = f", {trained.dropped:,} dropped (tokens/*/dropped.jsonl)" if trained.dropped else ""
    lines = [
        f"{trained.steps:,} updates on {trained.samples:,} samples of {amount(trained.tokens)} tokens{dropped}",
        f"  loss      {trained.loss:.4f} over the last updates (loss.svg)",
        f"  speed     {amount(trained.tokens_per_second)} tokens/s, MFU {trained.mfu:.2f} of {trained.peak}; "
        f"{span(trained.seconds)}",
        f"  memory    {trained.memory / 1e9:.2f} GB at most; padding {trained.padding:.1%} of the tokens",
        f"  model     {trained.out} ({amount(trained.parameters)} parameters, {amount(trained.trained)} trained)",
    ]
    if trained.before is not None and trained.after is not None:
        lines.insert(2, f"  held out  {trained.before:.4f} before, {trained.after:.4f} after")
    if pushed:
        news = "" if pushed.changed else "; nothing had changed"
        lines.append(f"  hub       {pushed.url}  ({'private' if pushed.private else 'public'}{news})")
    return [*lines, "", f"Next: read {trained.out / 'README.md'}, or serve it: vllm serve {trained.out}"]
