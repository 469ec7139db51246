"""What the tests of the whole job share: a small domain, runs in process and in a child, what they wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import teacher
import yaml

from curate.io import read_jsonl
from curate.pipeline.explore import Options, Report, explore_run
from curate.pipeline.watch import Watch

TEACHER = f"scripted:{teacher.__file__}"

TOY: dict[str, Any] = {
    "name": "toy",
    "root": {"name": "Help people out", "description": "Whatever a person may want to be helped with."},
    "seeds": [
        {"instruction": "Suggest a name for a bakery beside a lake.", "output": "Lakeside Loaves."},
        {"instruction": "List three uses for an empty glass jar.", "output": "A vase, a lamp, a drum."},
        {"instruction": "Explain to a child why leaves turn red.", "output": "The green goes, the red stays."},
    ],
    "explore": {"depth": 1, "width": [4], "per_call": 2, "merge_candidates": 0},
    "rules": {"instruction": {"min_words": 3, "forbidden_words": ["picture"]}},
}
"""A domain of five tasks, asked in three calls."""


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, mapping by mapping."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def domain_file(folder: Path, **changes: Any) -> str:
    """Write the small domain with `changes`; return its path."""
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(merged(TOY, changes)), encoding="utf-8")
    return str(path)


def run(domain: str | None, out: Path, model: Callable[..., Any] | str = teacher.reply, **options: Any) -> Report:
    """Run the whole job in this process."""
    watch = options.pop("watch", None) or Watch()
    return explore_run(Options(domain=domain, out=out, teacher=model, **options), watch=watch)  # type: ignore[arg-type]


def accepted(report: Report) -> list[dict[str, Any]]:
    return list(read_jsonl(report.out / f"accepted.{report.key}.jsonl"))


def dropped(report: Report) -> list[dict[str, Any]]:
    return list(read_jsonl(report.out / f"accepted.{report.key}.dropped.jsonl"))


def outcome(out: Path) -> dict[str, bytes]:
    """Everything in a run directory that an undisturbed run must give byte for byte."""
    names = ["tree.json", "latest.json", *(path.name for path in out.glob("accepted.*"))]
    return {name: (out / name).read_bytes() for name in names} | {
        f"dataset/{path.name}": path.read_bytes() for path in (out / "dataset").iterdir()
    }


def command(domain: str, out: Path, *options: str, teacher_spec: str = TEACHER) -> list[str]:
    """The command line of a child that runs the whole job."""
    asked = ["explore", "--domain", domain, "--out", str(out), "--teacher", teacher_spec, *options]
    return [sys.executable, "-c", "from curate.cli import main; main()", *asked]


def child(domain: str, out: Path, *options: str, env: dict[str, str] | None = None, **more: Any) -> Any:
    """Start a child; the caller waits for it."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", **(env or {})}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(domain, out, *options, **more), env=environment, **pipes)


def served(log: Path) -> list[tuple[str, str, float]]:
    """The teacher's log as (mark, key, time)."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(mark, key, float(moment)) for mark, key, moment in map(str.split, lines)]


def json_of(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What a child printed with --json."""
    value = json.loads(finished.stdout.splitlines()[-1])
    assert isinstance(value, dict)
    return value
