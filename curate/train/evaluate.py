"""How well models do on samples: the loss of a target token, and how many problems they answer right.

OUT/results.json                 the figures of the last call
OUT/MODEL-DATA-KEY/losses.jsonl  each sample's summed loss and number of targets
OUT/MODEL-DATA-KEY/answers.jsonl each problem's known answer, the model's reply and whether it is right
OUT/MODEL-DATA-KEY/dropped.jsonl samples without a loss, each with its reason

Rows are written pack by pack and batch by batch, and a call goes on behind the last whole one.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from curate.errors import InputError, RunError
from curate.io import atomic, read_samples, sample_to_row, write_jsonl
from curate.io.files import to_line
from curate.io.journal import read_journal
from curate.text import slug
from curate.train import attention
from curate.train.data.cache import dropped_row
from curate.train.data.formats import document_of
from curate.train.data.packing import pack
from curate.train.data.templates import find_template
from curate.train.data.tokens import Coder
from curate.train.hush import hushed
from curate.train.launch import processes
from curate.train.logprobs import selected_logprobs
from curate.train.model import (
    autocasts,
    causal,
    end_in_loss,
    fingerprint,
    head_of,
    inputs_of,
    open_config,
    open_model,
    open_tokenizer,
    precision,
    set_attention,
)
from curate.train.probe import check_model
from curate.train.progress import Listener
from curate.train.replies import ROOM, Problem, batches_of, checked, problem_of, replies
from curate.train.scores import Difference, Scores, Share, difference, mean_of
from curate.train.settings import Settings
from curate.train.sft import LONGEST, ROOM_FOR_PACKS, alone
from curate.train.steps import make_pack
from curate.types import Sample
from curate.verify import MathChecker

VERSION = 1
"""Goes up with every change of what a row says."""

LOSSES, ANSWERS = "losses.jsonl", "answers.jsonl"


@dataclass(frozen=True)
class Options:
    """What is measured: the first `limit` samples of each file, answers of `new` tokens at most (0: none)."""

    models: tuple[str, ...]
    data: tuple[str, ...]
    out: Path
    limit: int | None = None
    new: int = 512
    max_length: int | None = None
    template: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """The scores of every model on every dataset, and how later models differ from the first."""

    out: Path
    scores: tuple[Scores, ...]
    differences: tuple[Difference, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {
            "out": str(self.out),
            "scores": [one.as_json() for one in self.scores],
            "differences": [one.as_json() for one in self.differences],
        }


def evaluate(options: Options, listener: Listener | None = None) -> Evaluation:
    """Measure every model on every dataset and write results.json. The same call again computes what is missing.

    Raises:
        InputError: a model, file or value that cannot be used; all files are read before a model is loaded.
        RunError: the disk is full, or another process evaluates into the folder.
    """
    listener = listener or Listener()
    with hushed():
        samples, settings, codings = look(options)
    with hushed(), alone(options.out, "evaluates into"):
        rows: dict[tuple[str, str], tuple[Rows, Rows]] = {}
        scores = []
        for one, coding in zip(settings, codings, strict=True):
            for note in coding.coder.notes:
                listener.say(note)
            opened = _Opened(one, coding, listener)
            for path in options.data:
                cell = _Cell(opened, path, samples[path], options)
                rows[one.model, path] = cell.measure()
                scores.append(cell.scores())
        first = options.models[0]
        differences = tuple(
            difference((model, path), rows[first, path], rows[model, path])
            for path in options.data
            for model in options.models[1:]
        )
        found = Evaluation(options.out, tuple(scores), differences)
        with atomic(options.out / "results.json") as file:
            json.dump(found.as_json(), file, indent=1, ensure_ascii=False)
    return found


def look(options: Options) -> tuple[dict[str, list[Sample]], list[Settings], list[_Coding]]:
    """Return the samples of every file, and how every model reads them, before one is loaded.

    Raises:
        InputError: a model, file or value that cannot be used.
    """
    _check(options)
    samples = {path: _read(path, options.limit) for path in options.data}
    talks = any(document_of(one) is None for read in samples.values() for one in read)
    settings = [_settings(model, options) for model in options.models]
    return samples, settings, [_coding(one, options, talks) for one in settings]


Rows = list[dict[str, Any]]


def _check(options: Options) -> None:
    if processes() > 1:
        raise InputError("curate eval runs in one process; start it without torchrun or accelerate launch")
    for words, values in (("MODEL", options.models), ("--data", options.data)):
        if not values:
            raise InputError(f"{words}: there is none to evaluate")
        if twice := [value for value in values if values.count(value) > 1]:
            raise InputError(f"{words} {twice[0]}: it is named twice")
    for name, least in (("limit", 1), ("new", 0), ("max_length", 2)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise InputError(f"--{name.replace('_', '-')} {value}: it takes {least} or more")


def _read(path: str, limit: int | None) -> list[Sample]:
    samples = list(islice(read_samples(path, documents=True), limit))
    if not samples:
        raise InputError(f"{path}: the dataset is empty")
    return samples


def _settings(model: str, options: Options) -> Settings:
    weights = "bfloat16" if torch.cuda.is_available() else "float32"
    return Settings(options.data, model, options.out, weights=weights, template=options.template)


@dataclass(frozen=True)
class _Coding:
    """How a model reads samples; `identity` is what decides its figures, as far as the model is concerned."""

    config: Any
    tokenizer: Any
    coder: Coder
    identity: dict[str, Any]


def _coding(settings: Settings, options: Options, talks: bool) -> _Coding:
    """Return how a model reads samples, among them conversations where `talks`."""
    config = open_config(settings)
    tokenizer = open_tokenizer(settings, config)
    try:
        template = find_template(settings.template, tokenizer, needed=talks)
    except InputError as error:
        raise InputError(f"{settings.model}: {error}") from None
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    if options.max_length and context and options.max_length > context:
        raise InputError(
            f"--max-length {options.max_length}: the context of {settings.model} is {context} tokens; "
            f"give {context} or less"
        )
    coder = Coder(tokenizer, template, options.max_length or min(LONGEST, context or LONGEST))
    identity = {"model": settings.model, "weights": fingerprint(settings.model, config), "precision": settings.weights,
                "template": template.text, "max_length": coder.max_length, "version": VERSION}  # fmt: skip
    return _Coding(config, tokenizer, coder, identity)


class _Opened:
    """A model that is loaded when it is first needed: figures that are there already need none."""

    def __init__(self, settings: Settings, coding: _Coding, listener: Listener) -> None:
        self.settings, self.coding, self.listener = settings, coding, listener
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.packs = True
        self._model: nn.Module | None = None

    @property
    def model(self) -> nn.Module:
        """The model on its device, tried."""
        if self._model is None:
            self.listener.doing(f"opens {self.name}")
            self._model = self._load()
        return self._model

    @property
    def name(self) -> str:
        """A short name for messages."""
        return Path(self.settings.model).name

    def _load(self) -> nn.Module:
        settings, device, config = self.settings, self.device, self.coding.config
        model = open_model(settings, config, device).to(device).eval()
        end_in_loss(model)
        dtype = torch.bfloat16 if device.type == "cuda" or autocasts(settings, device) else torch.float32
        set_attention(model, attention.choose(device, dtype, config.get_text_config()))
        try:
            check_model(model, settings, device)
        except InputError:
            # Its documents may not share a pack; each alone must then be right.
            self.packs = False
            check_model(model, replace(settings, pack=False), device)
        return model


class _Cell:
    """One model on one dataset."""

    def __init__(self, opened: _Opened, path: str, samples: Sequence[Sample], options: Options) -> None:
        self.opened, self.path, self.options = opened, path, options
        coding, self.listener = opened.coding, opened.listener
        self.coded = coding.coder.encode(samples, path)
        self.kept = [number for number, one in enumerate(self.coded) if one.verdict.keep]
        if not self.kept:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in self._dropped().most_common())
            raise InputError(f"{path}: none of its {len(samples):,} samples has a target token ({reasons})")
        content = hashlib.blake2b(digest_size=16)
        for sample in samples:
            content.update(to_line(sample_to_row(sample)).encode())
        identity = {**coding.identity, "data": content.hexdigest(), "new": options.new}
        key = hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=4).hexdigest()
        self.folder = options.out / f"{slug(opened.name)}-{slug(Path(path).stem)}-{key}"
        self.losses: Rows = []
        self.answers: Rows = []

    def _dropped(self) -> Counter[str]:
        return Counter(one.verdict.reason for one in self.coded if not one.verdict.keep)

    def measure(self) -> tuple[Rows, Rows]:
        """Compute what is missing; return the rows of losses and of answers, in the order of the dataset."""
        self.folder.mkdir(exist_ok=True)
        write_jsonl(self.folder / "dropped.jsonl", (dropped_row(one) for one in self.coded if not one.verdict.keep))
        name = Path(self.path).name
        self.listener.doing(f"{self.opened.name} on {name}, loss")
        budget = max(ROOM_FOR_PACKS[self.opened.device.type], self.opened.coding.coder.max_length)
        packs = self._packs(budget)
        self.losses = self._rows(LOSSES, packs, self._losses)
        self.listener.doing(f"{self.opened.name} on {name}, answers")
        coder, new = self.opened.coding.coder, self.options.new
        problems = [found for number in self.kept if (found := problem_of(number, self.coded[number], coder))]
        batches = batches_of(problems, new, ROOM[self.opened.device.type]) if new else []
        with MathChecker() as checker:
            # It loads while the model does.
            self.answers = self._rows(ANSWERS, batches, lambda batch: self._answers(batch, checker), checker.start)
        return self.losses, self.answers

    def _packs(self, budget: int) -> list[list[int]]:
        lengths = [len(self.coded[number].documents[0].input_ids) for number in self.kept]
        return [[self.kept[place] for place in one] for one in pack(lengths, budget)]

    def _rows(
        self, name: str, groups: Sequence[list[Any]], compute: Callable[[list[Any]], Rows],
        begin: Callable[[], object] = lambda: None,
    ) -> Rows:  # fmt: skip
        """Return the rows of all groups, of which those of whole groups are taken from the file, in their order.

        `begin` is called before the first that is not there.
        """
        path = self.folder / name
        rows, _ = read_journal(path, "a row of figures", lambda row: "" if isinstance(row, dict) else "no object")
        total, at = sum(map(len, groups)), 0
        rest: list[list[Any]] = []
        for group in groups:
            if at + len(group) <= len(rows) and not rest:
                at += len(group)
            else:
                rest.append(group)
        rows = rows[:at]
        if rest:
            begin()
            write_jsonl(path, rows)
            with path.open("a", encoding="utf-8", newline="\n") as file:
                for group in rest:
                    self.listener.reading(len(rows), total)
                    made = compute(group)
                    try:
                        file.write("".join(map(to_line, made)))
                        file.flush()
                    except OSError as error:
                        raise RunError(
                            f"{path}: cannot be written ({error.strerror}); free space, then the same command goes on"
                        ) from error
                    rows += made
        return sorted(rows, key=lambda row: int(row["number"]))

    def _losses(self, numbers: list[int]) -> Rows:
        opened = self.opened
        model, device = causal(opened.model), opened.device
        rows: Rows = []
        for group in [numbers] if opened.packs else [[number] for number in numbers]:
            documents = [self.coded[number].documents[0] for number in group]
            inputs = make_pack(documents, None, 0)
            given = inputs_of(inputs, device)
            places, targets = given.pop("places"), given.pop("targets")
            with torch.no_grad(), precision(opened.settings, device):
                hidden = model.get_decoder()(**given, use_cache=False).last_hidden_state[0]
                logp, _ = selected_logprobs(hidden[places], head_of(model), targets[:, None])
            owner = torch.bucketize(inputs["places"], torch.tensor(inputs["ends"][1:]), right=True)
            sums = torch.zeros(len(group), dtype=torch.float64).index_add_(0, owner, -logp[:, 0].double().cpu())
            counts = torch.bincount(owner, minlength=len(group)).tolist()
            for number, loss, count in zip(group, sums.tolist(), counts, strict=True):
                sample = self.coded[number].sample.id
                rows.append({"number": number, "sample": sample, "loss": float(f"{loss:.7g}"), "targets": count})
        return rows

    def _answers(self, batch: list[Problem], checker: MathChecker) -> Rows:
        opened, coding = self.opened, self.opened.coding
        context = getattr(coding.config.get_text_config(), "max_position_embeddings", None)
        longest = max(len(problem.prompt) for problem in batch)
        new = min(self.options.new, context - longest) if context else self.options.new
        said = replies(opened.model, coding.tokenizer, coding.coder, batch, max(new, 1), opened.settings)
        return list(checked(zip(batch, said, strict=True), checker))

    def scores(self) -> Scores:
        """Return the figures; `measure` has been called."""
        limit = self.opened.coding.coder.max_length
        counts = [row["targets"] for row in self.losses]
        asked = len(self.answers)

        def share(name: str, value: bool = True) -> Share | None:
            return Share(sum(row[name] is value for row in self.answers), asked) if asked else None

        return Scores(
            model=self.opened.settings.model,
            data=self.path,
            samples=len(self.losses),
            dropped=dict(self._dropped()),
            cut=sum(one.verdict.keep and one.tokens > limit for one in self.coded),
            targets=sum(counts),
            loss=mean_of([row["loss"] for row in self.losses], counts),
            exact=share("exact"),
            lenient=share("lenient"),
            unmarked=share("marked", False),
        )
