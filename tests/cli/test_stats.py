"""`curate stats` on the command line and from Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import curate as package
from curate.cli import root
from curate.errors import InputError


def call(*arguments, code=0):
    """Run `curate stats` in this process; return (stdout, stderr)."""
    done = CliRunner().invoke(root, ["stats", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr


def rows(run):
    return sum(1 for _ in Path(run, "dataset", "train.jsonl").open(encoding="utf-8"))


def test_a_run_is_measured_with_its_tree_against_what_was_written(run):
    made = package.stats(run, quiet=True)
    (file,) = made.files
    assert file.figures.samples == rows(run)
    assert file.subset.startswith(f"{rows(run)} of all ")
    assert 0 < file.figures.get("leaf_entropy").value <= 1
    assert 0 <= file.figures.get("empty_leaves").value < 1
    assert "evenness of leaves" in made.table()


def test_several_runs_are_compared_at_one_size(run):
    assert [file.subset for file in package.stats(run, run, quiet=True).files] == ["", ""]


def test_piped_it_is_a_plain_table_with_the_next_command(run):
    lines = call(run)[0].splitlines()
    assert lines[0].strip(" ─") == "runs/law"
    assert lines[1].split()[:4] == ["figure", "n", "=", str(rows(run))]
    assert lines[-3].startswith("embedder static, language en, seed 0; ")
    assert lines[-1] == "Next: curate stats runs/law --plot stats.png"
    assert not any("\x1b" in line for line in lines)


def test_json_is_one_object_and_nothing_else(run):
    out, err = call(run, run, "--json", "--quiet", "--embedder", "none", "--seed", "7")
    made = json.loads(out)
    assert err == ""
    assert [file["source"] for file in made["files"]] == ["runs/law", "runs/law"]
    assert made["settings"] == {"embedder": None, "language": "en", "seed": 7}


def test_a_picture_is_named_at_the_end(run, tmp_path):
    pytest.importorskip("matplotlib")
    out = call(run, "--plot", tmp_path / "stats.svg")[0]
    assert out.splitlines()[-1] == f"  picture  {tmp_path / 'stats.svg'}"
    assert (tmp_path / "stats.svg").stat().st_size > 10_000


def test_a_wrong_picture_is_refused_before_the_work(run):
    done = CliRunner().invoke(root, ["stats", "nowhere.jsonl", "--plot", "stats.pdf"])
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == "stats.pdf: a picture is a .png or a .svg file"


def test_help_names_the_source_of_each_figure():
    out = call("--help")[0]
    for source in ("Wang et al. 2023", "Salkar et al. 2022", "Friedman & Dieng 2023", "Yang et al. 2025"):
        assert source in out
