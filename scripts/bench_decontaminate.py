"""How fast `curate decontaminate` finds passages, and whether it finds what comparing everything with everything does.

    python scripts/bench_decontaminate.py                              gsm8k's train split against its test split
    python scripts/bench_decontaminate.py --data data.jsonl --against exam.jsonl --naive 2000

The naive way writes the rule of `curate.stages.passages` down as its sources have it, with sets of tuples and no hash,
no index and no batch: each message with each text of the benchmark. It takes the first --naive samples, half of which
have a passage of the benchmark planted in them; verdicts must be the same, to the share. The throughput is that of all
samples by passage, then by passage and meaning with the shipped encoder, each in this process.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from curate.embed import open_encoder  # noqa: E402
from curate.io import read_samples  # noqa: E402
from curate.pipeline.benchmarks import Source, read_items  # noqa: E402
from curate.stages.decontaminate import HALF, Benchmarks, Item, decontaminate_samples  # noqa: E402
from curate.stages.passages import LONGEST, PHRASE, SHORTEST, PassageIndex  # noqa: E402
from curate.text import passage_tokens  # noqa: E402

Tokens = tuple[str, ...]


def grams(tokens: Tokens, length: int) -> list[Tokens]:
    """Return every run of so many tokens."""
    return [tokens[at : at + length] for at in range(len(tokens) - length + 1)]


def covered(starts: Iterable[int], length: int) -> set[int]:
    """Return the places inside runs that start there."""
    return {at + step for at in starts for step in range(length)}


class Naive:
    """The rule, compared one by one: `texts` of one collection with their item and the tokens that they must have."""

    def __init__(self, items: Sequence[Sequence[tuple[str, int]]]) -> None:
        split = [[(tuple(passage_tokens(text)), least) for text, least in item] for item in items]
        # Items of the same tokens are one.
        keys = [tuple(token for tokens, _ in item for token in tokens) for item in split]
        self.texts = [tokens for item in split for tokens, _ in item]
        owner = [key for key, item in zip(keys, split, strict=True) for _ in item]
        least = [least for item in split for _, least in item]
        self.length = [
            min(len(tokens), LONGEST) if len(tokens) >= few else 0
            for tokens, few in zip(self.texts, least, strict=True)
        ]
        self._leave_out_commonplace(owner)
        owners: dict[tuple[int, Tokens], set[Tokens]] = defaultdict(set)
        for tokens, length, key in zip(self.texts, self.length, owner, strict=True):
            for gram in grams(tokens, length) if length else ():
                owners[length, gram].add(key)
        self.telling = [
            {at for at, gram in enumerate(grams(tokens, length)) if len(owners[length, gram]) == 1} if length else set()
            for tokens, length in zip(self.texts, self.length, strict=True)
        ]

    def _leave_out_commonplace(self, owner: Sequence[Tokens]) -> None:
        phrases: dict[Tokens, set[Tokens]] = defaultdict(set)
        for tokens, key in zip(self.texts, owner, strict=True):
            for phrase in grams(tokens, PHRASE):
                phrases[phrase].add(key)
        for number, tokens in enumerate(self.texts):
            if 0 < self.length[number] < LONGEST:
                common = [at for at, phrase in enumerate(grams(tokens, PHRASE)) if len(phrases[phrase]) > 1]
                if len(covered(common, PHRASE)) > len(tokens) / 2:
                    self.length[number] = 0

    def find(self, text: str) -> tuple[int, float] | None:
        """Return the number of the text that this one has most of, and the share of it; None below half."""
        tokens = tuple(passage_tokens(text))
        have = {length: set(grams(tokens, length)) for length in set(self.length) - {0}}
        best: tuple[int, float] | None = None
        for number, (given, length, telling) in enumerate(zip(self.texts, self.length, self.telling, strict=True)):
            if not telling:
                continue
            shared = [at for at in telling if given[at : at + length] in have[length]]
            share = len(covered(shared, length)) / len(covered(telling, length))
            if share >= HALF and (best is None or share > best[1]):
                best = number, share
        return best


def compared(items: Sequence[Item]) -> list[list[tuple[str, int]]]:
    """Return the texts of each item with the tokens that they must have, as `Benchmarks` gives them to its index."""
    return [[(text, LONGEST if of == "answer" else SHORTEST) for of, text in item.texts().items()] for item in items]


def planted(texts: Sequence[str], items: Sequence[Item], seed: int = 0) -> list[str]:
    """Return the texts, every second one with a part of a random item's text in its middle."""
    rng = random.Random(seed)
    made = []
    for number, text in enumerate(texts):
        words = text.split()
        if number % 2:
            given = rng.choice(list(rng.choice(items).texts().values())).split()
            size = rng.randint(min(6, len(given)), len(given))
            start = rng.randint(0, len(given) - size)
            middle = rng.randint(0, len(words))
            words[middle:middle] = given[start : start + size]
        made.append(" ".join(words))
    return made


def check(items: Sequence[Item], texts: Sequence[str]) -> tuple[int, int, float, float]:
    """Return hits, differences, and the seconds of the naive way and of the index; a difference is a wrong verdict."""
    began = time.process_time()
    naive = Naive(compared(items))
    slow = [naive.find(text) for text in texts]
    middle = time.process_time()
    index = PassageIndex([compared(items)])
    fast = [None if found is None else (found.number, found.share) for found in index.find(texts, HALF)]
    ended = time.process_time()
    wrong = sum(left != right for left, right in zip(slow, fast, strict=True))
    return sum(found is not None for found in slow), wrong, middle - began, ended - middle


def main() -> None:
    """Check, then measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = ROOT.parent / "shared" / "data" / "gsm8k"
    parser.add_argument("--data", default=str(folder / "train.jsonl"))
    parser.add_argument("--against", default=str(folder / "test.jsonl"))
    parser.add_argument("--naive", type=int, default=1000, metavar="N")
    args = parser.parse_args()
    items = list(read_items(Source("exam", args.against)))
    samples = list(read_samples(args.data))
    print(f"{len(samples):,} samples against {len(items):,} items; load {os.getloadavg()[0]:.1f}")
    texts = planted([sample.instruction for sample in samples[: args.naive]], items)
    hits, wrong, slow, fast = check(items, texts)
    print(f"{len(texts):,} texts, half of them with a planted passage: {hits:,} hits, {wrong} verdicts differ")
    print(f"  naive {slow:8.1f} cpu s\n  index {fast:8.2f} cpu s, {slow / max(fast, 1e-9):,.0f} times as fast")
    for name, encoder in (("by passage", None), ("by passage and meaning (static)", open_encoder("static"))):
        began, cpu = time.perf_counter(), time.process_time()
        benchmarks = Benchmarks({"exam": items}, encoder)
        ready = time.perf_counter()
        found = sum(not verdict.keep for _, verdict in decontaminate_samples(samples, benchmarks))
        seconds, used = time.perf_counter() - ready, time.process_time() - cpu
        rate = f"{len(samples) / seconds:,.0f} samples/s"
        print(f"{name:<32} {rate:>18}, {ready - began:.1f} s to index, {used:.1f} cpu s, {found:,} dropped")


if __name__ == "__main__":
    main()
