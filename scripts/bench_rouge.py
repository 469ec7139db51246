"""ROUGE-L near-duplicates: this project's index against the package rouge-score, the same texts in the same run.

    python scripts/bench_rouge.py [--data ../shared/data] [--texts 700] [--stream 100000]

Both keep a text unless its highest ROUGE-L with a kept one is above 0.7, as Explore-Instruct's filter does; both get
tokens, so that rouge-score's time is that of its `_score_lcs` alone. What they keep must be the same. In the second
part recombined texts stream through the index alone.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rouge_score.rouge_scorer import _score_lcs

from curate.stages.rouge import RougeIndex
from curate.text import rouge_tokens

THRESHOLD = 0.7

Tokens = list[list[str]]
Result = TypeVar("Result")


def by_rouge_score(tokens: Tokens) -> tuple[list[int], int]:
    """Return the kept numbers and the count of pairs compared."""
    kept: list[int] = []
    pairs = 0
    for number, these in enumerate(tokens):
        pairs += len(kept)
        if max((_score_lcs(tokens[other], these).fmeasure for other in kept), default=0.0) <= THRESHOLD:
            kept.append(number)
    return kept, pairs


def by_index(tokens: Tokens) -> list[int]:
    """Return the kept numbers."""
    index = RougeIndex(THRESHOLD)
    kept = []
    for number, these in enumerate(tokens):
        if index.check(these).keep:
            index.add(str(number), these)
            kept.append(number)
    return kept


def timed(work: Callable[[Tokens], Result], tokens: Tokens) -> tuple[float, Result]:
    """Return process seconds (what else runs must not count) and the result."""
    start = time.process_time()
    result = work(tokens)
    return time.process_time() - start, result


def compare(name: str, texts: list[str]) -> bool:
    """Print one comparison; return whether the decisions are equal and 500 times faster."""
    tokens = [rouge_tokens(text) for text in texts]
    ours, kept = min(timed(by_index, tokens) for _ in range(3))
    theirs, (expected, pairs) = timed(by_rouge_score, tokens)
    mean = sum(map(len, tokens)) / len(tokens)
    print(f"{name}: {len(texts)} texts of {mean:.0f} tokens, {len(expected)} kept, the same: {kept == expected}")
    print(f"  rouge-score {theirs:.2f} s ({theirs / pairs * 1e6:.0f} us per pair)")
    print(
        f"  index {ours:.4f} s ({ours / len(texts) * 1e6:.0f} us per text): {theirs / ours:.0f} times faster",
        flush=True,
    )
    return kept == expected and theirs >= 500 * ours


def main() -> int:
    """Run both parts; exit code 1 where the decisions differ or the ratio is below 500."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / ".." / "shared" / "data")
    parser.add_argument("--texts", type=int, default=700, help="how many of the longer texts (0: all, minutes)")
    parser.add_argument("--stream", type=int, default=100_000, help="texts streamed through the index alone")
    options = parser.parse_args()

    files = sorted((options.data / "explore_instruct_demo").glob("*.json"))
    rows = [e for f in files for e in json.loads(f.read_text(encoding="utf-8")).get("examples", [])]
    random.Random(0).shuffle(rows)
    some = rows[: options.texts or None]
    fine = compare("instruction", [r["instruction"] for r in rows])
    fine &= compare("first user message", [f"{r['instruction']}\n\n{r['input']}" for r in some])

    lines = (options.data / "gsm8k" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    sentences = [s for line in lines for s in re.split(r"(?<=[.?]) ", json.loads(line)["question"])]
    rng = random.Random(1)
    stream = [rouge_tokens(" ".join(rng.sample(sentences, 2))) for _ in range(options.stream)]
    seconds, kept = timed(by_index, stream)
    mean = sum(map(len, stream)) / max(len(stream), 1)
    print(f"stream: {len(stream)} texts of {mean:.0f} tokens, {len(kept)} kept, {seconds:.1f} s")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
