"""`curate stats` on 100,000 samples: 120 s at most on two processors.

    python scripts/bench_stats.py [--rows 100000] [--files 1] [--data ../shared/data]

The samples are word problems recombined of real ones' sentences (GSM8K) under instructions of real forms, so that there
are as many different words, lengths and near-copies as in what people measure; made from a seed, to a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

from curate.pipeline.stats import stats

LIMIT = 120.0
FORMS = (
    "{0} {1}",
    "Solve this problem. {0} {1}",
    "Explain the steps. {0} {1}",
    "Rewrite the story in one line. {0} {1}",
)


def make(path: Path, rows: int, data: Path, seed: int) -> None:
    """Write `rows` samples as prompt and completion."""
    lines = (data / "gsm8k" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    problems = [json.loads(line) for line in lines]
    sentences = [sentence for row in problems for sentence in re.split(r"(?<=[.?]) ", row["question"])]
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            text = rng.choice(FORMS).format(*rng.sample(sentences, 2))
            file.write(json.dumps({"prompt": text, "completion": rng.choice(problems)["answer"]}) + "\n")


def main() -> int:
    """Measure and print; exit code 1 where it took longer than the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / ".." / "shared" / "data")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=1, help="so many files, each of that many rows")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.jsonl" for number in range(options.files)]
        for number, file in enumerate(files):
            make(file, options.rows, options.data, number)
        began, spent = time.monotonic(), time.process_time()
        parts: list[tuple[str, float]] = []
        made = stats(files, tell=lambda what, done, total: parts.append((what.rpartition(", ")[2], time.monotonic())))
        wall, cpu = time.monotonic() - began, time.process_time() - spent
    print(made.table())
    merged: dict[str, float] = {}
    for (part, start), (_, end) in zip(parts, [*parts[1:], ("", began + wall)], strict=True):
        merged[part] = merged.get(part, 0.0) + end - start
    print("\n" + ", ".join(f"{part} {seconds:.1f} s" for part, seconds in merged.items()))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.files} x {options.rows:,} samples: {wall:.1f} s wall, {cpu:.1f} s processor, {memory:,.0f} MB")
    return 0 if wall <= LIMIT * options.files else 1


if __name__ == "__main__":
    sys.exit(main())
