"""The exam as a stage of a run: its files, what reads them, its key, and the plan."""

from __future__ import annotations

from pathlib import Path

import exam_world
import pytest
import yaml
from exam_world import Knowing, knows, place_of
from runs import domain_file, run

import curate
from curate.errors import ConfigError, InputError
from curate.finished import open_run
from curate.io import read_jsonl, read_samples
from curate.pipeline.explore import Options
from curate.pipeline.plan import plan

TEACHER = f"scripted:{exam_world.__file__}"


@pytest.fixture(scope="module", autouse=True)
def students():
    """Students by their spec."""
    import curate.models.students as opener

    made = {"half": Knowing("half"), "blind": Knowing("all", reads=False)}
    real = opener.open_student
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            opener, "open_student", lambda spec, **options: made[spec] if spec in made else real(spec, **options)
        )
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exam-run")


@pytest.fixture(scope="module")
def report(folder):
    return run(domain_file(folder, exam={"student": "half"}), folder / "run", TEACHER, rows=12)


def known(row):
    place = place_of(row["messages"][0]["content"])
    return not place or knows("half", place)


def test_the_stage_has_files_of_its_own_and_everything_reads_them(folder, report):
    run_folder = folder / "run"
    (accepted,) = (path for path in run_folder.glob("accepted.*.jsonl") if "dropped" not in path.name)
    rows = list(read_jsonl(accepted))
    want = [row["id"] for row in rows if known(row)]
    assert 0 < len(want) < len(rows) == 12
    done = open_run(run_folder)
    assert done.kept_file.name.startswith("02-exam.")
    assert [row["id"] for row in done.kept()] == want
    dropped = [row for row in done.dropped() if row["dropped"]["stage"] == "exam"]
    assert [row["dropped"]["reason"] for row in dropped] == ["inconsistent"] * (12 - len(want))
    assert done.summary["exam"]["in"] == 12
    assert done.summary["accepted"] == len(want) == sum(task["accepted"] for task in done.summary["per_task"])
    assert report.stages()[-1] == ("exam", 12, len(want))
    assert report.exit_code == 0  # the twelve rows that were asked for were accepted
    assert [sample.id for sample in read_samples(run_folder / "dataset" / "train.jsonl")] == want
    assert "exam" in yaml.safe_load((run_folder / "run.yaml").read_text(encoding="utf-8"))


def test_show_and_why_tell_of_it(folder, report):
    shown = curate.show(folder / "run", dropped=True, stage="exam")
    assert len(shown) == 12 - open_run(folder / "run").summary["accepted"]


def test_running_again_asks_nothing_and_another_treatment_neither(folder, report, students):
    asked = students["half"].asked
    before = open_run(folder / "run")
    again = run(str(folder / "toy.yaml"), folder / "run", TEACHER, rows=12)
    assert (again.stats.calls, students["half"].asked) == (0, asked)
    assert open_run(folder / "run").key == before.key
    refused = run(str(folder / "toy.yaml"), folder / "run", TEACHER, rows=12, treat="refuse")
    assert (refused.stats.calls, students["half"].asked) == (0, asked)
    other = open_run(folder / "run")
    assert other.key != before.key
    assert other.summary["accepted"] == 12
    assert before.kept_file.is_file()
    run(str(folder / "toy.yaml"), folder / "run", TEACHER, rows=12)
    assert open_run(folder / "run").key == before.key


def test_the_report_has_a_section(folder, report):
    from curate.export.report.exam import exam_of_run

    found = exam_of_run(open_run(folder / "run"))
    assert found is not None
    assert found["students"][0]["label"] == "half"
    assert sum(task["total"] for task in found["tasks"]) == 12
    assert found["words"]["guessable"]


def test_a_student_that_cannot_read_it_leaves_the_rows_as_they_are(folder):
    done = run(domain_file(folder), folder / "blind", TEACHER, rows=4, student="blind")
    assert done.unable
    assert done.exit_code == 1
    assert open_run(folder / "blind").kept_file.name.startswith("accepted.")
    assert any("cannot take this exam" in note for note in done.notes)
    assert len(list(read_samples(folder / "blind" / "dataset" / "train.jsonl"))) == 4


def test_the_plan_counts_it(folder):
    options = Options(domain=domain_file(folder), out=folder / "planned", teacher=TEACHER, rows=100)
    without = plan(options)
    with_exam = plan(Options(**{**vars(options), "student": "half"}))
    steps = [step for step in with_exam.steps if step.stage == "exam"]
    assert [step.name for step in steps][:2] == ["exam need", "exam knowledge"]
    assert steps[0].calls == 100
    assert with_exam.calls - without.calls == sum(step.calls for step in steps)
    assert not Path(folder / "planned").exists()


@pytest.mark.parametrize(
    ("exam", "says"),
    [
        ({"student": "half", "treat": "forget"}, "treat"),
        ({"student": "half", "threshold": 0}, "threshold"),
        ({"treat": "discard"}, "student"),
        ({"student": "half", "stduent": "x"}, "stduent"),
        ({"student": "half", "demonstrations": 101}, "exam.demonstrations must be at most 100, not 101"),
        ({"student": "half", "precision": "int8"}, "exam.precision must be one of float32, bfloat16"),
    ],
)
def test_a_wrong_part_of_a_domain_file_is_named(folder, exam, says):
    with pytest.raises(ConfigError, match=says):
        run(domain_file(folder, exam=exam), folder / "wrong", TEACHER, rows=4)


def test_what_does_not_go_together_is_refused(folder):
    path = domain_file(folder)
    with pytest.raises(InputError, match="--treat refuse needs a student"):
        run(path, folder / "wrong", TEACHER, rows=4, treat="refuse")
    with pytest.raises(InputError, match="leave out --compare, or the exam"):
        run(path, folder / "wrong", TEACHER, rows=4, student="half", compare="self-instruct")
    with pytest.raises(InputError, match="an exam is written by a language model"):
        run("math", folder / "wrong", "procedural", rows=4, student="half")


def test_demonstrations_and_precision_of_a_domain_file_reach_the_student(tmp_path, students, monkeypatch):
    import curate.models.students as opener

    opened = []
    monkeypatch.setattr(opener, "open_student", lambda spec, **options: opened.append(options) or students[spec])
    keys = set()
    for exam in ({}, {"demonstrations": 2}, {"demonstrations": 0, "precision": "bfloat16"}):
        run(domain_file(tmp_path, exam={"student": "half", **exam}), tmp_path / "run", TEACHER, rows=4)
        kept = list(read_jsonl(tmp_path / "run" / "exam" / "answers.half.jsonl"))
        assert {row["shots"] for row in kept} == {exam.get("demonstrations", 5)}
        keys.add(open_run(tmp_path / "run").key)
    assert [options["precision"] for options in opened] == [None, None, "bfloat16"]
    assert len(keys) == 3


def test_a_precision_is_refused_for_a_served_student(folder):
    exam = {"student": "openai:m@http://127.0.0.1:9", "precision": "float32"}
    with pytest.raises(InputError, match="a precision is for a student in process"):
        run(domain_file(folder, exam=exam), folder / "wrong", TEACHER, rows=4)


def test_paths_in_a_domain_file_are_relative_to_it(folder):
    with pytest.raises(InputError, match=str(folder / "nowhere")):
        run(domain_file(folder, exam={"student": "half", "documents": "nowhere"}), folder / "wrong", TEACHER, rows=4)
