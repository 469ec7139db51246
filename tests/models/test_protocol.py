"""The chat protocol read from whatever a server may send: every body becomes a completion or a named failure."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from curate.models.protocol import Dialect, clean, error_text, read_error, read_reply, retry_after
from curate.types import FAILURES, Request

WORDS = ["choices", "message", "content", "finish_reason", "refusal", "usage", "prompt_tokens", "completion_tokens"]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("\ud800")
KEYS = st.sampled_from([*WORDS, "text", "error", "code", "param", "reasoning_content"])
VALUES = st.recursive(LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=5), max_leaves=25)
MESSAGES = st.fixed_dictionaries({"message": st.dictionaries(KEYS, VALUES, max_size=4)})
BODIES = VALUES | st.fixed_dictionaries({"choices": VALUES}) | st.fixed_dictionaries({"choices": st.lists(MESSAGES)})


@settings(max_examples=300, deadline=None)
@given(body=BODIES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50))
def test_no_body_of_a_reply_raises(body):
    exchange = read_reply(body, "m", "http://h/v1", 0.1)
    done = exchange.completion
    assert isinstance(done.text, str) and isinstance(done.reasoning, str)
    assert (done.failure is None) == bool(done.text.strip()) or done.failure.kind in ("refusal", "empty_choice")
    assert done.failure is None or (done.failure.kind in FAILURES and "\n" not in done.failure.message)
    done.finish_reason.encode()


@settings(max_examples=200, deadline=None)
@given(
    status=st.integers(400, 599),
    body=BODIES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50),
    after=st.text(max_size=12) | st.sampled_from(["inf", "nan", "-3", "1e999", "Fri, 31 Dec 99999 23:59:59 GMT"]),
)
def test_no_error_raises_and_each_is_one_clean_line(status, body, after):
    exchange = read_error(status, body, {"Retry-After": after}, "m", "http://h/v1", 0.0)
    failure = exchange.completion.failure
    assert failure.kind in FAILURES and failure.message.startswith(f"http://h/v1: HTTP {status}")
    assert failure.message.isprintable() and len(failure.message) < 500
    assert exchange.retry_after is None or 0 <= exchange.retry_after <= 600


def test_a_deeply_nested_body_is_an_invalid_one():
    assert read_reply(b"[" * 100_000, "m", "p", 0.1).completion.failure.kind == "invalid_body"
    assert error_text(b"[" * 19_000)[0].startswith("[[[")


def test_an_absurd_count_of_tokens_is_no_count():
    body = {"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": 10**30, "completion_tokens": -1}}
    exchange = read_reply(json.dumps(body).encode(), "m", "p", 0.1)
    assert (exchange.metered, exchange.completion.input_tokens, exchange.completion.output_tokens) == (False, 0, 0)


def test_terminal_escapes_and_lines_are_not_shown():
    assert clean("a\x1b[31m red\r\nnext\u202e\ud800 line") == "a [31m red next line"
    assert len(clean("x" * 1000)) == 300


def test_the_pause_is_read_from_the_most_exact_header():
    both = {"retry-after-ms": "250", "Retry-After": "1"}
    assert retry_after(both, 0.0) == 0.25
    assert retry_after({"Retry-After": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40.0) == 60.0
    tokens = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m2.5s"}
    assert retry_after(tokens, 0.0) == 62.5
    assert retry_after({**tokens, "x-ratelimit-remaining-tokens": "7"}, 0.0) is None


def test_further_sampling_parameters_stand_in_the_body_unless_the_model_takes_no_temperature():
    request = Request("r", ({"role": "user", "content": "q"},), 10, 0.7, sampling={"top_p": 0.8})
    assert json.loads(Dialect().body("m", request)).items() >= {"temperature": 0.7, "top_p": 0.8}.items()
    assert not {"temperature", "top_p"} & json.loads(Dialect(temperature=False).body("m", request)).keys()
