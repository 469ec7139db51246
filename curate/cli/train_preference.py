"""`curate train dpo` and `curate train wrpo`: training on which of two answers is the better one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.training import train_as_told, training_options

if TYPE_CHECKING:
    from curate.train.outcome import Trained
    from curate.train.preference.settings import Dpo, Wrpo

COMMON = """\b
A prompt is encoded once for all its answers, where the model's attention can
be told that they do not see each other; packing and sharing change the speed,
not the result. What the model says of the answers before training, the
reference, is computed once and kept in the folder --references for every run
that starts from the same model on the same rows; no second model is held.

\b
The same command again goes on from the last checkpoint, to the same weights.
--out holds what `curate train sft` leaves there; metrics.jsonl has the margin
between the rewards, the share of rows in which the chosen answer is ahead
(accuracy), and the reward and log-probability of each answer; held out too.
"""

DPO_EPILOG = f"""\b
Examples:
  curate train dpo pairs.jsonl --model Qwen/Qwen2.5-0.5B-Instruct --out m
  curate train dpo pairs.jsonl --model M --out m --loss ln-dpo --held-out 0.05
  curate train dpo pairs.jsonl --model M --out m --loss simpo --method lora
  curate train dpo col/dpo.jsonl --model M --out m \\
      --recipe fusechat-3.0-dpo-llama

\b
DATASET has rows of prompt, chosen and rejected, each text or messages, as
`curate fuse build dpo` and TRL write them; or of two whole conversations,
chosen and rejected, that begin alike (UltraFeedback); a file, a run's folder
or a name on the Hub. --fields, for columns of other names, also takes
rejected=COLUMN. The loss is on the answers' tokens alone.

\b
The losses, with y a summed log-probability less the reference's:
  dpo      -log sigmoid(beta * (chosen - rejected)), beta 0.1
  ln-dpo   the same with each y divided by the answer's tokens, beta 10
  simpo    no reference, each y divided, and gamma taken off: 2.5 and 1.375

{COMMON}"""

WRPO_EPILOG = f"""\b
Examples:
  curate train wrpo col/wrpo.jsonl --model models/sft --out m --recipe wrpo
  curate train wrpo pairs.jsonl --model models/sft --out m --alpha 0.3

\b
DATASET has rows of prompt, chosen_source, chosen and rejected, as `curate
fuse build wrpo` writes them: the best answer of the sources, and the best and
the worst of the target's own. With r an answer's summed log-probability less
the reference's, times beta, the loss is
  -log sigmoid(a * r(source) + (1 - a) * r(chosen) - r(rejected))
where a rises from 0 to --alpha over the run.

{COMMON}"""

WITHOUT = ("lr", "long", "stream", "neftune")
"""Settings of other trainings that are otherwise here, or that a reference or a pair does not go with."""

DEFAULTS = {"epochs": 1, "batch": 128, "warmup": 0.1}
"""Those of `curate.train.preference.settings.Preference`, which imports too much to be asked for --help."""


def _own(rates: str, beta: str, *more: Any) -> tuple[Any, ...]:
    """Return the options of a preference training: the losses' (`more`), then those that all have."""
    return (
        *more,
        click.option("--beta", metavar="X", type=float, help=f"Scale of the rewards. [default: {beta}]"),
        click.option("--lr", metavar="X", type=float, help=f"Highest learning rate. [default: {rates}; adapters ten "
                     "times that]"),
        click.option("--share-prompts/--no-share-prompts", default=True,
                     help="Encode a prompt once for all its answers, or for each."),
        click.option("--references", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
                     help="Where the reference is kept for other runs. [default: references, beside --out]"),
        click.option("--long", type=click.Choice(["truncate", "drop"]), default="truncate", show_default=True,
                     help="What becomes of longer answers: cut, or their row dropped."),
    )  # fmt: skip


def _dpo() -> type[Dpo]:
    from curate.train.preference.settings import Dpo

    return Dpo


def _wrpo() -> type[Wrpo]:
    from curate.train.preference.settings import Wrpo

    return Wrpo


DPO_OWN = _own(
    "5e-7, ln-dpo 8e-7, simpo 1e-6",
    "0.1, ln-dpo 10, simpo 2.5",
    click.option("--loss", type=click.Choice(["dpo", "ln-dpo", "simpo"]), default="dpo", show_default=True,
                 help="What is rewarded; see below."),
    click.option("--gamma", metavar="X", type=float, help="SimPO's margin. [default: 1.375]"),
)  # fmt: skip

WRPO_OWN = _own(
    "3e-7",
    "0.01",
    click.option("--alpha", metavar="X", type=float, default=0.1, show_default=True,
                 help="Highest weight of the source's answer."),
    click.option("--alpha-schedule", type=click.Choice(["linear", "constant"]), default="linear", show_default=True,
                 help="From 0 to --alpha over the run, or --alpha throughout."),
)  # fmt: skip


@click.command(epilog=DPO_EPILOG, context_settings={"default_map": DEFAULTS})
@training_options(_dpo, "fusechat-3.0-dpo-llama, -llama-small, -qwen, -gemma", DPO_OWN, WITHOUT)
def dpo(**options: Any) -> None:
    """Train a causal language model to prefer the chosen answers: DPO, length-normalised DPO, SimPO."""
    train_as_told(_dpo(), _lines, **options)


@click.command(epilog=WRPO_EPILOG, context_settings={"default_map": DEFAULTS})
@training_options(_wrpo, "wrpo", WRPO_OWN, WITHOUT)
def wrpo(**options: Any) -> None:
    """Train a causal language model to prefer answers of stronger models, more and more (WRPO)."""
    train_as_told(_wrpo(), _lines, **options)


def _lines(trained: Trained) -> list[str]:
    """Return how well the answers are told apart, over the last updates and on the held-out rows."""
    more = trained.more
    words = f"  answers   {more['accuracy']:.0%} with the chosen one ahead, margin {more['margin']:.3g}"
    if "held_out_accuracy" in more:
        words += f"; held out {more['held_out_accuracy']:.0%}, {more['held_out_margin']:.3g}"
    return [words]
