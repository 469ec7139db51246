"""Near pairs of ten million vectors in less memory than they take: seconds, and the largest resident memory.

    python scripts/bench_dedup_scale.py --folder DIR                    10,000,000 x 384, 15 GB in DIR
    python scripts/bench_dedup_scale.py --folder DIR --rows 1000000     a million
    python scripts/bench_dedup_scale.py --folder DIR --minutes 12       stops then, and tells how far it came

The vectors are like those of bench_dedup.py, written block by block; a file that is there already is used again, and
stays. The search runs in a process of its own. Its memory is told phase by phase, each at its largest: as the system
counts it (VmHWM, which /usr/bin/time -v calls "Maximum resident set size", with the pages of the mapped file), and by
kind: what the process allocated (RssAnon), and pages of files (RssFile).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]
COLUMNS = 384
BLOCK = 100_000
THRESHOLD = 0.9


def write(file: Path, rows: int) -> None:
    """Write unit rows, float32: topics are those of the whole file, near-copies of rows of their block."""
    from bench_dedup import vectors

    part = file.with_suffix(".part")
    began = time.perf_counter()
    with part.open("wb") as out:
        for start in range(0, rows, BLOCK):
            vectors(min(BLOCK, rows - start), COLUMNS, seed=1 + start // BLOCK).tofile(out)
    part.rename(file)
    print(f"wrote {rows:,} x {COLUMNS} vectors in {time.perf_counter() - began:,.0f} s", flush=True)


def watch(largest: dict[str, int]) -> None:
    """Keep the largest resident memory of each kind, in kB, looked at ten times a second."""
    while True:
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("RssAnon", "RssFile", "VmHWM"):
                largest[name] = max(largest.get(name, 0), int(value.split()[0]))
        time.sleep(0.1)


def search(file: Path, floor: float | None, minutes: float) -> None:
    """Search by cells as the verb does, and print what was found, how, and with what memory."""
    from curate.embed import cells
    from curate.embed.heads_int8 import best_proposer
    from curate.embed.pairs import MOST, check, worth

    largest: dict[str, int] = {}
    highest = 0
    threading.Thread(target=watch, args=(largest,), daemon=True).start()
    began, used = time.perf_counter(), time.process_time()

    def told(words: str) -> None:
        nonlocal highest
        highest = max(highest, largest.get("VmHWM", 0))
        memory = ", ".join(f"{name} {kb / 2**20:.2f} GiB" for name, kb in sorted(largest.items()))
        largest.clear()
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
        print(
            f"{time.perf_counter() - began:7,.0f} s {time.process_time() - used:7,.0f} cpu s  {words}  [{memory}]",
            flush=True,
        )

    def phase(name: str, words: str) -> None:
        """Have the end of a function of the module told."""
        work = getattr(cells, name)

        def timed(*given: Any) -> Any:
            result = work(*given)
            told(words)
            return result

        setattr(cells, name, timed)

    def stop(*_: object) -> None:
        told(f"stopped after {minutes:g} minutes")
        os._exit(0)

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, minutes * 60)
    phase("_cells", "nearest cells of every row")
    phase("_sample", "near pairs of the sample with all rows")
    vectors = np.memmap(file, np.float32, "r").reshape(-1, COLUMNS)
    check(vectors)
    floor = floor or worth(vectors, THRESHOLD)
    told(f"{len(vectors):,} vectors checked; pairs from {floor:g} up")
    proposer = best_proposer(vectors, floor)
    told(proposer.words.replace("exact: ", "bounds: "))
    last = time.monotonic()

    def tick(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > 30:
            last = time.monotonic()
            told(f"{done / total:.0%} of the cells")

    pairs, words = cells.cell_pairs(vectors, floor, proposer, needed=THRESHOLD, most=MOST, tick=tick)
    told(f"{len(pairs):,} pairs, {len(pairs.above(THRESHOLD)):,} above {THRESHOLD}; {words}")
    print(f"largest resident memory of all phases {highest / 2**20:.2f} GiB")


def main() -> None:
    """Write the vectors unless they are there, and search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument(
        "--floor", type=float, help="the cosine from which pairs are kept; as the verb does unless given"
    )
    parser.add_argument("--minutes", type=float, default=0, help="stop the search then; 0 is never")
    parser.add_argument("--search", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    file = args.folder / f"vectors-{args.rows}.f32"
    if args.search:
        search(file, args.floor, args.minutes)
        return
    if not file.exists():
        write(file, args.rows)
    command = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--search"]
    sys.exit(subprocess.run(command).returncode)


if __name__ == "__main__":
    main()
