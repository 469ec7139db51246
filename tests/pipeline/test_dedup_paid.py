"""An embedder behind an API: planned, paid once, within a budget."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from vector_server import VectorServer

from curate.cli.dedup import dedup
from curate.embed import Unsent
from curate.errors import InputError
from curate.io import write_jsonl
from curate.models import Budget, Ledger
from curate.models.specs import KEYS
from curate.pipeline.dedup import dedup_dataset
from curate.pipeline.dedup_paid import Asking


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[VectorServer]:
    for variable in (*KEYS, "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    made = VectorServer()
    yield made
    made.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three hundred rows of two hundred different texts, of which the server tells the lengths apart."""
    rows = [{"instruction": "x" * (1 + i % 200), "output": "."} for i in range(300)]
    path = tmp_path / "data.jsonl"
    write_jsonl(path, rows)
    return path


def test_it_is_planned_paid_once_and_noted(server: VectorServer, data: Path, tmp_path: Path) -> None:
    plans: list[Asking] = []
    options: dict[str, Any] = {"rouge": None, "embedder": f"openai:tiny@{server.url}", "out": tmp_path / "out.jsonl"}
    report = dedup_dataset(data, threshold=0.9, plan=plans.append, **options)
    assert (plans[0].model, plans[0].texts, plans[0].calls) == ("openai:tiny", 200, 4)
    assert plans[0].tokens == 200 * 201 // 2 / 4
    assert len(server.calls) == 4 and report.kept < 20
    with Ledger(tmp_path / "out.cache" / "calls.sqlite") as ledger:
        assert sum(total.calls for total in ledger.totals()) == 4
    # Other rows among those of before: only what is new is asked for.
    (tmp_path / "out.cache" / "pairs").unlink()
    write_jsonl(data, [{"instruction": "x" * (1 + i), "output": "."} for i in range(230)])
    dedup_dataset(data, threshold=0.9, plan=plans.append, **options)
    assert (plans[1].texts, plans[1].calls, len(server.calls)) == (30, 1, 5)
    dedup_dataset(data, threshold=0.8, plan=plans.append, **options)
    assert (len(plans), len(server.calls)) == (2, 5)


def test_a_budget_stops_it_and_a_larger_one_goes_on(server: VectorServer, data: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "rouge": None,
        "embedder": f"openai:tiny@{server.url}",
        "out": tmp_path / "out.jsonl",
        "threshold": 0.9,
    }
    with pytest.raises(Unsent, match="the budget is spent; what was paid for is kept in NAME"):
        dedup_dataset(data, budget=Budget(calls=3), **options)
    assert len(server.calls) == 3 and not (tmp_path / "out.jsonl").exists()
    plans: list[Asking] = []
    dedup_dataset(data, budget=Budget(calls=4), plan=plans.append, **options)
    asked = [text for call in server.calls for text in call["input"]]
    assert len(server.calls) == 4 and len(asked) == len(set(asked)) == 200
    assert plans[0].calls == 1 and (tmp_path / "out.jsonl").exists()


def test_a_budget_for_what_costs_nothing_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'static' costs nothing"):
        dedup_dataset(data, embedder="static", budget=Budget(calls=3), out=tmp_path / "x.jsonl")


def test_the_verb_says_what_it_will_ask(server: VectorServer, data: Path, tmp_path: Path) -> None:
    line = [str(data), "--no-rouge", "--embedder", f"openai:tiny@{server.url}", "--threshold", "0.9", "--out"]
    stopped = CliRunner().invoke(dedup, [*line, str(tmp_path / "out.jsonl"), "--budget-calls", "1", "--json"])
    assert isinstance(stopped.exception, Unsent) and stopped.exception.exit_code == 3
    done = CliRunner().invoke(dedup, [*line, str(tmp_path / "out.jsonl"), "--json"])
    assert "asking openai:tiny for the vectors of 136 texts in 3 calls: about" in done.stderr
    assert json.loads(done.stdout)["in"] == 300
