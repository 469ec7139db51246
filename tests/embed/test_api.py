from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from vector_server import VectorServer, vectors

from curate.embed import open_encoder
from curate.errors import InputError, ModelError
from curate.models import attempts, lanes
from curate.models.specs import KEYS


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[VectorServer]:
    for variable in (*KEYS, "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(attempts, "BACKOFF", 0.001)
    made = VectorServer()
    yield made
    made.close()


def test_rows_come_in_order_and_unit_from_several_batches(server: VectorServer) -> None:
    encoder = open_encoder(f"openai:tiny@{server.url}")
    texts = ["x" * (i % 50 + 1) for i in range(300)]
    rows = encoder.encode(texts)
    expected = np.array([[len(t), 1.0] for t in texts], dtype=np.float32)
    assert np.allclose(rows, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
    assert rows.dtype == np.float32
    assert (encoder.name, encoder.dim, encoder.default_threshold) == ("openai:tiny", 2, None)
    assert sorted(len(c["input"]) for c in server.calls) == [44, 64, 64, 64, 64]
    assert {(c["path"], c["model"]) for c in server.calls} == {("/v1/embeddings", "tiny")}
    assert all("Authorization" not in h for h in server.headers)


def test_empty_texts_are_rows_of_zeros_and_never_sent(server: VectorServer) -> None:
    encoder = open_encoder(f"openai:tiny@{server.url}")
    assert encoder.encode(["", "ab", " "]).tolist()[::2] == [[0, 0], [0, 0]]
    assert encoder.encode([]).shape == (0, 2)
    assert [c["input"] for c in server.calls] == [["ab"]]


def test_the_length_is_learnt_from_one_text(server: VectorServer) -> None:
    encoder = open_encoder(f"openai:tiny@{server.url}")
    assert (encoder.dim, encoder.dim, len(server.calls)) == (2, 2, 1)


def test_it_works_inside_a_running_loop(server: VectorServer) -> None:
    async def notebook() -> int:
        return len(open_encoder(f"openai:tiny@{server.url}").encode(["a", "b"]))

    assert asyncio.run(notebook()) == 2


def test_what_may_pass_is_asked_again(server: VectorServer) -> None:
    faults: list[tuple[int, Any, dict[str, str]]] = [
        (429, "slow down", {"retry-after-ms": "5"}),
        (503, "later", {}),
        (200, "{", {}),
        (200, {"data": []}, {}),
        (200, {"data": [{"index": 0, "embedding": []}]}, {}),
        (200, {"data": [{"index": 0, "embedding": ["nan"]}]}, {}),
    ]
    server.answer = lambda n, body: faults[n] if n < len(faults) else (200, vectors(body["input"]), {})
    assert open_encoder(f"openai:tiny@{server.url}").encode(["ab"]).shape == (1, 2)
    assert len(server.calls) == 7


@pytest.mark.parametrize(
    ("status", "said", "calls"),
    [
        (401, "embedder: {url}: HTTP 401 wrong key *** [31m; set OPENAI_API_KEY or CURATE_API_KEY to a key of this", 1),
        (404, "embedder: {url}: HTTP 404 wrong key *** [31m; the server does not know 'tiny', or the URL is wrong", 1),
        (400, "the encoder 'openai:tiny' gave no vectors: {url}: HTTP 400 wrong key *** [31m", 1),
        (500, "embedder: {url}: HTTP 500 wrong key *** [31m (8 failures in a row over", 8),
    ],
)
def test_what_cannot_pass_is_one_line_without_the_key(
    server: VectorServer, monkeypatch: pytest.MonkeyPatch, status: int, said: str, calls: int
) -> None:
    monkeypatch.setattr(lanes, "DEAD_AFTER", 0.0)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server.answer = lambda _n, _b: (status, "wrong key\nsk-secret\x1b[31m", {})
    with pytest.raises(ModelError) as caught:
        open_encoder(f"openai:tiny@{server.url}").encode(["ab"])
    assert str(caught.value).startswith(said.format(url=server.url))
    assert "\x1b" not in str(caught.value) and "sk-secret" not in str(caught.value)
    assert len(server.calls) == calls
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"


def test_credentials_in_the_url_are_used_for_this_server_and_never_shown(
    server: VectorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    encoder = open_encoder(f"openai:tiny@{server.url.replace('//', '//bob:s3%40cret@')}")
    encoder.encode(["ab"])
    assert server.headers[0]["Authorization"] == "Basic " + b64encode(b"bob:s3@cret").decode()
    server.answer = lambda _n, _b: (401, "who is bob:s3@cret?", {})
    with pytest.raises(ModelError) as caught:
        encoder.encode(["cd"])
    assert "HTTP 401 who is bob:***?" in str(caught.value)


def test_vectors_of_changing_length_are_refused(server: VectorServer) -> None:
    server.answer = lambda n, body: (200, {"data": [{"index": 0, "embedding": [1.0] * (n + 2)}]}, {})
    encoder = open_encoder(f"openai:tiny@{server.url}")
    encoder.encode(["a"])
    with pytest.raises(ModelError, match=r"different lengths: \[2, 3\]"):
        encoder.encode(["b"])


def test_a_spec_without_name_or_key_is_an_input_error(server: VectorServer) -> None:
    with pytest.raises(InputError, match="expected openai:NAME@URL"):
        open_encoder("openai:@http://127.0.0.1:1")
    encoder = open_encoder("openai:text-embedding-3-small")  # to know its name and price it need not be asked
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        encoder.encode(["a"])


def test_each_part_is_kept_as_it_comes_also_where_another_fails(server: VectorServer) -> None:
    encoder = open_encoder(f"openai:tiny@{server.url}")
    kept: dict[str, list[float]] = {}
    server.answer = lambda n, body: (
        (400, "too odd", {}) if "odd" in body["input"] else (200, vectors(body["input"]), {})
    )
    texts = [*(f"{i}" for i in range(70)), "odd", " "]
    with pytest.raises(ModelError, match=r"gave no vectors: .*HTTP 400 too odd"):
        encoder.encode(texts, lambda part, rows: kept.update(zip(part, rows.tolist(), strict=True)))
    assert list(kept) == texts[:64] and len(kept["0"]) == 2


def test_several_servers_share_the_texts(server: VectorServer) -> None:
    other = VectorServer()
    try:
        encoder = open_encoder(f"openai:tiny@{server.url},{other.url}")
        rows = encoder.encode([f"{i}" for i in range(200)])
        assert rows.shape == (200, 2) and server.calls and other.calls
        assert sum(len(call["input"]) for call in server.calls + other.calls) == 200
    finally:
        other.close()


def test_a_price_for_what_is_read_is_enough(server: VectorServer) -> None:
    from curate.embed.api import ApiEncoder
    from curate.models import ModelOptions
    from curate.models.prices import Price

    own = ApiEncoder(f"openai:tiny@{server.url}", ModelOptions(price_in=0.5))
    assert own.model.price == Price(0.5, 0.0)
    assert ApiEncoder(f"openai:tiny@{server.url}").model.price is None
    assert ApiEncoder("openai:text-embedding-3-small").model.price == Price(0.02, 0.0)
