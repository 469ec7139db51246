"""Alignment of two tokenizers: this project's methods against the published time warping, same documents, same run.

    python scripts/bench_align.py [--data ../shared/data] [--length 2048] [--documents 8]

Documents are runs of gsm8k and alpaca answers of about LENGTH tokens of the source. The reference is FuseLLM's
TokenAligner.dtw as it is published (after simpledtw), pure Python over numpy, with rapidfuzz's edit distance in C for
that of the `editdistance` package; its time is that of the path alone. Ours is of the whole way from tokens and their
places to rows in the target's ids, and also with the target's tokenisation, which the reference needs as well.
Processor seconds, as other work must not count.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from curate.fuse.align.published import by_pairs, equal_tokens, mapped_tokens, suffixed_tokens
from curate.train.data.templates import find_template
from curate.train.data.tokens import Coder
from curate.train.dists import Record
from curate.train.dists.boundaries import by_boundaries
from curate.train.dists.maps import Maps, Target, exact_map, nearest_map, spelled_map, strict_map
from curate.train.dists.pairing import Pair, pairs_of, side_of
from curate.train.dists.reading import Reading, Rows
from curate.types import Sample

SPECIAL = ["<unk>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
K = 10


def texts_of(data: Path) -> list[str]:
    """Return the answers of the demonstration files."""
    rows = [json.loads(line) for line in (data / "gsm8k/train.jsonl").read_text().splitlines()]
    return [row["answer"] for row in rows] + [
        row["output"] for row in json.loads((data / "alpaca_en_demo.json").read_text())
    ]


def byte_level(texts: list[str], size: int) -> Tokenizer:
    """Return a tokenizer of GPT-2's make."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False),
    )
    return raw


def unigram(texts: list[str], size: int) -> Tokenizer:
    """Return a tokenizer of SentencePiece's make."""
    raw = Tokenizer(models.Unigram())
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    raw.train_from_iterator(texts, trainer)
    return raw


def reading_of(raw: Tokenizer) -> Reading:
    """Return how a model with this tokenizer reads."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", unk_token="<unk>")
    tokenizer.chat_template = CHATML
    return Reading(Coder(tokenizer, find_template(None, tokenizer), 1 << 20))


def documents(texts: list[str], reading: Reading, length: int, count: int) -> list[str]:
    """Return texts of about `length` tokens."""
    made, part, held = [], [], 0
    for text in texts:
        part.append(text)
        held += len(reading.coder.tokenizer(text)["input_ids"])
        if held >= length:
            made.append("\n".join(part))
            part, held = [], 0
        if len(made) == count:
            return made
    raise SystemExit(f"there is not enough text for {count} documents of {length} tokens")


def records_of(texts: list[str], reading: Reading, generator: np.random.Generator) -> list[Record]:
    """Return records whose rows are drawn around the tokens that do follow."""
    size, records = len(reading.vocabulary.pieces), []
    for one in reading.locate([Sample("", ({"role": "user", "content": "?"}, {"role": "assistant", "content": text}))
                               for text in texts]):  # fmt: skip
        tokens = one.ids[reading.wanted(one)]
        ids = generator.integers(4, size, (len(tokens), K))
        ids[:, 0] = tokens
        mass = -np.sort(-generator.dirichlet(np.full(K + 1, 0.3), len(tokens)), 1)
        rows = Rows(ids.astype(np.uint32), np.log(mass[:, :K]), np.log(mass[:, K]), -np.log(mass[:, 0]))
        records += reading.records(one, rows)
    return records


def published_path(first: list[str], second: list[str]) -> list[tuple[int, int]]:
    """Return FuseLLM's path: a table filled pair by pair, then followed back."""

    def cost(one: str, other: str) -> int:
        return Levenshtein.distance(one.replace(" ", ""), other.replace(" ", ""))

    matrix = np.zeros((len(first) + 1, len(second) + 1))
    matrix[0, :] = np.inf
    matrix[:, 0] = np.inf
    matrix[0, 0] = 0
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            matrix[i + 1, j + 1] = cost(one, other) + min(matrix[i, j + 1], matrix[i + 1, j], matrix[i, j])
    matrix = matrix[1:, 1:]
    i, j = len(first) - 1, len(second) - 1
    path = []
    while i > 0 or j > 0:
        path.append((i, j))
        both = matrix[i - 1, j - 1] if i > 0 and j > 0 else np.inf
        up = matrix[i - 1, j] if i > 0 else np.inf
        aside = matrix[i, j - 1] if j > 0 else np.inf
        move = np.argmin([both, up, aside])
        i, j = (i - 1, j - 1) if move == 0 else (i - 1, j) if move == 1 else (i, j - 1)
    return [*path, (0, 0)][::-1]


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return processor seconds and the result."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def reference(pair: Pair) -> float:
    """Return the processor seconds of the published path of one document, after comparing it with ours."""
    from curate.fuse.align.published import _path, _spelled

    length = len(pair.dist.text)
    first, second = (
        [piece.decode("latin-1") for piece, at in zip(_spelled(pair, side), side.offsets, strict=True) if at < length]
        for side in (pair.source, pair.target)
    )
    spent, path = seconds(lambda: published_path(first, second))
    mine, ours = seconds(lambda: _path(pair))
    same = "the same path" if [tuple(one) for one in ours.tolist()] == path else "ANOTHER PATH"
    print(f"  published path of one document of {len(first):,} x {len(second):,} tokens: {spent:.2f} s; "
          f"ours {mine * 1e3:.1f} ms, {same}: {spent / mine:,.0f} times")  # fmt: skip
    return spent


def main() -> None:
    """Measure one pair of tokenizers after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--documents", type=int, default=8)
    options = parser.parse_args()
    texts = texts_of(options.data)
    readings = {
        "BPE of 16,000": reading_of(byte_level(texts, 16_000)),
        "BPE of 4,000": reading_of(byte_level(texts[::7], 4_000)),
        "Unigram of 8,000": reading_of(unigram(texts[::3], 8_000)),
    }
    pairs = [
        ("BPE of 16,000", "BPE of 4,000"),
        ("BPE of 16,000", "Unigram of 8,000"),
        ("Unigram of 8,000", "BPE of 16,000"),
    ]
    for source, target in pairs:
        print(f"{source} to {target}")
        compare(
            readings[source], readings[target], documents(texts, readings[source], options.length, options.documents)
        )


def compare(source: Reading, target: Reading, texts: list[str]) -> None:
    """Print the times of the published path and of our methods."""
    records = records_of(texts, source, np.random.default_rng(0))
    pair = next(pair for _, pair in pairs_of(records[:1], source.vocabulary, target) if isinstance(pair, Pair))
    spent = reference(pair)
    mapped = Target(target.vocabulary, target.coder.tokenizer)
    _, others = exact_map(source.vocabulary, mapped, (False, False))
    methods: dict[str, tuple[Any, Any]] = {
        "bytes": (spelled_map, by_boundaries),
        "em": (strict_map, partial(by_pairs, accept=equal_tokens)),
        "mined": (nearest_map, partial(by_pairs, accept=mapped_tokens)),
        "statistics": (strict_map, partial(by_pairs, accept=suffixed_tokens)),
    }
    for name, (make, method) in methods.items():
        with tempfile.TemporaryDirectory() as cache:
            maps = Maps(source.vocabulary, mapped, make, Path(cache))
            building, _ = seconds(
                lambda maps=maps: [maps[glued] for glued in ((False, False), (False, True), (True, False))]
            )
            whole, rows = seconds(lambda maps=maps, method=method: work(records, source, target, method, maps))
            ready = [pair for _, pair in pairs_of(records, source.vocabulary, target) if isinstance(pair, Pair)]
            alone, _ = seconds(
                lambda maps=maps, method=method, ready=ready: [
                    method(sides(pair, source, target), maps) for pair in ready
                ]
            )
        each = whole / len(records)
        times = spent * len(records) / alone
        print(
            f"  {name:<11} {alone / len(records) * 1e3:7.2f} ms a document, {times:,.0f} times the published path; "
            f"with the target's tokenisation {each * 1e3:.2f} ms; {rows:,} rows; "
            f"map {building:.2f} s for {len(others):,} tokens"
        )


def sides(pair: Pair, source: Reading, target: Reading) -> Pair:
    """Return the pair made anew of its tokens and their places, which is the beginning of an alignment."""
    text = pair.dist.text
    left, right = (
        side_of(side.tokens, side.offsets, text, reading.vocabulary, len(text))
        for side, reading in ((pair.source, source), (pair.target, target))
    )
    return Pair(pair.dist, left, right)


def work(records: list[Record], source: Reading, target: Reading, method: Any, maps: Maps) -> int:
    """Align all records and return the number of rows."""
    pairs = pairs_of(records, source.vocabulary, target)
    return sum(len(method(pair, maps).offsets) for _, pair in pairs if isinstance(pair, Pair))


if __name__ == "__main__":
    main()
