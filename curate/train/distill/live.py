"""A source that is asked while the target trains, by the same code that captures one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from curate.errors import InputError
from curate.train.data.cache import samples_of
from curate.train.data.sources import Source
from curate.train.distill.lessons import Lesson
from curate.train.dists import Dist, turn_key
from curate.train.dists.local import Local
from curate.train.dists.vocabulary import Vocabulary
from curate.types import Sample


class Live:
    """A model in process, without gradients: what it finds probable in the turns of a pack is kept until the next.

    Raises:
        InputError: no such model, or one that reads text in other tokens than `vocabulary`, that of `target`.
    """

    def __init__(self, model: str, top_k: int, vocabulary: Vocabulary, target: str) -> None:
        self.name = Path(model).name
        self.local = Local(model, None, None, top_k)
        if self.local.header.tokenizer != vocabulary.key:
            raise InputError(
                f"--teacher {model}: its tokenizer is another than that of {target}; capture and align it instead: "
                f"curate fuse capture, curate fuse align, then --dists"
            )
        self._samples: dict[str, Sample] = {}
        self._said: dict[tuple[str, int], Dist] = {}

    def open(self, datasets: Iterable[Source]) -> None:
        """Load the model, and take the samples that it will be asked about into memory."""
        self._samples = {turn_key(one.messages): one for dataset in datasets for one in samples_of(dataset)}
        self.local.opened()

    def prepare(self, lessons: Sequence[Lesson]) -> None:
        """Ask about the samples of a pack."""
        reading = self.local.reading
        asked = {lesson.sample: self._samples[lesson.sample] for lesson in lessons}
        located = [one for one in reading.locate(list(asked.values())) if one.verdict.keep]
        rows = self.local.rows(located, [reading.wanted(one) for one in located]) if located else iter(())
        self._said = {
            (record.sample, record.turn): record.dist
            for one, found in zip(located, rows, strict=True)
            for record in reading.records(one, found)
        }

    def get(self, sample: str, turn: int) -> Dist | None:
        """Return what it finds probable in a turn of the last pack, or None where it cannot read it."""
        return self._said.get((sample, turn))
