"""`curate train sft` and `curate.train_sft`."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

import curate
from curate.cli import root
from curate.errors import InputError, MissingExtraError


def test_the_verb_trains_and_the_function_finds_its_model(tiny, rows_file, tmp_path):
    out = tmp_path / "out"
    words = ["train", "sft", str(rows_file), "--model", str(tiny), "--out", str(out), "--steps", "2", "--batch", "8",
             "--held-out", "0.1"]  # fmt: skip
    done = CliRunner().invoke(root, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("2 updates on 51 samples of ")
    assert f"Next: read {out / 'README.md'}" in done.stdout
    again = CliRunner().invoke(root, [*words, "--json", "--quiet"], catch_exceptions=False)
    figures = json.loads(again.stdout)
    assert (figures["steps"], figures["samples"], again.stderr) == (2, 51, "")
    found = curate.train_sft(rows_file, model=tiny, out=out, steps=2, batch=8, held_out=0.1, quiet=True)
    assert found.as_json() == figures


def test_settings_that_are_none_are_named(tiny, rows_file, tmp_path):
    with pytest.raises(InputError, match=r"epoch: no such setting \(known: datasets, model, out, method"):
        curate.train_sft(rows_file, model=tiny, out=tmp_path, epoch=2)


def test_help_loads_no_torch():
    code = "import sys; from curate.cli import main\ntry: main(['train', 'sft', '--help'])\n" \
           "except SystemExit: assert 'torch' not in sys.modules and 'transformers' not in sys.modules"  # fmt: skip
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    assert "curate train sft data.jsonl" in shown.stdout


def test_without_torch_the_extra_is_named(tiny, rows_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"curate train needs the extra 'train': pip install"):
        curate.train_sft(rows_file, model=tiny, out=tmp_path, quiet=True)
