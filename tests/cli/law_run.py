"""A small domain, its scripted teacher, and the command line in a child process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TEACHER = f"scripted:{Path(__file__).with_name('law_teacher.py')}"
EXPLORE = ("explore", "--domain", "law.yaml", "--teacher", TEACHER, "--rows", "20")

LAW = """\
root: {name: Help with tenancy, description: Whatever a tenant may ask.}
seeds:
  - {instruction: Explain what a deposit is for., output: It covers what the tenant owes when the lease ends.}
explore: {depth: 1, width: [3], per_call: 3, merge_candidates: 0}
rules:
  instruction: {min_words: 3, forbidden_words: [picture]}
"""


def call(folder, *arguments, code="from curate.cli import main; main()"):
    """Run `curate` in a child process, in `folder`, and return the finished process."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "80"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
