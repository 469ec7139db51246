"""A source behind a server: the same rows as in process, clear words where a server cannot give them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from loopback_server import Answer, LoopbackServer, error
from tiny_models import make_model, make_tokenizer, sample_rows
from token_server import TokenModel

from curate.errors import InputError, ModelError
from curate.fuse.capture import Options, capture
from curate.train.dists import open_dists


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer([row["instruction"] + row["output"] for row in sample_rows(200)])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, tokenizer):
    return make_model(tmp_path_factory.mktemp("source") / "tiny", tokenizer)


@pytest.fixture
def server():
    running = LoopbackServer()
    yield running
    running.close()


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(sample_rows(6)))
    return path


def options_of(server, tiny, out, **more):
    return Options(f"openai:tiny@{server.url}", out, tokenizer=str(tiny), **more)


@pytest.mark.parametrize("way", ["vllm", "echo"])
def test_rows_are_those_of_the_model_in_process(tmp_path, tiny, server, data, way):
    server.answer = getattr(TokenModel(tiny), way)
    made = capture(data, options_of(server, tiny, tmp_path / "served"))
    here = capture(data, Options(str(tiny), tmp_path / "here"))
    assert (made.model, made.records, made.rows) == ("tiny", here.records, here.rows)
    assert made.nats_per_byte == pytest.approx(here.nats_per_byte, rel=1e-4)
    for one, other in zip(open_dists(tmp_path / "served"), open_dists(tmp_path / "here"), strict=True):
        assert (one.sample, one.turn, one.dist.text) == (other.sample, other.turn, other.dist.text)
        assert np.array_equal(one.dist.offsets, other.dist.offsets)
        assert np.array_equal(one.dist.tokens, other.dist.tokens)
        # Tokens that are equally probable to rounding may change places.
        assert (one.dist.ids == other.dist.ids).mean() > 0.95
        assert np.abs(one.dist.logprobs - other.dist.logprobs).max() < 0.05
        assert np.abs(np.exp(one.dist.tail) - np.exp(other.dist.tail)).max() < 1e-3
    asked = [body for body in server.bodies if ("echo" in body) == (way == "echo")]
    assert len(asked) == 6
    assert len(server.bodies) <= 12
    assert all(body["max_tokens"] == 1 for body in server.bodies)


def test_the_same_command_asks_only_what_is_missing(tmp_path, tiny, server, data, monkeypatch):
    monkeypatch.setattr("curate.fuse.capture.run.GROUP", 2)
    model = TokenModel(tiny)

    def fails(body, number):
        return model.vllm(body, number) if number < 4 else Answer(500, error("out of memory"))

    server.answer = fails
    monkeypatch.setattr("curate.models.attempts.ATTEMPTS", 1)
    with pytest.raises(ModelError):
        capture(data, options_of(server, tiny, tmp_path / "out"))
    assert len(list(tmp_path.glob("out/*.dists"))) == 2
    server.answer, before = model.vllm, len(server.bodies)
    made = capture(data, options_of(server, tiny, tmp_path / "out"))
    assert made.records == 6
    assert len(server.bodies) - before == 2


def test_what_the_server_does_not_read_is_dropped(tmp_path, tiny, server, data):
    server.answer = TokenModel(tiny).vllm
    capture(data, options_of(server, tiny, tmp_path / "all"))
    limit = sorted(len(body["prompt"]) for body in server.bodies)[3]

    def limited(body, number):
        if len(body["prompt"]) >= limit:
            return Answer(
                400, error(f"This model's maximum context length is {limit} tokens", "context_length_exceeded")
            )
        return TokenModel(tiny).vllm(body, number)

    server.answer = limited
    made = capture(data, options_of(server, tiny, tmp_path / "out"))
    assert made.dropped == {"context_length": 6 - made.records}
    assert 0 < made.records <= 3
    row = json.loads((tmp_path / "out/dropped.jsonl").read_text().splitlines()[0])
    assert f"{limit} tokens" in row["dropped"]["message"]


def test_a_server_without_log_probabilities_is_refused(tmp_path, tiny, server, data):
    server.answer = lambda body, number: Answer(body={"choices": [{"index": 0, "text": "x"}]})
    with pytest.raises(ModelError, match=r"no log-probabilities of a prompt's tokens come back .* --max-logprobs 10"):
        capture(data, options_of(server, tiny, tmp_path / "out"))
    server.answer = lambda body, number: Answer(400, error("Requested prompt logprobs of 10, maximum is 5"))
    with pytest.raises(ModelError, match=r"maximum is 5.*--max-logprobs 10 or more"):
        capture(data, options_of(server, tiny, tmp_path / "out"))


def test_tokens_that_are_named_by_their_text_are_refused(tmp_path, tiny, server, data):
    def by_text(body, number):
        n = len(body["prompt"])
        part = {"tokens": ["a"] * n, "token_logprobs": [None] + [-1.0] * (n - 1), "top_logprobs": [{"a": -1.0}] * n}
        return Answer(body={"choices": [{"index": 0, "text": "x", "logprobs": part}]})

    server.answer = by_text
    with pytest.raises(ModelError, match="no log-probabilities of a prompt's tokens come back"):
        capture(data, options_of(server, tiny, tmp_path / "out"))


def test_a_server_needs_the_name_of_a_tokenizer(tmp_path, tiny, server, data):
    with pytest.raises(InputError, match="a server does not give its tokenizer"):
        capture(data, Options(f"openai:tiny@{server.url}", tmp_path / "out"))
    with pytest.raises(InputError, match=r"--tokenizer .*: there is none"):
        capture(data, Options(f"openai:tiny@{server.url}", tmp_path / "out", tokenizer=str(tmp_path / "no")))
    with pytest.raises(InputError, match="is read in process, with its own"):
        capture(data, Options(str(tiny), tmp_path / "out", tokenizer=str(tiny)))
    (tmp_path / "said.py").write_text("def reply(request):\n    return 'x'\n")
    with pytest.raises(InputError, match="it is no language model"):
        capture(data, Options(f"scripted:{tmp_path / 'said.py'}", tmp_path / "out", tokenizer=str(tiny)))
    assert not server.bodies


def test_documents_longer_than_the_source_reads_are_asked_about_in_pieces(tmp_path, tiny, server):
    texts = [" ".join(row["output"] for row in sample_rows(12)), "red green", "blue <|im_end|> plum"]
    data = tmp_path / "texts.jsonl"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    server.answer = TokenModel(tiny).vllm
    made = capture(data, options_of(server, tiny, tmp_path / "served", max_length=40))
    here = capture(data, Options(str(tiny), tmp_path / "here", max_length=40))
    assert (made.documents, made.records, made.rows, made.cut) == (True, 3, here.rows, 1)
    assert made.nats_per_byte == pytest.approx(here.nats_per_byte, rel=1e-4)
    for one, other in zip(open_dists(tmp_path / "served"), open_dists(tmp_path / "here"), strict=True):
        assert np.array_equal(one.dist.tokens, other.dist.tokens)
        assert np.abs(one.dist.logprobs - other.dist.logprobs).max() < 0.05
    assert len(server.bodies) == len({json.dumps(body["prompt"]) for body in server.bodies}) == 4
