"""How long near-duplicates take, and how much memory: curate, FAISS and SemHash, one after the other in one run.

    python scripts/bench_dedup.py                                       100,000 x 384 vectors, cosine above 0.9
    python scripts/bench_dedup.py --semhash PYTHON                      with SemHash, in an environment of its own:
                                                                        uv venv E; uv pip install -p E semhash
    python scripts/bench_dedup.py --rows 1000000 --contenders "curate[embed]" "FAISS IVF"     a million rows
    python scripts/bench_dedup.py --texts data.jsonl --semhash PYTHON   20,000 texts, encoding included, the same table

The vectors are those of many texts in what matters here: 300 topics, a falling spectrum, and a fifth of near-copies.
Each contender runs in a process of its own on all cores; its seconds, of the clock and of the processor, are taken
inside, without loading its libraries, and its memory is the largest that the process had (as /usr/bin/time -v says it).
The recall is of the pairs above the threshold that some vectors have with any other, which are found exactly first.
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
SAMPLE = 20_000
BLOCK = 4096


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


def curate_vectors(file: str, floor: float, install: str) -> None:
    """All pairs, then the greedy choice; the base install has no torch."""
    from curate.embed.heads import Heads
    from curate.embed.heads_int8 import best_proposer
    from curate.embed.pairs import all_pairs

    rows = np.load(file)
    watch = Watch(file)
    proposer = Heads(rows, floor) if install == "base" else best_proposer(rows, floor)
    pairs = all_pairs(rows, floor, proposer=proposer)
    near = pairs.above(THRESHOLD)
    kept = np.ones(len(rows), dtype=bool)
    for left, right in zip(near.left.tolist(), near.right.tolist(), strict=True):  # sorted by right: first come stays
        kept[right] &= not kept[left]
    watch.told(near.left, near.right, f"{kept.sum():,} kept; {proposer.words}")


def cells_vectors(file: str, floor: float, install: str) -> None:
    """Nearly all pairs, by cells, as the verb does for many texts."""
    from curate.embed.cells import cell_pairs
    from curate.embed.heads import Heads
    from curate.embed.heads_int8 import best_proposer
    from curate.embed.pairs import MOST

    rows = np.load(file, mmap_mode="r")
    watch = Watch(file)
    proposer = Heads(rows, floor) if install == "base" else best_proposer(rows, floor)
    pairs, words = cell_pairs(rows, floor, proposer, needed=THRESHOLD, most=MOST)
    near = pairs.above(THRESHOLD)
    watch.told(near.left, near.right, words)


def faiss_vectors(file: str, floor: float, kind: str) -> None:
    """Pairs by FAISS, each found twice, and each vector with itself: exact, within lists, or by a graph.

    Lists are 4 sqrt(n), learnt from 64 vectors each; one index is searched with several `nprobe`, and each of them is
    charged with building it. A graph has no search by range, so it gives the 20 nearest ones of each vector.
    """
    import faiss

    rows = np.load(file, mmap_mode="r")
    n, d = rows.shape
    watch = Watch(file)
    probes = [0]
    if kind == "flat":
        index = faiss.IndexFlatIP(d)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(d, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = 100, 64
    else:
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, round(4 * n**0.5), faiss.METRIC_INNER_PRODUCT)
        index.train(rows[:: max(1, n // (64 * index.nlist))].copy())
        probes = [int(number) for number in kind.removeprefix("ivf").split(",")]
    for start in range(0, n, BLOCK):
        index.add(np.ascontiguousarray(rows[start : start + BLOCK]))
    watch.built()
    for nprobe in probes:
        if nprobe:
            index.nprobe = nprobe
        ones, others = [], []
        for start in range(0, n, BLOCK):  # in blocks, or it holds all results at once
            block = np.ascontiguousarray(rows[start : start + BLOCK])
            if kind == "hnsw":
                scores, found = index.search(block, 20)
                high = scores > THRESHOLD
                ones.append(np.nonzero(high)[0] + start)
                others.append(found[high])
            else:
                limits, scores, found = index.range_search(block, floor)
                high = scores > THRESHOLD
                ones.append(np.repeat(np.arange(len(block)), np.diff(limits.astype(np.int64)))[high] + start)
                others.append(found[high])
        one, other = np.concatenate(ones), np.concatenate(others)
        words = f"{index.nlist:,} lists, {nprobe} of them for a vector" if nprobe else kind
        watch.told(one[one != other], other[one != other], words)


class Watch:
    """The seconds of a contender, of the clock and of the processor, and what it found against what there is."""

    def __init__(self, file: str) -> None:
        self._truth = Path(file).with_name("truth.npy")
        self._base = 0.0, 0.0
        self._began = self._now()

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def _since(self) -> tuple[float, float]:
        wall, cpu = (now - began for now, began in zip(self._now(), self._began, strict=True))
        return wall, cpu

    def built(self) -> None:
        """Charge what was spent until now to all that is told later, and begin anew."""
        self._base, self._began = self._since(), self._now()

    def told(self, one: NDArray[np.integer], other: NDArray[np.integer], words: str) -> None:
        """Print the seconds, the pairs above the threshold, and which share of the true ones of a sample they are."""
        wall, cpu = (base + more for base, more in zip(self._base, self._since(), strict=True))
        pairs = np.unique(np.minimum(one, other).astype(np.int64) << 32 | np.maximum(one, other))
        if self._truth.exists():
            truth = np.load(self._truth)
            share = np.isin(truth, pairs, assume_unique=True).mean()
            words = f"recall {share:.5f} of {len(truth):,}; {words}"
        print(json.dumps([wall, cpu, f"{len(pairs):,} pairs above {THRESHOLD}; {words}"]), flush=True)
        self._began = self._now()


def true_pairs(file: str) -> None:
    """Keep all pairs above the threshold of the last rows, which are in no order, with any row: a sample, exact."""
    from curate.embed.heads import Heads
    from curate.embed.pairs import all_pairs

    rows = np.load(file, mmap_mode="r")
    sample = min(SAMPLE, len(rows))
    near = all_pairs(rows, THRESHOLD, since=len(rows) - sample, proposer=Heads(rows, THRESHOLD)).above(THRESHOLD)
    np.save(Path(file).with_name("truth.npy"), near.left.astype(np.int64) << 32 | near.right)
    print(f"recall is of the {len(near):,} pairs of {sample:,} vectors with any other, found exactly in float32")


SEMHASH = """
import json, sys, time
import numpy as np
from semhash import SemHash
kind, file, threshold, table = sys.argv[1:]
threshold = float(threshold)
if kind == "vectors":
    rows = np.load(file)
    records = [str(number) for number in range(len(rows))]
    began, used = time.perf_counter(), time.process_time()
    result = SemHash.from_embeddings(rows, records, model=None).self_deduplicate(threshold)
else:
    from model2vec import StaticModel
    records = json.load(open(file))
    model = StaticModel.from_pretrained(table)
    began, used = time.perf_counter(), time.process_time()
    result = SemHash.from_records(records, model=model).self_deduplicate(threshold)
seconds = time.perf_counter() - began, time.process_time() - used
print(json.dumps([*seconds, f"{len(result.selected):,} kept"]))
"""


def curate_texts(file: str) -> None:
    """From texts to kept ones as `curate dedup --no-rouge` does, at the threshold and with pairs for others."""
    from curate.embed import open_encoder
    from curate.stages.gather import Comparing, Gathering
    from curate.stages.greedy import decide
    from curate.stages.order import ordered
    from curate.text import content_id
    from curate.types import Sample

    texts = json.loads(Path(file).read_text(encoding="utf-8"))
    encoder = open_encoder("static")
    began, used = time.perf_counter(), time.process_time()
    with tempfile.TemporaryFile() as scratch:
        gathering = Gathering(Comparing(encoder=encoder), scratch)
        for text in texts:
            messages = ({"role": "user", "content": text},)
            gathering.add(Sample(content_id(messages), messages), text.encode())
        relations, words = gathering.relations(THRESHOLD)
        kept = decide(relations.at(None, THRESHOLD), ordered(relations, "best")).kept
    print(json.dumps([time.perf_counter() - began, time.process_time() - used, f"{kept:,} kept; {words}"]))


CONTENDERS = (
    ("curate, base", "curate", "base"),
    ("curate[embed]", "curate", "embed"),
    ("curate cells, base", "cells", "base"),
    ("curate[embed] cells", "cells", "embed"),
    ("FAISS flat", "faiss", "flat"),
    ("FAISS IVF", "faiss", "ivf4,8,16"),
    ("FAISS HNSW 32", "faiss", "hnsw"),
)
"""What is shown, what it runs, and which of its ways."""


def run(name: str, command: list[str]) -> None:
    """Run a contender in a process of its own, and print its lines, each with its seconds and the process's memory."""
    # Threads that wait sleep: on a machine that others use they would be charged for waiting.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, cwd=ROOT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        out.seek(0)
        for line in out.read().splitlines():
            seconds, cpu, words = json.loads(line)
            print(
                f"{name:<32}{seconds:8.1f} s {cpu:8.1f} cpu s {usage.ru_maxrss / 1024:8,.0f} MiB  {words}", flush=True
            )
        if status:
            print(f"{name:<32}failed with status {status}", flush=True)


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
        if name == "texts":
            curate_texts(file)
        elif name == "vectors":
            np.save(file, vectors(int(rest[0]), int(rest[1])))
        elif name == "truth":
            true_pairs(file)
        else:
            {"curate": curate_vectors, "cells": cells_vectors, "faiss": faiss_vectors}[name](
                file, float(rest[0]), rest[1]
            )
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
            # In a process of its own: what this one takes would count for those that it starts.
            subprocess.run([*me, "vectors", file, str(args.rows), str(args.columns)], check=True)
            print(f"{args.rows:,} x {args.columns} vectors")
            subprocess.run([*me, "truth", file], check=True)
            floors = args.floors or [THRESHOLD, 0.7]
            for name, *what in CONTENDERS:
                if args.contenders and not any(name.startswith(start) for start in args.contenders):
                    continue
                for floor in floors[:1] if what[1] == "hnsw" else floors:
                    run(f"{name}, from {floor:g}", [*me, what[0], file, str(floor), what[1]])
            kind = "vectors"
        if args.semhash and (args.texts or not args.contenders or "SemHash" in args.contenders):
            table = str(ROOT / "curate" / "embed" / "static")
            run("SemHash", [args.semhash, "-c", SEMHASH, kind, file, str(THRESHOLD), table])
        print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
