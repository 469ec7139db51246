"""The engine against a server that enforces requests and tokens per minute with 429, at log-normal latency (sigma 1).

usage: python scripts/bench_limits.py [--requests 20000] [--rate 100] [--by rpm|tpm|both] [--latency 0.2]
The server counts exactly: at most the allowance in any 60 seconds. Ideal is the number of requests over the allowed
rate. Prints the reached share of the rate (until the last request is sent), the share of 429, and the total time over
the ideal. Targets: at least 95 %, at most 1 %, at most 1.1 times.
"""

from __future__ import annotations

import argparse

from bench_engine import engine, server, stats
from loopback import INPUT_TOKENS, OUTPUT_TOKENS

from curate.models import ModelOptions


def main() -> None:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second that the limits allow")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--by", choices=("rpm", "tpm", "both"), default="both")
    parser.add_argument("--latency", type=float, default=0.2, help="median, in seconds")
    args = parser.parse_args()
    rpm = args.rate * 60
    tpm = rpm * (INPUT_TOKENS + OUTPUT_TOKENS)
    limits = {"rpm": ["--rpm", str(rpm)], "tpm": ["--tpm", str(tpm)]}
    chosen = [word for name in limits for word in limits[name] if args.by in (name, "both")]
    options = ModelOptions(rpm=rpm if "--rpm" in chosen else None, tpm=tpm if "--tpm" in chosen else None)
    count = args.requests
    with server("--latency", str(args.latency), "--sigma", "1.0", *chosen) as url:
        seconds, _ = engine(url, count, options)
        counters = stats(url)
    ideal = count / args.rate
    sending = counters["last_request"] - counters["first"]
    rate = count / sending / args.rate
    refused = counters["refused"] / counters["requests"]
    print(f"{count} requests, limits {' '.join(chosen)}: {rate:.1%} of the allowed rate, {refused:.2%} answered 429,")
    print(f"total {seconds:.1f} s = {seconds / ideal:.3f} x ideal (targets: at least 95 %, at most 1 %, at most 1.1)")


if __name__ == "__main__":
    main()
