"""How often the 90 % interval of a forecast holds what then came.

    python scripts/bench_forecast.py [--seeds N] [--quick]

Runs are replayed with teachers whose knowledge is known (tests/measure/replays.py): cut at many calls, and as runs to
so many rows that are continued. Then come whole runs through the real loop, rules, comparisons and all: the embedded
teacher, and a scripted one that repeats itself with frequencies by a power law. `--quick` leaves those out.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "measure"))

import replays

from curate.finished import open_run
from curate.measure.novelty import call_yields
from curate.pipeline.explore import Options, explore_run

TASKS = (1, 12, 57)

WORDS = [a + b for a in ("bar", "cel", "dor", "fin", "gal", "hos", "jur", "kel", "lom", "mir") for b in
         ("a", "ento", "ido", "ula", "ack", "ist", "orn", "ume", "et", "ins")]  # fmt: skip

DOMAIN = """\
name: phrases
root: {name: Explain phrases}
seeds: [{instruction: Explain what a phrase is for., output: It says a thing.}]
explore: {depth: 1, width: [10], per_call: 10, merge_candidates: 0}
generate: {saturation: 5}
"""


def phrases(power: float) -> Any:
    """Return a scripted teacher that says what it says with frequencies by a power law, in slightly other words."""
    draw = replays.zipf(20_000, power)(0)

    def reply(request: Any) -> str:
        values, rng = request.variables, random.Random(f"{request.prompt}{request.attempt}")
        count = values.get("count", 1)
        if request.prompt != "generate/samples":
            tasks = [
                {"name": f"Explain {WORDS[place]} {WORDS[-place]}", "reason": "It is one.", "examples": []}
                for place in range(1, count + 1)
            ]
            return json.dumps({"tasks": tasks})
        samples = []
        for _ in range(count):
            what = random.Random(f"{values['task_id']}/{draw(rng, int(values['task_id'], 16))}")
            said = " ".join(what.choice(WORDS) for _ in range(14))
            samples.append({"instruction": f"{rng.choice(['Explain', 'Tell'])} {said}.", "input": "", "output": said})
        return json.dumps({"samples": samples})

    return reply


def whole_runs(folder: Path) -> Iterator[tuple[str, replays.Outcome]]:
    """Yield the outcomes of runs through the real loop, cut at many calls."""
    domain = folder / "phrases.yaml"
    domain.write_text(DOMAIN)
    jobs: list[tuple[str, dict[str, Any]]] = []
    for seed in (0, 1, 2):
        jobs += [(name, {"domain": name, "seed": seed, "rows": 6000}) for name in ("math", "math-zh")]
        for power in (0.9, 1.2):
            ends: dict[str, Any] = {"rows": 0, "until_novelty": 0.05, "budget_calls": 1500}
            jobs.append((f"phrases, Zipf {power}", {"domain": str(domain), "teacher": phrases(power), **ends}))
            jobs[-1][1]["seed"] = seed
    for number, (name, options) in enumerate(jobs):
        report = explore_run(Options(out=folder / str(number), **options))
        run = open_run(report.out)
        made = replays.Replay(call_yields(run))
        barren: dict[str, int] = {}
        patience = run.settings["domain"]["generate"]["saturation"]
        for place, call in enumerate(made.calls, 1):
            barren[call.task_id] = 0 if call.tally.new else barren.get(call.task_id, 0) + 1
            if barren[call.task_id] >= patience:
                made.retired.setdefault(call.task_id, place)
        for outcome in replays.outcomes_of(made, name, len(run.tree), (*replays.CUTS, 80, 180, 350, 700)):
            yield name, outcome


def table(title: str, outcomes: list[replays.Outcome]) -> None:
    """Print how many intervals held, in all and for each regime, how often they were missed where, and their width."""
    print(f"\n{title:<36}{'forecasts':>10}{'within':>9}{'below':>8}{'above':>8}{'width':>8}")
    for name in ["all", *dict.fromkeys(outcome.regime for outcome in outcomes)]:
        of = [outcome for outcome in outcomes if name in ("all", outcome.regime)]
        below = sum(outcome.rows < outcome.forecast.low for outcome in of) / len(of)
        above = sum(outcome.rows > outcome.forecast.high for outcome in of) / len(of)
        width = sorted((o.forecast.high - o.forecast.low) / max(1, o.rows) for o in of)[len(of) // 2]
        print(f"{name:<36}{len(of):>10,}{1 - below - above:>9.1%}{below:>8.1%}{above:>8.1%}{width:>8.0%}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each replayed regime and number of tasks")
    parser.add_argument("--quick", action="store_true", help="no whole runs")
    given = parser.parse_args()
    began = time.monotonic()
    cases = [(r, tasks, seed) for r in replays.REGIMES for tasks in TASKS for seed in range(given.seeds)]
    every = [outcome for case in cases for outcome in replays.swept(*case)]
    table("cut at 30 to 1,000 calls", every)
    more = [outcome for case in cases for outcome in replays.continued(*case)]
    table("to N rows, continued to 1.5 N", more)
    if not given.quick:
        with tempfile.TemporaryDirectory() as folder:
            whole = [outcome for _, outcome in whole_runs(Path(folder))]
        table("whole runs through the loop", whole)
        every += whole
    table("all of them", every + more)
    print(f"\nThe width is the median of (high - low) / rows. {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
