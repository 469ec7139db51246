"""A source that is asked while the target trains, by the same code that captures one and aligns what it says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from curate.errors import InputError
from curate.train.data.cache import samples_of
from curate.train.data.formats import document_of
from curate.train.data.sources import Source
from curate.train.data.tokens import Coder, Span
from curate.train.distill.lessons import Lesson, Turn
from curate.train.dists import Dist, Record, turn_key
from curate.train.dists.boundaries import by_boundaries
from curate.train.dists.local import Local
from curate.train.dists.maps import Maps, Target, spelled_map
from curate.train.dists.pairing import Pair, pairs_of
from curate.train.dists.reading import Reading, Rows
from curate.types import Sample


@dataclass(frozen=True)
class _Readers:
    """How the source and the target read samples of one kind, and the maps between them, None where all is the same."""

    mine: Reading
    theirs: Reading
    maps: Maps | None


class Live:
    """A model in process, without gradients: what it finds probable in the turns of a pack is kept until the next.

    Where its tokens are not those that `coder` makes, the target's, which has `size` logits, its rows are aligned on
    shared byte boundaries. Of a plain document that is longer than it reads, it is asked about the pieces that the pack
    needs.

    Raises:
        InputError: no such model, or one that cannot be read.
    """

    def __init__(self, model: str, top_k: int, coder: Coder, size: int) -> None:
        self.name, self.size = Path(model).name, size
        try:
            # What a conversation needs of it, a template, is looked for when there is one.
            self.local = Local(model, None, None, top_k, documents=True)
        except InputError as error:
            # Capture knows it as its --model, which here is the target.
            raise InputError(str(error).replace("--model ", "--teacher ", 1)) from None
        # Turns are read whole: what of them is cut off nobody asks for.
        self.coder = Coder(coder.tokenizer, coder.template, 1 << 30)
        self._samples: dict[str, Sample] = {}
        self._said: dict[tuple[str, int, int], Dist] = {}

    @cached_property
    def documents(self) -> _Readers:
        """How plain documents are read."""
        return self._readers(True)

    @cached_property
    def turns(self) -> _Readers:
        """How conversations are read."""
        return self._readers(False)

    def _readers(self, documents: bool) -> _Readers:
        reader = self.local.reading.coder
        try:
            mine, theirs = Reading(reader, documents), Reading(self.coder, documents)
        except InputError as error:
            raise InputError(f"{self.local.header.model}: {error}") from None
        ours, others = theirs.vocabulary, mine.vocabulary
        fits = self.local.header.vocab_size <= self.size
        if fits and (others.key, others.end) == (ours.key, ours.end):
            return _Readers(mine, theirs, None)
        return _Readers(mine, theirs, Maps(others, Target(ours, self.coder.tokenizer), spelled_map, None))

    def open(self, datasets: Iterable[Source]) -> None:
        """Load the model, and take the samples that it will be asked about into memory.

        Raises:
            InputError: there is a conversation, and the model has no template.
        """
        self._samples = {turn_key(one.messages): one for dataset in datasets for one in samples_of(dataset)}
        if any(document_of(one) is None for one in self._samples.values()):
            _ = self.turns
        self.local.opened()

    def prepare(self, lessons: Sequence[Lesson]) -> None:
        """Ask about the samples of a pack."""
        self._said = {}
        plain = [one for one in lessons if one.turns and self._is_document(one.sample)]
        if plain:
            near = [(int(one.turns[0].offsets[0]), int(one.turns[0].offsets[-1])) for one in plain]
            for at, record in self._records(self.documents, [one.sample for one in plain], near):
                self._said[record.sample, 0, near[at][0]] = record.dist
        talks = list(dict.fromkeys(one.sample for one in lessons if not self._is_document(one.sample)))
        if talks:
            for _, record in self._records(self.turns, talks, [None] * len(talks)):
                self._said[record.sample, record.turn, 0] = record.dist

    def get(self, sample: str, turn: Turn) -> Dist | None:
        """Return what it finds probable in a turn of the last pack, or None where it cannot read it."""
        begin = int(turn.offsets[0]) if self._is_document(sample) else 0
        return self._said.get((sample, turn.number, begin))

    def _is_document(self, sample: str) -> bool:
        return document_of(self._samples[sample]) is not None

    def _records(
        self, readers: _Readers, keys: Sequence[str], near: Sequence[Span | None]
    ) -> Iterator[tuple[int, Record]]:
        """Yield what the model finds probable, in the target's tokens, each with the place of its sample among `keys`.

        Of a document it is what lies `near` some bytes. Records without a shared boundary are left out.
        """
        reading = readers.mine
        every = reading.locate([self._samples[key] for key in keys])
        asked = [at for at, one in enumerate(every) if one.verdict.keep]
        bounds = [near[at] for at in asked]
        said = reading.asked([every[at] for at in asked], self.local.rows, near=bounds)
        places: list[int] = []
        records: list[Record] = []
        for at, bound, rows in zip(asked, bounds, said, strict=True):
            assert isinstance(rows, Rows)
            made = list(reading.records(every[at], rows, bound))
            places += [at] * len(made)
            records += made
        if readers.maps is None:
            yield from zip(places, records, strict=True)
            return
        for at, (record, pair) in zip(places, pairs_of(records, reading.vocabulary, readers.theirs), strict=True):
            if isinstance(pair, Pair) and len((dist := by_boundaries(pair, readers.maps)).offsets):
                yield at, Record(record.sample, record.turn, dist)
