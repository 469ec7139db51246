"""The HTTP model at a real loopback server: what is sent, and what every kind of answer becomes."""

from __future__ import annotations

import datetime
import email.utils
import time

import pytest
from loopback_server import Answer, chat, error

from curate.errors import InputError, ModelError
from curate.models import Engine, Ledger, open_model
from curate.models import attempts as attempts_module
from curate.models import lanes as lanes_module
from curate.models.limits import Patience

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
SECRET = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Retries after milliseconds; the waiting itself is tested in test_limits."""
    monkeypatch.setattr(attempts_module, "BACKOFF", 0.01)
    monkeypatch.setattr(attempts_module, "BACKOFF_MOST", 0.05)


def run(model, ledger, *requests):
    with Engine({"teacher": model}, ledger) as engine:
        return list(engine.run(requests)), engine.stats()


def test_a_reply_brings_text_tokens_reasoning_and_finish_reason(server, at, ledger, ask_for):
    server.answer = lambda body, n: Answer(body=chat("4", finish="stop", reasoning_content="2+2", usage=(7, 3)))
    (done,), stats = run(at(server), ledger, ask_for("2+2?", temperature=0.5))
    assert (done.text, done.reasoning, done.finish_reason, done.model) == ("4", "2+2", "stop", "tiny")
    assert (done.input_tokens, done.output_tokens, done.cost, done.failure) == (7, 3, None, None)
    assert 0 < done.latency < 5 and stats.total.unpriced == 1 and stats.cost is None
    message = {"role": "user", "content": "2+2?"}
    assert server.bodies == [{"model": "tiny", "messages": [message], "max_tokens": 20, "temperature": 0.5}]
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert server.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "content, text, reasoning",
    [
        ("<think>\nwhy\n</think>\n\nbecause", "because", "why"),
        ("why\n</think>\nbecause", "because", "why"),
        ("a <think>b</think> c", "c", "a <think>b"),
        ("no tags", "no tags", ""),
    ],
)
def test_a_leading_think_block_is_reasoning(server, at, ledger, ask_for, content, text, reasoning):
    server.answer = lambda body, n: content
    (done,), _ = run(at(server), ledger, ask_for())
    assert (done.text, done.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    "answer, kind, says",
    [
        (Answer(400, error("This model's maximum context length is 1024 tokens.")), "context_length", "1024"),
        (Answer(400, error("too much", "context_length_exceeded")), "context_length", "HTTP 400 too much"),
        (Answer(413, "<html>Payload <b>too</b> large</html>"), "context_length", "HTTP 413 Payload too large"),
        (Answer(400, error("messages: wrong")), "bad_request", "HTTP 400 messages: wrong"),
        (Answer(422, {"detail": "odd"}), "bad_request", "HTTP 422"),
        (Answer(200, {"choices": []}), "empty_choice", "no text"),
        (Answer(200, chat(None)), "empty_choice", "no text"),
        (Answer(200, chat("  \n")), "empty_choice", "no text"),
        (Answer(200, chat("", finish="length")), "empty_choice", "max_tokens"),
        (Answer(200, chat(None, refusal="I will not")), "refusal", "I will not"),
        (Answer(200, chat("half", finish="content_filter")), "refusal", "content filter"),
    ],
)
def test_what_cannot_change_is_a_failure_kept_in_the_ledger_and_replayed(
    server, at, ledger, ask_for, answer, kind, says
):
    server.answer = lambda body, n: answer
    (first,), _ = run(at(server), ledger, ask_for())
    (again,), stats = run(at(server), ledger, ask_for())
    assert first.failure.kind == again.failure.kind == kind
    assert says in first.failure.message and first.failure.message == again.failure.message
    assert len(server.bodies) == 1 and again.replayed and not first.replayed
    assert stats.failures == {kind: 1}


@pytest.mark.parametrize(
    "answer, kind, billed",
    [
        (Answer(500, error("oops")), "server", 0),
        (Answer(503, "busy"), "server", 0),
        (Answer(408, ""), "server", 0),
        (Answer(409, ""), "server", 0),
        (Answer(425, ""), "server", 0),
        (Answer(529, ""), "server", 0),
        (Answer(429, error("slow down")), "rate_limit", 0),
        (Answer(fault="reset"), "connection", 1),
        (Answer(fault="truncate"), "invalid_body", 1),
        (Answer(fault="hang"), "timeout", 1),
        (Answer(200, "not json"), "invalid_body", 1),
        (Answer(200, {"object": "odd"}), "invalid_body", 1),
        (Answer(200, "[]"), "invalid_body", 1),
    ],
)
def test_what_may_pass_is_asked_again(server, at, ledger, ask_for, answer, kind, billed):
    server.answer = lambda body, n: answer if n == 0 else "fine"
    (done,), stats = run(at(server, timeout=0.3), ledger, ask_for())
    assert (done.text, done.failure) == ("fine", None)
    assert stats.retries == {kind: 1} and stats.possibly_billed == billed and not stats.failures
    assert sum(t.calls for t in ledger.totals() if t.kind == "possibly_billed") == billed


def test_a_call_that_keeps_failing_while_others_succeed_is_given_up_and_not_replayed(server, at, ledger, ask_for):
    def answer(body, n):
        return Answer(500, error("poison")) if body["messages"][0]["content"] == "poison" else "fine"

    server.answer = answer
    requests = [ask_for(str(n)) for n in range(20)]
    done, stats = run(at(server), ledger, *requests, ask_for("poison"))
    assert [c.text for c in done[:20]] == ["fine"] * 20
    assert done[20].failure.kind == "server" and "HTTP 500 poison" in done[20].failure.message
    assert stats.failures == {"server": 1} and stats.retries["server"] >= 5
    server.answer = lambda body, n: "cured"
    (again,), _ = run(at(server), ledger, ask_for("poison"))
    assert (again.text, again.replayed) == ("cured", False)


@pytest.mark.parametrize(
    "answer, says",
    [
        (Answer(401, error(f"Incorrect API key provided: {SECRET}")), "HTTP 401 Incorrect API key provided: \\*\\*\\*"),
        (Answer(403, error("forbidden")), "HTTP 403 forbidden"),
        (Answer(404, error("The model `tiny` does not exist")), "does not exist; the server does not know 'tiny'"),
        (Answer(400, error("Model tiny not found")), "HTTP 400 Model tiny not found"),
        (Answer(404, "nothing here"), "URL is wrong"),
        (Answer(429, error("You exceeded your quota", "insufficient_quota")), "HTTP 429 You exceeded your quota"),
    ],
)
def test_what_no_request_can_mend_ends_the_run_with_one_line_without_the_key(server, at, ledger, ask_for, answer, says):
    server.answer = lambda body, n: answer
    with pytest.raises(ModelError, match=says) as caught:
        run(at(server), ledger, *[ask_for(str(n)) for n in range(200)])
    assert str(caught.value).startswith(f"teacher: {server.url}: HTTP") and "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert ledger.totals() == []


def test_a_dead_server_ends_the_run_with_one_line(at, ledger, ask_for, server, monkeypatch):
    monkeypatch.setattr(lanes_module, "DEAD_AFTER", 0.5)
    model = at(server)
    server.close()
    began = time.perf_counter()
    with pytest.raises(ModelError, match=rf"^teacher: {server.url}: no connection: .* failures in a row over \d+ s"):
        run(model, ledger, ask_for())
    assert time.perf_counter() - began < 20


def test_a_newer_openai_server_wants_other_parameters_and_is_asked_once_for_each(server, at, ledger, ask_for):
    def answer(body, n):
        if "max_tokens" in body:
            return Answer(400, error("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."))
        if "temperature" in body:
            return Answer(400, error("Unsupported value: 'temperature' does not support 0.5", "unsupported_value"))
        return "fine"

    server.answer = answer
    done, stats = run(at(server, concurrency=1), ledger, *[ask_for(str(n), temperature=0.5) for n in range(5)])
    assert [c.text for c in done] == ["fine"] * 5 and not stats.retries
    assert len(server.bodies) == 7
    assert set(server.bodies[-1]) == {"model", "messages", "max_completion_tokens"}


def test_known_reasoning_models_are_asked_their_way_at_once():
    from curate.models.base import ModelOptions
    from curate.models.http import Server

    for name, reasons in {"o3-mini": True, "gpt-5": True, "gpt-5-nano": True, "gpt-4o": False, "o2x": False}.items():
        dialect = Server(name, "http://127.0.0.1:1/v1", "", ModelOptions()).dialect
        assert (dialect.completion_tokens, dialect.temperature) == (reasons, not reasons), name


@pytest.mark.parametrize(
    "status, refuses, modes",
    [
        (400, lambda kind: kind is not None, ["json_schema", "json_object", None]),
        (500, lambda kind: kind == "json_schema", ["json_schema", "json_object"]),
        (400, lambda kind: False, ["json_schema"]),
    ],
)
def test_a_schema_is_asked_for_as_far_as_the_server_takes_it(server, at, ledger, ask_for, status, refuses, modes):
    def answer(body, n):
        kind = body.get("response_format", {}).get("type")
        text = "type refused" if status == 500 else f"response_format {kind} is not supported"
        return Answer(status, error(text)) if refuses(kind) else '{"n": 1}'

    server.answer = answer
    model = at(server, concurrency=1)
    done, _ = run(model, ledger, ask_for("a", schema=SCHEMA), ask_for("b", schema=SCHEMA))
    assert [c.text for c in done] == ['{"n": 1}'] * 2
    assert [body.get("response_format", {}).get("type") for body in server.bodies] == [*modes, modes[-1]]
    if len(modes) == 1:
        assert server.bodies[0]["response_format"]["json_schema"] == {"name": "reply", "schema": SCHEMA}


def test_retry_after_in_seconds_and_as_a_date_pauses_the_endpoint(server, at, ledger, ask_for):
    def date():
        later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
        return {"Retry-After": email.utils.format_datetime(later, usegmt=True)}

    spent = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "0m0.6s"}
    seconds, milliseconds = {"Retry-After": "1"}, {"retry-after-ms": "300"}
    cases = ((lambda: seconds, 1.0), (lambda: milliseconds, 0.3), (date, 0.9), (lambda: spent, 0.6))
    for given, least in cases:
        start = len(server.times)
        server.answer = lambda body, n, given=given, start=start: (
            Answer(429, error("wait"), given()) if n == start else "fine"
        )
        done, _ = run(at(server, concurrency=1), ledger, ask_for(f"{least} a"), ask_for(f"{least} b"))
        assert [c.text for c in done] == ["fine", "fine"]
        first, second = server.times[start], server.times[start + 1]
        assert least <= second - first < least + 1.3


def test_a_server_that_asks_for_no_pause_or_says_busy_often_is_asked_patiently(server, at, ledger, ask_for):
    none = {"Retry-After": "0"}
    answers = [Answer(429, "", none)] * 5 + [Answer(503, "")] * 5 + [Answer(500, "", none)]
    server.answer = lambda body, n: answers[n] if n < len(answers) else "at last"
    (done,), stats = run(at(server), ledger, ask_for())
    assert done.text == "at last" and stats.retries == {"rate_limit": 5, "server": 6}
    gaps = [later - sooner for sooner, later in zip(server.times, server.times[1:], strict=False)]
    assert min(gaps) > 0.004


def test_a_wrong_temperature_is_reported_and_not_silently_left_out(server, at, ledger, ask_for):
    server.answer = lambda body, n: Answer(400, error("temperature must be between 0 and 2"))
    (done,), _ = run(at(server), ledger, ask_for(temperature=7.0))
    assert done.failure.kind == "bad_request" and len(server.bodies) == 1


def test_credentials_in_a_url_are_sent_and_never_shown(server, ledger, ask_for, monkeypatch):
    monkeypatch.delenv("CURATE_API_KEY", raising=False)
    url = server.url.replace("//", "//me:hush%2Fhush@")
    server.answer = lambda body, n: Answer(401, error("hush/hush is wrong"))
    with pytest.raises(ModelError) as caught:
        run(open_model("teacher", f"openai:tiny@{url}"), ledger, ask_for())
    assert server.headers[0]["Authorization"] == "Basic bWU6aHVzaC9odXNo"
    assert str(caught.value).startswith(f"teacher: {server.url}: HTTP 401 *** is wrong")
    with pytest.raises(InputError) as refused:
        open_model("teacher", f"openai:tiny@{url},ftp://x")
    assert "hush" not in str(refused.value)


def test_several_servers_share_the_load_and_a_dead_one_is_rested(at, ledger, ask_for):
    from loopback_server import LoopbackServer

    one, two, dead = LoopbackServer(), LoopbackServer(), LoopbackServer()
    one.answer = two.answer = lambda body, n: Answer(body=chat("ok"), delay=0.01)
    dead.answer = lambda body, n: Answer(500, error("broken"))
    done, stats = run(at(one, two, dead), ledger, *[ask_for(str(n)) for n in range(300)])
    counts = [len(server.bodies) for server in (one, two, dead)]
    for server in (one, two, dead):
        server.close()
    assert [c.text for c in done] == ["ok"] * 300
    assert min(counts[:2]) > 75 and counts[2] < 100 and stats.retries["server"] == counts[2]


def test_a_faulty_server_loses_nothing_uncounted(server, at, ledger, ask_for):
    faults = [
        Answer(429, error("slow")), Answer(429, error("slow"), {"Retry-After": "0"}), Answer(500, ""), Answer(503, ""),
        Answer(fault="reset"), Answer(fault="hang"), Answer(fault="truncate"), Answer(200, "{"),
        Answer(200, {"choices": []}), Answer(200, chat(None, refusal="no")),
    ]  # fmt: skip
    server.answer = lambda body, n: faults[n // 3 % len(faults)] if n % 3 == 0 else "ok"
    done, stats = run(at(server, timeout=0.3), ledger, *[ask_for(str(n)) for n in range(400)])
    kinds = [c.failure.kind if c.failure else "text" for c in done]
    assert len(done) == 400 and kinds.count("text") > 300
    assert {kind: kinds.count(kind) for kind in set(kinds) - {"text"}} == stats.failures
    assert set(stats.failures) <= {"empty_choice", "refusal"}
    assert set(stats.retries) == {"rate_limit", "server", "connection", "timeout", "invalid_body"}


def test_the_key_is_in_no_byte_of_the_ledger(at, server, tmp_path, ask_for):
    server.answer = lambda body, n: Answer(400, error(f"bad key {SECRET}"))
    with Ledger(tmp_path / "c.sqlite") as ledger:
        (done,), _ = run(at(server), ledger, ask_for())
        assert done.failure.message.endswith("bad key ***")
        assert all(SECRET.encode() not in file.read_bytes() for file in tmp_path.iterdir())


def test_calls_one_after_the_other_do_not_go_back_to_an_endpoint_that_just_failed(at, ledger, ask_for):
    from loopback_server import LoopbackServer

    dead, well = LoopbackServer(), LoopbackServer()
    dead.answer = lambda body, n: Answer(500, error("broken"))
    for number in range(5):
        run(at(dead, well), ledger, ask_for(str(number)))
    for server in (dead, well):
        server.close()
    # Each run begins without knowledge of the servers: one attempt finds out, and the next goes elsewhere.
    assert (len(dead.bodies), len(well.bodies)) == (5, 5)


def test_roles_at_one_endpoint_share_its_limits(server, at, ledger, ask_for):
    server.answer = lambda body, n: Answer(body=chat("ok"), delay=0.02)
    models = {"teacher": at(server, concurrency=4), "judge": at(server, concurrency=4)}
    requests = [ask_for(str(n), role=("teacher", "judge")[n % 2]) for n in range(60)]
    with Engine(models, ledger) as engine:
        assert [c.text for c in engine.run(requests)] == ["ok"] * 60
    assert server.most_out == 4
    assert {(t.role, t.calls) for t in ledger.totals()} == {("teacher", 30), ("judge", 30)}


def test_a_server_that_hangs_costs_a_minute_and_not_the_timeout(server, at, ledger, ask_for, monkeypatch):
    monkeypatch.setattr(Patience, "LEAST", 0.3)
    monkeypatch.setattr(Patience, "MARGIN", 0.0)
    server.answer = lambda body, n: Answer(fault="hang") if n == 30 else "ok"
    began = time.perf_counter()
    done, stats = run(at(server, concurrency=1), ledger, *[ask_for(str(n)) for n in range(40)])
    assert [c.text for c in done] == ["ok"] * 40 and stats.retries == {"timeout": 1}
    assert time.perf_counter() - began < 10
