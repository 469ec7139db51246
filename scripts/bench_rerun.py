"""How long does a finished run take to be recomputed from its ledger?

    python scripts/bench_rerun.py [CALLS=100000]

Makes a run of so many calls with a teacher that answers at once (random English words), deletes what the run published,
and runs it again: everything is replayed from the ledger, parsed, filtered, compared and published anew. Prints the
seconds of both runs and checks that the second made no call and wrote the same bytes.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from pathlib import Path

TEACHER = """
import json, random
from curate.embed.static_table import FOLDER
VOCABULARY = json.loads((FOLDER / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
WORDS = sorted(word for word in VOCABULARY if word.isascii() and word.isalpha() and len(word) > 3)

def words(rng, count):
    return " ".join(rng.choices(WORDS, k=count))

def sample(rng):
    return {"instruction": f"Suggest {words(rng, 14)}.", "input": "", "output": words(rng, 20)}

def reply(request):
    rng = random.Random(request.attempt + request.prompt)
    if request.prompt == "generate/samples":
        return json.dumps({"samples": [sample(rng)]})
    if request.prompt == "explore/same_task":
        return json.dumps({"same": 0, "why": "they differ"})
    count = request.variables["count"]
    task = lambda: {"name": words(rng, 3), "reason": words(rng, 6), "examples": [sample(rng), sample(rng)]}
    return json.dumps({"tasks": [task() for _ in range(count)]})
"""

DOMAIN = """
extends: brainstorming
name: bench
models: {{teacher: {{spec: "scripted:{teacher}"}}}}
generate: {{per_call: 1}}
"""


def timed(domain: Path, rows: int, out: Path) -> tuple[float, int, int]:
    """Run once; return seconds, calls made and calls replayed."""
    from curate.pipeline.explore import Options, explore_run

    begun = time.perf_counter()
    report = explore_run(Options(domain=str(domain), rows=rows, out=out))
    assert report.stats is not None
    return time.perf_counter() - begun, report.stats.calls, report.stats.replayed


def digest(out: Path) -> str:
    """Hash of the dataset."""
    return hashlib.sha256((out / "dataset" / "train.jsonl").read_bytes()).hexdigest()[:12]


def main(calls: int) -> None:
    """Print the two times."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "teacher.py").write_text(TEACHER, encoding="utf-8")
        domain = folder / "bench.yaml"
        domain.write_text(DOMAIN.format(teacher=folder / "teacher.py"), encoding="utf-8")
        out = folder / "run"
        seconds, made, _ = timed(domain, int(calls * 0.97), out)
        before = digest(out)
        print(f"first run: {made:,} calls in {seconds:.1f} s")
        for path in out.glob("accepted.*"):
            path.unlink()
        seconds, again, replayed = timed(domain, int(calls * 0.97), out)
        same = digest(out) == before
        print(f"rerun: {replayed:,} calls replayed, {again} made, in {seconds:.1f} s; same bytes: {same}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
