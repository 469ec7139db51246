"""What the commands that train have in common: options, what is shown meanwhile, and what is said at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.dataset import fields_option
from curate.cli.display import Meter, amount, on_screen, say, shown, span
from curate.cli.options import Command, output_options
from curate.cli.text import readable
from curate.errors import InputError

if TYPE_CHECKING:
    from curate.export.hub import Pushed
    from curate.train.outcome import Trained
    from curate.train.progress import Listener, Progress
    from curate.train.settings import Settings

GIVEN: tuple[Callable[..., Any], ...] = (
    click.argument("datasets", metavar="DATASET...", nargs=-1, required=True),
    click.option(
        "--model", metavar="NAME|DIR", required=True, help="The model to start from, on the Hub or in a folder."
    ),
    click.option(
        "--out",
        metavar="DIR",
        type=click.Path(path_type=Path, file_okay=False),
        required=True,
        help="Where the trained model goes.",
    ),
)
"""What every training is of."""

SETTINGS: tuple[Callable[..., Any], ...] = (
    click.option(
        "--method",
        type=click.Choice(["full", "lora", "qlora"]),
        default="full",
        show_default=True,
        help="All weights, low-rank adapters, or adapters on a model in 4 bits.",
    ),
    click.option(
        "--merge/--adapter", default=True, help="Put adapters into the weights at the end, or keep them apart."
    ),
    click.option("--epochs", metavar="N", type=int, default=3, show_default=True, help="Times through the samples."),
    click.option("--steps", metavar="N", type=int, help="End after so many updates. [default: all of the epochs]"),
    click.option("--batch", metavar="N", type=int, default=64, show_default=True, help="Samples for each update."),
    click.option(
        "--tokens",
        metavar="N",
        type=int,
        help="Tokens that pass through the model at a time. [default: 16,384 on a GPU, 4,096 on a CPU]",
    ),
    click.option("--pack/--no-pack", default=True, help="Put several samples into one pass, or one."),
    click.option(
        "--max-length", metavar="N", type=int, help="Tokens of a sample at most. [default: 2,048 or the context]"
    ),
    fields_option,
    click.option(
        "--long",
        type=click.Choice(["truncate", "split", "drop"]),
        default="truncate",
        show_default=True,
        help="What becomes of longer samples.",
    ),
    click.option(
        "--template", metavar="NAME|FILE", help="A chat template, for a model that has none. [default: its own]"
    ),
    click.option("--lr", metavar="X", type=float, help="Highest learning rate. [default: 2e-5; adapters: 2e-4]"),
    click.option(
        "--schedule",
        type=click.Choice(["cosine", "linear", "constant"]),
        default="cosine",
        show_default=True,
        help="How the learning rate falls.",
    ),
    click.option(
        "--warmup",
        metavar="X",
        type=float,
        default=0.03,
        show_default=True,
        help="Share of the updates in which the learning rate rises.",
    ),
    click.option("--weight-decay", metavar="X", type=float, default=0.0, show_default=True, help="Of AdamW."),
    click.option("--clip", metavar="X", type=float, default=1.0, show_default=True, help="Largest norm of a gradient."),
    click.option(
        "--neftune",
        metavar="X",
        type=float,
        default=0.0,
        show_default=True,
        help="Noise on the embeddings; its authors use 5.",
    ),
    click.option("--lora-rank", metavar="N", type=int, default=16, show_default=True, help="Rank of the adapters."),
    click.option("--lora-alpha", metavar="N", type=int, default=32, show_default=True, help="Their scale, times rank."),
    click.option(
        "--weights",
        type=click.Choice(["float32", "bfloat16"]),
        default="float32",
        show_default=True,
        help="How trained weights are kept; bfloat16 is rounded stochastically.",
    ),
    click.option(
        "--states",
        type=click.Choice(["float32", "8bit"]),
        default="float32",
        show_default=True,
        help="How AdamW's moments are kept.",
    ),
    click.option(
        "--recompute",
        metavar="N",
        type=int,
        help="Layers whose activations are computed again to save memory. [default: as few as fit]",
    ),
    click.option("--compile", is_flag=True, help="Compile the layers: a slow start, then faster."),
    click.option(
        "--held-out",
        metavar="X",
        type=float,
        default=0.0,
        show_default=True,
        help="Share of the samples to measure the loss on instead of training.",
    ),
    click.option(
        "--stream",
        is_flag=True,
        help="Read JSON lines or Parquet while training, for data larger than memory and disk.",
    ),
    click.option("--seed", metavar="S", type=int, default=0, show_default=True, help="Of order, adapters and noise."),
    click.option("--save-every", metavar="N", type=int, help="Updates between checkpoints. [default: a tenth of all]"),
    click.option("--keep", metavar="N", type=int, default=1, show_default=True, help="Checkpoints to keep."),
    click.option(
        "--samples", metavar="N", type=int, default=3, show_default=True, help="Prompts to answer before and after."
    ),
    click.option(
        "--push", metavar="USER/NAME", default="", help="Upload the model and its card to the Hub at the end."
    ),
    click.option("--public", is_flag=True, help="Make the model on the Hub public; it is private otherwise."),
    click.option("--wandb", is_flag=True, help="Send the figures to Weights & Biases too."),
    output_options,
)
"""The settings of every training."""


ON_THE_WAY = ("margin", "accuracy", "alpha", "fusion_loss")
"""The figures of some kinds of training that are shown after each update; metrics.jsonl has all."""


def training_options(
    kind: Callable[[], type[Settings]],
    recipes: str,
    own: tuple[Callable[..., Any], ...] = (),
    without: tuple[str, ...] = (),
) -> Callable[[Command], Command]:
    """Return what adds the options of a training: `recipes` names those shipped, `own` are those of it alone.

    `kind` gives the class that the options are fields of; it is asked when a recipe is read. A kind that has no use for
    some of the common settings, or has them otherwise, is `without` them.
    """

    def read(context: click.Context, _: click.Parameter, name: str | None) -> str | None:
        # A recipe's settings take the place of the defaults; what the command says itself goes before both.
        if name:
            from curate.train.recipe import load_recipe

            context.default_map = {**(context.default_map or {}), **load_recipe(name, kind()).settings}
        return name

    recipe = click.option("--recipe", metavar="NAME|FILE", is_eager=True, expose_value=False, callback=read,
                          help=f"Settings as published: {recipes}; or a .yaml of options.")  # fmt: skip

    def add(command: Command) -> Command:
        for option in reversed(SETTINGS):
            command = option(command)
        # Where click keeps the options of a function until it becomes a command.
        kept = vars(command)["__click_params__"]
        kept[:] = [one for one in kept if one.name not in without]
        for option in reversed((recipe, *GIVEN, *own)):
            command = option(command)
        return command

    return add


def train_as_told(
    kind: type[Settings],
    lines: Callable[[Trained], list[str]] = lambda trained: [],
    *,
    quiet: bool,
    as_json: bool,
    push: str,
    public: bool,
    **options: Any,
) -> None:
    """Train with what a command was told, and print what came of it; `lines` are what this kind has to say of it."""
    from curate.train.launch import rank

    others = rank() > 0  # the first process of a launch speaks for all
    trained, pushed = train_and_push(kind(**options), "" if others else push, public, quiet or others)
    if others:
        return
    if as_json:
        click.echo(json.dumps({**trained.as_json(), **({"pushed": pushed.as_json()} if pushed else {})}))
        return
    for text in _summary(trained, pushed, lines(trained)):
        click.echo(readable(text))


def train_and_push(settings: Settings, push: str, public: bool, quiet: bool) -> tuple[Trained, Pushed | None]:
    """Train, and upload the model where `push` names one; whether that may be done is asked before the training."""
    from curate.export.hub import MODEL, push_model, target
    from curate.train import run_training

    if public and not push:
        raise InputError("--public says how a model lies on the Hub; name it with --push USER/NAME")
    meter = Training(quiet)
    to = target(push, public, MODEL) if push else None
    for note in to.notes if to else ():
        meter.say(note)
    with shown(meter, quiet=quiet):
        trained = run_training(settings, meter.listener())
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
            say(readable(f"note: {note}"))

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
        own = "".join(f" · {name.replace('_', ' ')} {now.more[name]:.3g}" for name in ON_THE_WAY if name in now.more)
        return (
            f"update {now.step:,} of {now.steps:,} · epoch {now.epoch:.2f} · loss {now.loss:.4f}{held}{own} · "
            f"lr {now.lr:.2e} · {amount(now.tokens_per_second)} tokens/s · MFU {now.mfu:.2f} · "
            f"padding {now.padding:.1%} · {now.memory / 1e9:.1f} GB · {span(now.left)} left"
        )


def _summary(trained: Trained, pushed: Pushed | None, own: list[str]) -> list[str]:
    dropped = f", {trained.dropped:,} dropped (tokens/*/dropped.jsonl)" if trained.dropped else ""
    lines = [
        f"{trained.steps:,} updates on {trained.samples:,} samples of {amount(trained.tokens)} tokens{dropped}",
        f"  loss      {trained.loss:.4f} over the last updates (loss.svg)",
        *own,
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
    serve = f"serve it: vllm serve {trained.out}"
    if (trained.out / "adapter_config.json").exists():
        serve = f"measure it: curate eval {trained.out} --data FILE"
    return [*lines, "", f"Next: read {trained.out / 'README.md'}, or {serve}"]
