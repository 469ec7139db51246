"""The user's documents as passages, found by words (BM25) and by vectors, the two rankings fused by their ranks."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from curate.embed import Encoder, cosine
from curate.errors import InputError
from curate.io.files import numbered_lines, open_text
from curate.text import normalise, passage_tokens

KINDS = (".txt", ".md", ".markdown", ".jsonl")
TEXT_FIELDS = ("text", "content")
"""Where a row of a JSONL file has its text."""

PASSAGE = 1_000
"""The most characters of a passage: some 160 English words, so that four of them are a page."""

K1, B = 1.2, 0.75
"""BM25's saturation and length normalisation, at their customary values (Robertson & Zaragoza 2009, section 3.4)."""

FUSION = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke & Büttcher 2009)."""

QUERY = 2_000
"""Characters of a query that are searched for: an instruction may hold a whole text to work on, after what it asks."""

DEPTH = 50
"""Ranks of each list that are fused."""

_BREAK = re.compile(r"\n[ \t]*\r?\n\s*|\n(?=#{1,6} )")
"""Where a paragraph ends: at an empty line, or before a Markdown heading."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n")
_CJK = re.compile("[\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True)
class Span:
    """A passage of the user's documents: the characters `start` to `end` (exclusive) of `file`.

    `file` is relative to the folder of documents. In a JSONL file they are characters of the text in line `row`,
    counted from 1; elsewhere `row` is 0.
    """

    file: str
    start: int
    end: int
    row: int = 0


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document, and where it stands."""

    span: Span
    text: str


class Documents:
    """The passages of a folder, searchable by words and, with an encoder, by vectors. Safe for several threads.

    Memory: the texts, 4 bytes for each vector's entry, and 8 for each distinct word of each passage.
    """

    def __init__(self, passages: Iterable[Passage], encoder: Encoder | None = None) -> None:
        self.passages = list(passages)
        self._encoder = encoder
        self._lock = Lock()
        texts = [passage.text for passage in self.passages]
        self._words = _WordIndex(texts)
        self._vectors = encoder.encode(texts) if encoder and texts else None

    def __len__(self) -> int:
        return len(self.passages)

    def search(self, queries: Sequence[str], count: int) -> list[Passage]:
        """Return the `count` passages with the highest sum of 1 / (FUSION + rank) over all queries and both rankings.

        A passage that shares no word with any query and points away from all is not returned, nor is a second copy of
        one that is. Among equals the earlier one comes first.
        """
        scores: dict[int, float] = {}
        queries = [query[:QUERY] for query in queries]
        rankings = [self._words.rank(query) for query in queries]
        if self._vectors is not None and self._encoder is not None:
            with self._lock:
                asked = self._encoder.encode(queries)
            rankings += [_nearest(self._vectors, row) for row in asked]
        for ranking in rankings:
            for rank, place in enumerate(ranking, 1):
                scores[place] = scores.get(place, 0.0) + 1 / (FUSION + rank)
        best = sorted(scores, key=lambda place: (-round(scores[place], 12), place))
        different: dict[str, Passage] = {}
        for place in best:
            different.setdefault(normalise(self.passages[place].text), self.passages[place])
            if len(different) == count:
                break
        return list(different.values())


def read_documents(folder: Path) -> Iterator[Passage]:
    """Yield the passages of all text, Markdown and JSONL files below `folder`, in the order of their names.

    Raises InputError where there is no such folder or file, or one cannot be read; it names the place.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder of documents")
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in KINDS and path.is_file() and not _hidden(path.relative_to(folder))
    )
    if not files:
        raise InputError(f"{folder}: no documents in it; files of these kinds are read: {', '.join(KINDS)}")
    for path in files:
        name = path.relative_to(folder).as_posix()
        for row, text in _texts(path):
            for start, end in cut(text):
                yield Passage(Span(name, start, end, row), text[start:end])


def _hidden(path: Path) -> bool:
    """Return whether a part of the path begins with a dot: what programs keep for themselves is no document."""
    return any(part.startswith(".") for part in path.parts)


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (row, text) of a file: row 0 for the whole of a text file, line numbers for JSONL."""
    if path.suffix.lower() != ".jsonl":
        try:
            with open_text(path) as file:
                yield 0, file.read()
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8 text ({error.reason}); save the file as UTF-8") from error
        return
    for number, row in numbered_lines(path):
        text = next((row[field] for field in TEXT_FIELDS if isinstance(row.get(field), str)), None)
        if text is None:
            raise InputError(
                f"{path}:{number}: no text; a row of documents has one of the fields {', '.join(TEXT_FIELDS)} "
                f"(this one has {', '.join(map(str, row)) or 'none'})"
            )
        yield number, text


def cut(text: str) -> list[tuple[int, int]]:
    """Return the spans of a text's passages: whole paragraphs, as many as fit into PASSAGE characters.

    A heading begins a passage, and does not stand alone. A longer paragraph is cut between sentences, a longer sentence
    where it must.
    """
    spans: list[tuple[int, int]] = []
    for start, end in _pieces(text):
        begun = text[slice(*spans[-1])].splitlines() if spans else []
        opens = text[start] == "#" and not all(line[:1] in ("#", "") for line in begun)
        if begun and not opens and end - spans[-1][0] <= PASSAGE:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of paragraphs, of sentences where a paragraph is too long, without white space at the edges."""
    for start, end in _split(text, 0, len(text), _BREAK):
        if end - start <= PASSAGE:
            yield start, end
            continue
        for first, last in _split(text, start, end, _SENTENCE):
            for begin in range(first, last, PASSAGE):
                yield begin, min(begin + PASSAGE, last)


def _split(text: str, start: int, end: int, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    edges = [(found.start(), found.end()) for found in pattern.finditer(text, start, end)]
    for first, last in zip(
        [start, *(after for _, after in edges)], [*(before for before, _ in edges), end], strict=True
    ):
        piece = text[first:last]
        if stripped := piece.strip():
            begin = first + len(piece) - len(piece.lstrip())
            yield begin, begin + len(stripped)


def search_tokens(text: str) -> list[str]:
    """Return the words by which passages are ranked; of Chinese and Japanese, pairs of neighbouring characters too."""
    tokens = passage_tokens(text)
    pairs = [a + b for a, b in pairwise(tokens) if _CJK.fullmatch(a) and _CJK.fullmatch(b)]
    return tokens + pairs


class _WordIndex:
    """BM25 (Robertson & Zaragoza 2009, equation 3.15), with the document frequency as ln(1 + (N-n+.5) / (n+.5))."""

    def __init__(self, texts: Sequence[str]) -> None:
        # Places and counts in turn, as plain integers: a tuple for each would take ten times the memory.
        found: dict[str, array[int]] = {}
        lengths = np.zeros(len(texts))
        for place, text in enumerate(texts):
            tokens = search_tokens(text)
            lengths[place] = len(tokens)
            for token, times in Counter(tokens).items():
                found.setdefault(token, array("i")).extend((place, times))
        self._postings = {token: np.frombuffer(pairs, dtype=np.int32).reshape(-1, 2) for token, pairs in found.items()}
        self._saturation = K1 * (1 - B + B * lengths / max(float(lengths.mean()), 1.0)) if texts else lengths

    def rank(self, query: str) -> list[int]:
        """Return the places of the DEPTH best passages that share a word with the query, the best first."""
        scores = np.zeros(len(self._saturation))
        for token in dict.fromkeys(search_tokens(query)):
            if (postings := self._postings.get(token)) is None:
                continue
            places, times = postings[:, 0], postings[:, 1]
            weight = log(1 + (len(scores) - len(places) + 0.5) / (len(places) + 0.5))
            scores[places] += weight * times * (K1 + 1) / (times + self._saturation[places])
        return _best(scores)


def _nearest(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> list[int]:
    """Return the places of the DEPTH vectors nearest to the query, the nearest first.

    A product in float32 proposes twice as many, since its last digits depend on the machine; float64 decides.
    """
    rough: NDArray[np.float32] = vectors @ query
    proposed = np.argpartition(-rough, 2 * DEPTH)[: 2 * DEPTH] if len(rough) > 2 * DEPTH else np.arange(len(rough))
    scores = np.zeros(len(vectors))
    scores[proposed] = [cosine(vectors[place], query) for place in proposed]
    return _best(scores)


def _best(scores: NDArray[np.float64]) -> list[int]:
    """Return the places of the DEPTH highest positive scores, the earlier of two equals first."""
    places = np.flatnonzero(scores > 0)
    if len(places) > DEPTH:
        lowest = np.partition(scores[places], -DEPTH)[-DEPTH]
        places = places[scores[places] >= lowest]
    best: list[int] = places[np.argsort(-scores[places], kind="stable")][:DEPTH].tolist()
    return best
