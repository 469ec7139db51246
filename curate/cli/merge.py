"""`curate merge`: several fine-tuned models into one checkpoint."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from curate.cli.display import amount, counted, span
from curate.cli.options import output_options

EPILOG = """\b
Examples:
  curate merge recipe.yaml --out merged
  curate eval merged --data held-out.jsonl

\b
A recipe is YAML in the words of mergekit:
  merge_method: sce
  base_model: models/pivot
  models:
    - model: models/fused-a
    - model: models/fused-b
  parameters:
    select_topk: 0.1
  dtype: bfloat16

\b
linear            weight of each model; normalize
slerp             t; one model besides base_model
task_arithmetic   weight; lambda, normalize
ties              weight, density; lambda, normalize
dare_linear       weight, density; lambda, normalize, seed
dare_ties         the same
varm              granularity: matrix, module, layer, model or total
sce               select_topk; select: merge (the rest keeps the base, as in
                  mergekit) or weights (all is merged, as in the authors' code)

\b
int8_mask is read and changes nothing; gradients over layers, slices and
unions of vocabularies are refused. Adapters have to be in the weights.

\b
Weights are read from disk block by block: a merge takes the memory of its
largest tensor. What was written before a crash is used on the next try."""


@click.command(epilog=EPILOG)
@click.argument("recipe", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Where it goes. [default: RECIPE's name]")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="[default: one for each core]")
@output_options
def merge(recipe: Path, out: Path | None, threads: int | None, quiet: bool, as_json: bool) -> None:
    """Merge the weights of models that were trained from the same one.

    RECIPE names them: folders with safetensors, or models on the Hub.
    """
    from curate.fuse.merge import load_recipe, merge_models

    began = time.monotonic()
    with counted("merge", quiet=quiet, unit="MB") as meter:
        merged = merge_models(
            load_recipe(recipe),
            out or recipe.with_suffix(""),
            threads=threads,
            tick=lambda done, total: meter.tick(done // 10**6, total // 10**6),
        )
    if as_json:
        click.echo(json.dumps(merged.as_json(), ensure_ascii=False))
        return
    reused = f", {merged.reused} of them from before" if merged.reused else ""
    models = f"{len(merged.models)} model" + ("s" if len(merged.models) > 1 else "")
    files = f"{merged.files} file" + ("s" if merged.files > 1 else "")
    size = f"{merged.bytes / 1e9:.2f} GB" if merged.bytes >= 1e9 else f"{merged.bytes / 1e6:.1f} MB"
    click.echo(
        f"merged {models} by {merged.method}: {amount(merged.parameters)} parameters, "
        f"{size} in {files}{reused}, {span(time.monotonic() - began)}"
    )
    click.echo(f"\n  {merged.out}\n\nNext:\n  curate eval {merged.out} --data FILE")
