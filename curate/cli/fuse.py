"""`curate fuse`: several strong models into one smaller one, by what they say."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.display import Meter, counted
from curate.cli.fuse_capture import align, capture
from curate.cli.fuse_run import run
from curate.cli.options import WHOLE, output_options
from curate.cli.text import readable

if TYPE_CHECKING:
    from curate.fuse.pairs import Window
    from curate.fuse.plan import Plan

SHORT = """\b
Examples:
  curate fuse run fusechat-3.0 --target SMALL --source openai:big@URL \\
      --prompts train.jsonl --reward hf:RM --data held-out.jsonl
  curate fuse collect train.jsonl --source openai:big@URL --source vllm:NAME \\
      --target vllm:SMALL --reward hf:RM --out fused
  curate fuse build sft fused
  curate train sft fused/sft.jsonl --model SMALL --out models/sft
  curate fuse build dpo fused
  curate train dpo fused/dpo.jsonl --model models/sft --out models/dpo
  curate fuse capture train.jsonl --model BIG --out big
  curate fuse align big --model SMALL --out big-aligned
  curate train fuse train.jsonl --model SMALL --dists big-aligned --out m
"""

COLLECT = """\b
Examples:
  curate fuse collect gsm8k.jsonl --source openai:NAME@http://HOST:8000/v1 \\
      --source vllm:NAME --out fused --n 4 --reward hf:Skywork/RM
  curate fuse collect prompts.jsonl --models models.yaml --out fused
  curate fuse collect prompts.jsonl --models models.yaml --out fused \\
      --judge openai:gpt-5-mini --budget-usd 20

\b
PROMPTS is anything that curate reads; responses in it are left aside. How the
responses to a row are checked stands in it:
  answer      "... #### 18" (gsm8k), a box, or one short line: mathematics
  solution    with a box: mathematics
  tests, test_list   Python that raises where it fails: run in a sandbox
  check       {kind: math|code|none, gold: ..., tests: ...} says it outright
  otherwise   by nothing but the scores
Verdicts are pass, fail, error, timeout and skip (no rule): an error, a
time-out or a response that was cut at max_tokens is no wrong answer.

\b
--models FILE is YAML; what a model does not say of itself holds for all:
  n: 5
  temperature: 0.8
  top_p: 0.95
  sources:
    - openai:mistral-large@http://HOST:8000/v1
    - spec: openai:qwen2.5-72b@http://HOST:8001/v1
      temperature: 0.7
      top_p: 0.8
      repetition_penalty: 1.05
  target: vllm:meta-llama/Llama-3.1-8B-Instruct
A model also takes max_tokens, rpm, tpm, concurrency, timeout, price_in and
price_out (US dollars per million tokens, for --budget-usd).

\b
--out holds calls.sqlite, all that was paid for: the same command again asks
only what is missing, and so does one with more models, samples or another
scorer. From it are made prompts.jsonl, responses.jsonl, verdicts.jsonl,
scores.jsonl and collected.json. Models behind APIs are asked side by side,
those served here (vllm:, hf:) one after the other. Exit codes: 0 done, 1 a
model cannot be used, 2 bad input, 3 the same command would bring more.
"""

BUILD = """\b
Examples:
  curate fuse build sft fused
  curate fuse build dpo fused --margin 0.5:3
  curate fuse build wrpo fused --share 0.33
  curate fuse build dpo fused --of target --out own-pairs.jsonl

\b
sft    The best response of all sources: the highest score among those that
       pass their check, or among all where nothing checks them.
dpo    Best against worst of the same source, or where responses are checked,
       right (highest score) against wrong (lowest); of the sources whose
       margin is in the window, the one with the best chosen response.
       As in FuseChat-3.0.
wrpo   The best over all sources (chosen_source), and the best and the worst
       of the target's own responses (chosen, rejected). As in WRPO.

\b
Prompts are split by a hash: --share of them is for sft, the others are for
dpo and wrpo, with the same --share and --seed in both commands. --margin is
in the units of the scores; 0.01:0.1 are FuseChat-3.0's for ArmoRM.

\b
NAME.jsonl has messages, for `curate train sft`, or prompt, chosen, rejected
and chosen_source. NAME.dropped.jsonl has the prompts that gave nothing, with
the reason: all_fail, all_pass, no_model_has_both (right and wrong, but never
of one model), margin_outside_window, no_difference, no_response, no_scores,
unscored. Exit codes: 0 done, 2 bad input, or nothing to keep.
"""


@click.group(epilog=SHORT)
def fuse() -> None:
    """Several strong models into one smaller one, by what they say."""


def _window(_: click.Context, __: click.Parameter, text: str | None) -> Window | str | None:
    """Read LOW:HIGH, or none."""
    from curate.fuse.pairs import Window

    if text is None or text == "none":
        return text
    low, _colon, high = text.partition(":")
    try:
        return Window(float(low), float(high))
    except ValueError:
        raise click.BadParameter(f"{text!r}; it takes LOW:HIGH, e.g. 0.01:0.1, or none") from None


@fuse.command(epilog=COLLECT)
@click.argument("prompts", metavar="PROMPTS")
@click.option("--source", metavar="SPEC", multiple=True,
              help="A model to learn from: openai:NAME[@URL], vllm:NAME, hf:NAME. Repeatable.")  # fmt: skip
@click.option("--target", metavar="SPEC", help="The model that is to learn; its own responses are for wrpo.")
@click.option("--models", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
              help="A YAML of sources and target, each with its own sampling; see below.")  # fmt: skip
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), required=True,
              help="Where the collection is kept.")  # fmt: skip
@click.option("--n", metavar="N", type=int, default=5, show_default=True, help="Responses of each model to a prompt.")
@click.option("--temperature", metavar="T", type=float, default=0.8, show_default=True)
@click.option("--top-p", metavar="P", type=float, default=0.95, show_default=True)
@click.option("--max-tokens", metavar="N", type=int, default=2048, show_default=True, help="Of one response.")
@click.option("--math-suffix", metavar="TEXT", default="",
              help="Put after prompts with a known answer, e.g. 'Put your final answer in \\boxed{}.'")  # fmt: skip
@click.option("--reward", metavar="MODEL", help="Score by this sequence-classification model, in process: hf:NAME.")
@click.option("--judge", metavar="SPEC", help="Score by this model's grades, 1 to 10.")
@click.option("--seed", metavar="S", type=int, default=0, show_default=True, help="Another seed asks for others.")
@click.option("--budget-calls", metavar="N", type=WHOLE, help="Never make more calls than this, in this folder.")
@click.option("--budget-tokens", metavar="N", type=WHOLE, help="Never use more tokens than this, in and out together.")
@click.option("--budget-usd", metavar="X", type=click.FloatRange(min=0), help="Never spend more; needs known prices.")
@output_options
def collect(
    prompts: str, out: Path, reward: str | None, judge: str | None, math_suffix: str, quiet: bool, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Collect responses of several models to every prompt, check and score them."""
    from curate.cli.fuse_summary import collected_lines, plan_lines
    from curate.fuse.collect import Options
    from curate.fuse.collect import collect as work
    from curate.fuse.sources import Sampling, all_sources

    sampling = Sampling(given["n"], given["temperature"], given["top_p"], None, given["max_tokens"])
    sources = all_sources(given["source"], given["target"], given["models"], sampling)
    budget = {name: given[name] for name in ("seed", "budget_calls", "budget_tokens", "budget_usd")}
    options = Options(tuple(sources), out, reward, judge, math_suffix, **budget)

    def planned(plan: Plan) -> None:
        if not quiet:
            for line in plan_lines(plan):
                click.echo(readable(line), err=True)

    with counted("collect", quiet=quiet) as meter:
        made = work(
            prompts,
            options,
            tick=meter.tick,
            phase=lambda name, unit: begin(meter, name, unit),
            planned=planned,
        )
    if as_json:
        click.echo(json.dumps(made.as_json(), ensure_ascii=False))
    else:
        for line in collected_lines(made):
            click.echo(readable(line))
    click.get_current_context().exit(made.exit_code)


@fuse.command(epilog=BUILD)
@click.argument("kind", metavar="sft|dpo|wrpo", type=click.Choice(["sft", "dpo", "wrpo"]))
@click.argument("collected", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
              help="Where the samples go. [default: DIR/KIND.jsonl]")  # fmt: skip
@click.option("--of", type=click.Choice(["source", "target"]), default="source", show_default=True,
              help="Whose responses sft and dpo take; the target's own are a control.")  # fmt: skip
@click.option("--margin", metavar="LOW:HIGH", callback=_window,
              help="What the scores of a pair may differ by, or none. [default: dpo 0.01:0.1, wrpo none]")  # fmt: skip
@click.option("--share", metavar="X", type=float, default=0.4, show_default=True, help="Of the prompts, for sft.")
@click.option("--seed", metavar="S", type=int, default=0, show_default=True, help="Of the split.")
@click.option("--no-verdicts", is_flag=True, help="Choose by scores alone; a control for what the checks bring.")
@output_options
def build(
    kind: str, collected: Path, out: Path | None, margin: Any, no_verdicts: bool, quiet: bool, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Build training samples of a collection: sft, dpo or wrpo."""
    from curate.cli.fuse_summary import built_lines
    from curate.fuse.build import Options, window_of
    from curate.fuse.build import build as work

    window = None if margin == "none" else margin or window_of(kind)
    with counted("build", quiet=quiet, unit="prompts") as meter:
        built = work(collected, Options(kind, window=window, verdicts=not no_verdicts, **given), out, tick=meter.tick)
    if as_json:
        click.echo(json.dumps(built.as_json(), ensure_ascii=False))
        return
    for line in built_lines(built):
        click.echo(readable(line))


fuse.add_command(capture)
fuse.add_command(align)
fuse.add_command(run)


def begin(meter: Meter, name: str, unit: str) -> None:
    """Let a part of the work have a time left of its own."""
    meter.name, meter.unit = f"collect: {name}", unit or "responses"
    meter.began, meter.done, meter.total = time.monotonic(), 0, None
