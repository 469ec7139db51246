"""Does the knowledge exam find what a student does not know, and does treating it help? A proof in a made-up world.

    python -m scripts.exam_world                      ten seeds, everything
    python -m scripts.exam_world --seeds 3            three of them
    python -m scripts.exam_world --seeds 1 --quick    a smoke run, whose student has learnt next to nothing

In every seed a world is drawn and a student of 2 layers x 128 is trained in it from scratch. The code behind
`curate exam` examines it, by letter and by text, and treats what it does not know; each treatment is compared with a
random twin of equal size and with the truth. Half the tuning samples are about unknown facts; in the first seeds also
none, a quarter and three quarters. Results stay in the folder OUT: run again, it goes on where it was. Each process
takes one core.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from curate.cli.display import span
from curate.errors import CurateError
from scripts.exam_world import report
from scripts.exam_world.running import jobs_of, run
from scripts.exam_world.seeds import Plan
from scripts.measured import read_rows


def main() -> None:
    """Run what is asked for and print the tables."""
    parser = argparse.ArgumentParser(
        prog="exam_world", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="seeds 1 to N (default 10)")
    parser.add_argument("--quick", action="store_true", help="a few steps of everything")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="side by side (default 2)")
    parser.add_argument("--out", type=Path, metavar="OUT", help="folder (default runs/exam-world)")
    args = parser.parse_args()
    if args.seeds < 1 or args.processes < 1:
        parser.error("--seeds and --processes take numbers from 1")
    out = args.out or Path("runs") / ("exam-world-quick" if args.quick else "exam-world")
    plan = Plan.quick() if args.quick else Plan()
    began = time.monotonic()
    jobs = jobs_of(args.seeds, others=0) if args.quick else jobs_of(args.seeds)
    try:
        run(jobs, out, plan, args.processes)
    except CurateError as error:
        raise SystemExit(f"error: {error}") from error
    rows = [row for seed in range(1, args.seeds + 1) for row in read_rows(out / f"seed-{seed}")]
    print(report.write(rows, out))
    used = sum(os.times()[:4])  # with the processes that have ended
    print(
        f"\nThis run: {span(time.monotonic() - began)} of wall time, {used:,.0f} s of processor time with"
        f" {args.processes} processes on {os.cpu_count()} cores;"
        f" {out / 'report.md'}, {out / 'report.svg'}"
    )


if __name__ == "__main__":
    main()
