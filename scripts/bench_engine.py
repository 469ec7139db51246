"""The engine against a bare aiohttp client, one loopback server with 200 ms latency for both.

usage: python scripts/bench_engine.py [--requests 20000] [--concurrency 512] [--repeats 3] [--found] [--memory]
       [--peer NAME COMMAND]
Prints requests per second of both and their ratio (median of the repeats, which alternate).

--found lets the engine find its concurrency.
--peer adds another client, run in the same turns against the same server: a command in which {port}, {concurrency} and
{requests} are filled in and which prints `wall SECONDS`; it may be given more than once.
--memory runs the engine alone and prints the peak resident memory of this process; compare 10000 with 1000000 requests.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import resource
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from curate.models import Engine, Ledger, ModelOptions, open_model
from curate.types import Request

PROMPT = "Write one sentence about the number {}."


@contextlib.contextmanager
def server(*options: str) -> Iterator[str]:
    """Run loopback.py on a free port; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = str(Path(__file__).with_name("loopback.py"))
    process = subprocess.Popen([sys.executable, script, str(port), *options])
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                stats(url)
                break
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait()


def stats(url: str) -> dict[str, Any]:
    """Return the server's counters."""
    with urllib.request.urlopen(f"{url}/stats") as reply:
        counters: dict[str, Any] = json.load(reply)
        return counters


def requests(count: int, *, max_tokens: int = 64) -> Iterator[Request]:
    """Yield so many different requests."""
    for number in range(count):
        message = {"role": "user", "content": PROMPT.format(number)}
        yield Request("teacher", (message,), max_tokens, attempt=str(number), stage="bench")


def bare(url: str, count: int, concurrency: int) -> float:
    """Return the seconds that a bare aiohttp client takes: `concurrency` workers, the body as JSON, the reply read."""
    import aiohttp

    async def run() -> None:
        todo = iter(range(count))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def worker() -> None:
                for number in todo:
                    message = {"role": "user", "content": PROMPT.format(number)}
                    body = {"model": "dummy", "messages": [message], "max_tokens": 64}
                    async with session.post(f"{url}/v1/chat/completions", json=body) as reply:
                        content = await reply.json()
                        assert content["choices"][0]["message"]["content"] == "ok"

            await asyncio.gather(*(worker() for _ in range(concurrency)))

    began = time.perf_counter()
    asyncio.run(run())
    return time.perf_counter() - began


def engine(url: str, count: int, options: ModelOptions) -> tuple[float, Any]:
    """Return the seconds that the engine takes with a new ledger on a file, and its final statistics."""
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "calls.sqlite") as ledger:
        began = time.perf_counter()
        with Engine({"teacher": open_model("teacher", f"openai:dummy@{url}/v1", options)}, ledger) as running:
            done = sum(completion.text == "ok" for completion in running.run(requests(count)))
            seconds = time.perf_counter() - began
            assert done == count, f"{done} of {count} replies: {running.stats()}"
            return seconds, running.stats()


def peer(command: str, url: str, count: int, concurrency: int) -> float:
    """Return the seconds that another client says it took."""
    filled = command.format(port=url.rpartition(":")[2], concurrency=concurrency, requests=count)
    ran = subprocess.run(shlex.split(filled), capture_output=True, text=True)
    said = re.search(r"wall ([0-9.]+)", ran.stdout)
    if said is None:
        raise SystemExit(f"{filled}\nsaid no `wall SECONDS`:\n{ran.stdout[-1000:]}{ran.stderr[-1000:]}")
    return float(said[1])


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--found", action="store_true", help="let the engine find its concurrency")
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--peer", nargs=2, action="append", default=[], metavar=("NAME", "COMMAND"))
    parser.add_argument("--memory", action="store_true", help="the engine alone, and its peak memory")
    args = parser.parse_args()
    options = ModelOptions(concurrency=None if args.found else args.concurrency)
    with server("--latency", str(args.latency)) as url:
        if args.memory:
            seconds, _ = engine(url, args.requests, options)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"engine, {args.requests} requests: {args.requests / seconds:.0f}/s, peak memory {peak:.0f} MB")
            return
        clients: dict[str, Callable[[], float]] = {
            "bare aiohttp": lambda: bare(url, args.requests, args.concurrency),
            "engine": lambda: engine(url, args.requests, options)[0],
        }
        for name, command in args.peer:
            clients[name] = partial(peer, command, url, args.requests, args.concurrency)
        rates: dict[str, list[float]] = {name: [] for name in clients}
        for _ in range(args.repeats):
            for name, run in clients.items():
                rates[name].append(args.requests / run())
            print(", ".join(f"{name} {found[-1]:.0f}/s" for name, found in rates.items()), flush=True)
    ours = statistics.median(rates.pop("engine"))
    for name, found in rates.items():
        print(f"engine / {name}: {ours / statistics.median(found):.2f} (median of {args.repeats})")
    print("targets: at least 0.80 of bare aiohttp, at least 5 times any other client")


if __name__ == "__main__":
    main()
