"""Count how many samples of the embedded teacher survive the math domain's duplicate filters, per kind.

    python scripts/procedural_yield.py [--draws 60] [--language en] [--seed 0] [--encoder static] [--threshold 0.95]

Kinds take turns. A draw is dropped if its instruction equals an accepted one after normalising, if its ROUGE-L F
against any accepted one exceeds 0.7 (the tokens of rouge-score without stemming; characters for Chinese), or, with
--encoder, if its cosine to any accepted one exceeds the threshold.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter

import numpy as np
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

from curate.models.procedural import book

ROUGE = 0.7


def tokens(text: str, language: str) -> list[str]:
    """Return the tokens ROUGE-L compares."""
    pattern = r"[a-z0-9]+" if language == "en" else r"[a-z0-9]+|[\u3400-\u9fff]"
    return re.findall(pattern, text.lower())


class Survivors:
    """The accepted texts, as strings with one character per token, so that an LCS of tokens is one of characters."""

    def __init__(self) -> None:
        self.alphabet: dict[str, str] = {}
        self.texts: list[str] = []
        self.vectors: list[np.ndarray] = []

    def encode(self, words: list[str]) -> str:
        """Return the text with a character for each token (none of them a surrogate)."""
        return "".join(self.alphabet.setdefault(w, chr(0xE000 + len(self.alphabet))) for w in words)

    def nearest(self, text: str) -> float:
        """Return the highest ROUGE-L F against an accepted text."""
        if not self.texts:
            return 0.0
        return float(cdist([text], self.texts, scorer=Indel.normalized_similarity, score_cutoff=ROUGE).max())


def main() -> None:
    """Draw, filter, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--language", default="en")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--kinds", nargs="*")
    parser.add_argument("--encoder")
    parser.add_argument("--threshold", type=float, default=0.95)
    args = parser.parse_args()
    encode = None
    if args.encoder:
        from curate.embed import open_encoder

        encode = open_encoder(args.encoder).encode
    kinds = args.kinds or list(book.kinds_in(args.language))
    began = time.perf_counter()
    problems = [book.write(kind, args.seed, i, args.language) for i in range(args.draws) for kind in kinds]
    spent = time.perf_counter() - began
    accepted, dropped = Counter[str](), Counter[str]()
    store = Survivors()
    vectors = encode([p.instruction for p in problems]) if encode else None
    kept: list[int] = []
    for at, problem in enumerate(problems):
        text = store.encode(tokens(problem.instruction, args.language))
        if store.nearest(text) > ROUGE:
            dropped["rouge"] += 1
        elif vectors is not None and kept and float((vectors[kept] @ vectors[at]).max()) > args.threshold:
            dropped["semantic"] += 1
        else:
            accepted[problem.kind] += 1
            store.texts.append(text)
            kept.append(at)
    for kind in kinds:
        print(f"{kind:28} {accepted[kind]:5d} of {args.draws}")
    total = sum(accepted.values())
    print(f"{len(kinds)} kinds, {total} accepted of {len(problems)}; dropped {dict(dropped)}; ", end="")
    print(f"{1000 * spent / len(problems):.2f} ms a problem")


if __name__ == "__main__":
    main()
