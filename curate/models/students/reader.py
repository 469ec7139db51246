"""Log-probabilities of tokens by a causal model of the transformers package: whole batches, shared beginnings once.

Rows of one batch are padded on the right, where no token of a causal model looks, so there is neither a mask nor a
position to get wrong. Logits are made for the wanted places alone.
"""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch

from curate.errors import ModelError
from curate.models.students.tokens import Row, shared

Found = list[tuple[int, float]]
"""What one row says: (ending, log-probability of one of its tokens)."""

MARGIN = 8
"""Tokens at the end of the demonstrations that are read again with each prompt: what follows may merge with them."""

LEAST = 32
"""Tokens that prompts must share before it pays to keep their keys and values."""

STEM = 12
"""Tokens beyond the demonstrations that a question's prompts must share before it pays to read them once, too."""

PREFIXES = 2
"""Beginnings whose keys and values are kept: that of the letters and that of the texts."""

TOKENS = {"cpu": 512, "cuda": 32_768}
"""Tokens in one batch: enough to keep the device busy, and on a processor few enough to need little padding."""

BYTES = {"cpu": 1 << 30, "cuda": 8 << 30}
"""Memory that the keys and values of one batch may take, and its logits."""


class Reader:
    """Reads rows with a loaded model. Without `reuse` every row is read whole."""

    def __init__(self, model: Any) -> None:
        self.reuse = True
        self._model = model
        kind = "cuda" if model.device.type == "cuda" else "cpu"
        self._tokens, self._bytes, self._by_stem = TOKENS[kind], BYTES[kind], kind == "cpu"
        self._vocabulary = int(model.config.get_text_config().vocab_size)
        self._keeps_logits = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._prefixes: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def read(self, rows: list[Row], start: tuple[int, ...]) -> list[Found]:
        """Return what each row says; `start` is what all of them begin with, up to a few tokens.

        Which rows are read together decides the last bits of the results, and nothing else does.
        """
        skipped = self._shared(rows, start)
        kept = self._prefix(rows[0].ids[:skipped]) if skipped else None
        found: list[Found] = [[]] * len(rows)
        for family in self._families(rows, skipped):
            members = [rows[number] for number in family]
            stem = _common(members)
            if len(members) > 1 and stem - skipped >= STEM and self.reuse:
                self._fill(found, family, members, stem, self._grown(kept, members[0].ids[skipped:stem]))
            else:
                self._fill(found, family, members, skipped, kept)
        return found

    def in_one_batch(self, rows: list[Row]) -> list[Found]:
        """Return what whole rows say that are read together, however many tokens these are."""
        return self._batch(rows, 0, None)

    def forget(self) -> None:
        """Let go of the kept keys and values."""
        self._prefixes.clear()

    def _shared(self, rows: list[Row], start: tuple[int, ...]) -> int:
        """Return how many tokens are read once for all rows."""
        if not self.reuse or len(rows) < 2:
            return 0
        length = min(len(start) - MARGIN, _common(rows))
        return length if length >= LEAST else 0

    def _families(self, rows: list[Row], skipped: int) -> list[list[int]]:
        """Return the numbers of rows that share more than the demonstrations, and last those of all other rows.

        The orders of a question share its words, the texts of its options all but themselves. A GPU is busier with all
        rows at once than with few tokens of each question.
        """
        if not self._by_stem or not self.reuse:
            return [list(range(len(rows)))]
        families: list[list[int]] = []
        for number in sorted(range(len(rows)), key=lambda i: rows[i].ids):
            ids = rows[number].ids
            first = rows[families[-1][0]].ids if families else ()
            if families and 2 * (shared([first, ids]) - skipped) >= len(ids) - skipped:
                families[-1].append(number)
            else:
                families.append([number])
        alone = [family[0] for family in families if len(family) == 1]
        return [family for family in families if len(family) > 1] + ([alone] if alone else [])

    def _fill(self, found: list[Found], numbers: list[int], rows: list[Row], skipped: int, kept: Any) -> None:
        """Put what rows say to their numbers; their first `skipped` tokens are `kept`."""
        each = _bytes_per_token(kept) if kept is not None else 0
        for batch in self._batches(rows, skipped, each):
            for place, values in zip(batch, self._batch([rows[i] for i in batch], skipped, kept), strict=True):
                found[numbers[place]] = values

    def _batches(self, rows: list[Row], skipped: int, each: int) -> Iterator[list[int]]:
        """Yield the numbers of rows that are read together: of like lengths, within the bounds of one batch."""
        batch: list[int] = []
        places: set[int] = set()
        for number in sorted(range(len(rows)), key=lambda i: (len(rows[i].ids), rows[i].ids)):
            row = rows[number]
            more = places | {place for _, place, _ in row.wanted}
            count, length = len(batch) + 1, len(row.ids)
            logits = count * 4 * self._vocabulary * (len(more) if self._keeps_logits else length - skipped)
            if batch and (
                count * (length - skipped) > self._tokens or count * length * each > self._bytes or logits > self._bytes
            ):
                yield batch
                batch, more = [], {place for _, place, _ in row.wanted}
            batch.append(number)
            places = more
        if batch:
            yield batch

    def _batch(self, rows: list[Row], skipped: int, kept: Any) -> list[Found]:
        """Read rows together, or in halves where the device has no memory for so many."""
        try:
            return self._forward(rows, skipped, kept)
        except torch.OutOfMemoryError as error:
            if len(rows) == 1:
                raise ModelError(f"the student has no memory for a prompt of {len(rows[0].ids):,} tokens") from error
        torch.cuda.empty_cache()
        self._tokens = max(self._tokens // 2, 1)
        half = len(rows) // 2
        return self._batch(rows[:half], skipped, kept) + self._batch(rows[half:], skipped, kept)

    def _forward(self, rows: list[Row], skipped: int, kept: Any) -> list[Found]:
        longest = max(len(row.ids) for row in rows) - skipped
        ids = torch.zeros((len(rows), longest), dtype=torch.long)
        for number, row in enumerate(rows):
            tail = row.ids[skipped:]
            ids[number, : len(tail)] = torch.tensor(tail)
        places = sorted({place - skipped for row in rows for _, place, _ in row.wanted})
        more: dict[str, Any] = {"use_cache": False}
        if kept is not None:
            more = {"use_cache": True, "past_key_values": _for_rows(kept, len(rows))}
        if self._keeps_logits:
            more["logits_to_keep"] = torch.tensor(places, device=self._model.device)
        column = {place: at if self._keeps_logits else place for at, place in enumerate(places)}
        with torch.inference_mode():
            logits = self._model(input_ids=ids.to(self._model.device), **more).logits
            return _picked(logits, rows, [[column[place - skipped] for _, place, _ in row.wanted] for row in rows])

    def _prefix(self, ids: tuple[int, ...]) -> Any:
        """Return the keys and values of a beginning."""
        kept = self._prefixes.get(ids)
        if kept is None:
            kept = self._prefixes[ids] = self._grown(None, ids)
            if len(self._prefixes) > PREFIXES:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(ids)
        return kept

    def _grown(self, kept: Any, ids: tuple[int, ...]) -> Any:
        """Return the keys and values of one row with more tokens after what is kept, which stays as it is."""
        more: dict[str, Any] = {"logits_to_keep": 1} if self._keeps_logits else {}
        if kept is not None:
            more["past_key_values"] = _for_rows(kept, 1)
        given = torch.tensor([ids], device=self._model.device)
        with torch.inference_mode():
            return self._model(input_ids=given, use_cache=True, **more).past_key_values


def _common(rows: list[Row]) -> int:
    """Return how many tokens all rows begin with, before the first of which a probability is wanted."""
    first = min(place for row in rows for _, place, _ in row.wanted)
    return min(shared([row.ids for row in rows]), first)


def _picked(logits: torch.Tensor, rows: list[Row], columns: list[list[int]]) -> list[Found]:
    """Return the wanted log-probabilities. `logits` is [rows, places, vocabulary], `columns` the places of each row."""
    spots = sorted({(number, column) for number, row in enumerate(columns) for column in row})
    at = {spot: position for position, spot in enumerate(spots)}
    picked = logits[[number for number, _ in spots], [column for _, column in spots]].float()
    totals = picked.logsumexp(-1)
    asked = [
        (at[number, column], token)
        for number, row in enumerate(rows)
        for (_, _, token), column in zip(row.wanted, columns[number], strict=True)
    ]
    spot, token = torch.tensor(asked, device=logits.device).T
    values = iter((picked[spot, token] - totals[spot]).tolist())
    return [[(ending, next(values)) for ending, _, _ in row.wanted] for row in rows]


def _for_rows(kept: Any, count: int) -> Any:
    """Return a copy of one row's keys and values for `count` rows, whose memory is that of the one until they grow."""
    memo = {id(tensor): tensor.expand(count, *tensor.shape[1:]) for tensor in _tensors(kept)}
    return copy.deepcopy(kept, memo)


def _tensors(kept: Any) -> list[torch.Tensor]:
    """Return the tensors with a row for each prompt. Raises AttributeError where the model keeps something else."""
    values = [value for layer in kept.layers for value in vars(layer).values()]
    return [value for value in values if isinstance(value, torch.Tensor) and value.dim() > 1]


def _bytes_per_token(kept: Any) -> int:
    tensors = _tensors(kept)
    size = sum(int(tensor.numel() * tensor.element_size()) for tensor in tensors)
    return size // max(int(kept.get_seq_length()), 1)
