"""What the steps of a run do: one function for each kind, which leaves its result in the step's folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import ModelError, without_credentials
from curate.fuse.build import Options as BuildOptions
from curate.fuse.build import build
from curate.fuse.capture.asking import Asking, refusal
from curate.fuse.collect import Options as CollectOptions
from curate.fuse.collect import collect
from curate.fuse.run.schema import RUN_SETTINGS, Collect, Merge, Recipe
from curate.fuse.run.schema import Source as Entry
from curate.fuse.run.sides import Sides
from curate.fuse.sample import Stopped
from curate.fuse.sources import Source
from curate.models import Budget
from curate.models.ledger_view import read_totals
from curate.train import run_training
from curate.train.recipe import load_recipe
from curate.train.settings import Settings

if TYPE_CHECKING:
    from curate.train.progress import Listener

Place = str | Path
"""A model or a dataset: text is a name as the recipe has it, a path lies in the run's folder."""

Figures = dict[str, Any]
"""What a step came to, as JSON values that are the same whenever it is done."""

SAMPLES, MODEL, MAPS, LEDGER = "samples.jsonl", "model", "maps", "calls.sqlite"


@dataclass(frozen=True)
class Job:
    """What every step is given: the recipe, the run's folder, and who is told."""

    recipe: Recipe
    out: Path
    listener: Listener

    def at(self, place: Place) -> str:
        """Return where something is, for the commands."""
        return place if isinstance(place, str) else str(self.out / place)

    @property
    def tick(self) -> Callable[[int, int | None], None]:
        """What tells how far a step is."""
        return tick_of(self.listener)


Work = Callable[[Job, Path], Figures]


def sources_of(recipe: Recipe, options: Collect, first: Collect, sides: Sides, model: str | None) -> tuple[Source, ...]:
    """Return the models that are asked; `model` is where the weights of the target are, None where it is not asked.

    Sources are sampled as in the `first` collection, so that one that is for the target asks them nothing new.
    """
    base, found = first.sampling(), list[Source]()
    if "source" in sides:
        side = sides["source"]
        found += [Source(one.spec, "source", one.sampling(base), one.options(), side) for one in recipe.sources]
    if model is not None:
        target, side = recipe.target, sides["target"]
        spec = target.spec.replace("{model}", model)
        found.append(Source(spec, "target", target.sampling(options.sampling()), target.options(), side))
    return tuple(found)


def collection(
    recipe: Recipe, options: Collect, first: Collect, sides: Sides, model: str | None, out: Path, folder: Path
) -> CollectOptions:
    """Return what `curate fuse collect` is told, in a run's folder `out`."""
    sources = sources_of(recipe, options, first, sides, model)
    budget = budget_left(recipe, out, folder)
    return CollectOptions(
        sources, folder, recipe.reward, recipe.judge, recipe.math_suffix, recipe.seed, **budget
    )  # fmt: skip


def budget_left(recipe: Recipe, out: Path, folder: Path) -> dict[str, Any]:
    """Return the run's budget without what was spent in its other folders: a collection counts what its own has."""
    totals = [total for path in out.glob(f"*/**/{LEDGER}") if path.parent != folder for total in read_totals(path)]
    spent = {
        "budget_calls": sum(total.calls for total in totals),
        "budget_tokens": sum(total.input_tokens + total.output_tokens for total in totals),
        "budget_usd": sum(total.cost for total in totals),
    }
    limits = {name: getattr(recipe, name) for name in spent}
    return {name: None if limit is None else max(0, limit - spent[name]) for name, limit in limits.items()}


def asking_of(recipe: Recipe, source: Entry, out: Path, folder: Path) -> Asking:
    """Return how the server of a source is asked, in a run's folder `out`."""
    return Asking(source.options(), folder / LEDGER, Budget(*budget_left(recipe, out, folder).values()))


def refusal_of(recipe: Recipe, source: Entry, k: int, out: Path, folder: Path) -> str:
    """Return why the server of a source cannot be captured from, "" where it can. Raises InputError as `asking_of`."""
    return refusal(source.spec, k, asking_of(recipe, source, out, folder))


def tick_of(listener: Listener) -> Callable[[int, int | None], None]:
    """Return what tells a listener how far something is."""

    def tick(done: int, total: int | None) -> None:
        listener.reading(done, total)

    return tick


def collect_responses(
    job: Job, folder: Path, *, options: Collect, first: Collect, sides: Sides, model: Place | None
) -> Figures:
    """Ask all sources, and the target where `model` is given.

    Raises:
        Stopped: the budget is spent.
        ModelError: a model gave no response that can be used.
    """
    listener = job.listener
    asked = collection(job.recipe, options, first, sides, None if model is None else job.at(model), job.out, folder)
    made = collect(
        job.recipe.prompts or "",
        asked,
        tick=job.tick,
        phase=lambda name, unit: listener.doing(f"collect: {name}"),
    )
    for note in made.notes:
        listener.say(note)
    if made.stopped:
        raise Stopped(made.stopped)
    for one in made.models:
        if not one.useful:
            failures = (
                ", ".join(f"{name} {count:,}" for name, count in one.failures.most_common())
                or "all were cut at max_tokens"
            )
            raise ModelError(
                f"{without_credentials(one.model)}: not one of {one.responses:,} responses can be used ({failures}); "
                "take it out of the recipe, or mend it: the same command goes on"
            )
    if made.transient:
        listener.say(f"{made.transient:,} calls failed after all attempts; they count as no answers")
    return {"prompts": made.plan.prompts, "models": [one.as_json() for one in made.models], "scorer": made.scorer}


def build_samples(job: Job, folder: Path, *, kind: str, options: BuildOptions, collected: Path) -> Figures:
    """Build training samples of a collection."""
    folder.mkdir(parents=True, exist_ok=True)
    built = build(job.out / collected, options, folder / SAMPLES, tick=job.tick)
    told = built.as_json()
    return {name: told[name] for name in ("kind", "prompts", "other_side", "kept", "reasons", "models", "margins")}


def capture_source(
    job: Job, folder: Path, *, data: Place, model: Place, k: int, template: str | None, max_length: int | None,
    source: Entry | None = None,
) -> Figures:  # fmt: skip
    """Keep what a model finds probable at every token of the assistant; a `source` behind a server is asked.

    Raises:
        Stopped: the budget is spent.
    """
    from curate.fuse.capture import Options, capture

    asking = asking_of(job.recipe, source, job.out, folder) if source else Asking()
    tokenizer = source.tokenizer if source else None
    options = Options(job.at(model), folder, k, None, max_length, template, tokenizer, asking)
    made = capture(job.at(data), options, tick=job.tick)
    for note in made.notes:
        job.listener.say(note)
    told = made.as_json()
    return {name: told[name] for name in ("samples", "records", "rows", "dropped", "cut", "nats_per_byte")}


def align_source(job: Job, folder: Path, *, captured: Path, model: Place, method: str, template: str | None) -> Figures:
    """Bring what was captured of a source to the tokens of the target."""
    from curate.fuse.align import Options, align

    options = Options(job.at(model), folder, method, template, job.out / MAPS)
    made = align(job.out / captured, options, tick=job.tick, phase=lambda name, unit: job.listener.doing(name))
    for note in made.notes:
        job.listener.say(note)
    told = made.as_json()
    return {name: told[name] for name in ("records", "positions", "rows", "kinds", "tail", "dropped")}


def train(
    job: Job, folder: Path, *, kind: type[Settings], options: Any, samples: Sequence[Place], model: Place,
    dists: Sequence[Path] = (),
) -> Figures:  # fmt: skip
    """Train a model on samples, as `curate train` does; `dists` are what sources find probable in them."""
    given = settings_of(job.recipe, kind, options)
    places: dict[str, Any] = {"datasets": tuple(map(job.at, samples)), "model": job.at(model), "out": folder / MODEL}
    if dists:
        places["dists"] = tuple(map(job.at, dists))
    trained = run_training(kind(**places, **given), job.listener)
    more = {name: value for name, value in trained.more.items() if name == "taught" or name.startswith("by_")}
    told = {"steps": trained.steps, "samples": trained.samples, "dropped": trained.dropped, "loss": trained.loss}
    return {**told, **more}


def settings_of(recipe: Recipe, kind: type[Settings], options: Any) -> dict[str, Any]:
    """Return the settings of a stage that trains: its own before those of its training recipe, before the run's."""
    known = {one.name for one in fields(kind)} - {*RUN_SETTINGS}
    own = {name: value for name, value in options.model_dump(exclude_none=True).items() if name in known}
    published = load_recipe(options.recipe, kind).settings if options.recipe else {}
    return {"template": recipe.template, "seed": recipe.seed, **published, **own}


def identity_of(recipe: Recipe, kind: type[Settings], options: Any) -> dict[str, Any]:
    """Return what of the settings of a stage that trains decides the result, besides its samples and its model."""
    found = kind(datasets=(), model="", out=Path(), **settings_of(recipe, kind, options)).identity()
    return {name: value for name, value in found.items() if name not in ("datasets", "model")}


def merge(job: Job, folder: Path, *, options: Merge, base: Place, models: Sequence[Place]) -> Figures:
    """Merge the weights of models into one."""
    from curate.fuse.merge import merge_models
    from curate.fuse.merge.recipe import read_recipe

    folder.mkdir(parents=True, exist_ok=True)
    recipe = read_recipe(options.recipe(job.at(base), tuple(map(job.at, models))))
    merged = merge_models(recipe, folder / MODEL, tick=job.tick)
    return {"method": merged.method, "models": len(merged.models), "parameters": merged.parameters}
