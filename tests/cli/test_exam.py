"""What `curate exam` prints and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import exam_world
import pytest
from click.testing import CliRunner
from exam_world import rows

import curate
from curate.cli import root
from curate.io import read_jsonl, write_jsonl

TEACHER = f"scripted:{exam_world.__file__}"
VOTER = f"scripted:{Path(exam_world.__file__).with_name('exam_student.py')}"


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.jsonl"
    write_jsonl(path, rows(5))
    return path


def call(*arguments, code=0):
    done = CliRunner().invoke(root, ["exam", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.stdout.splitlines(), done.stderr.splitlines()


def test_a_plan_comes_first_and_a_summary_with_the_next_command_last(data):
    out, err = call(data, "--student", VOTER, "--treat", "discard", "--treat", "refuse", "--teacher", TEACHER)
    assert err[0] == "plan: 7 samples; teacher scripted:exam_world.py, student scripted:exam_student.py"
    assert out[0].startswith(f"exam {data}: 7 samples in ")
    assert out[2] == "  samples    5 (71 %) need factual knowledge; examined 5, need none 2"
    assert any(line.startswith("    able       with the knowledge in the prompt: 100 % of 15 right") for line in out)
    assert any(line.startswith("    by luck    guessing makes ") for line in out)
    assert any(f"{data.with_name('data.exam.refuse.jsonl')}  (7 kept, 0 dropped, " in line for line in out)
    assert out[-1] == f"Next: curate show {data.with_name('data.exam.discard.jsonl')} --dropped"


def test_json_and_pipe(data):
    arguments = (data, "--student", VOTER, "--treat", "discard", "--teacher", TEACHER, "--quiet")
    out, err = call(*arguments, "--json")
    report = json.loads(out[0])
    assert err == []
    (arm,) = report["arms"]
    assert arm["kept"] + arm["dropped"] + report["set_aside"] == report["in"] == 7
    piped, err = call(*arguments, "--out", "-")
    assert err == []
    assert [json.loads(line) for line in piped] == list(read_jsonl(Path(arm["out"])))


def test_columns_of_an_unknown_format_can_be_named(data, tmp_path):
    asked = ("--student", VOTER, "--treat", "discard", "--treat", "refuse", "--teacher", TEACHER)
    call(data, *asked)
    named = tmp_path / "named.jsonl"
    turns = [[turn["content"] for turn in row["messages"]] for row in read_jsonl(data)]
    write_jsonl(named, [{"q": question, "a": answer} for question, answer in turns])
    call(named, *asked, "--fields", "instruction=q, response=a")
    for treatment in ("discard", "refuse"):
        here, there = (
            list(read_jsonl(path.with_name(f"{path.stem}.exam.{treatment}.jsonl"))) for path in (data, named)
        )
        assert [row["messages"] for row in there] == [row["messages"] for row in here]
    assert [row["id"] for row in there] == [row["id"] for row in here]
    report = curate.exam(
        named, fields={"instruction": "q", "response": "a"}, student=VOTER, treat="discard", teacher=TEACHER, quiet=True
    )
    assert (report.total, report.stats.calls) == (7, 0)


def test_out_names_the_file_of_one_arm_and_the_folder_beside_it(data, tmp_path):
    target = tmp_path / "made" / "clean.jsonl"
    call(data, "--student", VOTER, "--treat", "discard", "--teacher", TEACHER, "--out", target)
    names = sorted(path.name for path in target.parent.iterdir())
    assert names == ["clean.dropped.jsonl", "clean.exam", "clean.jsonl", "clean.set_aside.jsonl"]


def test_a_student_that_cannot_take_it_is_exit_code_1(data, tmp_path):
    fool = tmp_path / "fool.py"
    fool.write_text("def reply(request):\n    return 'A'\n", encoding="utf-8")
    out, _ = call(data, "--student", f"scripted:{fool}", "--treat", "discard", "--teacher", TEACHER, code=1)
    assert any(line.startswith("    cannot take this exam: with the knowledge in the prompt, ") for line in out)
    assert "    80 % is needed. Nothing was treated for it." in out
    assert out[-1].startswith("Next: fool.py cannot read such questions")
    assert not data.with_name("data.exam.discard.jsonl").exists()


def test_a_budget_that_is_spent_is_exit_code_3(data):
    out, _ = call(data, "--student", VOTER, "--treat", "discard", "--teacher", TEACHER, "--budget-calls", 4, code=3)
    assert out[0].startswith(f"exam {data}: not finished (the budget allows no further call)")
    assert out[-1] == "Next: the same command goes on where it stopped, with a larger budget"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give the dataset to examine, or --questions FILE"),
        (["data.jsonl", "--questions", "q.jsonl"], "one of the two"),
        (["nowhere.jsonl", "--teacher", TEACHER], "nowhere.jsonl: there is no such file or folder"),
        (["{data}"], "who writes the exam? Name a language model"),
        (["{data}", "--teacher", TEACHER, "--treat", "forget"], "treat is 'forget'; it takes open_book"),
        (["{data}", "--teacher", TEACHER, "--treat", "discard", "--out", "{data}"], "are read from this file"),
        (["{data}", "--teacher", TEACHER, "--out", "-"], "give one --treat, or --out FILE"),
        (["{data}", "--teacher", TEACHER, "--fields", "instruction=q"], "data.jsonl:1: there is no field 'q'"),
        (["{data}", "--teacher", TEACHER, "--fields", "q"], "is no list like instruction=question,response=answer"),
        (["--questions", "q.jsonl", "--fields", "instruction=q"], "--fields is about a dataset"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(data, arguments, says, capsys):
    from curate.cli import main

    given = [str(data) if argument == "{data}" else argument for argument in arguments]
    with pytest.raises(SystemExit) as ended:
        main(["exam", *given, "--student", VOTER, "--quiet"])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_the_python_function_is_the_verb(data):
    report = curate.exam(data, student=VOTER, treat="discard", teacher=TEACHER, quiet=True)
    assert report.total == 7
    assert [arm.treatment for arm in report.arms] == ["discard"]
    assert list(read_jsonl(report.arms[0].out))


def test_where_most_could_not_be_examined_the_summary_says_why_and_where_to_look(tmp_path):
    mute = tmp_path / "mute.py"
    mute.write_text('def reply(request):\n    return "ok"\n')
    data = tmp_path / "data.jsonl"
    write_jsonl(data, [{"instruction": f"Name river {n}.", "output": "The Bel." if n else ""} for n in range(4)])
    out, _ = call(data, "--student", VOTER, "--treat", "discard", "--teacher", f"scripted:{mute}")
    assert out[2] == "  samples    0 (0 %) need factual knowledge; set aside 3, empty 1"
    assert out[3].strip() == "3: the teacher gave no readable reply on whether knowledge is needed"
    assert out[4].strip() == "1: there is no response"
    assert out[-2] == f"Next: curate show {tmp_path / 'data.exam.set_aside.jsonl'}"
