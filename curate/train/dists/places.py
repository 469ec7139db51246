"""Where in the text of a turn the tokens of a model begin, in bytes: what models with different tokenizers share.

The text of a turn is its message, whatever a template puts before and after it. Of a message whose white space a
template takes away, the rest keeps its places. A plain document is one turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from curate.train.data.tokens import Coder, MisfitError, Span, Written
from curate.train.dists.vocabulary import SPACE, Vocabulary
from curate.types import KEEP, Sample, Verdict, drop

INSIDE = -1
"""The offset of a token that begins inside of a character of the text which the tokenizer changed."""


@dataclass(frozen=True, slots=True)
class Places:
    """The tokens of one turn: n of them begin at `offsets` of its `text`, ascending, the last perhaps at its end.

    `positions` [n] are theirs in the document; the hidden state before a token, at its position less one, is what
    predicts it. Of tokens that begin at one place (a space that a tokenizer adds is a token of no bytes) the last is
    kept. `skipped` are the positions of the other tokens of this text, which have no row but count as predicted.
    """

    turn: int
    text: bytes
    offsets: npt.NDArray[np.uint32]
    positions: npt.NDArray[np.int64]
    skipped: npt.NDArray[np.int64]

    @property
    def states(self) -> npt.NDArray[np.int64]:
        """The positions of the hidden states that predict the tokens."""
        return self.positions - 1


@dataclass(frozen=True, slots=True)
class Located:
    """What became of a sample: its tokens [n] of i32 and its turns, or why it is dropped."""

    sample: Sample
    ids: npt.NDArray[np.int32]
    turns: list[Places] = field(default_factory=list)
    verdict: Verdict = KEEP


def locate(coder: Coder, vocabulary: Vocabulary, samples: Sequence[Sample]) -> list[Located]:
    """Return where each sample's turns lie in its tokens, uncut; the tokens are those that `coder.encode` gives.

    Samples are dropped for the reasons of `coder.encode`, and as `template_changes_text` where the rendered
    conversation does not have a turn's own words.
    """
    nothing = np.empty(0, np.int32)
    found: list[Located] = []
    kept: list[tuple[int, Written, list[_Words]]] = []
    for number, sample in enumerate(samples):
        verdict, written = KEEP, coder.read(sample)
        if isinstance(written, Verdict):
            verdict = written
        else:
            try:
                kept.append((number, written, _contents(sample, written)))
            except MisfitError as error:
                verdict = drop("template_misfit", message=str(error))
            except _ChangedError as error:
                verdict = drop("template_changes_text", message=int(str(error)))
        found.append(Located(sample, nothing, verdict=verdict))
    spelled = coder.spell([written for _, written, _ in kept])
    for (number, written, contents), (ids, _, places) in zip(kept, spelled, strict=True):
        starts = token_starts(written.text, ids.tolist(), places.tolist(), vocabulary)
        turns_found = _turns(written.text, starts, ids, written.spans, contents, vocabulary)
        found[number] = Located(samples[number], ids, turns_found)
    return found


@dataclass(frozen=True, slots=True)
class _Words:
    """Where the words of a turn stand in the rendered conversation (characters), and the whole message.

    `lead` are the bytes of the message that stand before them, white space that the template leaves out.
    """

    start: int
    end: int
    message: bytes
    lead: int


class _ChangedError(Exception):
    """A turn's words are not in the rendered conversation; its number is the message."""


def _contents(sample: Sample, written: Written) -> list[_Words]:
    """Return where the words of each turn stand. Raises _ChangedError, MisfitError."""
    text, spans = written.text, written.spans
    answers = [turn["content"] for turn in sample.messages if turn["role"] == "assistant"]
    if len(answers) != len(spans):
        raise MisfitError(f"{len(spans)} parts are marked as the assistant's, who speaks {len(answers)} times")
    if written.plain:
        # The text may itself end with what is written behind it.
        return [_Words(spans[0][0], spans[0][0] + len(answers[0]), answers[0].encode(), 0)]
    contents = []
    for number, (answer, (start, end)) in enumerate(zip(answers, spans, strict=True)):
        for words in (answer, answer.rstrip(), answer.lstrip(), answer.strip()):
            at = text.rfind(words, start, end)  # what a template puts before it may quote it
            if at >= 0:
                lead = len(answer[: answer.index(words)].encode())
                contents.append(_Words(at, at + len(words), answer.encode(), lead))
                break
        else:
            raise _ChangedError(str(number))
    return contents


def _turns(
    text: str, begins: Begins, ids: npt.NDArray[np.int32], spans: Sequence[Span], contents: Sequence[_Words],
    vocabulary: Vocabulary,
) -> list[Places]:  # fmt: skip
    """Return the places of every turn; spans and contents are in characters, the rest in bytes."""
    starts, own = begins
    turns = []
    before = characters = 0
    for number, (span, words) in enumerate(zip(spans, contents, strict=True)):
        before += len(text[characters : words.start].encode())
        length = len(text[words.start : words.end].encode())
        characters = words.end
        offsets = np.where(starts == INSIDE, INSIDE, starts - before)
        # White space that a tokenizer drops ends where a turn begins or ends, if it is there that it does.
        offsets[(starts != INSIDE) & (starts <= before) & (own >= before)] = 0
        closing = (starts != INSIDE) & (starts <= before + length) & (own >= before + length)
        within = np.flatnonzero((offsets >= 0) & (offsets < length) & ~closing)
        within = within[within > 0]  # nothing predicts a document's first token
        last = np.append(np.diff(offsets[within]) > 0, True)[: len(within)]
        kept, run = within[last], np.arange(*(within[0], within[-1] + 1) if len(within) else (0, 0))
        # What begins where the text ends is the token that ends the turn only if it is a special one.
        ends = np.flatnonzero(closing) if span[1] > words.end else within[:0]
        ends = ends[[int(ids[at]) in vocabulary.special for at in ends]][:1]
        where = np.concatenate([offsets[kept] + words.lead, np.full(len(ends), len(words.message))])
        positions = np.concatenate([kept, ends])
        turns.append(Places(number, words.message, where.astype(np.uint32), positions, np.setdiff1d(run, kept)))
        before += length
    return turns


Begins = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Where each token of a text begins, in bytes: behind the one before it, and with its own first character. Between the
two there is only what the tokenizer drops."""


def token_starts(text: str, ids: Sequence[int], places: Sequence[Sequence[int]], vocabulary: Vocabulary) -> Begins:
    """Return the byte of `text` at which each token begins, where the one before it ends, and where its own text does.

    Tokens are matched by the bytes they stand for, a space that is not in the text left out; where they do not match
    (the tokenizer lower-cases, composes, drops or does not know what is written) its own characters `places` [n, 2]
    say where a token ends. `INSIDE` is for what begins inside of a character that was changed.
    """
    written, pieces = text.encode(), vocabulary.pieces
    joined = [pieces[number] for number in ids]
    if None not in joined and b"".join(joined) == written:  # type: ignore[arg-type]
        lengths = [len(piece) for piece in joined if piece is not None]
        exact = np.cumsum([0, *lengths])[: len(lengths)]
        return exact, exact
    if text.isascii():
        byte_of = range(len(text) + 1)
    else:
        widths = [len(character.encode()) for character in text]
        byte_of = np.cumsum([0, *widths]).tolist()
    starts, own = np.empty(len(ids), np.int64), np.empty(len(ids), np.int64)
    cursor = 0
    for number, (piece, (first, end)) in enumerate(zip(joined, places, strict=True)):
        starts[number] = own[number] = cursor
        if first < end and byte_of[end] <= cursor:
            starts[number] = INSIDE if cursor > byte_of[first] else cursor
        elif piece and written.startswith(piece, cursor):
            cursor += len(piece)
        elif piece and piece[0] == SPACE and written.startswith(piece[1:], cursor):
            cursor += len(piece) - 1
        else:
            own[number], cursor = max(cursor, byte_of[first]), max(cursor, byte_of[end])
    return starts, own
