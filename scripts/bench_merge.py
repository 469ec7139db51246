"""Time `curate merge` against the disk and against mergekit, on models made on the spot.

    python scripts/bench_merge.py --mergekit PYTHON

PYTHON is the interpreter of an environment that has mergekit, which cannot share ours. Every tool runs as a process of
its own, on files that were put out of the page cache before; its processor time is that of the process less that of an
empty merge (imports). The floor is what the disk takes to read what is read and to write what is written, with fsync.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

CASES: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("sce", {"select_topk": 0.1}, {}),
    ("sce", {"select_topk": 0.5}, {}),
    ("sce", {"select_topk": 1.0}, {}),
    ("ties", {}, {"density": 0.2, "weight": 1.0}),
    ("ties", {}, {"density": 0.5, "weight": 1.0}),
    ("dare_ties", {}, {"density": 0.2, "weight": 1.0}),
    ("task_arithmetic", {"lambda": 0.5}, {"weight": 1.0}),
    ("linear", {}, {"weight": 1.0}),
    ("slerp", {"t": 0.5}, {}),
    ("varm", {}, {}),
)


def recipe_of(root: Path, method: str, shared: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe of a case, which both tools read."""
    models = [{"model": str(root / f"m{index}"), "parameters": own} for index in range(3)]
    base = {"base_model": str(root / "base")}
    if method == "linear":
        base = {}
    if method == "slerp":  # mergekit wants the base among the two models
        models = [{"model": str(root / name)} for name in ("base", "m0")]
    return {"merge_method": method, **base, "models": models, "parameters": shared, "dtype": "bfloat16"}


def files_of(recipe: dict[str, Any]) -> list[Path]:
    """Return the files of weights that a recipe reads."""
    names = {row["model"] for row in recipe["models"]} | ({recipe["base_model"]} if "base_model" in recipe else set())
    return [Path(name) / "model.safetensors" for name in sorted(names)]


def make(root: Path, layers: int, width: int) -> None:
    """Write a random Llama of about 18 * layers * width^2 parameters and three noisy copies of it, in bfloat16."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 32000, "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
    model = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=width // 64)).to(torch.bfloat16)
    model.save_pretrained(root / "base")
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    for index in range(3):
        noise = torch.Generator().manual_seed(index + 1)
        for key, value in weights.items():
            step = torch.randn(value.shape, generator=noise) * 1e-3 * (index + 1)
            model.state_dict()[key].copy_((value.float() + step).to(value.dtype))
        model.save_pretrained(root / f"m{index}")


def forget(files: list[Path]) -> None:
    """Put files out of the page cache."""
    for file in files:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(command: list[str]) -> tuple[float, float, float]:
    """Run a command and return wall seconds, processor seconds and the largest resident memory in GB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    measured = ["/usr/bin/time", "-f", "%M", *command]
    result = subprocess.run(measured, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    wall = time.perf_counter() - began
    if result.returncode:
        raise SystemExit(f"{' '.join(command)}\n{result.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, used, int(result.stderr.splitlines()[-1]) / 1e6


def reading(files: list[Path]) -> float:
    """Return the seconds that the disk takes to read `files`."""
    forget(files)
    began = time.perf_counter()
    for file in files:
        with file.open("rb", buffering=0) as stream:
            while stream.read(1 << 24):
                pass
    return time.perf_counter() - began


def writing(out: Path, size: int) -> float:
    """Return the seconds that the disk takes to write `size` bytes."""
    block = os.urandom(1 << 24)
    began = time.perf_counter()
    with out.open("wb", buffering=0) as stream:
        for _ in range(size // len(block)):
            stream.write(block)
        os.fsync(stream.fileno())
    seconds = time.perf_counter() - began
    out.unlink()
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mergekit", metavar="PYTHON", help="an interpreter that has mergekit")
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--models", type=Path, help="a folder with base, m0, m1, m2 to use instead of making them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = options.models or Path(folder)
        if options.models is None:
            make(root, options.layers, options.width)
        files = [root / name / "model.safetensors" for name in ("base", "m0", "m1", "m2")]
        size = files[0].stat().st_size
        read, write = reading(files) / len(files), writing(Path(folder) / "floor", size)
        print(
            f"{size / 1e9:.2f} GB each, base and three models; the disk reads one in {read:.1f} s, writes {write:.1f} s"
        )
        print("\n| merge | | wall, s | of the floor | processor, s | resident, GB |\n|---|---|---|---|---|---|")
        ours = [sys.executable, "-m", "curate.cli", "merge", "--quiet"]
        theirs = [str(Path(options.mergekit).with_name("mergekit-yaml"))] if options.mergekit else []
        idle = timed([sys.executable, "-c", "import torch, curate.fuse.merge"])[1]
        idle_theirs = timed([options.mergekit, "-c", "import mergekit.scripts.run_yaml"])[1] if theirs else 0.0
        for method, shared, own in CASES:
            recipe = recipe_of(root, method, shared, own)
            path = Path(folder) / "recipe.yaml"
            path.write_text(yaml.safe_dump(recipe))
            floor = read * len(files_of(recipe)) + write
            name = f"{method} {' '.join(f'{key} {value}' for key, value in {**shared, **own}.items())}"
            runs = [("curate", [*ours, str(path), "--out"], idle)]
            if theirs and method != "varm":
                runs.append(("mergekit", [*theirs, str(path)], idle_theirs))
            for tool, command, empty in runs:
                out = Path(folder) / "out"
                forget(files_of(recipe))
                wall, used, resident = timed([*command, str(out)])
                shutil.rmtree(out)
                print(f"| {name} | {tool} | {wall:.1f} | {wall / floor:.1f} | {used - empty:.1f} | {resident:.1f} |")


if __name__ == "__main__":
    main()
