"""Write a large made-up run directory, so that the report and the viewer can be measured at size.

    python scripts/make_big_run.py OUT [SAMPLES=100000] [TASKS=10000]

No model is asked: tasks, samples, drops with their neighbours, grades and a ledger of calls are drawn at random (seed
0) from the words in `big_run.yaml`, and written through the same functions as a real run's.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from curate.finished import ORDER
from curate.run import RunDirectory, write_summary
from curate.types import Completion, Sample, Task, Verdict, drop

WORDS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("big_run.yaml").read_text(encoding="utf-8"))
TEACHER, JUDGE = "gpt-example-large", "gpt-example-small"
PER_CALL = 5
DROPS = {
    ("rules", "too_short"): 2, ("rules", "forbidden_word"): 3, ("exact", "exact_duplicate"): 1, ("rouge", "rouge"): 9,
    ("dedup", "semantic_duplicate"): 4, ("judge", "judge_low_score"): 6, ("quota", "surplus"): 2,
    ("generate", "invalid_json"): 1,
}  # fmt: skip
"""Of a hundred candidates and lost calls, how many are dropped for this reason."""


def grow(limit: int) -> Any:
    """Return a tree of three levels and at most `limit` tasks."""
    from curate.tree import TaskTree

    tree = TaskTree("Be helpful in everyday life", "Whatever a person may ask for at home, at work or at school.")
    branches = [tree.add(tree.root.id, name, f"Requests about {name.lower()}.").task for name in WORDS["branches"]]
    subtasks = [
        (branch, tree.add(branch.id, thing[0].upper() + thing[1:], f"What people ask about {thing}.").task, thing)
        for branch in branches
        if branch is not None
        for thing in WORDS["branches"][branch.name]
    ]
    for aspect, about in WORDS["aspects"].items():
        for _, parent, thing in subtasks:
            if len(tree) < limit and parent is not None:
                tree.add(parent.id, aspect.format(thing.title()), about.format(thing))
    return tree


class Maker:
    """Draws samples of tasks."""

    def __init__(self, tree: Any, seed: int) -> None:
        self.rng = random.Random(seed)
        self.tree = tree
        self.paths = {task.id: tree.path(task.id) for task in tree.walk()}
        self.attempts: Counter[str] = Counter()

    def texts(self, task: Task) -> tuple[str, str]:
        """Return an instruction and a response about the task's subject."""
        rng, path = self.rng, self.paths[task.id]
        near = WORDS["branches"][path[1] if len(path) > 1 else "Travel"]
        thing = path[2].lower() if len(path) > 2 else rng.choice(near)
        n, m = rng.randint(2, 60), rng.randint(12, 950)
        words = {
            "thing": thing, "other": rng.choice(near), "who": rng.choice(WORDS["people"]),
            "place": rng.choice(WORDS["places"]), "n": n, "m": m, "n2": rng.randint(1, n), "product": n * m,
        }  # fmt: skip
        ask = rng.choice(WORDS["asks"]).format(**words)
        topic = f"This is about {path[-1].lower()}. " if rng.random() < 0.5 else ""
        answer = "\n\n".join(line.format(**words) for line in rng.sample(WORDS["answers"], rng.randint(4, 9)))
        return topic + ask[0].upper() + ask[1:], answer

    def sample(self, task: Task, place: int, texts: tuple[str, str] | None = None) -> Sample:
        """Return a sample of the task with what a run notes of its making."""
        from curate.generate.candidates import make_sample

        instruction, output = texts or self.texts(task)
        attempt = self.attempts[task.id] + place // PER_CALL
        meta = {
            "source": {"instruction": instruction, "input": "", "output": output},
            "generate": {
                "task_id": task.id, "attempt": attempt, "round": 1 + attempt // 4, "model": TEACHER,
                "prompt": "generate/samples", "calls": [key_of_call("generate", task.id, attempt)],
                "demonstrations": [], "position": place % PER_CALL,
            },
        }  # fmt: skip
        row = {"instruction": instruction, "input": "", "output": output}
        return make_sample(row, self.paths[task.id], meta)


def key_of_call(stage: str, ident: str, attempt: int) -> str:
    """Return a made-up ledger key."""
    from hashlib import blake2b

    return blake2b(f"{stage} {ident} {attempt}".encode(), digest_size=16).hexdigest()


def decided(maker: Maker, task: Task, accepted: int) -> Iterator[tuple[Sample, str, Verdict]]:
    """Yield `accepted` kept samples of a task (stage "") and some dropped ones, which name kept neighbours."""
    rng = maker.rng
    kept: list[Sample] = []
    trouble = rng.betavariate(1.0, 3.5)  # some tasks yield much, some little
    place = 0
    while len(kept) < accepted:
        place += 1
        if kept and rng.random() < trouble:
            stage, reason = rng.choices(list(DROPS), list(DROPS.values()))[0]
            yield dropped(maker, task, place, kept, stage, reason)
            continue
        sample = maker.sample(task, place)
        grade = rng.choice((4, 4, 5))
        judged = {"score": grade, "model": JUDGE, "calls": [key_of_call("judge", sample.id, 0)]}
        sample = sample.tag("judge", **judged)
        if kept:
            sample = sample.tag("dedup", nearest=rng.choice(kept).id, score=round(rng.betavariate(5, 3), 4))
        kept.append(sample)
        yield sample, "", Verdict(True, score=float(grade))
    maker.attempts[task.id] += 1 + place // PER_CALL


def dropped(
    maker: Maker, task: Task, place: int, kept: list[Sample], stage: str, reason: str
) -> tuple[Sample, str, Verdict]:
    """Return a dropped sample: near-duplicates are a kept sample with a word or two changed."""
    rng = maker.rng
    if stage == "generate":
        attempt = maker.attempts[task.id] + place // PER_CALL
        calls = [key_of_call("generate", task.id, attempt)]
        note = {
            "task_id": task.id,
            "attempt": attempt,
            "round": 1,
            "calls": calls,
            "reply": '{"samples": [{"instruction": "Wri',
        }
        return Sample(f"call-{task.id}-{attempt}", (), maker.paths[task.id], {"generate": note}), stage, drop(reason)
    if stage in ("exact", "rouge", "dedup"):
        # The first kept sample of a task has the most copies, as in real runs.
        near = kept[min(int(rng.expovariate(0.9)), len(kept) - 1)]
        instruction, response = near.instruction, near.response
        score = 1.0
        if stage != "exact":
            instruction = f"{rng.choice(('Please help', 'Briefly', 'In plain words'))}: {instruction}"
            response = response.rsplit("\n\n", 1)[0]
            score = rng.uniform(0.7, 0.97) if stage == "rouge" else rng.uniform(0.95, 0.995)
        sample = maker.sample(task, place, (instruction, response))
        return sample, stage, drop(reason, score, neighbour=near.id)
    sample = maker.sample(task, place)
    if stage == "judge":
        grade = rng.choice((1, 2, 2))
        return sample.tag("judge", score=grade, model=JUDGE), stage, drop(reason, float(grade), min_score=4)
    detail = {"rules": {"field": "instruction"}}.get(stage, {})
    return sample, stage, drop(reason, **detail)


def write_rows(run: RunDirectory, maker: Maker, rows: int) -> dict[str, Any]:
    """Publish kept and dropped samples and their summary; return it."""
    tasks = list(maker.tree.walk())
    shares = [maker.rng.lognormvariate(0, 0.5) for _ in tasks]
    quotas = [int(rows * share / sum(shares)) for share in shares]
    for place in range(rows - sum(quotas)):
        quotas[place % len(quotas)] += 1
    reasons: Counter[str] = Counter()
    with run.publish("accepted", "b16c0ffee000") as out:
        for done, (task, quota) in enumerate(zip(tasks, quotas, strict=True)):
            for sample, stage, verdict in decided(maker, task, quota):
                if verdict.keep:
                    out.keep(sample)
                else:
                    out.drop(sample, stage, verdict)
                    reasons[f"{stage}: {verdict.reason}"] += 1
            if done % 1000 == 0:
                print(f"  {done:,} of {len(tasks):,} tasks", file=sys.stderr)
    lost = {reason.partition(": ")[2]: count for reason, count in reasons.items() if reason.startswith("generate")}
    stages = {stage: sum(n for reason, n in reasons.items() if reason.startswith(f"{stage}: ")) for stage in ORDER}
    summary = {
        "accepted": sum(quotas), "stopped": "", "rounds": 6, "calls": sum(maker.attempts.values()),
        "candidates": sum(quotas) + sum(stages.values()), "dropped": dict(reasons.most_common()), "lost": lost,
        "exhausted": [], "per_kind": {}, "ungraded": 0, "exhausted_kinds": [],
        "per_task": [
            {"task": list(maker.paths[task.id]), "accepted": quota} for task, quota in zip(tasks, quotas, strict=True)
        ],
    }  # fmt: skip
    write_summary(run.path, "accepted", "b16c0ffee000", summary)
    return summary


def write_ledger(run: RunDirectory, maker: Maker) -> None:
    """Write a call for every attempt of every task, and the grades' calls as totals."""
    from curate.models.ledger import Ledger, Record, Total

    rng = maker.rng
    with Ledger(run.ledger) as ledger:
        for ident, attempts in maker.attempts.items():
            for attempt in range(attempts):
                key = key_of_call("generate", ident, attempt)
                text = json.dumps({"samples": [dict(zip(("instruction", "output"), maker.texts(maker.tree.get(ident)),
                                                        strict=True))]})  # fmt: skip
                completion = Completion(
                    key, text, finish_reason="stop", input_tokens=rng.randint(600, 900),
                    output_tokens=rng.randint(900, 1600), cost=round(rng.uniform(0.001, 0.004), 6),
                    latency=rng.uniform(2, 14), model=TEACHER,
                )  # fmt: skip
                ledger.put(Record(bytes.fromhex(key), "generate", "teacher", completion), lambda error: None)
        graded = sum(maker.attempts.values()) * PER_CALL
        ledger.account(Total("judge", "judge", JUDGE, "", graded, graded * 410, graded * 6, 0.0, graded))
        ledger.account(Total("explore", "teacher", TEACHER, "", 2400, 2_100_000, 1_300_000, 11.52, 0))


def main(out: Path, rows: int, tasks: int) -> None:
    """Write the run."""
    from curate.config import load_domain

    begun = time.perf_counter()
    tree = grow(tasks)
    domain = load_domain("brainstorming").model_dump(mode="json", exclude_none=True)
    with RunDirectory(out) as run:
        identity = {"domain": "everyday", "root": tree.root.name, "language": "en", "seed": 0, "teacher": TEACHER}
        run.settle(
            identity,
            {
                "models": {"teacher": TEACHER, "judge": JUDGE},
                "encoder": {"name": "static", "threshold": 0.95},
                "domain": domain | {"name": "everyday", "root": {"name": tree.root.name, "description": ""}},
                "versions": {"curate-llm": "0.1.0"},
            },
        )
        tree.save(run.tree)
        maker = Maker(tree, 0)
        summary = write_rows(run, maker, rows)
        write_ledger(run, maker)
    print(
        f"{out}: {len(tree):,} tasks, {summary['accepted']:,} kept and {sum(summary['dropped'].values()):,} dropped "
        f"samples, {summary['calls']:,} calls in {time.perf_counter() - begun:.0f} s"
    )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), *(int(value) for value in (sys.argv[2:] + [100_000, 10_000][len(sys.argv) - 2 :])[:2]))
