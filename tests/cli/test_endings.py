"""How a run may end and what it may be compared with, as the command line says it."""

from __future__ import annotations

import json

import pytest
from law_run import EXPLORE, LAW, call


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "law.yaml").write_text(LAW)
    return tmp_path


@pytest.mark.parametrize(("rows", "limit"), [((), None), (("--rows", "1000"), 1000)])
def test_with_a_target_of_novelty_only_rows_that_are_given_are_a_limit(folder, rows, limit):
    done = call(folder, *EXPLORE[:-2], *rows, "--until-novelty", "0.5", "--tree-only", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == limit


def test_a_comparison_ends_with_the_figures_of_both_and_the_next_command(folder):
    done = call(folder, *EXPLORE, "--compare", "self-instruct")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("law: 20 of 20 rows accepted")
    assert any(line.startswith("law, self-instruct: ") and "as many calls as the run" in line for line in lines)
    heading = next(line for line in lines if "runs/law/self-instruct" in line and "dataset" not in line)
    assert "runs/law" in heading.replace("runs/law/self-instruct", "")
    assert any(line.startswith("Vendi score") for line in lines)
    assert lines[-2] == "Next: curate view runs/law"
