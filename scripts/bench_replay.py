"""Replay of a finished run from its ledger: no call is made.

usage: python scripts/bench_replay.py [--calls 100000] [--characters 1500]
Target: 100,000 calls in under 60 s.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from bench_engine import requests

from curate.models import Engine, Ledger, ScriptedModel


def main() -> None:
    """Write a ledger, then replay it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--characters", type=int, default=1500, help="length of a reply")
    args = parser.parse_args()
    rng = random.Random(0)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randrange(2, 9))) for _ in range(2000)]
    reply = " ".join(rng.choices(words, k=args.characters // 6))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calls.sqlite"
        for verb in ("written", "replayed"):
            asked = 0

            def answer(request: object) -> str:
                nonlocal asked
                asked += 1
                start = rng.randrange(len(reply))
                return reply[start:] + reply[:start]

            with Ledger(path) as ledger:
                began = time.perf_counter()
                with Engine({"teacher": ScriptedModel(answer)}, ledger) as engine:
                    done = sum(bool(completion.text) for completion in engine.run(requests(args.calls)))
                seconds = time.perf_counter() - began
            assert done == args.calls and asked == (args.calls if verb == "written" else 0)
            size = path.stat().st_size / 1e6
            print(
                f"{done} calls {verb} in {seconds:.1f} s ({done / seconds:.0f}/s), {asked} asked, ledger {size:.0f} MB"
            )


if __name__ == "__main__":
    main()
