"""Two processes train on preferences as one does: they share the references' blocks and the packs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import curate


@pytest.mark.slow  # three processes that load PyTorch
def test_two_processes_train_as_one(tiny, pairs_file, tmp_path):
    settings = {"batch": 8, "lr": 5e-3, "tokens": 240, "max_length": 128, "held_out": 0.2, "samples": 0, "alpha": 0.3}
    curate.train_wrpo(pairs_file, model=tiny, out=tmp_path / "one" / "out", quiet=True, **settings)
    words = [str(word) for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    out = tmp_path / "two" / "out"
    command = ["-m", "curate.cli", "train", "wrpo", str(pairs_file), "--model", str(tiny), "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, *command, *words], capture_output=True, text=True, timeout=110, env=environment, cwd=Path.cwd()
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (
        [json.loads(line) for line in (tmp_path / name / "out" / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    assert [row["step"] for row in second] == [1, 2, 3]
    same = [name for name in first[0] if name not in ("tokens_per_second", "mfu", "memory", "seconds", "left")]
    for ours, theirs in zip(first, second, strict=True):
        assert [theirs[name] for name in same] == pytest.approx([ours[name] for name in same], rel=1e-3, abs=1e-6)
    assert second[-1]["held_out_accuracy"] == first[-1]["held_out_accuracy"]
