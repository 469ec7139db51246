"""From samples to tokens, with the loss on what the model is to write and on nothing else.

Which text that is follows from how the model will be asked: an answer begins where the rendered prompt before it ends,
and goes to the end of the token that ends its turn. No `{% generation %}` is needed for that (though where a template
has it, it decides), only that the template renders a conversation's beginning as the beginning of the whole, which is
checked for each sample. A plain document has no template, and the loss is on all of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.train.data.documents import Documents, Spelled
from curate.train.data.formats import checked, document_of, merged, turns_of
from curate.train.data.templates import MARK, Template, TemplateRefusal, Turn
from curate.types import KEEP, Sample, Verdict, drop

NO_LOSS = -100
"""The label of a token that the loss leaves out."""

Span = tuple[int, int]
"""First character and the one after the last."""

PROBE: list[Turn] = [{"role": "user", "content": "Question"}, {"role": "assistant", "content": "Answer"}]


@dataclass(frozen=True, slots=True)
class Encoded:
    """One document: its tokens, a label for each (`NO_LOSS` wherever there is no loss), and the dataset it is from.

    `labels[i]` is `input_ids[i]` or `NO_LOSS`; the shift by one token is the loss's work.
    """

    input_ids: list[int]
    labels: list[int]
    source: str


@dataclass(frozen=True, slots=True)
class Coded:
    """What became of a sample of `tokens` tokens: its documents (several where it was split), or why it is dropped.

    `cut` is whether it was too long to be one document, `repeated` counts the tokens that two of its documents have.
    """

    sample: Sample
    documents: list[Encoded] = field(default_factory=list)
    tokens: int = 0
    verdict: Verdict = KEEP
    cut: bool = False
    repeated: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """A sample as text, and which parts of it the model is to write; whether it is a plain document."""

    text: str
    spans: list[Span]
    plain: bool = False


class MisfitError(Exception):
    """In this template's text, the parts of a conversation cannot be told from each other; the message says why."""


def truncate(length: int, limit: int) -> list[Span]:
    """Keep a sample's beginning."""
    return [(0, min(length, limit))]


def split(length: int, limit: int) -> list[Span]:
    """Make a sample several documents, one after the other; those without loss are left out later.

    Each begins with the last token of the one before: nothing predicts a document's first token, so that every token is
    predicted once.
    """
    return [(start, min(start + limit, length)) for start in range(0, max(length - 1, 1), limit - 1)]


def leave_out(length: int, limit: int) -> list[Span]:
    """Use a sample whole or not at all."""
    return [(0, length)] if length <= limit else []


LONG = {"truncate": truncate, "split": split, "drop": leave_out}
"""What becomes of a sample that is longer than a document may be."""


class Coder:
    """Encodes samples for one tokenizer and one template, which has no text where there may be none.

    `notes` say what was found out about the two that a user should know; `end` is the text that ends an answer, and
    `end_ids` its tokens (more than one where the tokenizer does not know it as a token). `sides` are the answers that
    are told apart, here none.

    Raises:
        InputError: a tokenizer that does not tell where its tokens stand in a text, a template whose answers cannot be
            found in its text or are never ended, or a limit that leaves no room.
    """

    sides: tuple[str, ...] = ()

    def __init__(self, tokenizer: Any, template: Template, max_length: int, long: str = "truncate") -> None:
        if not tokenizer.is_fast:
            raise InputError(
                "the model's tokenizer does not tell where its tokens stand in a text; it needs one with a "
                "tokenizer.json (AutoTokenizer.from_pretrained(MODEL) saves it)"
            )
        if long not in LONG:
            raise InputError(f"--long {long}: it takes {', '.join(LONG)}")
        if max_length < 2:
            raise InputError(f"a document of {max_length} tokens has nothing to predict; it takes 2 or more")
        self.tokenizer, self.template = tokenizer, template
        self.max_length, self.long = max_length, long
        self.documents = Documents(tokenizer)
        self._specials = sorted(_special_texts(tokenizer), key=len, reverse=True)
        self.notes: list[str] = []
        self._merge_system = False
        self.end, self.end_ids = "", list[int]()
        if not template.text:
            return  # there may be documents alone
        try:
            self.end = "" if template.tagged else self._find_end()
            self.end_ids = tokenizer(self.end, add_special_tokens=False)["input_ids"] if self.end else []
            self._probe()
        except (MisfitError, TemplateRefusal) as error:
            raise InputError(
                f"{template.name} cannot be trained with: {error}; choose another with --template"
            ) from None

    def encode(self, samples: Sequence[Sample], source: str) -> list[Coded]:
        """Return what becomes of each of the samples, in their order. Reasons: see `Coder.read` and `LONG`."""
        found = [self.read(sample) for sample in samples]
        rows = iter(self.spell([one for one in found if isinstance(one, Written)]))
        return [
            Coded(sample, verdict=one) if isinstance(one, Verdict) else self._cut(sample, *next(rows)[:2], source)
            for sample, one in zip(samples, found, strict=True)
        ]

    def read(self, sample: Sample) -> Written | Verdict:
        """Return a sample as text, or why there is none.

        Raises:
            InputError: it is a conversation, and there is no template.
        """
        if (text := document_of(sample)) is not None:
            if not text.strip():
                return drop("empty_text")
            whole = self.documents.written(text)
            return Written(whole, [(len(self.documents.begin.text), len(whole))], plain=True)
        turns = turns_of(sample, self.template.takes_reasoning)
        verdict = checked(turns)
        if not verdict.keep:
            return verdict
        try:
            return Written(*self.written(turns))
        except TemplateRefusal as error:
            return drop("template_refuses", message=str(error))
        except MisfitError as error:
            return drop("template_misfit", message=str(error))

    def written(self, turns: Sequence[Turn]) -> tuple[str, list[Span]]:
        """Return the conversation as text, and which parts of it the model is to write, in their order.

        Raises:
            TemplateRefusal: the template raises.
            MisfitError: the template does not render the beginning of the conversation as the beginning of the whole.
        """
        turns = merged(list(turns)) if self._merge_system else list(turns)
        if self.template.tagged:
            return self._tagged(turns)
        text = self.template.render(turns)
        answers = [n for n, turn in enumerate(turns) if turn["role"] == "assistant"]
        spans: list[Span] = []
        for answer, end in zip(answers, self._answer_ends(turns, text, len(answers)), strict=True):
            start = self._answer_start(turns, answer, text, end)
            spans.append((start, self._turn_end(text, end, answer)))
            if len(spans) > 1 and start < spans[-2][1]:
                raise MisfitError(f"message {answer + 1} begins before the answer before it ends")
        return text, spans

    def _tagged(self, turns: list[Turn]) -> tuple[str, list[Span]]:
        """Return the text and the spans of a template with `{% generation %}`."""
        parts = self.template.render(turns).split(MARK)
        if len(parts) < 3:
            raise MisfitError("no {% generation %} block was reached")
        ends = np.cumsum([len(part) for part in parts]).tolist()
        text = "".join(parts)
        spans = []
        for start, end in zip(ends[0::2], ends[1::2], strict=False):
            # Some authors close the block before the token that ends the turn.
            ended = end in ends[0::2] or text[start:end].rstrip().endswith(tuple(self._specials))
            ending = "" if ended else next((one for one in self._specials if text.startswith(one, end)), "")
            spans.append((start, end + len(ending)))
        return text, spans

    def _answer_ends(self, turns: Sequence[Turn], text: str, count: int) -> list[int]:
        """Return where each answer's last letter stands in `text`, found by a mark that is put behind it."""
        marked = []
        for turn in turns:
            if turn["role"] == "assistant":
                kept = turn["content"].rstrip()
                turn = {**turn, "content": kept + MARK + turn["content"][len(kept) :]}
            marked.append(turn)
        parts = self.template.render(marked).split(MARK)
        if len(parts) != count + 1 or "".join(parts) != text:
            raise MisfitError("the template changes the end of an answer or leaves it out")
        return [sum(map(len, parts[: n + 1])) for n in range(count)]

    def _answer_start(self, turns: Sequence[Turn], answer: int, text: str, end: int) -> int:
        """Return where the model begins to write message `answer`: behind the prompt that it is given."""
        prompt = self.template.render(turns[:answer], prompt=True)
        if text.startswith(prompt):
            return len(prompt)
        # Some prompts begin the answer (with <think>) otherwise than the sample does.
        if not text.startswith(self.template.render(turns[:answer])):
            raise MisfitError(f"the messages before message {answer + 1} are rendered otherwise without it")
        content = turns[answer]["content"].strip()
        begin = end - len(content)
        shared = next(n for n, (one, other) in enumerate(zip(prompt, text + MARK, strict=False)) if one != other)
        return min(shared, begin) if text[begin:end] == content else shared

    def _turn_end(self, text: str, end: int, answer: int) -> int:
        for start in (end, end + len(text[end:]) - len(text[end:].lstrip())):
            # A last answer may end otherwise than those before it.
            for ending in (self.end, *self._specials):
                if text.startswith(ending, start):
                    return start + len(ending)
        raise MisfitError(f"message {answer + 1} does not end with {self.end!r}")

    def _find_end(self) -> str:
        """Return the text that ends an answer: up to the first special token behind it, and those that follow it."""
        text = self.template.render(PROBE)
        (end,) = self._answer_ends(PROBE, text, 1)
        tail = text[end:]
        known = "|".join(map(re.escape, self._specials)) or "(?!)"
        # What looks like a special token ends an answer too: a tokenizer need not know those of a template.
        found = re.match(rf"(?s:.*?)(?:{known})+", tail) or re.match(r"\s*(?:<[^<>\s]+>)+", tail)
        ending = found[0] if found else tail.rstrip()
        if not ending:
            raise InputError(
                f"{self.template.name} ends an answer with nothing, so that the model would never learn to stop; "
                "choose another with --template, or give the tokenizer an eos_token"
            )
        return ending

    def _probe(self) -> None:
        """See that answers can be found at all, and whether the template has a place for a system message.

        Raises:
            MisfitError, TemplateRefusal: not even one question with its answer can be trained with.
        """
        text, spans = self.written(PROBE)
        if not any(PROBE[1]["content"] in text[start:end] for start, end in spans):
            raise MisfitError("no {% generation %} block holds the answer")
        if len(self.end_ids) > 1:
            self.notes.append(
                f"{self.template.name} ends an answer with {self.end!r}, which is {len(self.end_ids)} tokens to this "
                "tokenizer; it does not know it as one"
            )
        try:
            has_place = "Rule" in self.written([{"role": "system", "content": "Rule"}, *PROBE])[0]
        except (MisfitError, TemplateRefusal):
            has_place = False
        if not has_place:
            self._merge_system = True
            self.notes.append(
                f"{self.template.name} has no place for a system message: it goes before the first question"
            )

    def tokens(
        self, texts: list[str], spans: list[list[Span]]
    ) -> list[tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]]:
        """Return for each text its token ids and which of them have loss."""
        return [(ids, loss) for ids, loss, _ in self.spelled(texts, spans)]

    def spell(self, written: Sequence[Written]) -> list[Spelled]:
        """Return samples as tokens, as `spelled` and `Documents.spelled` do."""
        talks = [one for one in written if not one.plain]
        turns = iter(self.spelled([one.text for one in talks], [one.spans for one in talks]))
        plain = self.documents.spelled([one.text for one in written if one.plain])
        return [next(plain if one.plain else turns) for one in written]

    def spelled(self, texts: list[str], spans: list[list[Span]]) -> list[Spelled]:
        """Return for each text its token ids, which of them have loss, and the characters [n, 2] that each stands for.

        The characters are as the tokenizer tells them: parts of one all have its own first and last.
        """
        if not texts:
            return []
        found = self.tokenizer(
            texts, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False, verbose=False
        )
        return [
            self._placed(text, ids, offsets, parts)
            for text, ids, offsets, parts in zip(texts, found["input_ids"], found["offset_mapping"], spans, strict=True)
        ]

    def _placed(self, text: str, ids: list[int], offsets: list[Span], spans: list[Span]) -> Spelled:
        tokens = np.array(ids, dtype=np.int32)
        places = np.array(offsets, dtype=np.int64).reshape(-1, 2)
        edges = [edge for span in spans for edge in span]
        across = [edge for edge in edges if np.any((places[:, 0] < edge) & (edge < places[:, 1]))]
        if across:
            tokens, places = self._apart(text, across, tokens, places)
        loss = np.zeros(len(tokens), dtype=np.bool_)
        for start, end in spans:
            loss |= (places[:, 0] >= start) & (places[:, 1] <= end) & (places[:, 0] < end)
        return tokens, loss, places

    def _apart(
        self, text: str, edges: list[int], tokens: npt.NDArray[np.int32], places: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Return tokens none of which lies across an edge, as the model will see them when it is asked.

        Where the tokenizer puts something before every text (Metaspace), pieces cannot be told from a whole; there the
        tokens stay as they are, and one across an edge has no loss.
        """
        cuts = [0, *edges, len(text)]
        pieces = [text[start:end] for start, end in pairwise(cuts)]
        coded = [self.tokenizer(piece, add_special_tokens=False, return_offsets_mapping=True) for piece in pieces]
        for piece, one in zip(pieces, coded, strict=True):
            if self.tokenizer.decode(one["input_ids"], clean_up_tokenization_spaces=False) != piece:
                return tokens, places
        ids = np.concatenate([np.array(one["input_ids"], dtype=np.int32) for one in coded])
        moved = [
            np.array(one["offset_mapping"], dtype=np.int64).reshape(-1, 2) + start
            for one, start in zip(coded, cuts, strict=False)
        ]
        return ids, np.concatenate(moved)

    def _cut(self, sample: Sample, ids: npt.NDArray[np.int32], loss: npt.NDArray[np.bool_], source: str) -> Coded:
        length = len(ids)
        pieces = LONG[self.long](length, self.max_length)
        if not pieces:
            return Coded(sample, tokens=length, verdict=drop("too_long", tokens=length, limit=self.max_length))
        labels = np.where(loss, ids, NO_LOSS)
        kept = [(start, end) for start, end in pieces if loss[start + 1 : end].any()]
        if not kept:
            reason = "answer_cut_away" if length > 1 else "one_token"
            return Coded(sample, tokens=length, verdict=drop(reason, tokens=length, limit=self.max_length))
        documents = [
            # A document's first token is predicted by nothing.
            Encoded(ids[start:end].tolist(), [NO_LOSS, *labels[start + 1 : end].tolist()], source)
            for start, end in kept
        ]
        repeated = sum(end > start for (_, end), (start, _) in pairwise(kept))
        return Coded(sample, documents, length, cut=length > self.max_length, repeated=repeated)


def _special_texts(tokenizer: Any) -> set[str]:
    """Return the texts of the tokenizer's special tokens, among them those that no role names (`<|im_end|>`)."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return {text for text in added | set(tokenizer.all_special_tokens) if text}
