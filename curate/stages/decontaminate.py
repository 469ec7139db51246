"""Samples that contain an item of a benchmark, by the passage that both have or by what they mean.

By passage (see `curate.stages.passages` for the rule and its sources), every message of a sample, whoever says it, is
compared with every text of an item: its question, its question with the choices, and its worked answer. The question
may stand in a response (a sample about writing exams), and the answer without its question is learnt as well. An answer
of less than 13 tokens is not compared: "18" or "Paris" tell nothing. Half of a text's telling tokens is a hit.

By meaning, the instruction is compared with the question, and with the question and its choices; texts that have
nothing telling, as "Which of the following is true?", are left out there too.

A verdict is a function of the sample and the items alone: the order and the company of samples do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from curate.embed import Encoder, VectorIndex, Vectors, threshold_of
from curate.embed.pairs import check
from curate.stages.passages import LONGEST, SHORTEST, Overlap, PassageIndex
from curate.types import KEEP, Sample, Verdict, drop

STAGE = "decontaminate"

REASONS = ("ngram", "semantic")

HALF = 0.5
"""The share of a text's telling tokens from which a sample contains it."""

BATCH = 1024
"""Samples compared at a time."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a benchmark. `name` is its id there, or its number from 1; `answer` the worked one, or ""."""

    name: str
    question: str
    choices: tuple[str, ...] = ()
    answer: str = ""

    def texts(self) -> dict[str, str]:
        """Return the texts that are compared, by what they are."""
        texts = {"question": self.question}
        if self.choices:
            texts["choices"] = "\n".join((self.question, *self.choices))
        if self.answer:
            texts["answer"] = self.answer
        return texts


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a text of the index comes from."""

    benchmark: str
    item: Item
    of: str


class Benchmarks:
    """The items of several benchmarks, by name, ready to be looked for. `encoder=None` leaves meaning out.

    `threshold` is the cosine above which an instruction means the same as a question; None is the encoder's own.

    Raises:
        InputError: an encoder without a threshold of its own, and none given.
        ModelError: an encoder that gives no unit vectors; so does `verdicts`.
    """

    def __init__(
        self, items: Mapping[str, Sequence[Item]], encoder: Encoder | None = None, threshold: float | None = None
    ) -> None:
        self.places = [
            _Place(name, item, of) for name, questions in items.items() for item in questions for of in item.texts()
        ]
        self.index = PassageIndex(
            (
                [(text, LONGEST if of == "answer" else SHORTEST) for of, text in item.texts().items()]
                for item in questions
            )
            for questions in items.values()
        )
        self.threshold = threshold_of(encoder, threshold) if encoder else None
        self._encoder = encoder
        self._vectors = VectorIndex()
        if encoder:
            self._encode(encoder)

    def _encode(self, encoder: Encoder) -> None:
        asked = [n for n, place in enumerate(self.places) if place.of != "answer" and self.index.tells(n)]
        for start in range(0, len(asked), BATCH):
            part = asked[start : start + BATCH]
            self._vectors.add([str(n) for n in part], _encoded(encoder, [self._text(n) for n in part]))

    def _text(self, number: int) -> str:
        place = self.places[number]
        return place.item.texts()[place.of]

    def compared(self) -> dict[str, int]:
        """Return of each benchmark how many items have a telling text; the others are never found."""
        found: dict[str, set[int]] = {}
        for number, place in enumerate(self.places):
            names = found.setdefault(place.benchmark, set())
            if self.index.tells(number):
                names.add(id(place.item))
        return {name: len(items) for name, items in found.items()}

    def verdicts(self, samples: Sequence[Sample]) -> list[Verdict]:
        """Return a verdict for each sample, in their order."""
        said = [(number, turn) for number, sample in enumerate(samples) for turn in sample.messages]
        verdicts = [KEEP] * len(samples)
        shares = [0.0] * len(samples)
        overlaps = self.index.find([turn["content"] for _, turn in said], HALF)
        for (number, turn), found in zip(said, overlaps, strict=True):
            if found is not None and found.share > shares[number]:
                shares[number] = found.share
                verdicts[number] = self._by_passage(turn["role"], found)
        if self._encoder is not None and len(self._vectors):
            self._by_meaning(self._encoder, samples, verdicts)
        return verdicts

    def _by_passage(self, role: str, found: Overlap) -> Verdict:
        place = self.places[found.number]
        return drop(
            "ngram",
            round(found.share, 4),
            **_names(place),
            message=role,
            share_of_message=round(found.of_text, 4),
            passage=found.passage,
            benchmark_passage=found.given,
        )

    def _by_meaning(self, encoder: Encoder, samples: Sequence[Sample], verdicts: list[Verdict]) -> None:
        """Drop the samples, of those that are kept, whose instruction means what a question does."""
        open_ = [n for n, sample in enumerate(samples) if verdicts[n].keep and sample.instruction.strip()]
        if not open_:
            return
        scores, nearest = self._vectors.best(_encoded(encoder, [samples[n].instruction for n in open_]))
        for n, score, found in zip(open_, scores, nearest, strict=True):
            if self.threshold is not None and score > self.threshold:
                verdicts[n] = drop(
                    "semantic",
                    score,
                    **_names(self.places[int(found)]),
                    message="user",
                    passage=samples[n].instruction,
                    benchmark_passage=self._text(int(found)),
                )


def _encoded(encoder: Encoder, texts: list[str]) -> Vectors:
    """Return the vectors of texts. Raises ModelError for an encoder that gives no unit vectors."""
    vectors = encoder.encode(texts)
    check(vectors)
    return vectors


def _names(place: _Place) -> dict[str, Any]:
    return {"benchmark": place.benchmark, "item": place.item.name, "of": place.of}


def decontaminate_samples(samples: Iterable[Sample], benchmarks: Benchmarks) -> Iterator[tuple[Sample, Verdict]]:
    """Yield every sample with its verdict, in order; a dropped one has reason `ngram` or `semantic`.

    Its detail names the `benchmark`, the `item` there, what of it was found (`of`: question, choices or answer) and
    where (`message`: the role that says it), with the passage of the sample and that of the benchmark. The score is the
    share of the benchmark's text that the sample has, or the cosine.
    """
    samples = iter(samples)
    while batch := list(islice(samples, BATCH)):
        yield from zip(batch, benchmarks.verdicts(batch), strict=True)
