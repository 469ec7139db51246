"""The file of a whole fusion: who learns from whom, on what, in which stages, and on what it is measured.

    target: Qwen/Qwen2.5-0.5B-Instruct          # a folder or a name on the Hub
    sources:
      - openai:mistral-large@http://HOST:8000/v1
      - {spec: "vllm:Qwen/Qwen2.5-72B-Instruct", temperature: 0.7, top_p: 0.8, repetition_penalty: 1.05}
    prompts: train.jsonl
    reward: hf:RLHFlow/ArmoRM-Llama3-8B-v0.1
    eval: {data: held-out.jsonl}
    stages: fusechat-3.0                        # a shipped list of stages, or a list: [collect, sft: {epochs: 3}, ...]

The keys of a stage are the options of the commands that it stands for, in their Python spelling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, create_model, model_validator

from curate.config.schema import Count, ModelSpec, Part, Share, Text
from curate.errors import without_credentials
from curate.fuse.build import window_of as usual_window
from curate.fuse.pairs import Window
from curate.fuse.sources import Sampling, name_of
from curate.models import ModelOptions
from curate.train.distill.settings import Fusion
from curate.train.preference.settings import Dpo, Wrpo
from curate.train.settings import Settings

Budget = Annotated[int, Field(ge=0)] | None

SAMPLING = Sampling()


class Sampled(ModelSpec):
    """A model and how its responses are sampled; what it leaves out, the stage `collect` says for all."""

    n: Count | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None

    def sampling(self, base: Sampling) -> Sampling:
        """Return how the model is sampled where `base` holds for what it leaves out."""
        own = {name: getattr(self, name) for name in _names(Sampling) if getattr(self, name) is not None}
        return Sampling(**{**{name: getattr(base, name) for name in _names(Sampling)}, **own})

    def options(self) -> ModelOptions:
        """Return how its server is asked."""
        # temperature and max_tokens are those of the sampling.
        given = {name: getattr(self, name) for name in _names(ModelOptions) if name not in _names(Sampling)}
        return ModelOptions(**given)


def _names(kind: type) -> list[str]:
    return [one.name for one in fields(kind)]


class Source(Sampled):
    """A model to learn from. `weights` is its folder or name on the Hub where `spec` does not say it.

    For token-level fusion `weights` are read in process, else its server is asked, with the ids of `tokenizer`, a
    folder or a name on the Hub. `template` is for tokenizers that have none of their own.
    """

    weights: Text | None = None
    tokenizer: Text | None = None
    template: Text | None = None

    @model_validator(mode="after")
    def _one_tokenizer(self) -> Source:
        if self.tokenizer and (self.weights or self.spec.startswith("hf:")):
            raise ValueError("weights are read in process, with their own tokenizer; name one of the two")
        return self

    @property
    def model(self) -> str | None:
        """Return where its weights are, for what needs more of it than its words; None where nobody knows."""
        scheme, _, name = self.spec.partition(":")
        return self.weights or (name if scheme in ("vllm", "hf") else None)

    @property
    def read_from(self) -> str | None:
        """Return the MODEL of `curate fuse capture` that reads it; None where nobody knows its tokenizer."""
        scheme = self.spec.partition(":")[0]
        if self.weights or scheme == "hf":
            return self.model
        return self.spec if self.tokenizer or scheme == "vllm" else None

    @property
    def is_asked(self) -> bool:
        """Whether token-level fusion asks its server."""
        return self.read_from == self.spec


class Target(Sampled):
    """The model that learns. `spec` is how it is asked for responses of its own, {model} being the one trained last."""

    model: Text
    spec: Text = "vllm:{model}"


class Evaluation(Part):
    """What everything is measured on: the options of `curate eval`."""

    data: Annotated[tuple[Text, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
                    Field(min_length=1)]  # fmt: skip
    limit: Count | None = None
    new_tokens: Annotated[int, Field(ge=0)] = 512
    max_length: Annotated[int, Field(ge=2)] | None = None


class Collect(Part):
    """Responses of all sources to every prompt, and with `target` those of the model that was trained last.

    The sampling of a later collection is the target's: the sources keep that of the first.
    """

    target: bool = False
    n: Count = SAMPLING.n
    temperature: Annotated[float, Field(ge=0, le=2)] = SAMPLING.temperature
    top_p: Annotated[float, Field(gt=0, le=1)] = SAMPLING.top_p
    max_tokens: Count = SAMPLING.max_tokens

    def sampling(self) -> Sampling:
        """Return how models are sampled that say nothing of their own."""
        return Sampling(self.n, self.temperature, self.top_p, None, self.max_tokens)


class Merge(Part):
    """The weights of several models into those of one. `models` are merged besides those that were trained before."""

    merge_method: str = "sce"
    models: tuple[Text, ...] = ()
    parameters: Mapping[str, Any] = {}
    dtype: str | None = None

    def recipe(self, base: str, models: tuple[str, ...]) -> dict[str, Any]:
        """Return the recipe of `curate merge`, of models that were trained from `base`."""
        found = {"merge_method": self.merge_method, "base_model": base, "parameters": dict(self.parameters)}
        return {**found, "models": [*models, *self.models], "dtype": self.dtype}


RUN_SETTINGS = (
    "datasets", "model", "out", "fields", "stream", "template", "seed", "references", "dists", "teacher",
)  # fmt: skip
"""Settings of a training that the run gives itself."""


def window_of(text: str | None, kind: str) -> Window | None:
    """Return the window that LOW:HIGH, none, or nothing said stands for."""
    if text is None:
        return usual_window(kind)
    if text == "none":
        return None
    low, _, high = text.partition(":")
    return Window(float(low), float(high))


def _margin(text: str) -> str:
    try:
        window = window_of(text, "dpo")
    except ValueError:
        raise ValueError(f'{text!r}; it takes LOW:HIGH, e.g. "0.01:0.1", or none') from None
    if window is not None and not -math.inf < window.low <= window.high < math.inf:
        raise ValueError(f"{text!r}; LOW is not to be above HIGH")
    return text


class Trained(Part):
    """What the stages that train have in common besides the settings of the trainer."""

    recipe: Text | None = None


def _training(name: str, settings: type, base: type[Part]) -> type[BaseModel]:
    """Return `base` with the settings of a trainer as keys; None is what the run leaves to the trainer."""
    hints = get_type_hints(settings)
    keys: dict[str, Any] = {
        one.name: (hints[one.name] | None, None) for one in fields(settings) if one.name not in RUN_SETTINGS
    }
    return create_model(name, __base__=base, **keys)


class Built(Trained):
    """Which responses a stage learns from: with `verdicts` false, by their scores alone."""

    of: Literal["source", "target"] = "source"
    verdicts: bool = True


class BuiltPairs(Trained):
    """Which pairs a stage learns from; `margin` is LOW:HIGH or none, of the scores of a pair's two responses."""

    margin: Annotated[str, AfterValidator(_margin)] | None = None
    verdicts: bool = True


class BuiltOwnPairs(BuiltPairs):
    """Pairs of a source's responses, or of the target's own."""

    of: Literal["source", "target"] = "source"


class TokenLevel(Trained):
    """Token-level fusion on `data`, else on the best responses that were collected, else on the prompts' own responses.

    `align` is the method of `curate fuse align`. With `own`, the target as it was before is a source too. With
    `pairwise`, one model comes out for each source, and the stage `merge` makes one of them.
    """

    data: Text | None = None
    align: Literal["bytes", "em", "mined", "statistics", "statistics-published"] = "bytes"
    own: bool = True
    pairwise: bool = False


TRAINING: dict[str, type[Settings]] = {"sft": Settings, "dpo": Dpo, "wrpo": Wrpo, "fuse": Fusion}
"""The settings of a stage that trains, by its name."""

STAGES: dict[str, type[BaseModel]] = {
    "collect": Collect,
    "sft": _training("Sft", Settings, Built),
    "dpo": _training("Dpo", Dpo, BuiltOwnPairs),
    "wrpo": _training("Wrpo", Wrpo, BuiltPairs),
    "fuse": _training("Fuse", Fusion, TokenLevel),
    "merge": Merge,
}
"""What a stage can be, by its name."""


def _stage(value: Any) -> Any:
    return {value: {}} if isinstance(value, str) else value


class Recipe(Part):
    """A whole fusion. `share` of the prompts are for sft where there is a stage for preferences too."""

    target: Annotated[Target, BeforeValidator(lambda value: {"model": value} if isinstance(value, str) else value)]
    sources: tuple[
        Annotated[Source, BeforeValidator(lambda value: {"spec": value} if isinstance(value, str) else value)], ...
    ] = ()
    prompts: Text | None = None
    eval: Evaluation
    reward: Text | None = None
    judge: Text | None = None
    math_suffix: str = ""
    template: Text | None = None
    share: Share | None = None
    seed: int = 0
    budget_calls: Budget = None
    budget_tokens: Budget = None
    budget_usd: Annotated[float, Field(ge=0)] | None = None
    out: Text | None = None
    published: str = ""
    stages: tuple[Annotated[dict[str, Any], BeforeValidator(_stage)], ...]

    def named(self, source: Source) -> str:
        """Return what a source is called in tables: its name, with the server where another one has the same."""
        names = [name_of(one.spec) for one in self.sources]
        name = name_of(source.spec)
        return f"source {name if names.count(name) == 1 else without_credentials(source.spec)}"
