"""The whole chain on tiny models: explore, dedup, exam, export and push, pull, fuse run.

Each runs once without being disturbed, and once killed in every stage and started again; both end with the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import exam_student
import exam_world
import hub_server
import pytest
from tiny_models import make_model, make_tokenizer, sample_rows

pytest.importorskip("torch")

TOKEN = "hf_OfTheChain"
TEACHER = f"scripted:{exam_world.__file__}"
STUDENT = f"scripted:{exam_student.__file__}"

LAW = """
root: {name: Help with tenancy, description: Whatever a tenant may ask.}
seeds:
  - {instruction: Explain what a deposit is for., output: It covers what the tenant owes when the lease ends.}
explore: {depth: 1, width: [3], per_call: 3, merge_candidates: 0}
"""

SOURCE = """
def reply(request):
    words = request.messages[-1]["content"].split()[:6]
    return " ".join(words[:: 1 if NAME == "a" else -1]) + f" {request.attempt[-1]}"
"""

JUDGE = """
def reply(request):
    text = request.messages[-1]["content"]
    return f"Fair.\\nscore: {1 + sum(map(ord, text)) % 10}"
"""

RECIPE = """
target: target
sources:
  - {spec: "scripted:a.py", weights: left}
  - {spec: "scripted:b.py", weights: right}
prompts: pulled/train.jsonl
judge: scripted:judge.py
eval: {data: held.jsonl, new_tokens: 0}
out: fused
share: 0.5
stages:
  - collect: {n: 2}
  - sft: {epochs: 2, batch: 4, lr: 1.0e-3, save_every: 1, samples: 0}
  - dpo: {batch: 4, lr: 1.0e-4, loss: ln-dpo, margin: none, save_every: 1, samples: 0}
  - fuse: {pairwise: true, own: false, batch: 4, epochs: 1, lr: 1.0e-3, save_every: 1, samples: 0}
  - merge: {merge_method: sce, parameters: {select_topk: 0.5, select: weights}}
"""

EXPORT = ("export", "known.jsonl", "--out", "exported", "--push", "me/law", "--licence", "mit", "--quiet")

CHAIN: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("explore", "--domain", "law.yaml", "--teacher", TEACHER, "--rows", "30", "--out", "run", "--quiet"),
     ("*/tree.json", "*/accepted.*.jsonl", "*/dataset/train.jsonl")),
    (("dedup", "run", "--out", "clean.jsonl", "--quiet"), ("*clean.jsonl",)),
    (("exam", "clean.jsonl", "--student", STUDENT, "--treat", "discard", "--teacher", TEACHER, "--out", "known.jsonl",
      "--quiet"), ("*known.jsonl",)),
    (EXPORT, ("*exported/train.parquet",)),
    (("pull", "me/law", "--out", "pulled", "--quiet"), ("*pulled/train.jsonl",)),
    (("fuse", "run", "recipe.yaml", "--quiet"),
     ("*/responses.jsonl", "*/verdicts.jsonl", "*/scores.jsonl", "*/build-sft-*/samples.jsonl",
      "*/build-dpo-*/samples.jsonl", "*/train-sft-*/checkpoints/checkpoint-2",
      "*/train-dpo-*/checkpoints/checkpoint-2", "*/capture-left-*/dists.json", "*/align-left-*/dists.json",
      "*/train-fuse-right-*/checkpoints/checkpoint-2", "*/merge-*/model", "*fused/results.json")),
)  # fmt: skip
"""Every command, and what each is about to publish when it is killed."""

TIMES = ("metrics.jsonl", "calls.sqlite", "training.json", "merge.json", "README.md", "report.html")
"""Files that hold how long something took, or when it was made."""


class Shell:
    """Runs commands in processes that are forked from one that has loaded what takes long; see zygote.py."""

    def __init__(self, hub: hub_server.Hub, home: Path) -> None:
        settings = {
            "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
            "PYTHONPATH": os.pathsep.join(map(str, dict.fromkeys(Path(one.__file__).parent for one in
                                                                 (exam_world, sys.modules["exam_teacher"])))),
        }  # fmt: skip
        command = [sys.executable, str(Path(__file__).with_name("zygote.py"))]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **settings}
        )
        assert self.said() == {"ready": True}

    def said(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def start(self, at: Path, arguments: tuple[str, ...], kill: str = "") -> int:
        """Begin a command and return its process."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"arguments": arguments, "at": str(at), "kill": kill}) + "\n")
        self.process.stdin.flush()
        return int(self.said()["pid"])

    def end(self, code: int, about: object) -> str:
        """Wait for the command's end, which is to have this code; return what it printed."""
        ended = self.said()
        assert ended["code"] == code, (about, ended["out"], ended["err"])
        return str(ended["out"])

    def run(self, at: Path, arguments: tuple[str, ...], kill: str = "") -> str:
        self.start(at, arguments, kill)
        return self.end(-signal.SIGKILL if kill else 0, (arguments, kill))


@contextmanager
def opened(hub: hub_server.Hub, home: Path) -> Iterator[Shell]:
    shell = Shell(hub, home)
    try:
        yield shell
    finally:
        shell.process.stdin.close()
        shell.process.wait()


def write_world(folder: Path) -> None:
    """Write what the chain begins with: a domain, a target, two sources and a judge, a recipe, held-out samples."""
    (folder / "law.yaml").write_text(LAW)
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "judge.py").write_text(JUDGE)
    for name in "ab":
        (folder / f"{name}.py").write_text(f"NAME = {name!r}\n{SOURCE}")
    (folder / "held.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sample_rows(20)))
    texts = [row["instruction"] + row["output"] for row in sample_rows(100)]
    for name, size in (("target", 400), ("left", 300), ("right", 350)):
        small = {"num_hidden_layers": 1, "hidden_size": 16, "max_position_embeddings": 512}
        make_model(folder / name, make_tokenizer(texts, size), **small)


def killed_while_it_pushes(hub: hub_server.Hub, shell: Shell, at: Path) -> None:
    """Kill the command while the Hub holds one of its uploads."""
    hub.held["PUT /lfs/"] = threading.Event()
    pid = shell.start(at, EXPORT)
    assert hub.arrived.wait(60)
    os.kill(pid, signal.SIGKILL)
    shell.end(-signal.SIGKILL, EXPORT)
    hub.held["PUT /lfs/"].set()


def result(folder: Path) -> dict[str, bytes]:
    """Return the files that a chain leaves, without those that hold times and the hidden ones of clients and tools."""
    roots = ("clean.jsonl", "known.jsonl", "exported", "pulled", "fused", "run/dataset")
    paths = [path for root in roots for path in [folder / root, *(folder / root).rglob("*")] if path.is_file()]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in paths
        if path.name not in TIMES and not any(part.startswith((".", "tensorboard")) for part in path.parts)
    }


@pytest.mark.timeout(600)
def test_the_chain_ends_with_the_same_bytes_however_often_it_is_killed(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    write_world(whole)
    shutil.copytree(whole, killed)
    with hub_server.serving(**{TOKEN: {"name": "me"}}) as hub, opened(hub, tmp_path / "home") as shell:
        for arguments, _ in CHAIN:
            shell.run(whole, arguments)
        hub.repos.clear()
        hub.blobs.clear()
        for arguments, kills in CHAIN:
            for kill in kills:
                shell.run(killed, arguments, kill)
            if arguments is EXPORT:
                killed_while_it_pushes(hub, shell, killed)
            shell.run(killed, arguments)
        said = shell.run(killed, CHAIN[-1][0])
    first, second = result(whole), result(killed)
    assert sorted(first) == sorted(second)
    assert [name for name, text in first.items() if text != second[name]] == []
    names = [line.split("  ")[1] for line in said.splitlines()[2:10]]
    assert names == ["target", "sft", "dpo", "fuse left", "fuse right", "merge", "source a.py", "source b.py"]
