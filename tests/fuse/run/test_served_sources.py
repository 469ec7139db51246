"""Token-level fusion from a source behind a server: asked before anything begins, counted, and gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from loopback_server import Answer, LoopbackServer, error
from token_server import TokenModel

import curate
from curate.cli import root
from curate.errors import ConfigError, InputError, ModelError
from curate.models import Ledger


@pytest.fixture(scope="module")
def behind(world):
    return TokenModel(world / "target")


@pytest.fixture
def server(here, behind):
    running = LoopbackServer()
    running.answer = behind.vllm
    yield running
    running.close()


def write(server, **source) -> str:
    """Write a recipe whose one source is behind the server, and return its name."""
    source = {"spec": f"openai:org/big@{server.url}", "tokenizer": "target", **source}
    given = json.dumps({name: value for name, value in source.items() if value})
    Path("served.yaml").write_text(
        f"target: target\nsources: [{given}]\nprompts: held.jsonl\neval: {{data: held.jsonl, new_tokens: 0}}\n"
        "out: out\nstages:\n- fuse: {epochs: 1, batch: 24, samples: 0, own: false, top_k: 5}\n"
    )
    return "served.yaml"


def test_a_source_is_captured_from_its_server(server, monkeypatch):
    monkeypatch.setattr("curate.fuse.capture.run.GROUP", 8)
    name = write(server)
    stopped = CliRunner().invoke(root, ["fuse", "run", name, "--budget-calls", "12"])
    assert stopped.exit_code == 3
    assert stopped.stdout.splitlines()[0] == "fuse run out: not finished (the budget allows no further call)"
    assert "  1 to do  capture big  the 5 most probable tokens everywhere (up to 24 calls)" in stopped.stderr
    (captured,) = Path("out").glob("capture-big-*")
    assert [path.name for path in captured.glob("*.dists")] == ["shard-00000.dists"]
    before = len(server.bodies)
    fused = curate.fuse_run(name, quiet=True)
    assert [step.name for step in fused.done] == ["capture big", "align big", "train fuse"]
    assert fused.figures[fused.done[0].key]["records"] == 24
    assert [row.name for row in fused.rows] == ["target", "fuse", "source org/big"]
    # One question whether it can be asked, and what the whole shard did not have.
    assert [body["prompt"] for body in server.bodies[before : before + 1]] == [[0, 1]]
    assert len(server.bodies) - before == 1 + 16
    with Ledger(captured / "calls.sqlite") as ledger:
        assert sum(total.calls for total in ledger.totals()) == 12 + 16
    before = len(server.bodies)
    assert curate.fuse_run(name, quiet=True).done == []
    assert len(server.bodies) == before


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda body, number: Answer(400, error("what is echo?")), "HTTP 400 what is echo?"),
        (lambda body, number: Answer(404, error("no such model")), "no such model"),
        (
            lambda body, number: Answer(body={"choices": [{"index": 0, "text": "x"}]}),
            "no log-probabilities of a prompt",
        ),
        (lambda body, number: Answer(400, error("Requested prompt logprobs of 5, maximum is 3")), "maximum is 3"),
    ],
)
def test_a_server_that_cannot_say_it_is_refused_before_anything_begins(server, answer, words):
    server.answer = answer
    done = CliRunner().invoke(root, ["fuse", "run", write(server)])
    assert isinstance(done.exception, ModelError)
    assert str(done.exception).startswith("capture big: ") and words in str(done.exception)
    assert "plan: 3 steps into out" in done.stderr
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "source, kind, message",
    [
        (
            {"tokenizer": None},
            InputError,
            r"source openai:org/big.*: the stage fuse needs more .* name its `tokenizer`",
        ),
        ({"tokenizer": "./nowhere"}, InputError, r"source openai:org/big.*: --tokenizer \./nowhere: there is none"),
        ({"weights": "target"}, ConfigError, r"served\.yaml:2: sources\.0: weights are read in process"),
        ({"spec": "scripted:right.py"}, InputError, r"source scripted:right\.py: .*it is no language model"),
    ],
)
def test_what_is_missing_is_said_first(server, source, kind, message):
    with pytest.raises(kind, match=message):
        curate.fuse_run(write(server, **source), quiet=True)
    assert not Path("out").exists()
    assert not server.bodies


def test_a_budget_in_money_needs_a_price(server):
    with pytest.raises(InputError, match="price"):
        curate.fuse_run(write(server), quiet=True, budget_usd=1, plan_only=True)
    curate.fuse_run(write(server, price_in=1.0, price_out=1.0), quiet=True, budget_usd=1, plan_only=True)


def test_a_vllm_that_would_be_started_is_not_started_to_be_asked(here, server, monkeypatch):
    monkeypatch.delenv("CURATE_VLLM_ARGS", raising=False)
    monkeypatch.setenv("CURATE_VLLM_PYTHON", "/bin/true")
    name = write(server, spec="vllm:target", tokenizer=None)
    plan = curate.fuse_run(name, plan_only=True, quiet=True).plan
    assert [step.about for step in plan.steps][:1] == ["the 5 most probable tokens everywhere (up to 24 calls)"]
    Path(name).write_text(Path(name).read_text().replace("top_k: 5", "top_k: 30"))
    with pytest.raises(ModelError, match=r"vLLM lists 20 tokens of a place; set CURATE_VLLM_ARGS='--max-logprobs 30'"):
        curate.fuse_run(name, plan_only=True, quiet=True)
