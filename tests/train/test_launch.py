"""Many processes: the loss curve of one, and configurations that accelerate reads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner
from safetensors.torch import load_file

import curate
from curate.cli import root
from curate.errors import InputError
from curate.train.launch import FOLDER, zero_stage


def test_two_processes_train_as_one(tiny, rows_file, tmp_path):
    settings = {"steps": 4, "batch": 12, "lr": 5e-3, "tokens": 128, "max_length": 128, "held_out": 0.1, "samples": 1,
                "save_every": 2}  # fmt: skip
    one = curate.train_sft(rows_file, model=tiny, out=tmp_path / "one", quiet=True, **settings)
    words = [str(word) for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "curate.cli", "train", "sft", str(rows_file), "--model", str(tiny), "--out", str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, *command, *words], capture_output=True, text=True, timeout=110, env=environment, cwd=Path.cwd()
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (rows(tmp_path / name) for name in ("one", "two"))
    assert [row["step"] for row in second] == [1, 2, 3, 4]  # written once
    for name in ("loss", "grad_norm", "lr", "tokens", "padding"):
        assert [row[name] for row in second] == pytest.approx([row[name] for row in first], rel=1e-4), name
    assert first[0]["loss"] - first[-1]["loss"] > 0.1
    figures = json.loads((tmp_path / "two" / "training.json").read_text())["figures"]
    assert (figures["before"], figures["after"]) == pytest.approx((one.before, one.after), rel=1e-4)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-3, atol=1e-4)
    # One process speaks.
    assert done.stdout.count("4 updates on 51 samples") == 1
    spoken = done.stderr.splitlines()
    assert len(spoken) == len(set(spoken))
    assert "Warning" not in done.stderr


def rows(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_configurations_are_accelerates(path):
    config = pytest.importorskip("accelerate.commands.config.config_args")
    read = config.load_config_from_file(str(path))
    assert read.to_dict().items() >= yaml.safe_load(path.read_text()).items()
    assert path.name in path.read_text().splitlines()[1]  # the command in its head names it


def test_every_kind_of_launch_has_a_configuration():
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == ["ddp", "fsdp2", "zero2"]


def test_stage_3_of_deepspeed_is_refused_before_anything_else(tiny, rows_file, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert zero_stage() == 2
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    words = ["train", "sft", str(rows_file), "--model", str(tiny), "--out", str(tmp_path / "out")]
    with pytest.raises(InputError, match=r"ZeRO-3 keeps away outside of the layer itself; launch with fsdp2\.yaml"):
        CliRunner().invoke(root, words, catch_exceptions=False)
    assert not (tmp_path / "out").exists()
