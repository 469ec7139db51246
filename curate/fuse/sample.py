"""Ask every model for its responses to every prompt, through the ledger.

Models behind APIs are asked side by side. A model whose server is started here (vllm:, hf:) is asked alone, since two
of them may not fit into memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import InputError, without_credentials
from curate.fuse.folder import RESPONSES
from curate.fuse.prompts import Prompt
from curate.fuse.sources import Source
from curate.io import read_jsonl, write_jsonl
from curate.run import key_of
from curate.text import content_id
from curate.types import STOPPED, TRANSIENT, Ask, Completion, Request

if TYPE_CHECKING:
    from curate.models import Engine, Model

STAGE = "collect"

Row = dict[str, Any]

Tick = Callable[[int, int | None], None]

OpenEngine = Callable[[Mapping[str, "Model"]], Any]
"""Opens an engine with these models on the collection's ledger; a context manager."""


class Stopped(Exception):
    """The budget is spent, or the user asked to stop; the message is one of `types.STOPPED`."""


def open_sources(sources: Sequence[Source]) -> dict[Source, Model]:
    """Return the model of every source; nothing is started yet.

    Raises:
        InputError: a spec names no model, or two models of the same role have the same name.
    """
    from curate.models import open_model

    models: dict[Source, Model] = {}
    for source in sources:
        model = open_model(source.role, source.spec, source.options)
        if same := next((one for one in models if one.role == source.role and models[one].name == model.name), None):
            raise InputError(
                f"--{source.role} {without_credentials(source.spec)}: it has the name {model.name!r} of "
                f"{without_credentials(same.spec)}, so that their responses cannot be told apart; rename one"
            )
        models[source] = model
    return models


def grouped(sources: Sequence[Source]) -> list[list[Source]]:
    """Return the sources that are asked at the same time."""
    served = [source for source in sources if not source.local]
    return [*([served] if served else []), *([source] for source in sources if source.local)]


def sample(
    prompts: Callable[[], Iterable[Prompt]],
    total: int,
    models: Mapping[Source, Model],
    folder: Path,
    open_engine: OpenEngine,
    *,
    seed: int,
    tick: Tick,
) -> int:
    """Write responses.jsonl: the rows of every model for every prompt, in the order of prompts and of the models.

    There are `total` of them; a call that failed is a row without content. Returns how many failures may be gone the
    next time.

    Raises:
        Stopped: before all was asked; what was paid for is in the ledger.
        ModelError: a model cannot be used at all.
    """
    for left in folder.glob(".responses-*.jsonl"):  # of a process that was killed
        left.unlink()
    groups = grouped(list(models))
    parts = [folder / f".responses-{number}.jsonl" for number in range(len(groups))]
    counter = _Counter(total, tick)
    for group, part in zip(groups, parts, strict=True):
        stopped = None
        with open_engine({_role(source): models[source] for source in group}) as engine:
            try:
                write_jsonl(part, _asked(prompts(), group, models, engine, seed, counter))
            except Stopped as stop:  # kept from the engine, which would not wait for what is out
                stopped = stop
        if stopped is not None:
            raise stopped
    if len(parts) == 1:
        parts[0].replace(folder / RESPONSES)
    else:
        write_jsonl(folder / RESPONSES, _merged(parts, groups, prompts()))
        for part in parts:
            part.unlink()
    return counter.transient


class _Counter:
    """Tells how many calls are made, of those that the ledger did not have."""

    def __init__(self, total: int, tick: Tick) -> None:
        self._total, self._tick = total, tick
        self._new = self._replayed = self.transient = 0

    def add(self, completion: Completion) -> None:
        self._replayed += completion.replayed
        self._new += not completion.replayed
        self.transient += completion.failure is not None and completion.failure.kind in TRANSIENT
        self._tick(self._new, self._total - self._replayed)


def _role(source: Source) -> str:
    """Return the engine's name of a model; a target may be the same model as one of the sources."""
    return f"{source.role} {source.spec}"


def _asked(
    prompts: Iterable[Prompt],
    group: Sequence[Source],
    models: Mapping[Source, Model],
    engine: Engine,
    seed: int,
    counter: _Counter,
) -> Iterator[Row]:
    calls = (
        (prompt, source, number) for prompt in prompts for source in group for number in range(source.calls(prompt.id))
    )

    async def work(item: tuple[Prompt, Source, int], ask: Ask) -> Completion:
        prompt, source, number = item
        sampling = source.sampling
        return await ask(
            Request(
                _role(source),
                prompt.messages,
                sampling.max_tokens,
                sampling.temperature,
                # A target that is one of the sources gives responses of its own.
                attempt=f"{source.role} {seed} {number}",
                stage=STAGE,
                sampling=sampling.parameters(),
            )
        )

    for outcome in engine.map(calls, work):
        (prompt, source, number), done = outcome.item, outcome.value
        if done.failure is not None and done.failure.kind in STOPPED:
            raise Stopped(done.failure.kind)
        counter.add(done)
        yield _row(prompt, source, models[source].name, number, seed, done)


def _row(prompt: Prompt, source: Source, model: str, number: int, seed: int, done: Completion) -> Row:
    sampling = asdict(source.sampling)
    del sampling["n"]
    failure = None if done.failure is None else {"kind": done.failure.kind, "message": done.failure.message}
    content = "" if failure else done.text
    made = key_of(prompt.id, model, source.role, number, seed, sampling)
    return {
        "response_id": content_id([{"role": made, "content": content}]),
        "prompt_id": prompt.id,
        "model_id": model,
        "role": source.role,
        "sample_idx": number,
        "seed": seed,
        "sampling": sampling,
        "engine": source.spec.partition(":")[0],
        "content": content,
        "reasoning": "" if failure else done.reasoning,
        "finish_reason": done.finish_reason,
        "n_tokens": done.output_tokens,
        "failure": failure,
    }


def _merged(parts: Sequence[Path], groups: Sequence[Sequence[Source]], prompts: Iterable[Prompt]) -> Iterator[Row]:
    """Yield the rows of all groups, prompt by prompt."""
    files = [read_jsonl(part) for part in parts]
    for prompt in prompts:
        for file, group in zip(files, groups, strict=True):
            yield from islice(file, sum(source.calls(prompt.id) for source in group))
