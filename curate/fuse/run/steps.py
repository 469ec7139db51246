"""The stages of a recipe as steps: pieces of work, each made once for everything that it depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from curate.errors import InputError, without_credentials
from curate.fuse.build import Options as BuildOptions
from curate.fuse.run import work
from curate.fuse.run.recipe import Stage
from curate.fuse.run.schema import TRAINING, Collect, Merge, Recipe, Source, window_of
from curate.fuse.run.sides import Sides, share_of, sides_of
from curate.fuse.run.work import Work
from curate.fuse.sources import name_of
from curate.run import key_of
from curate.text import slug
from curate.train.distill.settings import Fusion
from curate.train.dists.folder import INDEX

TARGET = "target"
"""What the model is called that a run begins with."""


@dataclass(frozen=True, eq=False)
class Step:
    """A piece of work of a stage. It is done where it was done for this `identity` and these steps that it `reads`.

    `output` is what it leaves in its folder, and `about` says in words what is done. `makes` is what a model is called
    that it makes ("" where it makes none), and `start` the one that this began from. `shared` names a folder that
    several steps bring forward, each with all that those before it put there. `refusal` asks a server whether it gives
    what the step needs, given the folders of run and step, and says why it does not.
    """

    name: str
    work: Work
    output: str
    identity: Mapping[str, Any]
    reads: tuple[Step, ...] = ()
    makes: str = ""
    start: str = ""
    shared: str = ""
    about: str = ""
    refusal: Callable[[Path, Path], str] | None = None

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
    """What tells one state of the outside from another: hashes of prompts, target, other models and datasets.

    `counts` are the samples of each dataset, and under "" the prompts for SFT.
    """

    prompts: str
    target: str
    models: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass
class _Line:
    """The line of steps as it grows: what was collected, built and trained last. `model` None is the target."""

    recipe: Recipe
    marks: Marks
    sides: Iterator[Sides]
    steps: list[Step] = field(default_factory=list)
    share: float = 1.0
    model: Step | None = None
    collected: Step | None = None
    first: Collect | None = None
    asked_target: bool = False
    branches: list[Step] = field(default_factory=list)

    def add(self, step: Step) -> Step:
        self.steps.append(step)
        return step

    def short(self, source: Source) -> str:
        """Return a name for a source that is a part of a folder's name, and no other source's."""
        names = [slug(Path(one.model or name_of(one.spec)).name) for one in self.recipe.sources]
        place = self.recipe.sources.index(source)
        return names[place] if names.count(names[place]) == 1 else f"{names[place]}-{place + 1}"

    def unused(self, name: str) -> str:
        """Return what a model may be called: this, or with a number where a stage stands in the recipe again."""
        taken = sum(step.makes.rpartition(" again ")[0] == name or step.makes == name for step in self.steps)
        return f"{name} again {taken}" if taken else name

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
    if all(isinstance(stage.options, Collect) for stage in stages):
        raise InputError(f"no stage makes a model; add one of {', '.join(kind for kind in ADD if kind != 'collect')}")
    line = _Line(recipe, marks, iter(sides_of(recipe, stages)), share=share_of(recipe, stages))
    for stage in stages:
        if line.branches and stage.kind != "merge":
            raise InputError(f"the stage {stage.kind} finds {len(line.branches)} models; put 'merge' before it")
        ADD[stage.kind](line, stage.options)
    if line.branches:
        raise InputError(f"the stage fuse with `pairwise` makes {len(line.branches)} models; put 'merge' behind it")
    return line.steps


def _collect(line: _Line, options: Collect) -> None:
    recipe = line.recipe
    model, sides = line.base if options.target else None, next(line.sides)
    line.first = first = line.first or options
    asked = work.sources_of(recipe, options, first, sides, recipe.target.model if model else None)
    identity = {
        "prompts": line.marks.prompts,
        "models": [one.as_json() for one in asked],
        "reward": recipe.reward,
        "judge": recipe.judge,
        "math_suffix": recipe.math_suffix,
        "seed": recipe.seed,
        **(line.origin if options.target else {}),
    }
    does = partial(work.collect_responses, options=options, first=first, sides=sides, model=model)
    reads = line.read(line.collected) if options.target else ()
    line.asked_target = options.target
    about = f"responses of {_asked(recipe, sides)}"
    line.collected = line.add(Step("collect", does, "collected.json", identity, reads, shared="collected", about=about))


def _asked(recipe: Recipe, sides: Sides) -> str:
    """Return in words who is asked, and what."""
    names = {"source": "the sources", "target": f"the target ({without_credentials(recipe.target.spec)})"}
    prompts = {True: " to prompts for sft", False: " to prompts for preferences"}
    return " and of ".join(f"{names[role]}{prompts[side.sft] if side else ''}" for role, side in sides.items())


def _sft(line: _Line, options: Any) -> None:
    _learn(line, "sft", options, _built(line, "sft", options.of, None, options.verdicts))


def _dpo(line: _Line, options: Any) -> None:
    _learn(line, "dpo", options, _built(line, "dpo", options.of, options.margin, options.verdicts))


def _wrpo(line: _Line, options: Any) -> None:
    _learn(line, "wrpo", options, _built(line, "wrpo", "source", options.margin, options.verdicts))


def _learn(line: _Line, stage: str, options: Any, built: Step) -> None:
    _trained(line, stage, options, [built.place], built=built)


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
    if same := next((one for one in line.steps if one.key == step.key), None):
        return same
    place = line.steps.index(collected) + 1
    while place < len(line.steps) and line.steps[place].reads == (collected,):
        place += 1
    line.steps.insert(place, step)
    return step


def _trained(
    line: _Line, stage: str, options: Any, samples: Sequence[str | Path], dists: Sequence[Step] = (),
    built: Step | None = None, of: str = "",
) -> None:  # fmt: skip
    """Add a training that starts from the model trained last, whose place the new one takes.

    `built` made the samples, where a step did; `of` is the source that it learns from, where that is one of several.
    """
    kind = TRAINING[stage]
    identity = {**line.origin, **work.identity_of(line.recipe, kind, options)}
    does = partial(work.train, kind=kind, options=options, samples=samples, model=line.base,
                   dists=[Path(step.folder) for step in dists])  # fmt: skip
    name, reads = f"train {kind.verb} {of}".strip(), line.read(built, *dists)
    step = Step(
        name, does, work.MODEL, identity, reads, makes=line.unused(f"{stage} {of}".strip()),
        start=line.model.makes if line.model else TARGET, about=_words(identity),
    )  # fmt: skip
    line.model = line.add(step)


def _words(identity: Mapping[str, Any]) -> str:
    """Return the settings of a training that matter most, in words."""
    method = "" if identity["method"] == "full" else f"{identity['method']}, "
    length = f"{identity['steps']:,} updates" if identity["steps"] else f"{identity['epochs']} epochs"
    return f"{method}{length} of {identity['batch']} samples an update, lr {identity['lr']:g}"


def _fuse(line: _Line, options: Any) -> None:
    recipe, base = line.recipe, line.base
    settings = Fusion(datasets=(), model="", out=Path(), **work.settings_of(recipe, Fusion, options))
    built = _built(line, "sft", "source", None, True) if line.collected and not options.data else None
    data: str | Path = built.place if built else options.data or recipe.prompts or ""
    found = []
    for source in recipe.sources:
        name, model = line.short(source), str(source.read_from)
        step = _captured(line, settings, name, data, built, model, source)
        does = partial(work.align_source, captured=Path(step.folder), model=base, method=options.align,
                       template=recipe.template)  # fmt: skip
        identity = {**line.origin, "method": options.align, "template": recipe.template}
        about = f"to the target's tokens, by {options.align}"
        found.append((name, line.add(Step(f"align {name}", does, INDEX, identity, line.read(step), about=about))))
    own = [_captured(line, settings, "target", data, built, base)] if options.own else []
    if not options.pairwise:
        _trained(line, "fuse", options, [data], [*own, *(step for _, step in found)], built)
        return
    start = line.model
    for name, step in found:
        line.model = start
        _trained(line, "fuse", options, [data], [*own, step], built, name)
        line.branches.append(line.steps[-1])
    line.model = start


def _captured(
    line: _Line, settings: Fusion, name: str, data: str | Path, built: Step | None, model: str | Path,
    source: Source | None = None,
) -> Step:  # fmt: skip
    """Add the capture of a source, or of the target as it is, on samples that `built` made where a step did."""
    recipe, k = line.recipe, settings.top_k
    template = source.template if source else recipe.template
    does = partial(work.capture_source, data=data, model=model, k=k, template=template,
                   max_length=settings.max_length, source=source)  # fmt: skip
    outside = {} if built else {"data": line.marks.data[str(data)]}
    who = {"model": line.marks.models[str(model)]} if source else line.origin
    identity = {**outside, "k": k, "max_length": settings.max_length, **who, "template": template}
    about, refusal = f"the {k} most probable tokens everywhere", None
    if source and source.is_asked:
        about += f" (up to {line.marks.counts['' if built else str(data)]:,} calls)"
        refusal = partial(work.refusal_of, recipe, source, k)
    reads = tuple(step for step in (built, None if source else line.model) if step)
    return line.add(Step(f"capture {name}", does, INDEX, identity, reads, about=about, refusal=refusal))


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
    reads, start = line.read(*line.branches), line.model.makes if line.model else TARGET
    about = f"{len(line.branches) + len(options.models)} models by {options.merge_method}"
    step = Step("merge", does, work.MODEL, identity, reads, makes=line.unused("merge"), start=start, about=about)
    line.model, line.branches = line.add(step), []


ADD: dict[str, Callable[[_Line, Any], None]] = {
    "collect": _collect,
    "sft": _sft,
    "dpo": _dpo,
    "wrpo": _wrpo,
    "fuse": _fuse,
    "merge": _merge,
}
