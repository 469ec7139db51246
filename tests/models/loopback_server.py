"""A server on loopback, of chats and completions, whose every answer a test decides; in a thread of the tests."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Answer:
    """What the server does with one request. `fault` is one of reset, hang, truncate."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    fault: str = ""


def chat(text: str | None, *, finish: str = "stop", usage: Any = (10, 5), **message: Any) -> dict[str, Any]:
    """Return the body of a chat completion."""
    body: dict[str, Any] = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}]
    }
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return body


def error(message: str, code: str = "") -> dict[str, Any]:
    """Return the body of an error."""
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}


class LoopbackServer:
    """`answer(body, number)` decides; `bodies`, `headers`, `paid` (by first message) and `most_out` tell what came."""

    def __init__(self) -> None:
        self.answer: Callable[[dict[str, Any], int], Answer | str] = lambda body, number: "ok"
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.paid: Counter[str] = Counter()
        self.out = self.most_out = 0
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._chat)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.port = runner.addresses[0][1]
        ready.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):  # the hanging ones
            task.cancel()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        number = len(self.bodies)
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.times.append(self._loop.time())
        answer = self.answer(body, number)
        if isinstance(answer, str):
            answer = Answer(body=chat(answer))
        self.out += 1
        self.most_out = max(self.most_out, self.out)
        try:
            await asyncio.sleep(3600 if answer.fault == "hang" else answer.delay)
        finally:
            self.out -= 1
        if answer.fault == "reset":
            request.transport.abort()
            return web.Response()
        if answer.fault == "truncate":
            response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
            await response.prepare(request)
            await response.write(b'{"choices": [{"mess')
            request.transport.close()
            return response
        if answer.status == 200 and "messages" in body:
            self.paid[body["messages"][0]["content"]] += 1
        if isinstance(answer.body, (str, bytes)):
            data = answer.body.encode() if isinstance(answer.body, str) else answer.body
            return web.Response(body=data, status=answer.status, headers=answer.headers)
        return web.json_response(answer.body, status=answer.status, headers=answer.headers)
