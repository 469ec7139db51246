"""Specs: which model they open, and what wrong ones are told."""

from __future__ import annotations

import pytest

from curate.errors import InputError, ModelError
from curate.models import SCHEMES, Engine, Ledger, Model, ModelOptions, ScriptedModel, open_model
from curate.models.connection import is_loopback, proxy_of
from curate.types import Completion, Failure, Request


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "CURATE_API_KEY", "OPENAI_BASE_URL", "CURATE_VLLM_PYTHON", "CURATE_HF_PYTHON"):
        monkeypatch.delenv(name, raising=False)


def test_the_schemes_are_those_of_the_documentation():
    assert list(SCHEMES) == ["openai", "vllm", "hf", "procedural", "scripted"]


@pytest.mark.parametrize(
    "spec, name, places",
    [
        ("openai:gpt@http://a:8000/v1", "gpt", ["http://a:8000/v1"]),
        (
            "openai:org/model:tag@http://a:1,https://b.example/x/v2",
            "org/model:tag",
            ["http://a:1", "https://b.example/x/v2"],
        ),
        ("openai:m@https://user:word@host/v1/chat/completions", "m", ["https://host/v1/chat/completions"]),
    ],
)
def test_an_openai_spec_names_a_model_and_its_servers(spec, name, places):
    model = open_model("teacher", spec, ModelOptions(rpm=5))
    assert isinstance(model, Model) and model.limited
    assert (model.name, [s.connection.place for s in model.endpoints], model.options.rpm) == (name, places, 5)


@pytest.mark.parametrize(
    "url, target",
    [
        ("http://a:1", "http://a:1/v1/chat/completions"),
        ("http://a:1/", "http://a:1/v1/chat/completions"),
        ("http://a:1/v1/", "http://a:1/v1/chat/completions"),
        ("http://a/x?api-version=2", "http://a/x/chat/completions?api-version=2"),
        ("http://a/v1/chat/completions", "http://a/v1/chat/completions"),
    ],
)
def test_the_path_is_completed(url, target):
    assert open_model("t", f"openai:m@{url}").endpoints[0].connection.target == target


def test_without_a_url_the_environment_or_openai_is_asked(monkeypatch):
    with pytest.raises(InputError, match=r"^teacher: 'openai:gpt-x': api.openai.com needs a key: set OPENAI_API_KEY"):
        open_model("teacher", "openai:gpt-x")
    # To know its name and price it need not be asked.
    assert open_model("teacher", "openai:gpt-x", to_ask=False).name == "gpt-x"
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert open_model("teacher", "openai:gpt-x").endpoints[0].connection.place == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:7/v1")
    assert open_model("teacher", "openai:gpt-x").endpoints[0].connection.place == "http://127.0.0.1:7/v1"


@pytest.mark.parametrize(
    "spec, says",
    [
        ("gpt-4", "judge: no model is named 'gpt-4'; there are: openai:NAME@URL"),
        ("", "no model is named ''"),
        ("openai:", "expected openai:NAME@URL"),
        ("openai:m@host:8000", "a URL that begins with http:// or https://"),
        ("openai:m@http://", "'http://' is no URL of a server; expected something like http://127.0.0.1:8000/v1"),
        ("openai:m@http://a:99999999", "is no URL of a server"),
        ("openai:m@http://a,b", "'b' is no URL of a server"),
        ("vllm:", "expected vllm:NAME"),
        ("hf:", "expected hf:NAME"),
        ("procedural:x", "procedural takes no name"),
        ("scripted:", "expected scripted:FILE.py"),
        ("scripted:/absent.py", "/absent.py: no such file"),
    ],
)
def test_a_wrong_spec_is_told_what_would_work(spec, says):
    with pytest.raises(InputError) as caught:
        open_model("judge", spec)
    assert says in str(caught.value) and str(caught.value).startswith("judge: ")


def test_a_missing_vllm_prints_the_line_that_makes_one(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"pip install vllm.*CURATE_VLLM_PYTHON="):
        open_model("teacher", "vllm:some/model")
    monkeypatch.setenv("CURATE_VLLM_PYTHON", str(tmp_path / "python"))
    with pytest.raises(InputError, match=r"CURATE_VLLM_PYTHON=.*no such interpreter"):
        open_model("teacher", "vllm:some/model")


def test_a_scripted_file_answers(tmp_path):
    file = tmp_path / "replies.py"
    file.write_text("async def reply(request):\n    return request.messages[0]['content'].upper()\n")
    model = open_model("teacher", f"scripted:{file}")
    with Ledger() as ledger, Engine({"teacher": model}, ledger) as engine:
        (done,) = engine.run([Request("teacher", ({"role": "user", "content": "hi"},), 5)])
    assert (done.text, done.model, done.cost) == ("HI", "scripted:replies.py", 0.0)


@pytest.mark.parametrize("text, says", [("x = 1", "defines no function reply"), ("1 / 0", "ZeroDivisionError")])
def test_a_scripted_file_that_cannot_work_is_named(tmp_path, text, says):
    file = tmp_path / "replies.py"
    file.write_text(text)
    with pytest.raises(InputError, match=says):
        open_model("teacher", f"scripted:{file}")


def test_a_list_of_replies_is_used_up_in_order():
    replies = ["a", Failure("refusal", "no"), Completion(text="b", output_tokens=7)]
    with Ledger() as ledger, Engine({"teacher": ScriptedModel(replies)}, ledger) as engine:
        requests = [Request("teacher", (), 5, attempt=str(n)) for n in range(4)]
        done = [c for r in requests for c in engine.run([r])]
    assert [c.text for c in done] == ["a", "", "b", ""]
    assert [c.failure.kind if c.failure else None for c in done] == [None, "refusal", None, "bad_request"]
    assert done[2].output_tokens == 7


def test_proxies_are_for_other_machines_only(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://proxy:3128")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "inside.example")
    hosts = {"api.example": "http://proxy:3128", "inside.example": None, "127.0.0.1": None, "localhost": None}
    for host, proxy in hosts.items():
        assert proxy_of("https", host) == proxy_of("http", host) == proxy


@pytest.mark.parametrize(
    "host, loopback",
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("a.b", False)],
)
def test_loopback_hosts_are_known(host, loopback):
    assert is_loopback(host) is loopback


def test_an_error_of_a_scripted_file_is_told_as_its_own(tmp_path, ask_for, ledger):
    (tmp_path / "odd.py").write_text("def reply(request):\n    return {}['x']\n")
    with (
        pytest.raises(ModelError, match=r"odd\.py: reply\(request\) raised KeyError: 'x'$"),
        Engine({"teacher": open_model("teacher", f"scripted:{tmp_path / 'odd.py'}")}, ledger) as engine,
    ):
        list(engine.run([ask_for("a")]))
