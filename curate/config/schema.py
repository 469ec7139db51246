"""The domain file: one YAML per domain that holds every knob, checked key by key before anything is asked of a model.

    name: math                     # the file's name where it is left out
    extends: math                  # optional: a shipped domain or a file that this one overrides key by key
    root: {name: Solve mathematical problems, description: ...}
    tasks: [{name: Algebra, description: ..., tasks: [...]}]
    seeds: math.seeds.jsonl        # rows {instruction, input?, output, task?}; or the rows themselves
    models: {teacher: {spec: "openai:NAME"}}
    judge: null                    # off; on with `judge: {min_score: 4}`, which grades by `rubric`

Mappings are merged with those of the extended file, lists and values replaced, and `null` switches a filter off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from curate.prompt import LANGUAGES
from curate.text import normalise

Role = Literal["teacher", "student", "judge", "embedder"]
"""Who a model can be; the judge is the teacher unless another is named, and an embedder is one behind an API."""

SCHEMES = ("procedural", "scripted", "openai", "vllm", "hf")
"""How a model spec begins."""

Text = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class Part(BaseModel):
    """What all parts of a domain file share: no unknown key, no change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, validate_default=True)


class TaskSpec(Part):
    """A task that the tree begins with."""

    name: Text
    description: str = ""
    tasks: tuple[TaskSpec, ...] = ()

    @field_validator("tasks")
    @classmethod
    def _distinct(cls, tasks: tuple[TaskSpec, ...]) -> tuple[TaskSpec, ...]:
        return _distinct(tasks)

    def walk(self) -> Iterator[TaskSpec]:
        """Yield this task and all below it, parents first."""
        yield self
        for task in self.tasks:
            yield from task.walk()


def _distinct(tasks: tuple[TaskSpec, ...]) -> tuple[TaskSpec, ...]:
    seen: set[str] = set()
    for task in tasks:
        if normalise(task.name) in seen:
            raise ValueError(f"the task '{task.name}' stands here twice; keep one")
        seen.add(normalise(task.name))
    return tasks


class Seed(Part):
    """A hand-written sample. `task` is the name of one of the domain's first tasks; without it, it is the root's."""

    instruction: Text
    input: str = ""
    output: Text
    task: str | None = None


class ModelSpec(Part):
    """A model by spec and how to use it.

    Rates are per minute, `timeout` is in seconds for one attempt, prices are in US dollars per million tokens.
    """

    spec: Text
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Count | None = None
    rpm: Count | None = None
    tpm: Count | None = None
    concurrency: Count | None = None
    timeout: Annotated[float, Field(ge=0.1)] = 600.0
    reasoning: Literal["keep", "drop"] = "keep"
    price_in: Annotated[float, Field(ge=0)] | None = None
    price_out: Annotated[float, Field(ge=0)] | None = None

    @field_validator("spec")
    @classmethod
    def _known_scheme(cls, spec: str) -> str:
        scheme, colon, rest = spec.partition(":")
        forms = "procedural, scripted:FILE.py, openai:NAME, openai:NAME@URL, vllm:NAME, hf:NAME"
        if scheme not in SCHEMES or (scheme == "procedural") == bool(colon) or (colon and not rest):
            raise ValueError(f"'{spec}' is no model spec; it takes {forms}")
        if scheme == "openai" and "@" in rest:
            name, _, urls = rest.partition("@")
            if not name or not all(re.match(r"https?://[^/]", url.strip()) for url in urls.split(",")):
                raise ValueError(f"'{spec}' is no model spec; it takes openai:NAME@http://HOST:PORT/v1[,URL...]")
        return spec


class Explore(Part):
    """How the tree grows: `width` is the number of sub-tasks per task, one number for each depth from the root."""

    depth: Annotated[int, Field(ge=0, le=10)] = 2
    width: Annotated[tuple[Count, ...], BeforeValidator(lambda v: v if isinstance(v, list | tuple) else (v,))] = (8, 6)
    per_call: Count = 4
    max_tasks: Count = 1000
    saturation: Count = 3
    merge_candidates: Annotated[int, Field(ge=0)] = 3

    @field_validator("width")
    @classmethod
    def _one_per_depth(cls, width: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        depth = info.data.get("depth")
        if depth is None or len(width) == depth:
            return width
        if depth == 0:
            return ()
        if len(width) != 1:
            raise ValueError(f"{list(width)} has {len(width)} numbers, depth is {depth}; give {depth}, or one for all")
        return width * int(depth)

    def width_at(self, depth: int) -> int:
        """Return how many sub-tasks a task at `depth` (root: 0) is to have; 0 from the last depth on."""
        return self.width[depth] if depth < self.depth else 0


class Generate(Part):
    """How samples are written: samples and demonstrations per call, and barren calls until a task is exhausted."""

    per_call: Count = 5
    demonstrations: Annotated[int, Field(ge=0)] = 2
    saturation: Count = 3


class Verify(Part):
    """How answers are checked: `math` takes the majority of `votes` independent solutions where no answer is known."""

    kind: Literal["none", "math"] = "none"
    votes: Count = 3


class FieldRules(Part):
    """What a text must be like. A word is what `text.words` says for the language; forbidden words are whole words."""

    min_words: Annotated[int, Field(ge=0)] = 0
    max_words: Count | None = None
    max_chars: Count | None = None
    forbidden_words: tuple[Text, ...] = ()
    forbidden_starts: tuple[Text, ...] = ()
    forbid_punctuation_start: bool = False
    ascii_start_only: bool = False
    forbid_wrapped: bool = False

    @field_validator("max_words")
    @classmethod
    def _not_below_min(cls, most: int | None, info: ValidationInfo) -> int | None:
        least = info.data.get("min_words", 0)
        if most is not None and most < least:
            raise ValueError(f"{most} is below min_words, which is {least}")
        return most


class Rules(Part):
    """The rules of a sample's three texts."""

    instruction: FieldRules = FieldRules()
    input: FieldRules = FieldRules()
    response: FieldRules = FieldRules()


GENERAL: dict[str, dict[str, Any]] = {
    "instruction": {"min_words": 3, "max_words": 300, "max_chars": 4000, "forbid_punctuation_start": True},
    "input": {"max_chars": 4000, "forbid_wrapped": True},
    "response": {"min_words": 1, "max_chars": 4000},
}
"""The rules of a domain that nobody wrote rules for."""


class Rouge(Part):
    """Near-duplicates by ROUGE-L: `text` compares instruction and input, `instruction` compares as the papers do."""

    threshold: Share = 0.7
    field: Literal["text", "instruction"] = "text"


def _threshold(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value != "auto" and not (number and 0 <= value <= 1):
        raise ValueError(f"{value!r} is neither 'auto' nor a number from 0 to 1")
    return value


class Dedup(Part):
    """Near-duplicates by meaning. `auto` is the embedder's own threshold; the embedder `none` does without vectors.

    Without this part (`dedup: null`) samples are not compared by meaning, and tasks are merged all the same.
    """

    embedder: Text = "static"
    threshold: Annotated[float | Literal["auto"], BeforeValidator(_threshold)] = "auto"


class Judge(Part):
    """Grades by rubric, from 1 to `scale_max`; samples below `min_score` are dropped."""

    rubric: Text
    min_score: Annotated[float, Field(ge=1)] = 4
    scale_max: Annotated[int, Field(ge=2, le=100)] = 5

    @field_validator("scale_max")
    @classmethod
    def _reachable(cls, scale: int, info: ValidationInfo) -> int:
        if info.data.get("min_score", 1) > scale:
            least = info.data["min_score"]
            raise ValueError(f"{scale} is below min_score, which is {least:g}: every sample would be dropped")
        return scale


class Exam(Part):
    """What the student does not know of the accepted samples, and what becomes of it: the options of `curate exam`.

    The threshold is the rule's own unless given. `demonstrations` says how many of `shots`, or of those that ship, come
    before each question. `precision` is that of a student in process (float32 on a CPU unless given); a server has
    chosen its own. Paths are relative to the domain file.
    """

    student: Text
    treat: Literal["open_book", "discard", "refuse"] = "discard"
    questions: Annotated[int, Field(ge=1, le=8)] = 3
    orders: Annotated[int, Field(ge=1, le=10)] = 4
    rule: Literal["mean", "votes"] = "mean"
    threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    by: Literal["letter", "text", "both"] = "both"
    documents: Path | None = None
    shots: Path | None = None
    demonstrations: Annotated[int, Field(ge=0, le=100)] = 5
    precision: Literal["float32", "bfloat16", "float16"] | None = None
    refusals: Path | None = None


class Export(Part):
    """The form of the dataset, and whether the teacher's reasoning goes with it."""

    format: Literal["messages", "alpaca", "prompt_completion", "sharegpt"] = "messages"
    reasoning: bool = False


class Domain(Part):
    """A domain file, resolved: nothing is inherited any more, and `seeds` is an absolute path or the rows."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    language: str = "en"
    root: TaskSpec
    tasks: tuple[TaskSpec, ...] = ()
    seeds: Annotated[
        Annotated[Path, Tag("<path>")] | Annotated[tuple[Seed, ...], Tag("<rows>")],
        Discriminator(lambda value: "<path>" if isinstance(value, str | Path) else "<rows>"),
        BeforeValidator(lambda value: () if value is None else value),
    ] = ()
    guidance: str = ""
    rubric: str = ""
    models: dict[Role, ModelSpec] = {}
    explore: Explore = Explore()
    generate: Generate = Generate()
    verify: Verify = Verify()
    rules: Rules = Rules()
    rouge: Rouge | None = Rouge()
    dedup: Dedup | None = Dedup()
    judge: Judge | None = None
    exam: Exam | None = None
    export: Export = Export()

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, raw: Any) -> Any:
        """Give the judge the domain's rubric and Chinese its encoder, where the file does not say.

        A model in the role of the embedder is the embedder of `dedup`.
        """
        if not isinstance(raw, Mapping):
            return raw
        raw = dict(raw)
        if isinstance(raw.get("judge"), Mapping):
            raw["judge"] = {"rubric": raw.get("rubric", ""), **raw["judge"]}
        dedup = raw.get("dedup", {})
        if raw.get("language") == "zh" and isinstance(dedup, Mapping):
            # The shipped static table knows English words only.
            raw["dedup"] = dedup = {"embedder": "chargrams", **dedup}
        models = raw.get("models")
        named = models.get("embedder") if isinstance(models, Mapping) else None
        if isinstance(named, Mapping) and "spec" in named and isinstance(dedup, Mapping):
            raw["dedup"] = {**dedup, "embedder": named["spec"]}
        return raw

    @field_validator("models")
    @classmethod
    def _embedder_is_asked(cls, models: dict[Role, ModelSpec]) -> dict[Role, ModelSpec]:
        if "embedder" in models and not models["embedder"].spec.startswith("openai:"):
            spec = models["embedder"].spec
            raise ValueError(f"embedder: '{spec}' is not behind an API (openai:NAME@URL); name it as dedup.embedder")
        return models

    @field_validator("name")
    @classmethod
    def _usable_in_a_path(cls, name: str) -> str:
        if not re.fullmatch(r"[^\W_][\w.-]*", name):
            raise ValueError(f"'{name}' names the run's folder and takes letters, digits, '-', '_' and '.' only")
        return name

    @field_validator("language")
    @classmethod
    def _known_language(cls, language: str) -> str:
        if language not in LANGUAGES:
            raise ValueError(f"'{language}' is not a language here (known: {', '.join(LANGUAGES)})")
        return language

    @field_validator("tasks")
    @classmethod
    def _distinct(cls, tasks: tuple[TaskSpec, ...]) -> tuple[TaskSpec, ...]:
        return _distinct(tasks)

    @field_validator("rules")
    @classmethod
    def _fit_the_language(cls, rules: Rules, info: ValidationInfo) -> Rules:
        for name in ("instruction", "input", "response"):
            if info.data.get("language") == "zh" and getattr(rules, name).ascii_start_only:
                raise ValueError(f"{name}.ascii_start_only would drop every sample in Chinese; leave it out")
        return rules

    @classmethod
    def general(cls, name: str, root: str | Mapping[str, str], language: str = "en", **more: Any) -> Domain:
        """Return a domain with the rules of any domain: for a tree of one's own, or with `more` keys for a draft.

        Raises pydantic.ValidationError.
        """
        top = {"name": root} if isinstance(root, str) else root
        return cls.model_validate({"name": name, "language": language, "root": top, "rules": GENERAL, **more})

    @property
    def max_chars(self) -> int:
        """The longest text that the rules let pass, in characters: what a model is told, and what binds its decoder."""
        bounds = [self.rules.instruction.max_chars, self.rules.input.max_chars, self.rules.response.max_chars]
        return max((bound for bound in bounds if bound), default=4000)

    def seed_examples(self) -> list[dict[str, str]]:
        """Return the seeds as rows {instruction, input, output, task?}, `task` spelt as the domain file does.

        Raises ConfigError naming file and line of every malformed row.
        """
        from curate.config.files import read_seeds

        seeds = read_seeds(self.seeds) if isinstance(self.seeds, Path) else self.seeds
        names = {normalise(task.name): task.name for top in self.tasks for task in top.walk()}
        rows = [seed.model_dump(exclude_none=True) for seed in seeds]
        return [
            row | {"task": names.get(normalise(row["task"]), row["task"])} if "task" in row else row for row in rows
        ]
