"""The engine against Bespoke Curator and NeMo Data Designer, one loopback server with 200 ms latency for all.

usage: python scripts/bench_peers.py --curator PYTHON --data-designer PYTHON [--scripts FOLDER] [--requests 2000]
                                     [--concurrency 512] [--repeats 3]
Each peer has an environment of its own (its interpreter is given here) and runs a small script of its own, which prints
`wall SECONDS`: the time from the first line after its imports to the finished dataset. The engine's time has its ledger
on a file. Peers and engine take turns; the medians count. Prints requests per second and the ratio to the better peer.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from bench_engine import engine, server

from curate.models import ModelOptions

PEERS = Path(__file__).parents[2] / "shared" / "bench" / "peers"


def peer(python: str, script: Path, url: str, *arguments: str) -> float:
    """Run one peer from nothing and return its wall time in seconds."""
    port = url.rpartition(":")[2]
    # What an earlier run left would be replayed.
    shutil.rmtree(Path(tempfile.gettempdir()) / "curate-peers", ignore_errors=True)
    done = subprocess.run([python, str(script), port, *arguments], capture_output=True, text=True, timeout=900)
    wall = re.search(r"wall ([0-9.]+)s", done.stdout)
    if done.returncode or wall is None:
        raise SystemExit(f"{script.name} failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
    return float(wall[1])


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curator", required=True, metavar="PYTHON")
    parser.add_argument("--data-designer", required=True, metavar="PYTHON")
    parser.add_argument("--scripts", type=Path, default=PEERS, metavar="FOLDER")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    count, width = str(args.requests), str(args.concurrency)
    seconds: dict[str, list[float]] = {"curate": [], "curator": [], "data-designer": []}
    with server("--latency", "0.2") as url:
        for _ in range(args.repeats):
            seconds["curate"].append(engine(url, args.requests, ModelOptions(concurrency=args.concurrency))[0])
            seconds["curator"].append(peer(args.curator, args.scripts / "peer_curator.py", url, width, count))
            designer = (width, "never", "1000", count)
            seconds["data-designer"].append(
                peer(args.data_designer, args.scripts / "peer_ddesigner.py", url, *designer)
            )
            print({name: round(times[-1], 2) for name, times in seconds.items()}, flush=True)
    rates = {name: args.requests / statistics.median(times) for name, times in seconds.items()}
    for name, rate in rates.items():
        print(f"{name}: {rate:.0f} requests/s")
    best = max(rate for name, rate in rates.items() if name != "curate")
    print(f"curate / the better peer: {rates['curate'] / best:.1f} (median of {args.repeats}; target: at least 5)")


if __name__ == "__main__":
    main()
