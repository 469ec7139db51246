"""What deleting by chains loses: SemDeDup, NeMo Curator, SemHash and connected components, side by side with ours.

    python scripts/show_chains.py [../shared/data/explore_instruct_demo] [--threshold 0.85] [--embedder static]
                                  [--field instruction] [--semhash PYTHON ...]

All get the same vectors of the same different texts, in the same order. A removed sample is lost for nothing if
no kept one is above the threshold: it was dropped for its likeness to something that was dropped itself. The last count
is of pairs above the threshold that were both kept. The rules are written down here as their papers and sources have
them, over all exact pairs, so that no index and no clustering adds errors of its own:

- SemDeDup (Abbas et al. 2023, algorithm A7) and NeMo Curator (semantic dedup, the same rule): a sample goes if any
  sample before it in the order is above the threshold, kept or not. Theirs compare within k-means clusters.
- SemHash up to 0.4 (`self_deduplicate`): a sample stays unless one of its neighbours was seen; a sample that stays has
  all its neighbours seen. From 0.5 on a sample is dropped for a kept one only: `--semhash` runs the package itself,
  in each environment that is named, with its index.
- Connected components (text-dedup, MinHash tools): of everything joined by pairs above the threshold, one is kept.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from curate.embed import open_encoder  # noqa: E402
from curate.embed.pairs import Pairs, all_pairs  # noqa: E402
from curate.io import read_samples  # noqa: E402
from curate.stages.dedup import text_of  # noqa: E402

Near = list[list[int]]
Kept = NDArray[np.bool_]


def ours(near: Near) -> Kept:
    """Keep what no kept sample is near to."""
    kept = np.zeros(len(near), dtype=bool)
    for place, others in enumerate(near):
        kept[place] = not kept[others].any()
    return kept


def semdedup(near: Near) -> Kept:
    """Keep what no sample before it is near to."""
    return np.array([not any(other < place for other in others) for place, others in enumerate(near)])


def semhash(near: Near) -> Kept:
    """Keep what neither was seen nor is near to anything seen, as a neighbour of what was kept."""
    kept, seen = np.zeros(len(near), dtype=bool), np.zeros(len(near), dtype=bool)
    for place, others in enumerate(near):
        kept[place] = not seen[place] and not seen[others].any()
        if kept[place]:
            seen[place] = True
            seen[others] = True
    return kept


def components(near: Near) -> Kept:
    """Keep the first of each connected component."""
    kept, seen = np.zeros(len(near), dtype=bool), np.zeros(len(near), dtype=bool)
    for place in range(len(near)):
        if seen[place]:
            continue
        kept[place] = seen[place] = True
        waiting = [place]
        while waiting:
            for other in near[waiting.pop()]:
                if not seen[other]:
                    seen[other] = True
                    waiting.append(other)
    return kept


RULES: dict[str, Callable[[Near], Kept]] = {
    "curate: greedy against kept": ours,
    "SemDeDup, NeMo Curator": semdedup,
    "SemHash up to 0.4": semhash,
    "connected components": components,
}


PEER = """
import json, sys
from importlib.metadata import version
import numpy as np
from semhash import SemHash
rows = np.load(sys.argv[1])
names = [str(number) for number in range(len(rows))]
index = SemHash.from_embeddings(rows, names, model=None)
print(json.dumps([version("semhash"), [int(name) for name in index.self_deduplicate(float(sys.argv[2])).selected]]))
"""


def peer(python: str, file: str, threshold: float, n: int) -> tuple[str, Kept]:
    """Return the name and the choice of the SemHash that an environment has."""
    out = subprocess.run([python, "-c", PEER, file, str(threshold)], check=True, capture_output=True, text=True).stdout
    version, places = json.loads(out.splitlines()[-1])
    kept = np.zeros(n, dtype=bool)
    kept[places] = True
    return f"SemHash {version}, the package", kept


def neighbours(pairs: Pairs, n: int) -> Near:
    """Return the near samples of each."""
    near: Near = [[] for _ in range(n)]
    for left, right in zip(pairs.left.tolist(), pairs.right.tolist(), strict=True):
        near[left].append(right)
        near[right].append(left)
    return near


def example(near: Near, kept: Kept, texts: list[str]) -> str:
    """Return a sample that was lost for nothing, and what it was dropped for."""
    lost = [place for place in np.flatnonzero(~kept).tolist() if not kept[near[place]].any()]
    if not lost:
        return ""
    place = min(lost, key=lambda p: (len(texts[p]), p))
    return f"    lost: {texts[place][:90]!r}\n    near only to what is gone too: {texts[near[place][0]][:90]!r}"


def main() -> None:
    """Print a line for each rule and threshold, and an example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = ROOT.parent / "shared" / "data" / "explore_instruct_demo"
    parser.add_argument("data", nargs="?", default=beside, help=f"a dataset; {beside} unless given")
    parser.add_argument("--threshold", type=float, nargs="+", default=[0.8, 0.85, 0.9])
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--field", choices=["text", "instruction"], default="text", help="as for curate dedup")
    parser.add_argument("--semhash", metavar="PYTHON", nargs="+", default=[], help="Pythons that have SemHash")
    args = parser.parse_args()
    texts = list(dict.fromkeys(text_of(sample, args.field) for sample in read_samples(args.data)))
    vectors = open_encoder(args.embedder).encode(texts)
    known = vectors.any(axis=1)
    texts, vectors = [text for text, some in zip(texts, known, strict=True) if some], vectors[known]
    pairs = all_pairs(vectors, min(args.threshold))
    print(f"{len(texts):,} different texts (field {args.field}) of {args.data}, vectors of {args.embedder}")
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "vectors.npy")
        np.save(file, vectors)
        for threshold in args.threshold:
            near = neighbours(pairs.above(threshold), len(texts))
            chosen = {name: rule(near) for name, rule in RULES.items()}
            chosen |= dict(peer(python, file, threshold, len(texts)) for python in args.semhash)
            print(f"\ncosine above {threshold}")
            print(f"{'':<30}{'kept':>8}{'removed':>9}{'lost for nothing':>18}{'pairs kept':>12}")
            for name, kept in chosen.items():
                lost = sum(not kept[near[place]].any() for place in np.flatnonzero(~kept).tolist())
                twice = sum(int(kept[near[place]].sum()) for place in np.flatnonzero(kept).tolist()) // 2
                print(f"{name:<30}{kept.sum():>8,}{(~kept).sum():>9,}{lost:>18,}{twice:>12,}")
            if words := example(near, semdedup(near), texts):
                print(f"  by SemDeDup's rule\n{words}")


if __name__ == "__main__":
    main()
