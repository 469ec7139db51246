"""How long near-duplicates take, and how much memory: curate, FAISS and SemHash, one after the other in one run.

    python scripts/bench_dedup.py                                       100,000 x 384 vectors, cosine above 0.9
    python scripts/bench_dedup.py --semhash PYTHON                      with SemHash, in an environment of its own:
                                                                        uv venv E; uv pip install -p E semhash
    python scripts/bench_dedup.py --rows 1000000 --contenders "curate[embed]" "FAISS IVF"     a million rows
    python scripts/bench_dedup.py --texts data.jsonl --semhash PYTHON   20,000 texts, encoding included, the same table

The vectors are those of many texts in what matters here: 300 topics, a falling spectrum, and a fifth of near-copies.
Each contender runs in a process of its own on all cores; its time is taken inside, without loading its libraries, and
its memory is the largest that the process had (as /usr/bin/time -v says it).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
THRESHOLD = 0.9
TEXTS = 20_000


def vectors(n: int, d: int, seed: int = 0) -> NDArray[np.float32]:
    """Return unit rows, [n, d], of the same topics whatever the seed."""
    spectrum = (np.arange(1, d + 1) ** -0.5).astype(np.float32)
    topics = np.random.default_rng(0).standard_normal((300, d), dtype=np.float32)
    rng = np.random.default_rng((0, seed))
    rows = 0.9 * topics[rng.integers(0, 300, n)] + rng.standard_normal((n, d), dtype=np.float32)
    copies = n // 5
    rows[n - copies :] = rows[rng.integers(0, n - copies, copies)]
    rows[n - copies :] += rng.uniform(0.05, 0.6, (copies, 1)).astype(np.float32) * rng.standard_normal(
        (copies, d), dtype=np.float32
    )
    rows = rows[rng.permutation(n)] * spectrum
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def curate_vectors(file: str, floor: float, install: str) -> str:
    """All pairs, then the greedy choice; the base install has no torch."""
    from curate.embed.heads import Heads
    from curate.embed.heads_int8 import best_proposer
    from curate.embed.pairs import all_pairs

    rows = np.load(file)
    began = time.perf_counter()
    proposer = Heads(rows, floor) if install == "base" else best_proposer(rows, floor)
    pairs = all_pairs(rows, floor, proposer=proposer)
    seconds = time.perf_counter() - began
    near = pairs.above(THRESHOLD)
    kept = np.ones(len(rows), dtype=bool)
    for left, right in zip(near.left.tolist(), near.right.tolist(), strict=True):  # sorted by right: first come stays
        kept[right] &= not kept[left]
    return told(seconds, f"{len(near):,} pairs above {THRESHOLD}, {kept.sum():,} kept; {proposer.words}")


def cells_vectors(file: str, floor: float, install: str) -> str:
    """Nearly all pairs, by cells, as the verb does for many texts."""
    from curate.embed.cells import cell_pairs
    from curate.embed.heads import Heads
    from curate.embed.heads_int8 import best_proposer
    from curate.embed.pairs import MOST

    rows = np.load(file, mmap_mode="r")
    began = time.perf_counter()
    proposer = Heads(rows, floor) if install == "base" else best_proposer(rows, floor)
    pairs, words = cell_pairs(rows, floor, proposer, needed=THRESHOLD, most=MOST)
    return told(time.perf_counter() - began, f"{len(pairs.above(THRESHOLD)):,} pairs above {THRESHOLD}; {words}")


def faiss_vectors(file: str, floor: float, kind: str) -> str:
    """Pairs by FAISS, each found twice, and each vector with itself: exact, within lists, or by a graph.

    IVF has as many lists as curate has cells, and HNSW gives the 20 nearest ones of each, as it has no search by range.
    """
    import faiss

    rows = np.load(file)
    n, d = rows.shape
    began = time.perf_counter()
    words = ""
    if kind == "flat":
        index = faiss.IndexFlatIP(d)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(d, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 100
    else:
        quantizer = faiss.IndexFlatIP(d)
        index = faiss.IndexIVFFlat(quantizer, d, min(round(2 * n**0.5), 4096), faiss.METRIC_INNER_PRODUCT)
        index.nprobe = int(kind.removeprefix("ivf"))
        index.train(rows[:: max(1, n // (40 * index.nlist))].copy())
        words = f"{index.nlist:,} lists, {index.nprobe} of them for a vector; "
    index.add(rows)
    found = above = 0
    for start in range(0, n, 4096):  # in blocks, or it holds all results at once
        if kind == "hnsw":
            scores = index.search(rows[start : start + 4096], 20)[0]
        else:
            scores = index.range_search(rows[start : start + 4096], floor)[1]
        found += int((scores > floor).sum())
        above += int((scores > THRESHOLD).sum())
    near, high = (found - n) // 2, (above - n) // 2
    return told(time.perf_counter() - began, f"{high:,} pairs above {THRESHOLD}; {words}{near:,} from {floor:g} up")


SEMHASH = """
import json, sys, time
import numpy as np
from semhash import SemHash
kind, file, threshold, table = sys.argv[1:]
threshold = float(threshold)
if kind == "vectors":
    rows = np.load(file)
    records = [str(number) for number in range(len(rows))]
    began = time.perf_counter()
    result = SemHash.from_embeddings(rows, records, model=None).self_deduplicate(threshold)
else:
    from model2vec import StaticModel
    records = json.load(open(file))
    model = StaticModel.from_pretrained(table)
    began = time.perf_counter()
    result = SemHash.from_records(records, model=model).self_deduplicate(threshold)
print(json.dumps([time.perf_counter() - began, f"{len(result.selected):,} kept"]))
"""


def curate_texts(file: str) -> str:
    """From texts to kept ones as `curate dedup --no-rouge` does, at the threshold and with pairs for others."""
    from curate.embed import open_encoder
    from curate.stages.gather import Comparing, Gathering
    from curate.stages.greedy import decide
    from curate.stages.order import ordered
    from curate.text import content_id
    from curate.types import Sample

    texts = json.loads(Path(file).read_text(encoding="utf-8"))
    encoder = open_encoder("static")
    began = time.perf_counter()
    with tempfile.TemporaryFile() as scratch:
        gathering = Gathering(Comparing(encoder=encoder), scratch)
        for text in texts:
            messages = ({"role": "user", "content": text},)
            gathering.add(Sample(content_id(messages), messages), text.encode())
        relations, words = gathering.relations(THRESHOLD)
        kept = decide(relations.at(None, THRESHOLD), ordered(relations, "best")).kept
    return told(time.perf_counter() - began, f"{kept:,} kept; {words}")


CONTENDERS = (
    ("curate, base", "curate", "base"),
    ("curate[embed]", "curate", "embed"),
    ("curate cells, base", "cells", "base"),
    ("curate[embed] cells", "cells", "embed"),
    ("FAISS flat", "faiss", "flat"),
    ("FAISS IVF 4", "faiss", "ivf4"),
    ("FAISS IVF 16", "faiss", "ivf16"),
    ("FAISS HNSW 32", "faiss", "hnsw"),
)
"""What is shown, what it runs, and which of its ways."""


def told(seconds: float, words: str) -> str:
    """Return what a contender prints."""
    return json.dumps([seconds, words])


def run(name: str, command: list[str]) -> float:
    """Run a contender in a process of its own, print its line and return its seconds."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        out.seek(0)
        if status:
            print(f"{name:<38}failed with status {status}")
            return float("nan")
        seconds, words = json.loads(out.read().splitlines()[-1])
    cpu = usage.ru_utime + usage.ru_stime
    print(f"{name:<38}{seconds:8.1f} s {cpu:8.1f} cpu s {usage.ru_maxrss / 1024:8,.0f} MiB  {words}", flush=True)
    return float(seconds)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=384)
    parser.add_argument(
        "--texts", metavar="FILE", nargs="+", help="datasets whose instructions and responses are taken"
    )
    parser.add_argument("--semhash", metavar="PYTHON", help="a Python that has SemHash")
    parser.add_argument("--contenders", nargs="+", metavar="NAME", help="those alone whose name begins so")
    parser.add_argument("--floors", nargs="+", type=float, help="cosines from which pairs are found")
    parser.add_argument("--only", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        name, file, *rest = args.only
        work = {"curate": curate_vectors, "cells": cells_vectors, "faiss": faiss_vectors}
        print(curate_texts(file) if name == "texts" else work[name](file, float(rest[0]), rest[1]))
        return
    me = [sys.executable, str(Path(__file__).resolve()), "--only"]
    with tempfile.TemporaryDirectory() as folder:
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        if args.texts:
            from curate.io import read_samples

            samples = [sample for file in args.texts for sample in read_samples(file)]
            texts = [text for s in samples for text in (s.instruction, s.response)][:TEXTS]
            file = str(Path(folder) / "texts.json")
            Path(file).write_text(json.dumps(texts), encoding="utf-8")
            print(f"{len(texts):,} texts, cosine above {THRESHOLD}, encoding included")
            run("curate", [*me, "texts", file])
            kind = "texts"
        else:
            file = str(Path(folder) / "vectors.npy")
            np.save(file, vectors(args.rows, args.columns))
            print(f"{args.rows:,} x {args.columns} vectors")
            floors = args.floors or [THRESHOLD, 0.7]
            for name, *what in CONTENDERS:
                if args.contenders and not any(name.startswith(start) for start in args.contenders):
                    continue
                for floor in floors:
                    run(f"{name}, from {floor:g}", [*me, what[0], file, str(floor), what[1]])
            kind = "vectors"
        if args.semhash and (args.texts or not args.contenders or "SemHash" in args.contenders):
            table = str(ROOT / "curate" / "embed" / "static")
            run("SemHash", [args.semhash, "-c", SEMHASH, kind, file, str(THRESHOLD), table])
        print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
