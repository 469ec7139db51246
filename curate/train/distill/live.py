"""A source that is asked while the target trains, by the same code that captures one and aligns what it says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from curate.errors import InputError
from curate.train.data.cache import samples_of
from curate.train.data.sources import Source
from curate.train.data.tokens import Coder
from curate.train.distill.lessons import Lesson
from curate.train.dists import Dist, Record, turn_key
from curate.train.dists.boundaries import by_boundaries
from curate.train.dists.local import Local
from curate.train.dists.maps import Maps, Target, spelled_map
from curate.train.dists.pairing import Pair, pairs_of
from curate.train.dists.reading import Reading
from curate.types import Sample


class Live:
    """A model in process, without gradients: what it finds probable in the turns of a pack is kept until the next.

    Where its tokens are not those that `coder` makes, the target's, which has `size` logits, its rows are aligned on
    shared byte boundaries.

    Raises:
        InputError: no such model, or one that cannot be read.
    """

    def __init__(self, model: str, top_k: int, coder: Coder, size: int) -> None:
        self.name = Path(model).name
        try:
            self.local = Local(model, None, None, top_k)
        except InputError as error:
            # Capture knows it as its --model, which here is the target.
            raise InputError(str(error).replace("--model ", "--teacher ", 1)) from None
        self.maps: Maps | None = None
        # Turns are read whole: what of them is cut off nobody asks for.
        self.reading = Reading(Coder(coder.tokenizer, coder.template, 1 << 30))
        mine, theirs = self.local.reading.vocabulary, self.reading.vocabulary
        same = (mine.key, mine.end) == (theirs.key, theirs.end) and self.local.header.vocab_size <= size
        if not same:
            self.maps = Maps(mine, Target(theirs, coder.tokenizer), spelled_map, None)
        self._samples: dict[str, Sample] = {}
        self._said: dict[tuple[str, int], Dist] = {}

    def open(self, datasets: Iterable[Source]) -> None:
        """Load the model, and take the samples that it will be asked about into memory."""
        self._samples = {turn_key(one.messages): one for dataset in datasets for one in samples_of(dataset)}
        self.local.opened()

    def prepare(self, lessons: Sequence[Lesson]) -> None:
        """Ask about the samples of a pack."""
        asked = [self._samples[key] for key in dict.fromkeys(lesson.sample for lesson in lessons)]
        self._said = {(record.sample, record.turn): record.dist for record in self._aligned(list(self._records(asked)))}

    def get(self, sample: str, turn: int) -> Dist | None:
        """Return what it finds probable in a turn of the last pack, or None where it cannot read it."""
        return self._said.get((sample, turn))

    def _records(self, samples: Sequence[Sample]) -> Iterator[Record]:
        """Yield what the model finds probable, in its own tokens."""
        reading = self.local.reading
        located = [one for one in reading.locate(samples) if one.verdict.keep]
        rows = self.local.rows(located, [reading.wanted(one) for one in located]) if located else iter(())
        for one, found in zip(located, rows, strict=True):
            yield from reading.records(one, found)

    def _aligned(self, records: Sequence[Record]) -> Iterator[Record]:
        """Yield the records in the target's tokens, those without a shared boundary left out."""
        if self.maps is None:
            yield from records
            return
        for record, pair in pairs_of(records, self.local.reading.vocabulary, self.reading):
            if isinstance(pair, Pair) and len((dist := by_boundaries(pair, self.maps)).offsets):
                yield Record(record.sample, record.turn, dist)
