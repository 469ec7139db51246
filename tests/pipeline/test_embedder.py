"""The embedder of a run: behind an API in ledger, budget and plan, with its vectors paid for once; and switched off."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
from vector_server import VectorServer

from curate.cli.summary import lines
from curate.embed.chargrams import CharGramEncoder
from curate.errors import InputError, ModelError
from curate.explore import merge
from curate.finished import open_run
from curate.models import attempts
from curate.pipeline.check import check_domains
from curate.pipeline.explore import Options
from curate.pipeline.plan import plan

ROWS = 60
THRESHOLD = 0.85
DEAR = {"models": {"embedder": {"spec": "openai:tiny", "price_in": 1000.0}}}


class NoisyServer(VectorServer):
    """Gives character n-grams whose last digits differ from call to call, as those of a real server do."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = CharGramEncoder()
        self.seconds = 0.0
        self.answer = self.vectors

    def vectors(self, number: int, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        time.sleep(self.seconds)
        rows = self.encoder.encode(body["input"]).astype(np.float64)
        rows += np.random.default_rng(number).normal(0, 1e-4, rows.shape)
        data = [{"index": i, "embedding": row.tolist()} for i, row in enumerate(rows)]
        tokens = sum(map(len, body["input"]))
        return 200, {"data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}, {}

    @property
    def texts(self) -> Counter[str]:
        return Counter(text for call in self.calls for text in call["input"])


@pytest.fixture
def server(monkeypatch) -> Iterator[NoisyServer]:
    monkeypatch.setattr(attempts, "BACKOFF", 0.01)
    made = NoisyServer()
    yield made
    made.close()


def spec(server: NoisyServer) -> str:
    return f"openai:tiny@{server.url}"


def run(server: NoisyServer, domain: str, out: Path, **options: Any):
    return runs.run(domain, out, embedder=spec(server), threshold=THRESHOLD, **{"rows": ROWS, **options})


def forget(out: Path) -> None:
    """Delete what the loop published, so that it is computed again from ledger and vectors."""
    for path in [*out.glob("accepted.*"), out / "latest.json"]:
        path.unlink()


def test_its_calls_are_in_accounts_and_ledger_and_none_is_paid_for_twice(server, tmp_path):
    domain = runs.domain_file(tmp_path, explore={"merge_candidates": 1}, **DEAR)
    report = run(server, domain, tmp_path / "out")
    assert report.accepted == ROWS and max(server.texts.values()) == 1
    calls, tokens = len(server.calls), sum(map(len, server.texts))
    used = report.stats.by_stage["embed"]
    assert (used.calls, used.input_tokens, used.output_tokens) == (calls, tokens, 0)
    assert used.cost == pytest.approx(tokens * 1000 / 1e6)
    assert report.stats.by_model["embedder", "tiny"].calls == calls
    assert any(f"of these {calls:,} of the embedder, ${used.cost:,.2f}" in line for line in lines(report, []))
    (usage,) = [usage for usage in open_run(report.out).usage() if usage.stage == "embed"]
    assert (usage.role, usage.model, usage.calls, usage.failed, usage.input_tokens) == (
        "embedder",
        "tiny",
        calls,
        0,
        tokens,
    )
    assert usage.cost == pytest.approx(used.cost) and usage.seconds > 0
    # What was said lies in the vectors and not in the ledger.
    with sqlite3.connect(report.out / "calls.sqlite") as ledger:
        assert ledger.execute("SELECT DISTINCT text FROM calls WHERE stage = 'embed'").fetchall() == [("",)]
    before = runs.outcome(report.out)
    forget(report.out)
    again = run(server, domain, tmp_path / "out")
    assert runs.outcome(again.out) == before and len(server.calls) == calls
    assert again.stats.calls == 0


def test_a_budget_sees_them_and_leaves_a_valid_dataset_that_more_money_completes(server, tmp_path):
    domain = runs.domain_file(tmp_path, explore={"merge_candidates": 1}, **DEAR)
    whole = run(server, domain, tmp_path / "whole").stats
    server.calls.clear()
    spent, out = 0.0, tmp_path / "out"
    stops = []
    for share in (0.02, 0.3, 0.6, 0.9, 3.0):
        report = run(server, domain, out, budget_usd=whole.cost * share)
        spent += report.stats.cost
        assert spent <= whole.cost * share
        stops.append((report.stopped, report.exit_code))
        if report.key:
            kept, dropped = runs.accepted(report), runs.dropped(report)
            assert len(kept) == report.accepted and len(kept) + len(dropped) == report.counts["candidates"] + sum(
                report.counts["lost"].values()
            )
            reasons = {row["dropped"]["reason"] for row in dropped if row["dropped"]["stage"] == "dedup"}
            assert reasons <= {"semantic_duplicate", "uncompared_budget"}
    assert stops[0] == ("budget", 3) and stops[-1] == ("", 0) and len({stop for stop, _ in stops}) == 2
    assert max(server.texts.values()) == 1 and report.accepted == ROWS
    assert "uncompared_budget" not in json.dumps(report.counts)


def test_a_budget_in_money_asks_for_its_price_before_anything_is_sent(server, tmp_path):
    with pytest.raises(
        InputError, match=r"needs the price of 'tiny' \(embedder\), which is not known; give it .*models:"
    ):
        run(server, runs.domain_file(tmp_path), tmp_path / "out", budget_usd=1.0)
    with pytest.raises(InputError, match="needs the price of 'tiny'"):
        run(server, "a phrase of several words", tmp_path / "other", budget_usd=1.0)
    assert not server.calls
    report = run(server, runs.domain_file(tmp_path, **DEAR), tmp_path / "out", budget_usd=100.0, rows=5)
    assert report.accepted == 5


def test_the_plan_counts_them_and_what_is_paid_for(server, tmp_path):
    domain = runs.domain_file(tmp_path, **DEAR)
    options = Options(
        domain=domain, out=tmp_path / "out", teacher=runs.TEACHER, rows=300, embedder=spec(server), threshold=THRESHOLD
    )
    before = plan(options)
    (step,) = [step for step in before.steps if step.stage == "embed"]
    assert step.role == "embedder" and step.calls >= 300 / 64 and before.models["embedder"] == "tiny"
    assert before.cost == pytest.approx(step.tokens[0] * 1000 / 1e6) and not before.free
    assert not server.calls
    run(server, domain, tmp_path / "out", model=runs.TEACHER, rows=300)
    after = plan(options)
    (step,) = [step for step in after.steps if step.stage == "embed"]
    assert step.paid == step.calls and step.tokens == (0, 0)


def test_killed_it_goes_on_with_the_vectors_it_has(server, tmp_path):
    domain, out = runs.domain_file(tmp_path, explore={"merge_candidates": 1}), tmp_path / "out"
    server.seconds = 0.02
    options = ("--rows", str(ROWS), "--quiet", "--embedder", spec(server), "--threshold", str(THRESHOLD))
    for wanted in (3, 6, 9):
        process = runs.child(domain, out, *options)
        limit = time.time() + 30
        while len(server.calls) < wanted and process.poll() is None and time.time() < limit:
            time.sleep(0.005)
        process.kill()
        process.communicate()
    finished = subprocess.run(
        runs.command(domain, out, *options), env={**os.environ, "PYTHONWARNINGS": "ignore"}, capture_output=True
    )
    assert finished.returncode == 0, finished.stderr
    # Each kill may cost the calls in flight: here one, since each block of so few candidates is one call.
    assert sum(server.texts.values()) - len(server.texts) <= 3 * 64
    assert sum(count > 1 for count in server.texts.values()) <= 3 * 64
    calls = len(server.calls)
    before = runs.outcome(out)
    forget(out)
    subprocess.run(runs.command(domain, out, *options), capture_output=True, check=True)
    assert runs.outcome(out) == before and len(server.calls) == calls


def test_faults_are_retried_and_a_wrong_key_stops_the_run_with_one_line(server, tmp_path):
    faults = [(429, "slow", {"retry-after-ms": "1"}), (500, "oh", {}), (200, "{", {}), (200, {"data": []}, {})]
    server.answer = lambda n, body: faults[n // 2] if n < 8 and n % 2 else server.vectors(n, body)
    report = run(server, runs.domain_file(tmp_path), tmp_path / "out")
    assert report.accepted == ROWS and report.stats.retries == {"rate_limit": 1, "server": 1, "invalid_body": 2}
    server.answer = lambda n, body: (401, "no such key", {})
    with pytest.raises(ModelError, match=r"^embedder: http://.*/v1: HTTP 401 no such key; set OPENAI_API_KEY"):
        run(server, runs.domain_file(tmp_path), tmp_path / "other")


def test_a_model_in_the_role_of_the_embedder_is_the_embedder(server, tmp_path):
    models = {"embedder": {"spec": spec(server), "rpm": 60000, "price_in": 0}}
    domain = runs.domain_file(tmp_path, models=models, dedup={"threshold": THRESHOLD})
    report = runs.run(domain, tmp_path / "out", rows=20, budget_usd=1.0)
    assert report.accepted == 20 and server.calls and report.stats.cost == 0


def test_the_embedder_none_compares_and_merges_nothing_by_meaning(tmp_path, monkeypatch):
    monkeypatch.setattr(merge, "FLOOR", -1.0)
    domain = runs.domain_file(tmp_path, explore={"merge_candidates": 2})
    usual = runs.run(domain, tmp_path / "usual", rows=20)
    off = runs.run(domain, tmp_path / "off", rows=20, embedder="none")
    assert "merge" in usual.stats.by_stage and "merge" not in off.stats.by_stage
    assert off.accepted == 20 and off.key != usual.key and open_run(off.out).settings["encoder"] is None
    assert not any("dedup" in row["meta"] for row in runs.accepted(off))
    with pytest.raises(InputError, match=r"the threshold 0\.9 is a cosine, and the embedder 'none' gives no vectors"):
        runs.run(domain, tmp_path / "off", rows=20, embedder="none", threshold=0.9)


def test_without_dedup_samples_are_not_compared_by_meaning_and_tasks_are_merged_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(merge, "FLOOR", -1.0)
    domain = runs.domain_file(tmp_path, explore={"merge_candidates": 2}, dedup=None)
    report = runs.run(domain, tmp_path / "out", rows=20)
    assert "merge" in report.stats.by_stage
    assert not any("dedup" in row["meta"] for row in runs.accepted(report))
    named = runs.run(domain, tmp_path / "named", rows=20, embedder="chargrams")
    assert all(row["meta"]["dedup"]["nearest"] for row in runs.accepted(named)[1:])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("statik", "the embedder 'statik' is not known; did you mean 'static'? There are: static, chargrams, minilm"),
        ("./models/mine", "the embedder './models/mine' is no folder here and no name that a model can have"),
        ("vllm:bge", "the embedder 'vllm:bge' is no folder here and no name that a model can have"),
        ("openai:@http://h", "the embedder 'openai:@http://h': expected openai:NAME@URL"),
        ("static", ""),
        ("none", ""),
        ("BAAI/bge-small-en-v1.5", ""),
        ("all-mpnet-base-v2", ""),
        ("openai:text-embedding-3-small", ""),
    ],
)
def test_check_names_an_embedder_that_cannot_be(tmp_path, name, says):
    (result,) = check_domains([runs.domain_file(tmp_path, dedup={"embedder": name})])
    if says:
        assert len(result.problems) == 1 and result.problems[0].startswith(f"dedup.embedder: {says}")
        with pytest.raises(InputError):
            runs.run(runs.domain_file(tmp_path), tmp_path / "out", rows=1, embedder=name)
    else:
        assert result.problems == []


def test_a_role_of_the_embedder_that_is_no_api_is_named_with_its_line(tmp_path):
    (result,) = check_domains([runs.domain_file(tmp_path, models={"embedder": {"spec": "vllm:bge"}})])
    (problem,) = result.problems
    assert "toy.yaml:" in problem and "'vllm:bge' is not behind an API (openai:NAME@URL)" in problem
