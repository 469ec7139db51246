"""How fast does a student in process take an exam, against one forward pass over the full prompt for each question?

The latter is how KCA's reference code and MMLU's take it: batch of one, no kept demonstrations, logits of every token,
the letters' probabilities at the last. Both answer the same prompts, and their answers must be the same.

    python scripts/bench_exam.py --questions mmlu_validation.parquet --shots mmlu_dev.parquet [--subjects 8 --each 12]
    python scripts/bench_exam.py --questions ... --shots ... --flat 100000

`--flat N` takes N questions (the file's, each told apart by a number) with a tiny student, and prints the memory that
the process has along the way.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from curate.models.students import open_student  # noqa: E402
from curate.stages.exam.files import read_questions  # noqa: E402
from curate.stages.exam.kept import Kept  # noqa: E402
from curate.stages.exam.paper import Form, letter_items  # noqa: E402
from curate.stages.exam.take import take  # noqa: E402
from curate.types import Question  # noqa: E402
from scripts.exam_student import make_student  # noqa: E402


def main() -> int:
    """Run the comparison, or the long exam. Exits with 1 where answers differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", required=True)
    parser.add_argument("--shots", required=True)
    parser.add_argument("--student", help="a folder; a small model is trained on the spot unless given")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--subjects", type=int, default=8, help="spread evenly over the alphabet")
    parser.add_argument("--each", type=int, default=12, help="questions of each subject at most")
    parser.add_argument("--orders", type=int, default=4)
    parser.add_argument("--flat", type=int, metavar="N")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        sources = [args.questions, args.shots]
        if args.flat:
            student = make_student(work / "tiny", sources, layers=1, hidden=64, vocabulary=4096, steps=1)
            return _flat(args, student, work)
        student = args.student or make_student(
            work / "student", sources, layers=args.layers, hidden=args.hidden, steps=10
        )
        return _compare(args, str(student))


def _compare(args: argparse.Namespace, name: str) -> int:
    shots = list(read_questions(args.shots))
    questions = _spread(list(read_questions(args.questions)), args.subjects, args.each)
    student = open_student(name, precision="float32")
    began = _clocks()
    taken = list(take(questions, student, shots=shots, orders=args.orders, texts=False))
    ours = _since(began)
    began = _clocks()
    reference = _reference(name, questions, Form(tuple(shots), orders=args.orders, texts=False))
    theirs = _since(began)
    same = close = 0
    for one, values in zip(taken, reference, strict=True):
        assert one.letter is not None, one
        ranked = sorted(values, reverse=True)
        equal = one.letter.index(max(one.letter)) == values.index(max(values))
        same += equal
        close += not equal and ranked[0] - ranked[1] <= 1e-3
    count = len(questions)
    print(f"{count} questions in {args.orders} orders, {len({q.subject for q in questions})} subjects")
    for title, (wall, busy) in (("curate", ours), ("one full prompt at a time", theirs)):
        print(f"{title:<28} {count / wall:8.2f} questions/s  {wall:7.1f} s wall  {busy:7.1f} s of processor")
    print(f"{'ratio':<28} {theirs[0] / ours[0]:8.2f} by the clock, {theirs[1] / ours[1]:.2f} by processor time")
    print(f"same answers: {same} of {count}" + (f", {close} others within 1e-3 nat" if close else ""))
    return 0 if same + close == count else 1


def _reference(name: str, questions: list[Question], form: Form) -> list[list[float]]:
    """Return the mean log-probabilities of the options' letters, a forward pass for each prompt."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32).eval()
    rows = []
    for question in questions:
        sums = [0.0] * len(question.options)
        for order, item in letter_items(question, form):
            letters = [tokenizer(ending)["input_ids"][-1] for ending in item.endings]
            ids = torch.tensor([tokenizer(item.prompt())["input_ids"]])
            with torch.inference_mode():
                values = model(input_ids=ids).logits[0, -1][letters].log_softmax(-1).tolist()
            for number, value in zip(order, values, strict=True):
                sums[number] += value / form.orders
        rows.append(sums)
    return rows


def _spread(questions: list[Question], subjects: int, each: int) -> list[Question]:
    """Return the first `each` questions of `subjects` subjects that are spread evenly over the alphabet."""
    by_subject: dict[str, list[Question]] = {}
    for question in questions:
        by_subject.setdefault(question.subject, []).append(question)
    names = sorted(by_subject)
    wanted = min(subjects, len(names))
    chosen = [names[(2 * number + 1) * len(names) // (2 * wanted)] for number in range(wanted)]
    return [question for name in chosen for question in by_subject[name][:each]]


def _flat(args: argparse.Namespace, student: Path, work: Path) -> int:
    source = list(read_questions(args.questions))
    shown: list[dict[str, float]] = []
    began = time.perf_counter()

    def asked() -> Iterator[Question]:
        for number in range(args.flat):
            question = source[number % len(source)]
            yield replace(question, id=str(number), text=f"{question.text} ({number})")

    def tick(done: int) -> None:
        if done >= (len(shown) + 1) * args.flat // 10:
            shown.append({"questions": done, "rss_mb": _resident(), "seconds": round(time.perf_counter() - began)})
            print(json.dumps(shown[-1]), flush=True)

    kept = Kept(work / "taken.jsonl")
    taken = take(asked(), open_student(str(student)), count=0, orders=1, texts=False, kept=kept, tick=tick)
    print(f"taken: {sum(1 for _ in taken):,}; journal {(work / 'taken.jsonl').stat().st_size / 1e6:.1f} MB")
    return 0


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(began: tuple[float, float]) -> tuple[float, float]:
    return tuple(now - then for now, then in zip(_clocks(), began, strict=True))  # type: ignore[return-value]


if __name__ == "__main__":
    sys.exit(main())
