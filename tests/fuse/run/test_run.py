"""Whole runs on a tiny model: what is done, what is not done again, and what is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import curate
from curate.cli import root


def test_a_run_measures_the_target_and_every_stage(finished):
    results = json.loads((finished / "out" / "results.json").read_text())
    assert [row["name"] for row in results["rows"]] == ["target", "sft"]
    before, after = (row["scores"]["loss"]["value"] for row in results["rows"])
    assert after < before
    assert (finished / results["model"] / "model.safetensors").is_file()


@pytest.fixture
def copy(finished, here) -> Path:
    shutil.copytree(finished / "out", here / "out", symlinks=True)
    return here


def test_the_same_command_again_does_nothing(copy):
    again = curate.fuse_run("recipe.yaml", quiet=True)
    assert (again.done, again.plan.missing, again.stopped) == ([], [], "")
    assert [row.name for row in again.rows] == ["target", "sft"]


def test_a_changed_option_redoes_its_stage_and_going_back_does_nothing(copy):
    Path("other.yaml").write_text(Path("recipe.yaml").read_text().replace("epochs: 1", "epochs: 2"))
    assert [step.name for step in curate.fuse_run("other.yaml", quiet=True).done] == ["train sft"]
    assert curate.fuse_run("recipe.yaml", quiet=True).done == []


def test_the_plan_does_nothing(here):
    done = CliRunner().invoke(root, ["fuse", "run", "recipe.yaml", "--plan"])
    assert done.exit_code == 0, done.output
    assert "plan: 3 steps into out" in done.stderr
    assert "source  scripted:right.py: 80 calls" in done.stderr
    assert not Path("out").exists()
