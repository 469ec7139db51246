"""From a sample with its losing answer to a group: the prompt with all its answers, as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.io.shapes import WrongRowError, said
from curate.train.data.formats import checked, turns_of
from curate.train.data.templates import Template, TemplateRefusal, Turn
from curate.train.data.tokens import NO_LOSS, Coded, Coder, Encoded, MisfitError, Span
from curate.types import KEEP, Message, Sample, Verdict, drop

Row = tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]
"""The tokens of a conversation, and which of them have loss."""


class PairCoder(Coder):
    """Encodes samples with several answers; a sample's documents are its prompt, then each of its `sides`.

    A prompt has no loss, and neither has what users say in an answer of several messages. `max_length` is that of a
    prompt with an answer: with `truncate` an answer that is longer loses its end.
    """

    def __init__(
        self, tokenizer: Any, template: Template, max_length: int, long: str, sides: tuple[str, ...], verb: str
    ) -> None:
        super().__init__(tokenizer, template, max_length, long)
        self.sides, self.verb = sides, verb
        self._begun: set[str] = set()

    def encode(self, samples: Sequence[Sample], source: str) -> list[Coded]:
        """Return what becomes of each of the samples, in their order.

        Reasons, beside those of `Coder.encode`: "no_" and the name of a side that the sample has not, "equal_answers",
        "different_prompts", "equal_when_cut".

        Raises:
            InputError: none of a dataset's first samples has one of the sides.
        """
        if source not in self._begun:
            self._look(samples, source)
            self._begun.add(source)
        coded: list[Coded] = []
        texts: list[str] = []
        spans: list[list[Span]] = []
        for sample in samples:
            verdict, written = self._written(sample)
            coded.append(Coded(sample, verdict=verdict))
            texts += [text for text, _ in written]
            spans += [found for _, found in written]
        rows = iter(self.tokens(texts, spans))
        return [
            self._grouped(one.sample, [next(rows) for _ in self.sides], source) if one.verdict.keep else one
            for one in coded
        ]

    def _look(self, samples: Sequence[Sample], source: str) -> None:
        for side in self.sides:
            if side != "chosen" and not any(_has(sample, side) for sample in samples):
                columns = "prompt, " + ", ".join(sorted(self.sides))
                hint = "; `curate fuse build wrpo` writes such rows" if side == "chosen_source" else ""
                raise InputError(
                    f"{source}: there is no '{side}' in its rows; {self.verb} takes rows with {columns}{hint}"
                )

    def _written(self, sample: Sample) -> tuple[Verdict, list[tuple[str, list[Span]]]]:
        """Return whether the sample can be learnt from, and the text of each side with what the model is to write."""
        found = conversations_of(sample, self.sides)
        if isinstance(found, Verdict):
            return found, []
        shared, written = _shared(found), []
        verdict = _apart(found, shared)
        if not verdict.keep:
            return verdict, []
        for side, messages in zip(self.sides, found, strict=True):
            turns = self._turns(sample, side, messages)
            verdict = checked(turns)
            if not verdict.keep:
                return drop(verdict.reason, side=side, **verdict.detail), []
            try:
                text, spans = self.written(turns)
            except TemplateRefusal as error:
                return drop("template_refuses", side=side, message=str(error)), []
            except MisfitError as error:
                return drop("template_misfit", side=side, message=str(error)), []
            written.append((text, spans[-_answers(messages[shared:]) :]))
        return KEEP, written

    def _turns(self, sample: Sample, side: str, messages: list[Message]) -> list[dict[str, str]]:
        meta = sample.meta
        if side != "chosen":
            meta = {name: value for name, value in meta.items() if name != "reasoning"}
        return turns_of(replace(sample, messages=tuple(messages), meta=meta), self.template.takes_reasoning)

    def _grouped(self, sample: Sample, rows: Sequence[Row], source: str) -> Coded:
        """Return the prompt and the answers; the prompt is what all rows begin with, before any of them has loss."""
        firsts = [int(loss.argmax()) if loss.any() else len(loss) for _, loss in rows]
        same = np.ones(min(firsts), dtype=np.bool_)
        for ids, _ in rows:
            same &= ids[: len(same)] == rows[0][0][: len(same)]
        start = int(same.argmin()) if not same.all() else len(same)
        whole = sum(len(ids) - start for ids, _ in rows) + start
        longest = max(len(ids) for ids, _ in rows)
        if longest > self.max_length and self.long == "drop":
            return Coded(sample, tokens=whole, verdict=drop("too_long", tokens=longest, limit=self.max_length))
        prompt = Encoded(rows[0][0][:start].tolist(), [NO_LOSS] * start, source)
        answers = [_encoded(ids[start : self.max_length], loss[start : self.max_length], source) for ids, loss in rows]
        if not start or any(set(answer.labels) <= {NO_LOSS} for answer in answers):
            return Coded(sample, tokens=whole, verdict=drop("answer_cut_away", tokens=longest, limit=self.max_length))
        if any(answer.input_ids == answers[-1].input_ids for answer in answers[:-1]):
            return Coded(sample, tokens=whole, verdict=drop("equal_when_cut", tokens=longest, limit=self.max_length))
        return Coded(sample, [prompt, *answers], whole, cut=longest > self.max_length)


def conversations_of(sample: Sample, sides: Sequence[str]) -> list[list[Message]] | Verdict:
    """Return the conversation that ends in each of the sides, or why there is none.

    A side is what `curate.io.read_samples` makes of `chosen`, and what it leaves in `meta["source"]` of the others:
    text, messages behind the prompt, or a whole conversation.
    """
    source, base = sample.meta.get("source", {}), list(sample.messages)
    found = []
    for side in sides:
        if side == "chosen" and side not in source:
            found.append(base)
            continue
        if source.get(side) is None:
            return drop(f"no_{side}")
        try:
            turns = said(source, side, "assistant")
        except WrongRowError as error:
            return drop(f"no_{side}", message=str(error))
        found.append(_whole(base, turns))
    return found


def _has(sample: Sample, side: str) -> bool:
    return sample.meta.get("source", {}).get(side) is not None


def _whole(base: list[Message], turns: list[Message]) -> list[Message]:
    """Return `turns` behind the prompt that `base` begins with, unless they begin with it themselves."""
    if turns[0]["role"] == "system":
        return turns
    if turns[0]["role"] == "user":
        return [*base[:1], *turns] if base[0]["role"] == "system" else turns
    if base[-1]["role"] != "assistant":
        return base + turns
    places = [place for place, message in enumerate(base) if message["role"] == "assistant"]
    return base[: places[-min(_answers(turns), len(places))]] + turns


def _shared(conversations: Sequence[Sequence[Message]]) -> int:
    """Return how many messages all of the conversations begin with."""
    count = 0
    for messages in zip(*conversations, strict=False):
        if any(message != messages[0] for message in messages[1:]):
            break
        count += 1
    return count


def _apart(conversations: Sequence[Sequence[Message]], shared: int) -> Verdict:
    """Return whether the answers can be told apart, and answer the same."""
    answers = [[turn["content"].strip() for turn in messages] for messages in conversations]
    if any(answer == answers[-1] for answer in answers[:-1]):
        return drop("equal_answers")
    if any(len(messages) == shared or messages[shared]["role"] != "assistant" for messages in conversations):
        return drop("different_prompts")
    return KEEP


def _answers(messages: Sequence[Turn]) -> int:
    return sum(message["role"] == "assistant" for message in messages)


def _encoded(ids: npt.NDArray[np.int32], loss: npt.NDArray[np.bool_], source: str) -> Encoded:
    return Encoded(ids.tolist(), np.where(loss, ids, NO_LOSS).tolist(), source)
