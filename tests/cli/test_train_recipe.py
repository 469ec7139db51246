"""`--recipe` of `curate train sft`: between the defaults and what the command says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from curate.cli.train import train


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the verb would have run with."""
    pytest.importorskip("torch")
    found: dict[str, Any] = {}

    def run(_: Any, settings: Any, *__: Any) -> None:
        found["settings"] = settings
        raise click.Abort

    monkeypatch.setattr("curate.train.sft.carry_out", run)
    return found


def test_a_recipe_goes_before_the_defaults_and_after_the_command(told: dict[str, Any]) -> None:
    command = ["sft", "d.jsonl", "--epochs", "1", "--model", "m", "--out", "o", "--recipe", "explore-instruct"]
    CliRunner().invoke(train, command)
    settings = told["settings"]
    assert (settings.batch, settings.max_length, settings.template, settings.lr) == (128, 512, "alpaca", 2e-5)
    assert (settings.epochs, settings.seed) == (1, 0)
    assert (settings.datasets, settings.model, settings.out) == (("d.jsonl",), "m", Path("o"))


def test_flags_of_a_recipe(told: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("pack: false\nmerge: false\nmax_length: null\n")
    CliRunner().invoke(train, ["sft", "d", "--model", "m", "--out", "o", "--recipe", str(tmp_path / "own.yaml")])
    assert (told["settings"].pack, told["settings"].merge, told["settings"].max_length) == (False, False, None)
