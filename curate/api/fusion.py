"""Several models into one: by their weights, and by what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from curate.fuse.align import Aligned
    from curate.fuse.build import Built
    from curate.fuse.capture import Captured
    from curate.fuse.collect import Collected
    from curate.fuse.merge import Merged
    from curate.fuse.run.job import Fused


def merge(
    recipe: str | Path | Mapping[str, Any],
    out: str | Path,
    *,
    threads: int | None = None,
    quiet: bool = False,
) -> Merged:
    """Merge the weights of models that were trained from the same one, and return what was made.

    `recipe` is a YAML file, or its content: `{"merge_method": "sce", "base_model": ..., "models": [...]}`. `out` is the
    folder of the new checkpoint; the same merge again returns at once.

    Raises:
        InputError: a mistake in the recipe, models that do not fit together, or an `out` that holds something else.
    """
    from curate.cli.display import counted
    from curate.fuse.merge import load_recipe, merge_models
    from curate.fuse.merge.recipe import read_recipe

    read = read_recipe(recipe) if isinstance(recipe, Mapping) else load_recipe(Path(recipe))
    with counted("merge", quiet=quiet, unit="MB") as meter:
        return merge_models(
            read,
            Path(out),
            threads=threads,
            tick=lambda done, total: meter.tick(done // 10**6, total // 10**6),
        )


def fuse_collect(
    prompts: str | Path,
    out: str | Path,
    *,
    source: str | Sequence[str] = (),
    target: str | None = None,
    models: str | Path | None = None,
    n: int = 5,
    temperature: float = 0.8,
    top_p: float = 0.95,
    max_tokens: int = 2048,
    math_suffix: str = "",
    reward: str | None = None,
    judge: str | None = None,
    seed: int = 0,
    budget_calls: int | None = None,
    budget_tokens: int | None = None,
    budget_usd: float | None = None,
    quiet: bool = False,
) -> Collected:
    """Collect `n` responses of every model to every prompt into the folder `out`, checked by rule and scored.

    `source` and `target` are specs of models; `models` is a YAML file of them, each with its own sampling. `reward` is
    a sequence-classification model, in process; `judge` a model that grades. See `curate fuse collect --help` for the
    layouts of prompts and the files. Running again resumes; `result.stopped` says where a budget ended it.

    Raises:
        InputError: a file, value or model that cannot be used, before anything is asked of a model.
        ModelError: a model stopped the collection; what was paid for is kept.
    """
    from curate.cli.display import counted
    from curate.cli.fuse import begin
    from curate.fuse.collect import Options, collect
    from curate.fuse.sources import Sampling, all_sources

    specs = (source,) if isinstance(source, str) else tuple(source)
    sampling = Sampling(n, temperature, top_p, None, max_tokens)
    sources = all_sources(specs, target, None if models is None else Path(models), sampling)
    options = Options(
        tuple(sources), Path(out), reward, judge, math_suffix, seed, budget_calls, budget_tokens, budget_usd
    )
    with counted("collect", quiet=quiet) as meter:
        return collect(prompts, options, tick=meter.tick, phase=lambda name, unit: begin(meter, name, unit))


def fuse_build(
    kind: Literal["sft", "dpo", "wrpo"],
    collected: str | Path,
    out: str | Path | None = None,
    *,
    of: Literal["source", "target"] = "source",
    margin: tuple[float, float] | Literal["none"] | None = None,
    share: float = 0.4,
    seed: int = 0,
    verdicts: bool = True,
    quiet: bool = False,
) -> Built:
    """Build training samples of a collection: sft, dpo (FuseChat-3.0) or wrpo, into `out` (COLLECTED/KIND.jsonl).

    `margin` is the window (low, high) of score differences; 0.01 to 0.1 for dpo and none for wrpo unless given.
    `share` of the prompts are for sft, the others for dpo and wrpo. `result.as_json()` counts what was kept, and why
    the rest was not.

    Raises:
        InputError: no whole collection, a value that cannot be, or nothing to keep; the message says why.
    """
    from curate.cli.display import counted
    from curate.fuse.build import Options, build, window_of
    from curate.fuse.pairs import Window

    given = None if margin == "none" else window_of(kind) if margin is None else Window(*margin)
    with counted("build", quiet=quiet, unit="prompts") as meter:
        return build(collected, Options(kind, of, given, share, seed, verdicts), out, tick=meter.tick)


def fuse_run(
    recipe: str | Path,
    *,
    target: str | Path | None = None,
    source: str | Sequence[str] = (),
    prompts: str | Path | None = None,
    data: str | Path | Sequence[str | Path] = (),
    reward: str | None = None,
    judge: str | None = None,
    template: str | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    budget_calls: int | None = None,
    budget_tokens: int | None = None,
    budget_usd: float | None = None,
    plan_only: bool = False,
    quiet: bool = False,
) -> Fused:
    """Do all stages of a recipe, from prompts to a fused model, and measure what came of each.

    `recipe` is the name of a shipped one or a YAML file; the other parameters go before what it says, and `source` adds
    to it. The same call again does only what is missing. `fused.rows` is the table (`fused.rows[0].scores` the target's
    before), `fused.model` the folder of the model; `fused.stopped` says where a budget ended it. See
    `curate fuse run --help` for the file.

    Raises:
        InputError: something cannot be used; whatever can be known before is said before anything is spent.
        RunError: another process works in the folder, or the disk is full.
        ModelError: a model cannot be used; what was done is kept.
        MissingExtraError: torch or transformers is not installed.
    """
    from curate.cli.fuse_run import fused, opened

    options = {
        "target": target, "prompts": prompts, "reward": reward, "judge": judge, "template": template, "seed": seed,
        "budget_calls": budget_calls, "budget_tokens": budget_tokens, "budget_usd": budget_usd,
    }  # fmt: skip
    sources = (source,) if isinstance(source, str) else tuple(source)
    files = [data] if isinstance(data, (str, Path)) else data
    told = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    place = None if out is None else Path(out)
    read = opened(str(recipe), source=sources, data=[str(file) for file in files], out=place, **told)
    return fused(*read, plan_only=plan_only, quiet=quiet)


def fuse_capture(
    dataset: str | Path,
    *,
    model: str | Path,
    out: str | Path,
    top_k: int = 10,
    limit: int | None = None,
    max_length: int | None = None,
    template: str | None = None,
    tokenizer: str | None = None,
    quiet: bool = False,
) -> Captured:
    """Capture what `model` finds probable at every token of the assistant's turns of `dataset`, into the folder `out`.

    `model` is a causal model in process, or `openai:NAME@URL` or `vllm:NAME` with the `tokenizer` of that model. Of
    each place the `top_k` most probable tokens and the mass of the rest are kept; `curate.train.dists.open_dists` reads
    them. Running again goes on where it stopped, to the same bytes.

    Raises:
        InputError: a dataset, model or value that cannot be used, or nothing that can be captured.
        RunError: `out` holds another capture, another process works there, or the disk is full.
        ModelError: a server cannot be asked.
        MissingExtraError: torch or transformers is not installed.
    """
    from curate.cli.display import shown
    from curate.cli.eval import Measuring
    from curate.fuse.capture import Options, capture
    from curate.train import look_for_torch

    look_for_torch("fuse_capture")
    options = Options(str(model), Path(out), top_k, limit, max_length, template, tokenizer)
    meter = Measuring(quiet, "capture")
    with shown(meter, quiet=quiet):
        return capture(dataset, options, tick=meter.tick, doing=meter.doing)


def fuse_align(
    captured: str | Path,
    *,
    model: str | Path,
    out: str | Path,
    method: Literal["bytes", "em", "mined", "statistics", "statistics-published"] = "bytes",
    template: str | None = None,
    cache: str | Path | None = None,
    quiet: bool = False,
) -> Aligned:
    """Align the captured distributions of a source with the tokens of the target `model`, into the folder `out`.

    Of the target its tokenizer is enough. `cache` keeps maps between vocabularies (~/.cache/curate/maps).

    Raises:
        InputError: no whole captured folder, a target or method that cannot be used, or nothing that can be aligned.
        RunError: `out` holds another alignment, another process works there, or the disk is full.
        MissingExtraError: torch or transformers is not installed.
    """
    from curate.cli.display import shown
    from curate.cli.eval import Measuring
    from curate.cli.fuse_capture import begin
    from curate.fuse.align import Options, align
    from curate.train import look_for_torch

    look_for_torch("fuse_align")
    options = Options(str(model), Path(out), method, template, None if cache is None else Path(cache))
    meter = Measuring(quiet, "align", "turns")
    with shown(meter, quiet=quiet):
        return align(captured, options, tick=meter.tick, phase=lambda name, unit: begin(meter, name, unit))
