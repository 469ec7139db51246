"""A tiny target, scripted sources, and sums to ask them: what the tests of whole runs share."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tiny_models import make_model, make_tokenizer

SUMS = [(a, b) for a in range(8) for b in range(8)]

SOURCE = """
import re
def reply(request):
    a, b = map(int, re.findall(r"\\d+", request.messages[-1]["content"])[-2:])
    # Neither an equal text nor one without an answer needs the processes that do mathematics.
    right = (SHIFT + int(request.attempt[-1])) % 2 == 0
    return f"It is \\\\boxed{{{a + b}}}" if right else "It is hard to say."
"""

RECIPE = """
target: target
sources:
  - scripted:right.py
  - scripted:wrong.py
prompts: prompts.jsonl
eval: {data: held.jsonl, new_tokens: 8}
out: out
stages:
  - collect: {n: 2}
  - sft: {epochs: 1, batch: 8, lr: 1.0e-3, samples: 0}
"""


@pytest.fixture(scope="session")
def tokenizer():
    return make_tokenizer([f"What is {a} plus {b}? It is \\boxed{{{a + b}}}" for a, b in SUMS])


@pytest.fixture(scope="session")
def world(tmp_path_factory, tokenizer) -> Path:
    """A folder with a target, two sources of which one is right first and one second, prompts and held-out sums."""
    folder = tmp_path_factory.mktemp("world")
    make_model(folder / "target", tokenizer, num_hidden_layers=1)
    for shift, name in enumerate(("right", "wrong")):
        (folder / f"{name}.py").write_text(f"SHIFT = {shift}\n{SOURCE}")
    sums = random.Random(0).sample(SUMS, len(SUMS))
    asked = [{"prompt": f"What is {a} plus {b}?", "answer": str(a + b)} for a, b in sums[:40]]
    held = [{"instruction": f"What is {a} plus {b}?", "output": f"It is \\boxed{{{a + b}}}"} for a, b in sums[40:]]
    for name, rows in (("prompts", asked), ("held", held)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


@pytest.fixture
def here(world, tmp_path, monkeypatch) -> Path:
    """A folder of its own with links to the world, in which the test runs: paths are as a user writes them."""
    for path in world.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory) -> Path:
    """A folder in which the recipe ran once."""
    import curate

    folder = tmp_path_factory.mktemp("finished")
    for path in world.iterdir():
        (folder / path.name).symlink_to(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        curate.fuse_run("recipe.yaml", quiet=True)
    return folder
