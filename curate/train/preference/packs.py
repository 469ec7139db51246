"""How groups lie in packs.

`shared` encodes a prompt once: its answers follow one after the other, each at the positions that go on from the
prompt, and see it and themselves alone (arXiv 2410.20305). `apart` encodes the prompt once for each answer, as
documents of a pack; `padded` as rows of a rectangle, for models in which the documents of a row change each other. All
three give the same log-probabilities to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from curate.train.attention import Prefix
from curate.train.data.tokens import NO_LOSS, Encoded
from curate.train.preference.groups import Group
from curate.train.steps import Layout, Measure, Pack


class PairPack(Pack):
    """A pack of G groups of A answers each.

    `owners` [N] are the numbers of the answers (0 to G * A - 1) that the targets belong to, `lengths` [G, A] the
    answers' numbers of targets, `reference` [G, A] their log-probabilities before training (float64).
    """

    owners: torch.Tensor
    lengths: torch.Tensor
    reference: torch.Tensor


class _Row:
    """A pack as it is written: tokens with their positions, and what is predicted from where."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.ends = [0]
        self.prefixes: list[Prefix] = []
        self.places: list[int] = []
        self.targets: list[int] = []
        self.owners: list[int] = []

    def add(self, ids: Sequence[int], position: int) -> int:
        """Add tokens, the first at `position` of its text, and return where they begin in the row."""
        start = len(self.ids)
        self.ids += ids
        self.positions += range(position, position + len(ids))
        return start

    def end(self, prefix: Prefix = (0, 0)) -> None:
        """End a document."""
        self.ends.append(len(self.ids))
        self.prefixes.append(prefix)

    def predict(self, answer: Encoded, before: int, start: int, owner: int) -> None:
        """Note the targets of an answer that begins at `start`, behind the token at `before`."""
        for place, label in enumerate(answer.labels):
            if label != NO_LOSS:
                self.places.append(start + place - 1 if place else before)
                self.targets.append(label)
                self.owners.append(owner)

    def fill(self, pad_to: int | None, pad_id: int) -> None:
        """Fill the row up to a multiple of `pad_to`."""
        if pad_to and (missing := -len(self.ids) % pad_to):
            self.add([pad_id] * missing, 0)
            self.end()

    def pack(self, groups: Sequence[Group], rows: int = 1) -> PairPack:
        """Return the pack; `rows` of equal length make a rectangle."""
        found: PairPack = {
            "input_ids": torch.tensor(self.ids).view(rows, -1),
            "position_ids": torch.tensor(self.positions).view(rows, -1),
            "places": torch.tensor(self.places),
            "targets": torch.tensor(self.targets),
            "ends": self.ends,
            "longest": max(end - start for start, end in zip(self.ends, self.ends[1:], strict=False)),
            "weight": 1.0,
            "owners": torch.tensor(self.owners),
            "lengths": torch.tensor([[_targets(answer) for answer in group.answers] for group in groups]),
            "reference": torch.tensor([group.reference for group in groups], dtype=torch.float64),
        }
        if any(length for _, length in self.prefixes):
            found["prefixes"] = self.prefixes
        return found


def _targets(answer: Encoded) -> int:
    return len(answer.labels) - answer.labels.count(NO_LOSS)


def make_shared(groups: Sequence[Group], pad_to: int | None, pad_id: int) -> PairPack:
    """Return the groups in one row, each prompt once."""
    row, owner = _Row(), 0
    for group in groups:
        length = len(group.prompt.input_ids)
        before = row.add(group.prompt.input_ids, 0) + length - 1
        document = len(row.ends) - 1
        for number, answer in enumerate(group.answers):
            start = row.add(answer.input_ids, length)
            # The first answer and the prompt are one document; the others go on from its beginning.
            row.end((document, length) if number else (0, 0))
            row.predict(answer, before, start, owner)
            owner += 1
    row.fill(pad_to, pad_id)
    return row.pack(groups)


def make_apart(groups: Sequence[Group], pad_to: int | None, pad_id: int) -> PairPack:
    """Return the groups in one row, each prompt once for each of its answers."""
    row, owner = _Row(), 0
    for group in groups:
        length = len(group.prompt.input_ids)
        for answer in group.answers:
            start = row.add(group.prompt.input_ids, 0) + length
            row.add(answer.input_ids, length)
            row.end()
            row.predict(answer, start - 1, start, owner)
            owner += 1
    row.fill(pad_to, pad_id)
    return row.pack(groups)


def make_padded(groups: Sequence[Group], pad_to: int | None, pad_id: int) -> PairPack:
    """Return each prompt with one of its answers as a row of a rectangle, padded on the right."""
    row, owner = _Row(), 0
    width = max(len(group.prompt.input_ids) + len(answer.input_ids) for group in groups for answer in group.answers)
    width += -width % pad_to if pad_to else 0
    for group in groups:
        length = len(group.prompt.input_ids)
        for answer in group.answers:
            start = row.add(group.prompt.input_ids, 0) + length
            row.add(answer.input_ids, length)
            row.add([pad_id] * (width - length - len(answer.input_ids)), length + len(answer.input_ids))
            row.end()
            row.predict(answer, start - 1, start, owner)
            owner += 1
    return row.pack(groups, owner)


def measure_shared(group: Group) -> Measure:
    """Return what a group adds to an update where its prompt is encoded once."""
    prompt, answers = len(group.prompt.input_ids), [len(answer.input_ids) for answer in group.answers]
    squares = prompt**2 + sum((prompt + answer) ** 2 - prompt**2 for answer in answers)
    return Measure(prompt + sum(answers), sum(map(_targets, group.answers)), squares, 1)


def measure_apart(group: Group) -> Measure:
    """Return what a group adds to an update where its prompt is encoded for each answer."""
    lengths = [len(group.prompt.input_ids) + len(answer.input_ids) for answer in group.answers]
    squares = sum(length**2 for length in lengths)
    return Measure(sum(lengths), sum(map(_targets, group.answers)), squares, 1)


def measure_padded(group: Group) -> Measure:
    """Return what a group adds to an update where it is a rectangle of its own."""
    lengths = [len(group.prompt.input_ids) + len(answer.input_ids) for answer in group.answers]
    return measure_apart(group)._replace(padding=max(lengths) * len(lengths) - sum(lengths))


LAYOUTS = {
    "shared": Layout(measure_shared, make_shared),
    "apart": Layout(measure_apart, make_apart),
    "padded": Layout(measure_padded, make_padded),
}
"""The layouts by name; a pack's loss is a mean over its groups."""
