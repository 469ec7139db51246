"""Prompts with their answers, and those of a dataset on the disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curate.train.data.cache import Tokens
from curate.train.data.tokens import Encoded


@dataclass(frozen=True, slots=True)
class Group:
    """A prompt with its answers; `reference` are the answers' log-probabilities before training (0 where not asked).

    The prompt's labels are all NO_LOSS. The answers go on from it, and do not know of each other.
    """

    prompt: Encoded
    answers: tuple[Encoded, ...]
    reference: tuple[float, ...]

    def document(self, answer: int) -> Encoded:
        """Return the prompt with one of the answers."""
        one = self.answers[answer]
        return Encoded(self.prompt.input_ids + one.input_ids, self.prompt.labels + one.labels, one.source)


class Groups:
    """The groups of one dataset, of a prompt and `answers` answers each: what `PairCoder` makes documents of.

    `lengths` [n] are the tokens of prompt and answers together. `references` [n, answers] are 0 until they are known.
    """

    def __init__(self, folder: Path, source: str, answers: int) -> None:
        self.tokens, self.folder, self.source, self._each = Tokens(folder, source), folder, source, 1 + answers
        self.parts: npt.NDArray[np.int64] = self.tokens.lengths.reshape(-1, self._each)
        self.lengths: npt.NDArray[np.int64] = self.parts.sum(1)
        self.places: npt.NDArray[np.uint64] = self.tokens.places[:: self._each]
        self.summary = self.tokens.summary
        self.references = np.zeros((len(self), answers))

    @property
    def apart(self) -> npt.NDArray[np.int64]:
        """The tokens [n] of the groups with the prompt before each of the answers."""
        return self.lengths + (self._each - 2) * self.parts[:, 0]

    @property
    def notes(self) -> list[str]:
        """What a user should know of the samples that are not trained on as they are."""
        return self.tokens.notes

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> Group:
        prompt, *answers = (self.tokens[index * self._each + part] for part in range(self._each))
        return Group(prompt, tuple(answers), tuple(self.references[index].tolist()))
