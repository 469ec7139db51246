from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import pytest

from curate.errors import CurateError
from curate.io import read_samples
from curate.types import Verdict, drop
from curate.verify import MathChecker, check_gold, check_votes, equivalent, final_answer, majority

# A second of processor time cannot end this one, and no Python code runs while it multiplies.
ENDLESS = r"3^{3^{3^{3}}}+1", r"3^{7625597484987}"


@pytest.fixture(scope="module")
def checker():
    with MathChecker(workers=2, seconds=1.0) as pool:
        yield pool


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"First \boxed{1}, so it is \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed {42}", "42"),
        (r"$\boxed{\{1, 2\}}$", r"\{1, 2\}"),
        (r"\boxed{\left\{ x : x > 0 \right\}}", r"\left\{ x : x > 0 \right\}"),
        (r"\boxed{[0, 1\}}", r"[0, 1\}"),
        (r"\fbox{$7$}", "7"),
        (r"Answer: 5 and \boxed{6}", "6"),  # a box wins over a line
        ("Step 1.\nAnswer: 42.", "42"),
        ("**Answer:** $\\frac{1}{2}$", r"\frac{1}{2}"),
        ("**Final answer**: \\(x = 3\\).", "x = 3"),
        ("The answer: **12 apples**", "12 apples"),
        ("5 * 3 = <<5*3=15>>15\n#### 15", "15"),
        ("#### 1,000\n", "1,000"),
        ("解：\n答案：$6$。", "6"),
        ("最终答案: 6", "6"),
        ("Answer: 1\nAnswer: 2\nI hope this helps.", "2"),
        ("Answer: 0.", "0"),
        (r"\boxed{1} and then \boxed{2", None),  # cut short: the earlier box is not the answer
        (r"\boxed{}", None),
        ("Answer:\n", None),
        ("The answer is 42.", None),
        ("So we get x = 42", None),
        ("##### 3", None),
        ("", None),
    ],
)
def test_final_answer(text, answer):
    assert final_answer(text) == answer


def test_final_answer_takes_linear_time_on_pages_of_marks():
    page = "- * # _ \n" * 20_000 + "\\boxed{" * 1_000
    start = time.perf_counter()
    assert final_answer(page) is None
    assert final_answer("-" * 200_000 + " answer" * 10_000) is None
    assert time.perf_counter() - start < 15


def test_the_answers_of_gsm8k(shared_data):
    samples = list(read_samples(shared_data / "gsm8k" / "test.jsonl"))
    golds = [sample.response.rpartition("#### ")[2] for sample in samples]
    assert [check_gold(s.response, gold).keep for s, gold in zip(samples, golds, strict=True)] == [True] * 1319


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("1/2", "0.5", True),
        (r"\dfrac{1}{2}", r"\frac12", True),
        ("1,000", "1000", True),
        ("x = 3", "3", True),
        (r"\{1, 2\}", "2, 1", True),
        ("(1, 2)", "(2, 1)", False),
        ("[0, 1)", "(0, 1)", False),
        ("(x+1)^2", "x^2+2x+1", True),
        (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}", True),
        (r"\frac{1}{3}", "0.333", False),
        (r"\text{Even}", "even", True),
        ("even", "odd", False),
        ("listen", "silent", False),  # equal as products of their letters
        ("yes", "no", False),
        ("abc", "bca", True),
        ("no solution", r"\text{no  solution}", True),
        ("奇数", "偶数", False),
        ("1 1/2", "3/2", True),
        ("1 1/2", "1", False),
        ("1 1/2", "11/2", False),
        ("1.5e3", "1500", True),
        ("72°", r"72^\circ", True),
        ("（１，２）", "(1, 2)", True),
        ("−3", "-3", True),
        ("3", "-3", False),
        (r"2\pi", "2π", True),
        (r"50\%", "0.5", True),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix}1&2\\3&4\end{bmatrix}", True),
        ("x < 3", "3 > x", True),
        ("十二", "12", None),
        (r"\frac{1}{0}", "5", None),
        ("__import__('os').abort()", "1", None),  # nothing is ever evaluated as Python
        ("(" * 50, "1", None),
        ("", "", None),
        ("1+" * 300 + "1", "301", None),
    ],
)
def test_equivalent_both_ways(a, b, same):
    assert equivalent(a, b) is same
    assert equivalent(b, a) is same


def test_equivalent_in_another_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(equivalent(r"\frac{2}{4}", "0.5")))
    thread.start()
    thread.join()
    assert found == [True]


@pytest.mark.parametrize(
    ("answers", "winner", "groups"),
    [
        (["1/2", "3", "0.5"], 0, [[0, 2], [1]]),
        (["3", "1/2", "0.5"], 1, [[0], [1, 2]]),
        (["1", "2", "3"], None, [[0], [1], [2]]),
        (["1", "1", "2", "2"], None, [[0, 1], [2, 3]]),  # half is no majority
        (["1", None, None], None, [[0]]),  # a vote without an answer is a vote
        (["1", "1", None], 0, [[0, 1]]),
        ([None, None], None, []),
        ([], None, []),
    ],
)
def test_majority(answers, winner, groups):
    assert majority(answers) == (winner, groups)


def box(answer: str) -> str:
    return rf"So it is \boxed{{{answer}}}."


CASES = [
    ((box("0.5"), "1/2"), Verdict(True, detail={"answer": "0.5"})),
    ((box("7"), "7"), Verdict(True, detail={"answer": "7"})),
    ((box("8"), "7"), drop("wrong_answer", answer="8", gold="7")),
    (("no idea", "7"), drop("no_final_answer")),
    ((box("十二"), "12"), drop("answer_unreadable", answer="十二", gold="12")),
    (
        (box("1/2"), [box("0.5"), box("3"), "Answer: 2/4"]),
        Verdict(True, detail={"answer": "1/2", "votes": ["0.5", "3", "2/4"]}),
    ),
    ((box("3"), [box("0.5"), box("3"), box("2/4")]), drop("answer_disagrees", answer="3", votes=["0.5", "3", "2/4"])),
    ((box("3"), [box("1"), box("3"), "unsure"]), drop("no_majority", answer="3", votes=["1", "3", None])),
    (("no idea", [box("1")]), drop("no_final_answer")),
]


@pytest.mark.parametrize(("check", "verdict"), CASES)
def test_verdicts(check, verdict):
    response, other = check
    assert (check_gold if isinstance(other, str) else check_votes)(response, other) == verdict


def test_the_workers_say_the_same_in_order(checker):
    checks, verdicts = zip(*CASES * 5, strict=True)
    assert list(checker.check_many(checks, window=7)) == list(verdicts)


def test_equal_texts_start_no_worker():
    with MathChecker() as pool:
        assert [v.keep for v in pool.check_many([(box("x = 1"), "x=1"), (box("even"), "odd")])] == [True, False]
        assert pool._workers == []


class Cache(dict):
    def get_verdict(self, *key):
        return self.get(repr(key))

    def put_verdict(self, *key_and_value):
        *key, value = key_and_value
        self[repr(tuple(key))] = value


def test_a_stuck_comparison_is_ended_and_those_behind_it_are_not_blamed(checker, monkeypatch):
    kept = Cache()
    monkeypatch.setattr(checker, "_cache", kept)
    checks = [(box("2x"), "x+x"), (box(ENDLESS[0]), ENDLESS[1]), *CASES[0][:1] * 12, (box("4"), "4")]
    verdicts = list(checker.check_many(checks))
    assert [v.reason for v in verdicts] == ["", "math_timeout", *[""] * 13]
    assert verdicts[1].detail == {"answer": ENDLESS[0], "gold": ENDLESS[1], "seconds": 1.0}
    # All are kept but what equal texts decide; another limit or another math-verify would be another question.
    assert len(kept) == 3
    assert all("'seconds': 1.0" in key and version("math-verify") in key for key in kept)
    with MathChecker(cache=kept, seconds=1.0) as pool:
        assert list(pool.check_many(checks)) == verdicts
        assert pool._workers == []


def test_a_verdict_comes_before_more_is_pulled_than_the_window(checker):
    pulled = []

    def checks():
        for i in range(1000):
            pulled.append(i)
            yield box(f"{i}/2"), f"{i / 2}"

    stream = checker.check_many(checks(), window=10)
    assert [v.keep for v in islice(stream, 30)] == [True] * 30
    assert len(pulled) <= 40
    stream.close()
    assert [v.reason for v in checker.check_many([(box("1/4"), "0.5")])] == [
        "wrong_answer"
    ]  # an abandoned stream hurts none


def test_an_iterable_that_waits_does_not_hold_back_what_is_ready(checker):
    def checks():
        yield box("7"), "7"
        raise AssertionError("pulled before the first verdict was handed out")

    assert next(checker.check_many(checks())).keep


def test_a_worker_killed_from_outside_is_replaced(checker):
    [first] = checker.check_many([(box("1/2"), "0.5")])
    os.kill(checker._workers[0].process.pid, signal.SIGKILL)
    verdicts = list(checker.check_many([(box(f"{i}/2"), f"{i / 2}") for i in range(1, 17, 2)]))
    # At most the question it was about to read was lost to the kill; nothing hangs and nothing else is blamed.
    assert first.keep
    assert sorted(v.reason for v in verdicts)[:7] == [""] * 7
    assert {v.reason for v in verdicts} <= {"", "math_crash"}


def test_workers_that_cannot_start(monkeypatch):
    monkeypatch.setattr("curate.verify.checker.BOOT", "raise SystemExit('no such module: mathematics')")
    with (
        MathChecker(workers=1) as pool,
        pytest.raises(CurateError, match="with code 1 as it started: no such module: mathematics"),
    ):
        list(pool.check_many([(box("1/2"), "0.5")]))


def test_it_works_in_a_script_without_a_main_guard_and_leaves_no_process(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from curate.verify import MathChecker\n"
        "pool = MathChecker(workers=1)\n"
        "seen = [v.keep for v in pool.check_many([(r'\\boxed{1/2}', '0.5')])]\n"
        "print(seen, pool._workers[0].process.pid, flush=True)\n"
        "import os; os._exit(0)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=env, check=True)
    said, _, pid = done.stdout.strip().rpartition(" ")
    assert said == "[True]"
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
