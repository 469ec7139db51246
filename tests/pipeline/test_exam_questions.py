"""Somebody's exam: accuracy per subject with intervals, the guessing rate, and what is wrong with a file."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from curate.cli.exam_questions import lines, take_questions
from curate.errors import InputError
from curate.models.students import Mark
from curate.pipeline import exam_questions as module
from curate.pipeline.exam_questions import Guess, exam_questions, read_questions, wilson
from curate.types import Question

ROWS = [
    {"question": f"Colour {n}?", "subject": ("art", "law")[n % 2], "choices": ["red", "green", "blue", "pink"],
     "answer": n % 4}
    for n in range(12)
]  # fmt: skip


class Knower:
    """A student that knows the answers of art and says green to everything else; option by option, letter by letter."""

    votes = False
    together = 5
    notes = ("log-probabilities out of a table",)
    name = fingerprint = "knower"
    opened = 0
    asked = 0
    shown = ()

    def mark(self, items):
        for number, item in enumerate(items):
            Knower.asked += 1
            Knower.shown = item.shots
            lines = item.tail.removeprefix("Question: ").splitlines()
            if "Colour 10?" in item.tail:
                yield number, Mark(error="context: 99 tokens without any demonstration, and the student reads 5")
                continue
            place = int(lines[0].split()[1].rstrip("?"))
            wanted = ROWS[place]["choices"][ROWS[place]["answer"]] if place % 2 == 0 else "green"
            shown = dict(line.split(". ") for line in lines[1:-1])
            words = [shown.get(ending.strip(), ending.strip()) for ending in item.endings]
            yield number, Mark(tuple(float(word == wanted) for word in words), (1,) * len(words), shots=3)

    def close(self):
        Knower.opened -= 1


@pytest.fixture
def knower(monkeypatch):
    def opened(spec, **_):
        Knower.opened += 1
        return Knower()

    Knower.asked = Knower.opened = 0
    monkeypatch.setattr(module, "open_student", opened)
    yield Knower
    assert Knower.opened == 0


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "exam.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_accuracy_per_subject(knower, file):
    told = []
    report = exam_questions(file, student="knower", tell=told.append)
    assert told == ["knower: log-probabilities out of a table"]
    art, law = report.subjects["art"], report.subjects["law"]
    assert (art["letter"].right, art["letter"].put) == (art["text"].right, art["text"].put) == (5, 5)
    assert (law["letter"].right, law["letter"].put) == (3, 6)  # green is right where the number is 1 or 5 or 9
    assert (report.overall("text").right, report.overall("text").put) == (8, 11)
    assert report.macro("letter") == 0.75
    assert dict(report.errors) == {"context": 1} and report.fewer == 11 and report.exit_code == 0
    guess = report.as_json()["guessing"]["letter"]
    assert guess["chance"] == 0.25
    # 3 of the 11 keys are green, which 8 answers say (11: the key is 3); red is the key and the answer of 3, blue of 2.
    picks, keys = {0: 3, 1: 6, 2: 2}, {0: 3, 1: 3, 2: 2, 3: 3}
    assert guess["permuted"] == pytest.approx(sum(count * keys[place] / 11 for place, count in picks.items()) / 11)


def test_running_again_asks_nothing_and_another_form_is_added(knower, file):
    first = exam_questions(file, student="knower")
    assert first.out == file.with_name("exam.taken.jsonl") and first.again == 0
    content, asked = first.out.read_bytes(), knower.asked
    assert asked == 12 * 5
    again = exam_questions(file, student="knower")
    assert (again.again, knower.asked, again.out.read_bytes()) == (12, asked, content)
    assert {**again.as_json(), "seconds": 0, "taken_before": 0} == {**first.as_json(), "seconds": 0}
    other = exam_questions(file, student="knower", orders=1)
    assert other.again == 0 and other.out.read_bytes().startswith(content)


def test_demonstrations_are_those_that_ship_or_as_many_of_a_file_as_asked(knower, file, tmp_path):
    assert exam_questions(file, student="knower").settings["demonstrations"] == 5
    assert len(knower.shown) == 5
    exam_questions(file, student="knower", demonstrations=0)
    assert knower.shown == ()
    few = tmp_path / "few.jsonl"
    few.write_text("".join(json.dumps(row) + "\n" for row in ROWS[:6]))
    report = exam_questions(file, student="knower", shots=few)
    assert sorted(shot.splitlines()[0] for shot in knower.shown) == [f"Question: Colour {n}?" for n in (1, 3, 5)]
    assert report.fewer == 0  # a subject of three demonstrations lacks none for want of room
    assert exam_questions(file, student="knower", shots=few, demonstrations=2).fewer == 0 and len(knower.shown) == 2


def test_equal_options_count_whichever_is_chosen(knower, tmp_path):
    rows = [{**ROWS[0], "choices": ["red", "red ", "blue", "pink"]}, ROWS[2]]
    path = tmp_path / "alike.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = exam_questions(path, student="knower")
    assert report.alike == 1
    assert report.overall("text").right == 2


def test_the_table(knower, file):
    printed = lines(exam_questions(file, student="knower"))
    found = [" ".join(line.split()) for line in printed]
    assert found[0] == "knower: 12 questions"
    assert "art 5 100 % 57-100 100 % 57-100" in found
    assert "law 6 50 % 19-81 50 % 19-81" in found
    assert "all questions 11 73 % 43-90 73 % 43-90" in found
    assert "guessing evenly 25 % 25 %" in found
    assert "lost 1 questions: context" in found
    assert "how log-probabilities out of a table" in found
    assert max(len(line) for line in printed if str(file.parent) not in line) <= 80


def test_the_command(knower, file):
    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    def command(as_json):
        given = {
            "students": ("one", "two"),
            "orders": 4,
            "shots": None,
            "seed": 0,
            "by": "letter",
            "treat": (),
            "demonstrations": 5,
            "precision": None,
        }
        take_questions(file, None, quiet=True, as_json=as_json, **given)

    ran = CliRunner().invoke(command, ["--json"])
    assert ran.exit_code == 0, ran.output
    assert [row["accuracy"]["letter"]["right"] for row in json.loads(ran.stdout)] == [8, 8]
    assert "text" not in json.loads(ran.stdout)[0]["accuracy"]
    assert CliRunner().invoke(command, []).stdout.count("guessing evenly") == 2
    with pytest.raises(click.UsageError, match="--treat is about a dataset"):
        take_questions(
            file,
            None,
            quiet=True,
            as_json=False,
            students=(),
            orders=4,
            shots=None,
            demonstrations=5,
            precision=None,
            seed=0,
            by="both",
            treat=("x",),
        )


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"question": "Q", "choices": ["a"], "answer": 0}, "x.jsonl:2: 1 options; a question has 2 to 10"),
        ({"question": "Q", "choices": ["a", "b"], "answer": 4}, "x.jsonl:2: the answer is option 4, counted from 0 to"
         " 1"),
        ({"question": "Q", "choices": ["a", "b"], "answer": "C"}, "x.jsonl:2: expected 0 to 1 or a letter in the column"
         " 'answer', found 'C'"),
        ({"question": "Q", "choices": ["a", "b"]}, "x.jsonl:2: expected 0 to 1 or a letter in the column 'answer',"
         " found nothing"),
        ({"question": "Q", "choices": "ab", "answer": 0}, "x.jsonl:2: expected a list of texts in the column 'choices'"
         " or 'options', found str"),
        ({"prompt": "Q", "choices": ["a", "b"], "answer": 0}, "x.jsonl:2: expected text in the column 'question' or"
         " 'text', found nothing"),
    ],
)  # fmt: skip
def test_a_row_that_is_no_question_is_named(tmp_path, row, problem):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(InputError) as caught:
        exam_questions(path, student="never opened")
    assert str(caught.value) == f"{tmp_path}/{problem}"


def test_what_cannot_be_examined(knower, file, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    for give, problem in (
        ({"source": empty}, "there are no questions in it"),
        ({"shots": empty}, "a demonstration is a question with its answer"),
        ({"source": tmp_path / "no.parquet"}, "there is no such file or folder"),
        ({"orders": 0}, "0 orders of the options; give 1 to 10"),
        ({"demonstrations": -1}, "-1 demonstrations; give 0 to 100"),
        ({"out": file}, "goes to a .jsonl file of its own"),
        ({"out": tmp_path / "x.csv"}, "goes to a .jsonl file of its own"),
    ):
        with pytest.raises(InputError, match=problem):
            exam_questions(**{"source": file, "student": "knower", **give})
    assert knower.asked == 0


def test_letters_and_own_columns_are_read(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"id": 7, "text": "Q", "options": ["a", "b"], "answer": " b ", "knowledge": "K"}))
    assert list(read_questions(path)) == [Question("7", "Q", ("a", "b"), 1, "", "K")]


def test_intervals():
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(15, 20)  # Newcombe 1998 gives .5313 to .8881 for 15 of 20
    assert (round(low, 4), round(high, 4)) == (0.5313, 0.8881)
    assert wilson(20, 20)[1] == 1.0 and wilson(0, 20)[0] == 0.0


def test_guessing_with_votes_and_ties():
    guess = Guess()
    for answer, pick in ((0, 0), (1, None), (2, 0), (0, 3)):
        guess.add(Question("q", "Q", ("a", "b", "c", "d"), answer), pick, 0)
    assert guess.as_json() == {"chance": 0.25, "permuted": (2 * 2 / 4 + 0) / 4}
    assert Guess().as_json() == {"chance": None, "permuted": None}


def test_mmlu_is_read(shared_data):
    questions = list(read_questions(shared_data / "exam" / "mmlu_validation.parquet"))
    assert len(questions) == 1531 and len({question.subject for question in questions}) == 57
    assert questions[0].answer == 1 and len(list(read_questions(shared_data / "exam" / "mmlu_dev.parquet"))) == 285
