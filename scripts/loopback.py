"""A chat-completions server on loopback for benchmarks: fixed or log-normal latency, limits enforced with 429.

usage: python scripts/loopback.py PORT [--latency S] [--sigma S] [--rpm N] [--tpm N] [--window S]
GET /stats returns {"requests", "ok", "refused", "first", "last_request", "last"}, times in seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import deque
from typing import Any

from aiohttp import web

INPUT_TOKENS, OUTPUT_TOKENS = 10, 5


class Window:
    """At most `limit` units in any 60 seconds, counted exactly (a sliding window)."""

    def __init__(self, limit: float | None, seconds: float = 60.0) -> None:
        self.limit = limit
        self.seconds = seconds
        self.used = 0.0
        self.entries: deque[tuple[float, float]] = deque()

    def wait(self, amount: float, now: float) -> float:
        """Return 0 where the amount fits, else the seconds until the oldest entry leaves the window."""
        while self.entries and self.entries[0][0] <= now - self.seconds:
            self.used -= self.entries.popleft()[1]
        if self.limit is None or self.used + amount <= self.limit:
            return 0.0
        return self.entries[0][0] + self.seconds - now

    def take(self, amount: float, now: float) -> None:
        """Count an amount."""
        self.entries.append((now, amount))
        self.used += amount


class Server:
    """The handlers and their counters."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.rng = random.Random(0)
        self.requests = Window(args.rpm, args.window)
        self.tokens = Window(args.tpm, args.window)
        self.stats: dict[str, Any] = {"requests": 0, "ok": 0, "refused": 0, "first": None}

    async def chat(self, request: web.Request) -> web.Response:
        """Answer "ok" after the latency, or 429 at once."""
        await request.json()
        now = time.monotonic()
        stats = self.stats
        stats["requests"] += 1
        stats["first"] = stats["first"] or now
        stats["last_request"] = now
        tokens = INPUT_TOKENS + OUTPUT_TOKENS
        wait = max(self.requests.wait(1, now), self.tokens.wait(tokens, now))
        if wait > 0:
            stats["refused"] += 1
            headers = {"Retry-After": f"{max(1, round(wait))}"}
            return web.json_response({"error": {"message": "rate limit"}}, status=429, headers=headers)
        self.requests.take(1, now)
        self.tokens.take(tokens, now)
        latency = self.args.latency
        if self.args.sigma:
            latency *= self.rng.lognormvariate(0, self.args.sigma)
        await asyncio.sleep(latency)
        stats["ok"] += 1
        stats["last"] = time.monotonic()
        message = {"role": "assistant", "content": "ok"}
        usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": tokens}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = {"id": "c", "object": "chat.completion", "created": 1, "model": "dummy"}
        return web.json_response({**body, "choices": [choice], "usage": usage})

    async def show(self, request: web.Request) -> web.Response:
        """Return the counters."""
        return web.json_response(self.stats)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds; the median where --sigma is given")
    parser.add_argument("--sigma", type=float, default=0.0, help="of the log-normal latency")
    parser.add_argument("--rpm", type=float, help="requests in any window")
    parser.add_argument("--tpm", type=float, help="tokens in any window")
    parser.add_argument("--window", type=float, default=60.0, help="seconds of the window")
    server = Server(parser.parse_args())
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_get("/stats", server.show)
    web.run_app(app, host="127.0.0.1", port=server.args.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
