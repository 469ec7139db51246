"""The stages of a recipe as steps: pieces of work, each made once for everything that it depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.fuse.build import SHARE
from curate.fuse.build import Options as BuildOptions
from curate.fuse.run import work
from curate.fuse.run.recipe import Stage
from curate.fuse.run.schema import TRAINING, Collect, Merge, Recipe, window_of
from curate.fuse.run.work import Work
from curate.run import key_of


@dataclass(frozen=True, eq=False)
class Step:
    """A piece of work of a stage. It is done where it was done for this `identity` and these steps that it `reads`.

    `output` is what it leaves in its folder. `makes` is what a model is called that it makes, "" where it makes none.
    `shared` names a folder that several steps bring forward, each with all that those before it put there. `about` says
    in words what is done.
    """

    name: str
    work: Work
    output: str
    identity: Mapping[str, Any]
    reads: tuple[Step, ...] = ()
    makes: str = ""
    shared: str = ""
    about: str = ""

    @cached_property
    def key(self) -> str:
        """A hash of all that the result depends on."""
        return key_of(self.name, dict(self.identity), [step.key for step in self.reads])

    @property
    def folder(self) -> str:
        """Its folder in that of the run."""
        return self.shared or f"{self.name.replace(' ', '-')}-{self.key}"

    @property
    def place(self) -> Path:
        """What it leaves, by a path from the run's folder."""
        return Path(self.folder) / self.output


@dataclass(frozen=True)
class Marks:
    """What tells one state of the outside from another: hashes of the prompts, of the target and of other models."""

    prompts: str
    target: str
    models: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Line:
    """The line of steps as it grows: what was collected, built and trained last. `model` None is the target."""

    recipe: Recipe
    marks: Marks
    steps: list[Step] = field(default_factory=list)
    share: float = 1.0
    model: Step | None = None
    collected: Step | None = None
    asked_target: bool = False
    branches: list[Step] = field(default_factory=list)

    def add(self, step: Step) -> Step:
        self.steps.append(step)
        return step

    @property
    def base(self) -> str | Path:
        """The model that the next training starts from."""
        return self.model.place if self.model else self.recipe.target.model

    @property
    def origin(self) -> dict[str, Any]:
        """What tells which model that is; a step that made it stands among what is read."""
        return {} if self.model else {"target": self.marks.target}

    def read(self, *steps: Step | None) -> tuple[Step, ...]:
        return tuple(step for step in (*steps, self.model) if step is not None)


def steps_of(recipe: Recipe, stages: Iterable[Stage], marks: Marks) -> list[Step]:
    """Return the steps of all stages in their order.

    Raises:
        InputError: a stage needs what no stage before it makes.
    """
    stages = tuple(stages)
    line = _Line(recipe, marks, share=_share(recipe, [stage.kind for stage in stages]))
    for stage in stages:
        ADD[stage.kind](line, stage.options)
    return line.steps


def _share(recipe: Recipe, kinds: Sequence[str]) -> float:
    """Return the share of the prompts that SFT takes: all of them where nothing else learns from them."""
    pairs = "dpo" in kinds or "wrpo" in kinds
    if pairs and "sft" in kinds:
        return SHARE if recipe.share is None else recipe.share
    return 0.0 if pairs else 1.0


def _collect(line: _Line, options: Collect) -> None:
    recipe = line.recipe
    model = line.base if options.target else None
    identity = {
        "prompts": line.marks.prompts,
        "models": [one.as_json() for one in work.sources_of(recipe, options, recipe.target.model if model else None)],
        "reward": recipe.reward,
        "judge": recipe.judge,
        "math_suffix": recipe.math_suffix,
        "seed": recipe.seed,
        **(line.origin if options.target else {}),
    }
    does = partial(work.collect_responses, options=options, model=model)
    reads = line.read(line.collected) if options.target else ()
    line.asked_target = line.asked_target or options.target
    who = "the sources and the target" if model else "the sources"
    line.collected = line.add(
        Step("collect", does, "collected.json", identity, reads, shared="collected", about=f"responses of {who}")
    )


def _sft(line: _Line, options: Any) -> None:
    _trained(line, "sft", options, [_built(line, "sft", options.of, None, options.verdicts)])


def _dpo(line: _Line, options: Any) -> None:
    _trained(line, "dpo", options, [_built(line, "dpo", options.of, options.margin, options.verdicts)])


def _wrpo(line: _Line, options: Any) -> None:
    _trained(line, "wrpo", options, [_built(line, "wrpo", "source", options.margin, options.verdicts)])


def _built(line: _Line, kind: str, of: str, margin: str | None, verdicts: bool) -> Step:
    """Add the building of samples of what was collected last: right behind the collection, before any training.

    What cannot be built is then known before time is spent.
    """
    collected = line.collected
    if collected is None:
        raise InputError(f"the stage {kind} has nothing to build of; put the stage 'collect' before it")
    if (of == "target" or kind == "wrpo") and not line.asked_target:
        raise InputError(f"the stage {kind} needs responses of the target; put 'collect: {{target: true}}' before it")
    window = window_of(margin, kind)
    told = BuildOptions(kind, of, window, line.share, line.recipe.seed, verdicts)
    does = partial(work.build_samples, kind=kind, options=told, collected=Path(collected.folder))
    identity = {**asdict(told), "window": str(window)}
    about = "" if kind == "sft" else f"margin {window or 'any'}"
    step = Step(f"build {kind}", does, work.SAMPLES, identity, (collected,), about=about)
    place = line.steps.index(collected) + 1
    while place < len(line.steps) and line.steps[place].reads == (collected,):
        place += 1
    line.steps.insert(place, step)
    return step


def _trained(line: _Line, stage: str, options: Any, samples: list[Step]) -> None:
    """Add a training that starts from the model trained last, whose place the new one takes."""
    kind = TRAINING[stage]
    identity = {**line.origin, **work.identity_of(line.recipe, kind, options)}
    does = partial(work.train, kind=kind, options=options, samples=[one.place for one in samples], model=line.base)
    name, reads = f"train {kind.verb}", line.read(*samples)
    line.model = line.add(Step(name, does, work.MODEL, identity, reads, makes=kind.verb, about=_words(identity)))


def _words(identity: Mapping[str, Any]) -> str:
    """Return the settings of a training that matter most, in words."""
    method = "" if identity["method"] == "full" else f"{identity['method']}, "
    length = f"{identity['steps']:,} updates" if identity["steps"] else f"{identity['epochs']} epochs"
    return f"{method}{length} of {identity['batch']} samples an update, lr {identity['lr']:g}"


def _merge(line: _Line, options: Merge) -> None:
    if not line.branches and not options.models:
        raise InputError("the stage merge has nothing to merge; name `models`, or put 'fuse' with `pairwise` before it")
    identity = {
        **line.origin,
        **options.model_dump(mode="json"),
        "marks": [line.marks.models[one] for one in options.models],
    }
    places = [one.place for one in line.branches]
    does = partial(work.merge, options=options, base=line.base, models=[*places, *options.models])
    line.model = line.add(Step("merge", does, work.MODEL, identity, line.read(*line.branches), makes="merge"))
    line.branches = []


ADD: dict[str, Callable[[_Line, Any], None]] = {
    "collect": _collect,
    "sft": _sft,
    "dpo": _dpo,
    "wrpo": _wrpo,
    "merge": _merge,
}
