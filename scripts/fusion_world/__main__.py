"""Is a target that learns from several sources better than one that learns from itself? A proof in a made-up world.

    python -m scripts.fusion_world                      five seeds, everything
    python -m scripts.fusion_world --seeds 10           ten of them
    python -m scripts.fusion_world --seeds 1 --quick    a smoke run, whose models have learnt next to nothing

In every seed three sources of different shapes and tokenizers learn two skills each, and a target is taken at three
strengths. The code behind `curate fuse`, `curate train` and `curate merge` then trains it in many ways, each beside the
controls that could explain its gain: above all the best of the target's own answers by the same verifier. Results stay
in the folder OUT: run again, it goes on where it was. Each process takes one core.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from curate.cli.display import span
from curate.errors import CurateError
from scripts.fusion_world import report
from scripts.fusion_world.bench import Plan
from scripts.fusion_world.running import run
from scripts.fusion_world.seeds import PARTS
from scripts.measured import read_rows


def main() -> None:
    """Run what is asked for and print the tables."""
    parser = argparse.ArgumentParser(
        prog="fusion_world", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 1 to N (default 5)")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}"
    )
    parser.add_argument("--quick", action="store_true", help="a few steps of everything")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="side by side (default 2)")
    parser.add_argument("--out", type=Path, metavar="OUT", help="folder (default runs/fusion-world)")
    args = parser.parse_args()
    if args.seeds < 1 or args.processes < 1:
        parser.error("--seeds and --processes take numbers from 1")
    out = args.out or Path("runs") / ("fusion-world-quick" if args.quick else "fusion-world")
    plan = Plan.quick() if args.quick else Plan()
    began = time.monotonic()
    seeds = range(1, args.seeds + 1)
    try:
        run(seeds, args.parts, out, plan, args.processes)
    except CurateError as error:
        raise SystemExit(f"error: {error}") from error
    rows = [row for seed in seeds for row in read_rows(out / f"seed-{seed}")]
    print(report.write(rows, out))
    print(f"\n{span(time.monotonic() - began)} of wall time; {out / 'report.md'}, {out / 'report.svg'}")


if __name__ == "__main__":
    main()
