"""Does `curate exam --orders 1` answer as lm-evaluation-harness does, on the same files and weights?

Both put MMLU's format (a header per subject, the subject's first five questions of the file of demonstrations) to the
same model in float32. Answers must be the same wherever the harness's best option is more than MARGIN ahead.

    python scripts/compare_lm_eval.py --questions mmlu_validation.parquet --shots mmlu_dev.parquet \\
        --python ~/.venvs/lm-eval/bin/python [--student FOLDER] [--per-subject 5]

PYTHON has the package `lm-eval[hf]` and accelerate. Without --student a small model is trained on the spot.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from curate.models.students import open_student  # noqa: E402
from curate.stages.exam.files import read_questions  # noqa: E402
from curate.stages.exam.take import take  # noqa: E402
from curate.types import Question  # noqa: E402
from scripts.exam_student import make_student  # noqa: E402

MARGIN = 1e-3

# Runs in the harness's own environment: one local task for each subject, with the harness's own template of MMLU.
HARNESS = r"""
import json, sys
from functools import partial
import lm_eval
from lm_eval.api.task import ConfigurableTask

model, questions, shots, out = sys.argv[1:]
HEAD = "The following are multiple choice questions (with answers) about {}.\n\n"
OPTIONS = "".join(f"{letter}. {{{{choices[{number}]}}}}\n" for number, letter in enumerate("ABCD"))
TEXT = "{{question.strip()}}\n" + OPTIONS + "Answer:"

def of(subject, rows):
    return rows.filter(lambda row: row["subject"] == subject)

import pyarrow.parquet as pq
subjects = sorted(set(pq.read_table(questions, columns=["subject"])["subject"].to_pylist()))
tasks = [
    ConfigurableTask(config={
        "task": "mmlu_" + subject,
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": {"test": questions, "dev": shots}},
        "test_split": "test",
        "fewshot_split": "dev",
        "fewshot_config": {"sampler": "first_n"},
        "num_fewshot": 5,
        "process_docs": partial(of, subject),
        "output_type": "multiple_choice",
        "description": HEAD.format(subject.replace("_", " ")),
        "doc_to_text": TEXT,
        "doc_to_choice": ["A", "B", "C", "D"],
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    })
    for subject in subjects
]
result = lm_eval.simple_evaluate(
    model="hf", model_args={"pretrained": model, "dtype": "float32"}, tasks=tasks, batch_size=4, device="cpu",
    log_samples=True, bootstrap_iters=0,
)
with open(out, "w") as file:
    for samples in result["samples"].values():
        for sample in samples:
            values = [response[0] for response in sample["filtered_resps"]]
            row = {"question": sample["doc"]["question"], "choices": sample["doc"]["choices"],
                   "subject": sample["doc"]["subject"], "logprobs": [float(value) for value in values]}
            file.write(json.dumps(row) + "\n")
"""


def main() -> int:
    """Compare and print counts. Exits with 1 where an answer differs beyond the margin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", required=True)
    parser.add_argument("--shots", required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--student")
    parser.add_argument("--per-subject", type=int)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        student = args.student or str(
            make_student(work / "student", [args.questions, args.shots], layers=4, hidden=256)
        )
        part = _part(args.questions, args.per_subject, work / "questions.parquet")
        command = [args.python, "-c", HARNESS, student, str(part), str(Path(args.shots).resolve()), f"{work}/out.jsonl"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        theirs = [json.loads(line) for line in (work / "out.jsonl").read_text().splitlines()]
        return _compare(list(read_questions(part)), list(read_questions(args.shots)), student, theirs)


def _part(source: str, count: int | None, target: Path) -> Path:
    """Write the first questions of each subject, or all."""
    import pyarrow.parquet as pq

    table = pq.read_table(source)
    seen: dict[str, int] = defaultdict(int)
    kept = []
    for number, subject in enumerate(table["subject"].to_pylist()):
        seen[subject] += 1
        if count is None or seen[subject] <= count:
            kept.append(number)
    pq.write_table(table.take(kept), target)
    return target


def _compare(questions: list[Question], shots: list[Question], student: str, theirs: list[dict]) -> int:
    by_text = {(row["subject"], row["question"], *row["choices"]): row["logprobs"] for row in theirs}
    opened = open_student(student, precision="float32")
    print(*opened.notes)
    counts = {"same": 0, "differ, within the margin": 0, "DIFFER": 0}
    apart = 0.0
    margins = []
    for question, taken in zip(questions, take(questions, opened, shots=shots, orders=1, texts=False), strict=True):
        harness = by_text[question.subject, question.text, *question.options]
        assert taken.letter is not None, taken
        ranked = sorted(harness, reverse=True)
        margin = ranked[0] - ranked[1]
        margins.append(margin)
        own, other = (values.index(max(values)) for values in (taken.letter, harness))
        counts["same" if own == other else "DIFFER" if margin > MARGIN else "differ, within the margin"] += 1
        best = max(range(len(harness)), key=harness.__getitem__)
        apart = max(
            apart,
            *(abs((a - taken.letter[best]) - (b - harness[best])) for a, b in zip(taken.letter, harness, strict=True)),
        )
    margins.sort()
    print(f"{len(questions)} questions, {len(theirs)} by the harness")
    print(", ".join(f"{name}: {count}" for name, count in counts.items()))
    print(f"margins of the best option: median {margins[len(margins) // 2]:.4f} nat, least {margins[0]:.6f}")
    print(f"greatest difference between two log-probability differences: {apart:.2e} nat")
    return 1 if counts["DIFFER"] else 0


if __name__ == "__main__":
    sys.exit(main())
