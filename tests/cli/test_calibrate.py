"""`curate dedup --calibrate` at the terminal: what is shown, one key a pair, and what is refused."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from curate.cli import calibrate, root
from curate.io import read_jsonl, write_jsonl
from curate.pipeline.dedup_calibrate import open_calibration
from curate.pipeline.dedup_marks import pair_of

TEXTS = (
    "Write a short poem about the sea at night.",
    "At night about the sea a short poem write.",
    "Write a short poem about the sea at dawn.",
    "List seven kinds of cheese from Italy.",
    "List seven kinds of soft cheese from Italy.",
)


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "data.jsonl", [{"instruction": text, "input": "", "output": "Well."} for text in TEXTS])
    (tmp_path / "judge.py").write_text("def reply(request):\n    return 'verdict: same'\n")
    return "data.jsonl"


def call(*arguments, code=0):
    done = CliRunner().invoke(root, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.stdout.splitlines(), done.stderr.splitlines()


def test_without_a_terminal_the_pairs_wait_in_a_file(data, tmp_path):
    out, err = call("dedup", data, "--calibrate")
    assert out[0] == "calibrate data.jsonl (embedder static, field text, language en)"
    assert out[1] == "  5 different texts, 10 pairs of them"
    assert out[4] == "  above       pairs  share of all pairs"
    assert any(line.startswith("  4 pairs drawn from ") for line in out) and err == []
    assert out[-1].startswith('Next: set "same" in that file to true or false and run the same command again')
    sheet = tmp_path / "data.calibration" / "pairs.jsonl"
    write_jsonl(sheet, [row | {"same": True} for row in read_jsonl(sheet)])
    out, _ = call("dedup", data, "--calibrate")
    assert "  marks   4 by you" in out
    assert out[-1] == "Next: curate dedup data.jsonl --threshold calibrated"
    out, _ = call("dedup", data, "--threshold", "calibrated", "--no-rouge")
    assert "calibrated precision 0.95 by 4 marks" in out[0]


def test_the_judge_is_told_of_before_it_is_asked(data):
    out, err = call("dedup", data, "--calibrate", "--judge", "scripted:judge.py")
    assert err[0].startswith("asking scripted:judge.py about 4 pairs: about ") and err[0].endswith(", $0.00")
    assert "  marks   4 by scripted:judge.py" in out
    _, err = call("dedup", data, "--calibrate", "--judge", "scripted:judge.py")
    assert err == []
    out, err = call("dedup", data, "--calibrate", "--json", "--quiet")
    report = json.loads("\n".join(out))
    assert (report["marks"], report["encoder"], report["precision"]) == ({"scripted:judge.py": 4}, "static", 0.95)
    assert report["null"]["pairs"] == 10 and err == []


def test_a_budget_of_nothing_asks_nothing(data):
    out, _ = call("dedup", data, "--calibrate", "--judge", "scripted:judge.py", "--budget-calls", 0)
    assert "  not marked by the judge: budget 4" in out and "  marks   none yet" in out


def test_a_key_for_each_pair(data, monkeypatch, capsys):
    work = open_calibration(data, embedder="static")
    keys = iter("sx" + "ub" + "d" + "s" + "q")
    monkeypatch.setattr(calibrate.click, "getchar", lambda: next(keys))
    calibrate.mark(work)
    first, second, third, fourth = work.pairs
    marks = [work.marks.same(pair) for pair in work.pairs]
    assert marks == [True, False, True, None] and work.open == [fourth]
    shown = capsys.readouterr().out
    assert "1 of 4" in shown and "stopped; the marks are kept" in shown
    assert all(text in shown for pair in (first, second, third) for text in (pair.left, pair.right))
    # The next time only what is open is shown.
    keys = iter("d")
    calibrate.mark(work)
    shown = capsys.readouterr().out
    assert "1 of 1" in shown and fourth.left in shown and first.left not in shown.replace(fourth.left, "")


def test_the_end_of_the_input_stops_for_now(data, monkeypatch, capsys):
    def gone():
        raise EOFError

    work = open_calibration(data, embedder="static")
    monkeypatch.setattr(calibrate.click, "getchar", gone)
    calibrate.mark(work)
    assert len(work.open) == 4 and "the same command goes on here" in capsys.readouterr().out


def test_a_text_steers_no_terminal_and_a_long_one_is_cut():
    pair = pair_of("one\x1b[2J two", "word " * 900, 0, 0.9)
    lines = list(calibrate.shown(pair, 1, 1))
    assert not any("\x1b" in line for line in lines)
    assert lines[-1].startswith("    … ") or any(line.startswith("    … ") for line in lines)
    assert len(lines) < 25


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--calibrate", "--threshold", "0.9"], "leave out --threshold"),
        (["--calibrate", "--against", "x.jsonl"], "leave out --against"),
        (["--calibrate", "--keep", "first"], "leave out --keep"),
        (["--calibrate", "--budget-calls", "3"], "name one with --judge SPEC"),
        (["--precision", "0.9"], "--precision is for --calibrate"),
        (["--threshold", "nothing"], "no number above 0 and up to 1, not `calibrated`, and no folder here"),
        (["--threshold", "1.5"], "1.5 is not in the range"),
    ],
)
def test_what_does_not_go_together(data, arguments, said):
    done = CliRunner().invoke(root, ["dedup", data, *arguments], standalone_mode=False)
    assert said in str(done.exception)
