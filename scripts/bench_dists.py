"""Distributions on disk: bytes for a token, what rounding costs in nats, and how fast they are read.

    python scripts/bench_dists.py [--data ../shared/data] [--model FOLDER] [--rows 40000]

Rows are those of a causal model on gsm8k answers where --model names one, and of logits drawn for 151,936 tokens in
six shapes from flat to peaked. The divergence is KL(exact || decoded) over the k tokens and the rest, of every row.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curate.train.dists import Dist, Header, Record, open_dists, write_dists
from curate.train.dists.codec import decode, encode

VOCABULARY = 151_936
PARTS = ("ids_low", "ids_high", "codes", "tails")
OWN = ("offsets", "kind", "tokens", "nll")

Rows = tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Ids [n, k], log-probabilities [n, k] descending, and tails [n]."""


def drawn(k: int, rows: int, generator: np.random.Generator) -> Iterator[tuple[str, Rows]]:
    """Yield rows of every shape, `rows` in all."""
    n = max(rows // 6, 1)
    shapes = {
        "normal logits, deviation 1": generator.normal(0, 1, (n, VOCABULARY // 64)),
        "normal logits, deviation 4": generator.normal(0, 4, (n, VOCABULARY // 64)),
        "flat": generator.normal(0, 1e-3, (n, VOCABULARY // 64)),
        "peaked": generator.normal(0, 6, (n, VOCABULARY // 64)) + 60.0 * (np.arange(VOCABULARY // 64) == 7),
        "two alike": generator.normal(0, 3, (n, VOCABULARY // 64)) + 50.0 * (np.arange(VOCABULARY // 64) < 2),
        "one and a plateau": -np.linspace(0, 9, n)[:, None] * (np.arange(VOCABULARY // 64) > 0)
        - 40.0 * (np.arange(VOCABULARY // 64) >= k),
    }
    for name, logits in shapes.items():
        yield name, top(logits, k, generator)


def top(logits: npt.NDArray[np.float64], k: int, generator: np.random.Generator) -> Rows:
    """Return the most probable of each row; ids are drawn over the whole vocabulary."""
    logits = (
        logits
        - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        - logits.max(1, keepdims=True)
    )
    ordered = -np.sort(-logits, 1)
    with np.errstate(divide="ignore"):
        tail = np.log(np.exp(ordered[:, k:]).sum(1))
    ids = generator.integers(0, VOCABULARY, (len(logits), k)).astype(np.uint32)
    return ids, ordered[:, :k], tail


def of_model(folder: str, data: Path, k: int, rows: int) -> Rows:
    """Return the rows of a causal model on gsm8k answers."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    found: list[tuple[npt.NDArray[np.float64], ...]] = []
    for line in (data / "gsm8k/test.jsonl").read_text().splitlines():
        row = json.loads(line)
        turns = [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]
        ids = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False), return_tensors="pt")["input_ids"][:, :512]
        with torch.no_grad():
            logp = torch.log_softmax(model(input_ids=ids).logits[0].double(), 1)
        values, tokens = logp.topk(k, 1)
        rest = logp.scatter(1, tokens, -torch.inf).logsumexp(1)
        found.append((tokens.numpy(), values.numpy(), rest.numpy()))
        if sum(len(one[2]) for one in found) >= rows:
            break
    ids, values, rest = (np.concatenate(parts)[:rows] for parts in zip(*found, strict=True))
    return ids.astype(np.uint32), values, rest


def divergence(rows: Rows) -> npt.NDArray[np.float64]:
    """Return KL(exact || decoded) [n] in nats."""
    _, logprobs, tail = rows
    read, rest = decode(*encode(logprobs.astype(np.float32), tail.astype(np.float32)))
    exact = np.concatenate([logprobs, tail[:, None]], 1)
    other = np.concatenate([read, rest[:, None]], 1).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(np.exp(exact) > 0, np.exp(exact) * (exact - other), 0.0).sum(1)


def stored(rows: Rows, k: int, folder: Path) -> None:
    """Print the bytes of rows on disk, and processor seconds for reading them in records of 256."""
    ids, logprobs, tail = rows
    records = []
    for number, at in enumerate(range(0, len(ids), 256)):
        part = slice(at, at + 256)
        n = len(ids[part])
        dist = Dist(np.arange(n, dtype=np.uint32), ids[part], logprobs[part].astype(np.float32),
                    tail[part].astype(np.float32), 1.0, np.zeros(n, np.uint8), ids[part, 0],
                    -logprobs[part, 0].astype(np.float32), b"")  # fmt: skip
        records.append(Record(f"{number:016x}", 0, dist))
    write_dists(folder, Header("bench", "", "", "", k, VOCABULARY), records)
    dists = open_dists(folder)
    sizes = {name: sum(shard.columns[name].nbytes for shard in dists.shards) / len(ids) for name in (*PARTS, *OWN)}
    began = time.process_time()
    for record in records:
        dists.get(record.sample, 0)
    spent = time.process_time() - began
    rounded, own = sum(sizes[name] for name in PARTS), sum(sizes[name] for name in OWN)
    print(f"k = {k}: {rounded:.2f} bytes a token ({', '.join(f'{name} {sizes[name]:.2f}' for name in PARTS)})")
    print(f"  and {own:.0f} for its place, token, nll and kind; {len(ids) / spent:,.0f} rows read a processor second")


def main() -> None:
    """Measure k = 10 and k = 50."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model")
    parser.add_argument("--rows", type=int, default=12_000)
    options = parser.parse_args()
    for k in (10, 50):
        generator = np.random.default_rng(0)
        made = list(drawn(k, options.rows, generator))
        if options.model:
            made.append((Path(options.model).name, of_model(options.model, options.data, k, options.rows)))
        with tempfile.TemporaryDirectory() as folder:
            every = tuple(np.concatenate(parts) for parts in zip(*(rows for _, rows in made), strict=True))
            stored(every, k, Path(folder))  # type: ignore[arg-type]
        for name, rows in made:
            lost = divergence(rows)
            print(f"  {name:<28} KL mean {lost.mean():.2e}, highest {lost.max():.2e} nats")


if __name__ == "__main__":
    main()
