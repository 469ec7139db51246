"""An embeddings server on loopback whose every answer a test decides."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[int, dict[str, Any]], tuple[int, Any, dict[str, str]]]


def vectors(texts: list[str]) -> dict[str, Any]:
    """A server's reply: (length, 1) per text, out of order as the standard allows, and a token per word."""
    data = [{"index": i, "embedding": [len(t), 1.0]} for i, t in enumerate(texts)]
    tokens = sum(len(t.split()) for t in texts)
    return {"data": data[::-1], "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


class VectorServer:
    """An embeddings endpoint on loopback that answers by a function of the call's number and body."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Answer = lambda _, body: (200, vectors(body["input"]), {})
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    number = len(outer.calls)
                    outer.calls.append({"path": self.path, **body})
                    outer.headers.append(dict(self.headers))
                status, reply, headers = outer.answer(number, body)
                content = reply.encode() if isinstance(reply, str) else json.dumps(reply).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self._thread.join()
        self.http.server_close()
