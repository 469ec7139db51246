"""The encoder that ships with the package: a static table of token vectors in model2vec's format.

A text's vector is the mean of its tokens' rows, scaled to length 1: a bag of words that needs numpy, `tokenizers` and
`safetensors` only. `scripts/distill_static.py` makes the table.
"""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import InputError
from curate.io import whole

FOLDER = Path(__file__).parent / "static"
# Measured with this table on GSM8K's 7,473 training problems, keep-first: 7,436 survive at 0.95, 7,374 at 0.90.
THRESHOLD = 0.95
UNKNOWN_SHARE = 0.2
# A share of fewer tokens than this says nothing of a corpus.
MIN_TOKENS = 100
BLOCK = 1024


class StaticEncoder:
    """Encodes with the table in `folder`; `name` and `default_threshold` describe the shipped one.

    Raises InputError from `encode` once more than a fifth of all tokens it has met are unknown to the table.
    """

    def __init__(self, folder: Path = FOLDER, *, name: str = "static", threshold: float | None = THRESHOLD) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        self.name = name
        self.default_threshold = threshold
        try:
            # As float32, sums over an int8 table are exact: a row cannot depend on the order of summation.
            self._table: NDArray[np.float32] = load_file(folder / "model.safetensors")["embeddings"].astype(np.float32)
            self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
            unknown = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["unk_token"]
        except (OSError, KeyError) as error:
            raise InputError(f"{folder}: not a static table in model2vec's format ({error})") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._unknown: int | None = self._tokenizer.token_to_id(unknown)
        self.dim = int(self._table.shape[1])
        self._seen = 0
        self._missed = 0

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Return unit rows, [n, dim]; a text of which more than a fifth of the tokens are unknown is a row of zeros.

        What is left of such a text is punctuation, or the frame around its words: all questions of an unknown script
        would be the question mark, and the same.
        """
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), BLOCK):
            out[start : start + BLOCK] = self._encode(texts[start : start + BLOCK])
        return out

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        texts = [*map(whole, texts)]  # the tokenizer refuses half a surrogate pair, which a model may write
        ids = [e.ids for e in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        lengths = [len(tokens) for tokens in ids]
        flat = np.fromiter(chain.from_iterable(ids), dtype=np.int64, count=sum(lengths))
        known = flat != self._unknown
        self._count(len(flat), int(len(flat) - known.sum()))

        sums = np.zeros((len(ids), self.dim), dtype=np.float32)
        first = 0
        for row, length in enumerate(lengths):
            tokens = flat[first : first + length][known[first : first + length]]
            first += length
            if length - len(tokens) > UNKNOWN_SHARE * length:
                continue
            # Text by text, the table's rows stay in the processor's cache: ten times as fast as a sum over all at once.
            np.add.reduce(self._table.take(tokens, axis=0), axis=0, out=sums[row])
        norms = np.sqrt(np.einsum("ij,ij->i", sums, sums))[:, None]
        np.divide(sums, norms, out=sums, where=norms > 0)
        return sums

    def _count(self, tokens: int, unknown: int) -> None:
        self._seen += tokens
        self._missed += unknown
        if self._seen >= MIN_TOKENS and self._missed > UNKNOWN_SHARE * self._seen:
            raise InputError(
                f"the encoder '{self.name}' does not know {self._missed / self._seen:.0%} of the tokens of these texts "
                f"(at most {UNKNOWN_SHARE:.0%} work): use --embedder chargrams, or name a multilingual "
                "sentence-transformers model"
            )
