"""What the tests of the page share: rows of a dataset, and requests to its server."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any
from urllib.parse import urlencode, urlsplit

from curate.text import content_id


def messages(question: str, answer: str = "Yes.") -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def row(
    question: str, answer: str = "Yes.", *, task: tuple[str, ...] = ("Root",), dropped: Any = None, **meta: Any
) -> Any:
    """A row as a stage writes it."""
    turns = messages(question, answer)
    made = {"id": content_id(turns), "task": [*task], "messages": turns, "meta": meta}
    return {**made, "dropped": dropped} if dropped else made


def write(path: Any, rows: list[Any]) -> Any:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


def send(url: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Send a request as it is; `path` is taken from the server's root, and headers have _ for -."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        given.setdefault("Content-Type", "application/json")
    try:
        connection.request(method, path, body, given)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def ask(url: str, what: str, /, **given: Any) -> Any:
    return json.loads(send(url, "GET", f"{urlsplit(url).path}api/{what}?{urlencode(given)}")[2])


def act(url: str, what: str, /, **given: Any) -> Any:
    return json.loads(send(url, "POST", f"{urlsplit(url).path}api/{what}", given)[2])


class Gate:
    """Holds a reader up at its first word on how far it is, until `open` is called: for the `tick` of a page."""

    def __init__(self) -> None:
        self._reached, self._open = threading.Event(), threading.Event()

    def tick(self, done: int, total: int | None) -> None:
        self._reached.set()
        assert self._open.wait(60)

    def reached(self) -> None:
        """Wait until the reader has come here."""
        assert self._reached.wait(60)

    def open(self) -> None:
        """Let the reader go on."""
        self._open.set()
