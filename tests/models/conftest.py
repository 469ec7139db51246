"""Fixtures of the engine's tests: a loopback server, a ledger on a file, requests, and models at the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from loopback_server import LoopbackServer

from curate.models import Ledger, Model, ModelOptions, open_model
from curate.types import Request


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    running = LoopbackServer()
    yield running
    running.close()


@pytest.fixture
def ledger(tmp_path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "calls.sqlite") as opened:
        yield opened


@pytest.fixture
def ask_for() -> Callable[..., Request]:
    def request(text: str = "question", **changes) -> Request:
        values = {"role": "teacher", "max_tokens": 20, "stage": "generate", **changes}
        return Request(messages=({"role": "user", "content": text},), **values)

    return request


@pytest.fixture
def at(monkeypatch) -> Callable[..., Model]:
    """Return the model "tiny" at the given servers, with a key that must never be seen."""
    monkeypatch.setenv("CURATE_API_KEY", "sk-very-secret-0123456789")

    def model(*servers: LoopbackServer, **options) -> Model:
        return open_model("teacher", "openai:tiny@" + ",".join(one.url for one in servers), ModelOptions(**options))

    return model
