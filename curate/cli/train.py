"""`curate train`: fine-tune a model on a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from curate.cli.train_fuse import fuse
from curate.cli.train_preference import dpo, wrpo
from curate.cli.training import train_as_told, training_options

if TYPE_CHECKING:
    from curate.train.settings import Settings

EPILOG = """\b
Examples:
  curate train sft runs/math --model Qwen/Qwen2.5-0.5B --out models/math
  curate train sft data.jsonl --model Qwen/Qwen3-8B --out m --method lora
  curate train sft a.jsonl:0.7 b.jsonl:0.3 --model M --out m --held-out 0.02
  curate train sft a.json --model M --out m --weights bfloat16 --states 8bit
  curate train sft data.jsonl --model BASE --out m --template chatml
  curate train sft data.jsonl --model M --out m --recipe explore-instruct
  curate train sft books.parquet --model BASE --out m --long split
  curate train sft data.jsonl --model M --out m --push me/my-model

\b
DATASET is what `curate export` writes or a run's folder, a file in the same
formats, or a name on the Hub; several are mixed, each FILE or FILE:WEIGHT, or
a .yaml that lists them. The loss is on the assistant's tokens alone. Samples
are packed without seeing each other: packing changes the speed, not the
result.

\b
Rows of {"text": ...} are plain documents, for continual pre-training: no
template, the loss on every token, and the tokenizer's eos_token behind each.
What is spelled like a special token in a text is text. --long split makes a
document that is longer than --max-length several, each beginning with the last
token of the one before, so that every token is predicted once. A file has
documents or conversations; several files mix them. --fields text=COLUMN.

\b
On many GPUs: accelerate launch --config_file F -m curate.cli train sft ...
with F one of ddp.yaml, fsdp2.yaml, zero2.yaml in the package's folder
curate/train/launch; ZeRO-3 is refused, FSDP2 shards as much.

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
  curate train dpo pairs.jsonl --model models/math --out models/dpo
  curate train fuse data.jsonl --model SMALL --teacher BIG --out models/fused
  curate train sft --help
"""


@click.group(epilog=SHORT)
def train() -> None:
    """Train a model on a dataset."""


def _settings() -> type[Settings]:
    from curate.train.settings import Settings

    return Settings


@train.command(epilog=EPILOG)
@training_options(_settings, "explore-instruct, kca, fusechat-3.0-llama, -qwen, -gemma")
def sft(**options: Any) -> None:
    """Fine-tune a causal language model on conversations, or go on pre-training it on plain documents.

    Packs of whole samples, a loss on the assistant's tokens alone, one mean over all of an update's targets.
    """
    train_as_told(_settings(), **options)


train.add_command(dpo)
train.add_command(wrpo)
train.add_command(fuse)
