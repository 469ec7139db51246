"""What the tests at real servers share: the command line in a folder of its own, and what it leaves behind.

The servers live in environments of their own, since each pins its own torch: CURATE_VLLM_PYTHON and CURATE_HF_PYTHON
name their interpreters, as for the product itself. Tests whose environment is not there are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny import CONTEXT

CURATE = str(Path(sys.executable).with_name("curate"))
LENGTHS = Path(__file__).with_name("lengths.yaml")

# A gibibyte of cache is plenty for this model, and torch's compiler would take longer than the whole test.
VLLM_ARGS = ["--max-model-len", str(CONTEXT), "--dtype", "float32", "--enforce-eager"]
VLLM_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
HF_ENVIRONMENT = {"CURATE_HF_ARGS": "--device cpu --dtype float32", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@dataclass
class Ran:
    """A finished command: its exit code, the report it printed as JSON (if it did), and what it said on stderr."""

    code: int
    report: dict[str, Any]
    said: str


@dataclass
class Shell:
    """Runs `curate explore` in `folder`. Its processes and their children carry a mark by which they are found."""

    folder: Path
    environment: dict[str, str]
    mark: str

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [CURATE, "explore", "--json", "--quiet", *arguments]
        environment = {**os.environ, **self.environment, "CURATE_TEST_MARK": self.mark}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.folder, env=environment, text=True, **pipes)

    def explore(self, *arguments: str) -> Ran:
        out, err = (process := self.start(*arguments)).communicate()
        return Ran(process.returncode, json.loads(out) if out.strip() else {}, err)

    def left_behind(self, seconds: float = 15) -> list[int]:
        """Return the marked processes that are still there after at most `seconds`."""
        deadline = time.monotonic() + seconds
        while (alive := marked(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return alive


def marked(mark: str) -> list[int]:
    """Return the ids of the running processes that carry a mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            carried = mark.encode() in (folder / "environ").read_bytes()
            if carried and (folder / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found.append(int(folder.name))
        except (OSError, IndexError):
            continue
    return found


def interpreter(variable: str, needs: str) -> str:
    """Return the interpreter that a variable of the environment names; without it the test is skipped."""
    named = os.environ.get(variable)
    if not named:
        pytest.skip(f"{variable} names no interpreter that has {needs}")
    return named
