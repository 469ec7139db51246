"""`curate train fuse`: token-level fusion, learning from what stronger models find probable at every token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from curate.cli.training import train_as_told, training_options

if TYPE_CHECKING:
    from curate.train.distill.settings import Fusion
    from curate.train.outcome import Trained

EPILOG = """\b
Examples:
  curate train fuse chats.jsonl --model SMALL --dists dists/big --out models/fused
  curate train fuse chats.jsonl --model SMALL --dists dists/own \\
      --dists dists/big --dists dists/math --out m --recipe fusechat-pairwise
  curate train fuse minipile.parquet --model BASE --dists openllama \
      --dists mpt --dists own --out m --recipe fusellm
  curate train fuse chats.jsonl --model SMALL --teacher Qwen/Qwen3-8B --out m

\b
The loss is weight * CLM + (1 - weight) * fusion. CLM is the loss of
`curate train sft`; fusion is the cross-entropy to what a source finds
probable at a token, a mean over the tokens that a source has a row for.
Other tokens are never made up for. Weight 1 is `curate train sft` to the bit.

\b
--dists are folders that `curate fuse capture` writes of the same samples, in
the target's own tokens: `curate fuse align` brings those of another tokenizer
to them. --teacher is asked while the target trains; with another tokenizer
it is aligned on the way, on shared byte boundaries. Several sources are
compared turn by turn, in nats per byte of the turn:
  mince   the source that is least surprised teaches the turn (MinCE)
  avgce   all do, each with the weight softmax(exp(-nats per byte)) (AvgCE)
The target itself, captured before the training, may be one of them.

\b
Rows of {"text": ...} are plain documents, as for `curate train sft`: FuseLLM's
continual pre-training, without a template. A document is one turn, so that
MinCE chooses a source for a document; the pieces of --long split look their
rows up by where they stand in its text. --teacher is asked about the pieces of
its own tokens that a piece needs, and compared by them.

\b
The k tokens that are kept of a distribution leave a rest:
  bucket       is one more thing to be right about: the probability of all
               other tokens together
  renormalise  is spread over the k tokens, as FuseLLM and FuseChat do

\b
The same command again goes on from the last checkpoint, to the same weights.
--out holds what `curate train sft` leaves there; metrics.jsonl has both parts
of the loss (clm_loss, fusion_loss), the share of the targets that a source has
a row for (taught), and the share of the turns that each source teaches.
"""


def _settings() -> type[Fusion]:
    from curate.train.distill.settings import Fusion

    return Fusion


OWN = (
    click.option("--dists", metavar="DIR", multiple=True, help="What a source finds probable, captured. Repeatable."),
    click.option("--teacher", metavar="NAME|DIR", multiple=True, help="A source that is asked meanwhile. Repeatable."),
    click.option(
        "--weight",
        metavar="X",
        type=float,
        default=0.9,
        show_default=True,
        help="Share of the usual loss, λ; the rest is fusion's.",
    ),
    click.option(
        "--choose",
        type=click.Choice(["mince", "avgce"]),
        default="mince",
        show_default=True,
        help="The source that a turn surprises least, or all of them weighed by that.",
    ),
    click.option(
        "--tail",
        type=click.Choice(["bucket", "renormalise"]),
        default="bucket",
        show_default=True,
        help="What becomes of the probability of tokens that are not kept.",
    ),
    click.option("--top-k", metavar="N", type=int, default=10, show_default=True, help="Tokens kept of a --teacher's."),
)


@click.command(epilog=EPILOG)
@training_options(_settings, "fusellm, fusechat-pairwise", OWN, without=("stream",))
def fuse(**options: Any) -> None:
    """Fuse what other models find probable, token by token, into a causal language model."""
    train_as_told(_settings(), _lines, **options)


def _lines(trained: Trained) -> list[str]:
    more = trained.more
    by = {name.removeprefix("by_"): share for name, share in more.items() if name.startswith("by_")}
    shares = ", ".join(f"{name} {share:.0%}" for name, share in sorted(by.items(), key=lambda one: -one[1]))
    return [
        f"  parts     CLM {more['clm_loss']:.4f}, fusion {more['fusion_loss']:.4f}",
        f"  taught    {more['taught']:.1%} of the targets; of the turns by {shares}",
    ]
