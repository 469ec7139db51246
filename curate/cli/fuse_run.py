"""`curate fuse run`: from prompts to a fused model that is measured, in one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.display import shown
from curate.cli.options import WHOLE, output_options
from curate.cli.text import readable
from curate.cli.training import Training

if TYPE_CHECKING:
    from curate.fuse.run.job import Fused
    from curate.fuse.run.plan import Plan
    from curate.fuse.run.recipe import Stage
    from curate.fuse.run.schema import Recipe

EPILOG = """\b
Examples:
  curate fuse run fusechat-3.0 --target Qwen/Qwen2.5-0.5B-Instruct \\
      --source openai:big@URL --source vllm:NAME --prompts train.jsonl \\
      --reward hf:RM --data held-out.jsonl --out fused
  curate fuse run recipe.yaml
  curate fuse run recipe.yaml --plan

\b
  fusechat-3.0   best responses of all sources, then length-normalised DPO
  wrpo           the same beginning, then the target's own responses, WRPO
  fusechat       token-level, one model for each source, merged by SCE
  fusellm        token-level, all sources and the target itself at once

\b
A YAML file says who, on what and how; the command's options go before it:
  target: Qwen/Qwen2.5-0.5B-Instruct
  sources:
    - openai:mistral-large@http://HOST:8000/v1
    - {spec: "vllm:Qwen/Qwen2.5-72B-Instruct", temperature: 0.7, top_p: 0.8}
  prompts: train.jsonl
  reward: hf:RLHFlow/ArmoRM-Llama3-8B-v0.1
  eval: {data: held-out.jsonl, new_tokens: 256}
  stages:
    - collect: {n: 5}
    - sft: {recipe: fusechat-3.0-llama, epochs: 2}
`stages: NAME` takes those of a shipped recipe. The keys of a stage are the
options of the commands that it stands for:
  collect   n, temperature, top_p, max_tokens; target: true asks it too
  sft, dpo, wrpo   of, margin, verdicts, and those of curate train
  fuse      data, align, own, pairwise, and those of curate train fuse
            hf: and `weights: MODEL` are read here; vllm: and a source with
            `tokenizer: MODEL` are asked where they are served
  merge     merge_method, models, parameters, dtype

\b
Running again does only what is missing: a changed option redoes its stage and
what follows. --out holds
  recipe.yaml, stages.json   what was asked for, and what is done of it
  collected/                 all that was paid for, as `curate fuse collect`
  build-*/ train-*/ merge-*/ samples and models; the name ends with a key
  evaluations/, results.json the figures of the table
Exit codes: 0 done, 1 a model cannot be used, 2 bad input, 3 not finished.
"""


class Running(Training):
    """Which step is done, and how far that is."""

    def doing(self, name: str) -> None:
        """Take what begins."""
        super().doing(name)
        self.name = readable(f"fuse run: {name}")


@click.command(epilog=EPILOG)
@click.argument("recipe", metavar="NAME|FILE")
@click.option("--target", metavar="MODEL", help="The model that is to learn: a folder, or a name on the Hub.")
@click.option("--source", metavar="SPEC", multiple=True,
              help="A model to learn from: openai:NAME[@URL], vllm:NAME, hf:NAME. Repeatable.")  # fmt: skip
@click.option("--prompts", metavar="FILE", help="What the sources are asked; see `curate fuse collect --help`.")
@click.option("--data", metavar="FILE", multiple=True, help="What every model is measured on. Repeatable.")
@click.option("--reward", metavar="MODEL", help="Score by this sequence-classification model, in process: hf:NAME.")
@click.option("--judge", metavar="SPEC", help="Score by this model's grades, 1 to 10.")
@click.option("--template", metavar="NAME|FILE", help="A chat template, for a target that has none.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
              help="Where everything is kept. [default: fused/RECIPE]")  # fmt: skip
@click.option("--seed", metavar="S", type=int, help="Of samples, the split, and the order of training. [default: 0]")
@click.option("--budget-calls", metavar="N", type=WHOLE, help="Never make more calls than this, in this folder.")
@click.option("--budget-tokens", metavar="N", type=WHOLE, help="Never use more tokens than this, in and out together.")
@click.option("--budget-usd", metavar="X", type=click.FloatRange(min=0), help="Never spend more; needs known prices.")
@click.option("--plan", "plan_only", is_flag=True, help="Only say what it will take and what is done already.")
@output_options
def run(recipe: str, plan_only: bool, quiet: bool, as_json: bool, **options: Any) -> None:
    """From prompts to a fused model that is measured: all stages of a recipe."""
    from curate.cli.fuse_run_summary import summary

    made = fused(*opened(recipe, **options), plan_only=plan_only, quiet=quiet)
    if as_json:
        click.echo(json.dumps(made.as_json(), ensure_ascii=False))
    else:
        for line in summary(made):
            click.echo(readable(line))
    click.get_current_context().exit(made.exit_code)


def fused(recipe: Recipe, stages: tuple[Stage, ...], out: Path, *, plan_only: bool, quiet: bool) -> Fused:
    """Run a recipe with its plan and progress on stderr."""
    from curate.cli.fuse_run_summary import plan_lines
    from curate.fuse.run.job import run as work

    meter = Running(quiet)
    meter.doing("loads PyTorch")

    def planned(plan: Plan) -> None:
        if not quiet:
            for line in plan_lines(plan):
                click.echo(readable(line), err=True)

    with shown(meter, quiet=quiet):
        return work(recipe, stages, out, meter.listener(), planned=planned, plan_only=plan_only)


def opened(
    recipe: str, *, source: Sequence[str], data: Sequence[str], out: Path | None, **options: Any
) -> tuple[Recipe, tuple[Stage, ...], Path]:
    """Return the recipe with what the command says, its stages, and the run's folder."""
    from curate.fuse.run.recipe import load_recipe

    given = {name: value for name, value in options.items() if value is not None}
    read, stages = load_recipe(recipe, {**given, "sources": list(source)}, data)
    place = out or Path(read.out or Path("fused") / Path(recipe).stem)
    return read.model_copy(update={"out": str(place)}), stages, place
