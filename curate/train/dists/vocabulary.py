"""The bytes that each token of a tokenizer stands for: what tokenizers of every make have in common.

A token of byte-level BPE is spelled in an alphabet of 256 characters, SentencePiece writes a space as "▁" and a byte
that it has no letter for as <0xE4>, WordPiece marks with "##" what goes on a word and leaves out the space before any
other. All that is read from the tokenizer's own description (tokenizer.json), never from a model's name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from curate.io.arrays import read_arrays, write_arrays

BYTE = re.compile(r"<0x([0-9A-F]{2})>")
SPACE = 0x20


@dataclass(frozen=True)
class Vocabulary:
    """`pieces[id]` are the bytes that a token stands for, None where it stands for no text (an unknown, an empty id).

    `special` are the ids of special tokens: their piece is how they are spelled, which in no other vocabulary means the
    same. `end` is the one that ends a turn, None where no single token does. `key` is a hash of the tokenizer.
    """

    pieces: tuple[bytes | None, ...]
    special: frozenset[int]
    end: int | None
    key: str

    def texts(self) -> Iterator[tuple[int, bytes]]:
        """Yield the tokens that stand for text, with their bytes."""
        for number, piece in enumerate(self.pieces):
            if piece and number not in self.special:
                yield number, piece


def tokenizer_key(tokenizer: Any) -> str:
    """Return a hash of all that decides a tokenizer's tokens."""
    return hashlib.blake2b(tokenizer.backend_tokenizer.to_str().encode(), digest_size=8).hexdigest()


def vocabulary_of(tokenizer: Any, end: int | None = None) -> Vocabulary:
    """Return the vocabulary of a fast tokenizer; `end` is the token that ends a turn."""
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens = tokenizer.get_vocab()
    pieces: list[bytes | None] = [None] * (max(tokens.values()) + 1)
    spell = _speller(described)
    unknown = described["model"].get("unk_token")
    for token, number in tokens.items():
        pieces[number] = None if token == unknown else spell(token)
    special = set(tokenizer.all_special_ids)
    for added in described["added_tokens"]:
        if described["model"].get("byte_fallback") and BYTE.fullmatch(added["content"]):
            continue  # some list them among the added tokens
        pieces[added["id"]] = added["content"].encode()
        if added["special"]:
            special.add(added["id"])
    return Vocabulary(tuple(pieces), frozenset(special), end, tokenizer_key(tokenizer))


def _speller(described: dict[str, Any]) -> Any:
    """Return the function from a token's spelling to its bytes."""
    model = described["model"]
    parts = list(_parts([described["decoder"], described["pre_tokenizer"]]))
    if any(part["type"] == "ByteLevel" for part in parts):
        return _from_alphabet
    prefix, suffix = model.get("continuing_subword_prefix"), model.get("end_of_word_suffix")
    marker = next(filter(None, map(_marker, parts)), None)
    if marker is not None:
        fallback = bool(model.get("byte_fallback"))
        return lambda token: _from_marked(token, marker, fallback)
    return lambda token: _from_word(token, prefix or "", suffix or "")


def _parts(values: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield the steps of decoders and pre-tokenizers, those inside of sequences too."""
    for value in values:
        if value:
            yield value
            yield from _parts(value.get("decoders") or value.get("pretokenizers") or [])


def _marker(part: dict[str, Any]) -> str | None:
    """Return the character that stands for a space, where this step makes it or takes it away."""
    if part["type"] == "Metaspace":
        return str(part["replacement"])
    if part["type"] == "Replace" and part["content"] == " ":
        return part["pattern"].get("String") or None
    return None


@cache
def _alphabet() -> dict[str, int]:
    """Return the byte that each character of byte-level BPE stands for (Radford et al., GPT-2, encoder.py)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}


def _from_alphabet(token: str) -> bytes:
    known = _alphabet()
    try:
        return bytes([known[character] for character in token])
    except KeyError:  # a token that was added as it is written
        return token.encode()


def _from_marked(token: str, marker: str, fallback: bool) -> bytes:
    if fallback and (found := BYTE.fullmatch(token)):
        return bytes([int(found[1], 16)])
    return token.replace(marker, " ").encode()


def _from_word(token: str, prefix: str, suffix: str) -> bytes:
    """Return the bytes of a token of a tokenizer that drops spaces: one stands before every token that begins a word.

    Marks of punctuation and letters of scripts without spaces go on as well as they begin.
    """
    if prefix and token.startswith(prefix):
        return token.removeprefix(prefix).removesuffix(suffix).encode()
    word = token.removesuffix(suffix)
    return (" " + word if word[:1].isalnum() and word[0] < "\u2e80" else word).encode()


def write_vocabulary(path: Path, vocabulary: Vocabulary) -> None:
    """Publish a vocabulary as one file."""
    lengths = [-1 if piece is None else len(piece) for piece in vocabulary.pieces]
    text = b"".join(piece for piece in vocabulary.pieces if piece)
    head = {"key": vocabulary.key, "end": vocabulary.end, "special": sorted(vocabulary.special)}
    write_arrays(path, head, {"lengths": np.array(lengths, np.int32), "text": np.frombuffer(text, np.uint8)})


def read_vocabulary(path: Path) -> Vocabulary | None:
    """Return the vocabulary of a file, None where there is no such whole file."""
    found = read_arrays(path)
    if found is None or "lengths" not in found[1]:
        return None
    head, arrays = found
    lengths, text = arrays["lengths"].tolist(), arrays["text"].tobytes()
    pieces: list[bytes | None] = []
    at = 0
    for length in lengths:
        pieces.append(None if length < 0 else text[at : at + length])
        at += max(length, 0)
    return Vocabulary(tuple(pieces), frozenset(head["special"]), head["end"], head["key"])
