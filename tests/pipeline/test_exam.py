"""`curate exam` on a dataset: what is known, what becomes of the rest, and that nothing is lost or asked twice."""

from __future__ import annotations

import json
from pathlib import Path

import exam_teacher
import exam_world
import pytest
from exam_world import Knowing, knows, rows

from curate.errors import InputError, ModelError
from curate.io import read_jsonl, write_jsonl
from curate.pipeline.exam import exam_dataset
from curate.pipeline.exam_setup import Options
from curate.stages.exam.sheet import Sheet
from curate.types import Request

TEACHER = f"scripted:{exam_world.__file__}"
HERE = Path(__file__).parent


@pytest.fixture
def students(monkeypatch):
    """Students by their spec, which is what opens them; each test may put others in."""
    import curate.models.students as opener

    made = {name: Knowing(name) for name in ("half", "other", "all", "none")}
    real = opener.open_student
    monkeypatch.setattr(
        opener, "open_student", lambda spec, **options: made[spec] if spec in made else real(spec, **options)
    )
    return made


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.jsonl"
    write_jsonl(path, rows(8))
    return path


def examined(data, *students, treat=("open_book", "discard", "refuse"), **options):
    return exam_dataset(data, Options(students=students or ("half",), treat=treat, teacher=TEACHER, **options))


def read(path):
    return list(read_jsonl(path))


def written(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.json*"))}


def places(data):
    return [exam_teacher.place_of(row["messages"][0]["content"]) for row in read(data)]


def test_each_treatment_changes_what_is_not_known_and_nothing_else(data, students, tmp_path):
    report = examined(data)
    source, known = read(data), [not place or knows("half", place) for place in places(data)]
    assert sorted(known) != known
    assert 0 < known.count(False) < 8
    book, discard, refuse = (read(arm.out) for arm in report.arms)
    assert [arm.out.name for arm in report.arms] == [
        f"data.exam.{name}.jsonl" for name in ("open_book", "discard", "refuse")
    ]
    for row, before, place, fine in zip(book, source, places(data), known, strict=True):
        asked = before["messages"][0]["content"]
        want = asked if fine else f"{exam_teacher.knowledge_of(place)}\n{asked}"
        assert [turn["content"] for turn in row["messages"]] == [want, before["messages"][1]["content"]]
    assert [row["messages"] for row in discard] == [
        row["messages"] for row, ok in zip(source, known, strict=True) if ok
    ]
    for row, before, fine in zip(refuse, source, known, strict=True):
        assert row["messages"][0] == before["messages"][0]
        assert (row["messages"][1] == before["messages"][1]) is fine
    dropped = read(tmp_path / "data.exam.discard.dropped.jsonl")
    assert {row["dropped"]["reason"] for row in dropped} == {"inconsistent"}
    assert len(discard) + len(dropped) == 10
    assert report.exit_code == 0


def test_what_cannot_be_examined_is_in_no_arm_and_in_a_file_of_its_own(tmp_path, students):
    sound, wrong, late = (
        exam_teacher.sample("Ulmia"),
        exam_teacher.sample("Karst", true=False),
        exam_teacher.sample("Verdan", fault="length!"),
    )
    mute = {
        "messages": [{"role": "user", "content": "What is the capital of Mute?"}, {"role": "assistant", "content": " "}]
    }
    lost = {"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "Yes."}]}
    data = tmp_path / "data.jsonl"
    write_jsonl(data, [*({"messages": list(each.messages)} for each in (sound, wrong, late)), mute, lost])
    report = examined(data, "none", "all")
    assert len(report.arms) == 6
    aside = read(report.set_aside_file)
    assert [(row["dropped"]["reason"], row["dropped"]["detail"]) for row in aside] == [
        ("doubtful", "The capital is another.")
    ]
    for arm in report.arms:
        kept, dropped = read(arm.out), read(arm.dropped_file)
        assert len(kept) + len(dropped) + len(aside) == 5
        assert [row["dropped"]["reason"] for row in dropped][-2:] == ["no_response", "no_instruction"]
        assert arm.kept == len(kept)
        assert sum(arm.dropped.values()) == len(dropped)
    calls = [Sheet.from_dict(row).calls for row in read(report.folder / "sheets.jsonl")]
    assert calls[3:] == [(), ()]
    assert report.set_aside == {"doubtful": 1}


def test_a_whole_conversation_is_treated_at_its_ends(tmp_path, students):
    place = "Ulmia"
    turns = [("system", "Be brief."), ("user", f"Hello, what is the capital of {place}?"), ("assistant", "Hm."),
             ("user", "Say it."), ("assistant", exam_teacher.fact("capital", place))]  # fmt: skip
    data = tmp_path / "data.jsonl"
    write_jsonl(data, [{"messages": [{"role": role, "content": text} for role, text in turns]}])
    report = examined(data, "none", treat=("open_book", "refuse"))
    (book,), (refused,) = (read(arm.out) for arm in report.arms)
    texts = [text for _, text in turns]
    assert [turn["content"] for turn in book["messages"]] == [
        texts[0], f"{exam_teacher.knowledge_of(place)}\n{texts[1]}", *texts[2:]
    ]  # fmt: skip
    assert [turn["content"] for turn in refused["messages"]][:4] == texts[:4]
    assert refused["messages"][4]["content"] not in texts


def test_another_threshold_or_rule_asks_nothing(data, students):
    first = examined(data, treat=("discard",))
    asked = students["half"].asked
    again = examined(data, treat=("discard",), threshold=0.95)
    assert (again.stats.calls, students["half"].asked) == (0, asked)
    assert first.stats.calls > 0
    assert again.figures["students"][0]["classes"]["consistent"] == 0  # it gives .91 to what it knows
    votes = examined(data, treat=("discard",), rule="votes")
    assert (votes.stats.calls, students["half"].asked) == (0, asked)
    kept = [report.figures["students"][0]["classes"]["consistent"] for report in (first, votes)]
    assert kept[0] == kept[1] == sum(bool(place) and knows("half", place) for place in places(data))


def test_scores_for_several_thresholds_are_kept(data, students):
    report = examined(data, treat=())
    known = sum(bool(place) and knows("half", place) for place in places(data))
    way = report.figures["students"][0]["ways"]["letter"]
    assert way["passing"]["mean"] == [[limit / 10, known] for limit in range(3, 10)]
    assert dict(map(tuple, way["passing"]["votes"]))[2 / 3] == known
    # An even guesser and a sure one: of 4 ** 3 keys, one fits all three sure answers.
    assert way["luck"]["mean"] == pytest.approx(known / 8 / 64, abs=1e-6)
    assert way["luck"]["votes"] == pytest.approx(10 / 64)
    scores = read(report.folder / "scores.jsonl")
    assert [row["scores"]["half"]["letter"]["right"] for row in scores[:8]] == [
        3 if knows("half", place) else 0 for place in places(data)[:8]
    ]
    assert report.arms == []


def test_several_students_share_one_exam(data, students):
    report = examined(data, "half", "other", treat=("discard",))
    assert [arm.out.name for arm in report.arms] == ["data.exam.half.discard.jsonl", "data.exam.other.discard.jsonl"]
    alone = examined(data, "other", treat=("discard",))
    assert alone.stats.calls == 0
    for label in ("half", "other"):
        kept = {row["messages"][0]["content"] for row in read(data.with_name(f"data.exam.{label}.discard.jsonl"))}
        want = [not place or knows(label, place) for place in places(data)]
        assert kept == {row["messages"][0]["content"] for row, ok in zip(read(data), want, strict=True) if ok}
    assert read(alone.arms[0].out)[0]["messages"] == read(report.arms[1].out)[0]["messages"]


def test_a_question_that_samples_share_is_put_once_and_counts_for_each(tmp_path, students):
    made = rows(4, plain=0)
    again = [{"messages": [{**row["messages"][0], "content": row["messages"][0]["content"] + " Say it."},
                           row["messages"][1]]} for row in made[:2]]  # fmt: skip
    data = tmp_path / "data.jsonl"
    write_jsonl(data, [*made, *again])
    report = examined(data, treat=("discard",), orders=1)
    assert report.figures["questions"]["accepted"] == 18
    # Twelve questions, by letter and by text, with the knowledge and without.
    assert students["half"].asked == 12 * 2 * 2
    assert len(read(report.folder / "answers.half.jsonl")) == 12
    scores = [row["scores"]["half"] for row in read(report.folder / "scores.jsonl")]
    assert scores[4:] == scores[:2] and scores[0]["letter"]["questions"] == 3


def test_cues_of_all_drafts_are_told_beside_those_of_the_questions(tmp_path, students):
    data = tmp_path / "data.jsonl"
    made = [exam_teacher.sample(f"Land{letter}", fault="length" if letter < "c" else "") for letter in "abcd"]
    write_jsonl(data, [{"messages": list(sample.messages)} for sample in made])
    found = examined(data, treat=()).figures["questions"]
    assert (found["written"], found["accepted"], found["rejected"]) == (14, 12, {"length": 2})
    assert found["cues"]["stands_out"][:2] == [0, 0] and found["draft_cues"]["stands_out"][:2] == [0, 2]


def test_a_student_that_cannot_read_the_exam_is_told_so_and_nothing_is_treated(data, students):
    students["blind"] = Knowing("all", reads=False)
    report = examined(data, "blind", "half", treat=("discard",))
    assert report.unable == ["blind"]
    assert report.exit_code == 1
    assert [arm.student for arm in report.arms] == ["half"]
    blind = next(each for each in report.figures["students"] if each["label"] == "blind")
    assert (blind["able"], blind["control"]["letter"]) == (False, [0, 24])
    assert not data.with_name("data.exam.blind.discard.jsonl").exists()
    assert len(read(report.folder / "scores.jsonl")) == 10


def test_who_knows_more_than_its_letters_show_is_read_by_text(data, students):
    students["shy"] = Knowing("half", letters=False)
    report = examined(data, "shy", treat=("discard",))
    shy = report.figures["students"][0]
    assert (shy["way"], shy["control"]) == ("text", {"letter": [0, 24], "text": [24, 24]})
    known = shy["classes"]["consistent"]
    assert shy["differ"] == {"only_way": known, "same": 8 - known}
    by_letter = examined(data, "shy", treat=("discard",), by="letter")
    assert by_letter.unable == ["shy"]


def test_a_student_without_log_probabilities_votes(data, students):
    report = examined(data, f"scripted:{HERE / 'exam_student.py'}", treat=("discard",))
    student = report.figures["students"][0]
    assert (student["votes"], student["way"], student["rule"], student["threshold"]) == (True, "votes", "votes", 2 / 3)
    assert "exam_student.py gives no log-probabilities: the rule votes decides, at 0.67" in report.notes
    surely = sum(bool(place) and knows("votes", place) for place in places(data))
    assert student["classes"]["consistent"] >= surely
    assert student["ways"]["votes"]["luck"]["votes"] < 10 / 64  # of 20 votes, the right letter has the most less often
    assert examined(data, f"scripted:{HERE / 'exam_student.py'}", treat=("refuse",)).stats.calls == 0


def test_questions_longer_than_the_context_are_set_aside(data, students):
    long = "X" * 600
    turns = ("user", f"What is the capital of {long}?"), ("assistant", exam_teacher.fact("capital", long))
    write_jsonl(data, [*rows(3), {"messages": [{"role": role, "content": text} for role, text in turns]}])
    students["short"] = Knowing("all", room=10)
    report = examined(data, "short", treat=("discard",))
    assert report.unable == ["short"]
    student = report.figures["students"][0]
    assert student["lost"] == 12
    assert student["error"].startswith("context: ")
    students["roomy"] = Knowing("all ", room=500)
    report = examined(data, "roomy", treat=("discard",))
    assert report.unable == []
    assert report.set_aside == {"not_put": 1}
    (row,) = read(report.set_aside_file)
    assert row["messages"][0]["content"] == turns[0][1]
    assert row["dropped"]["reason"] == "not_put"


class KilledError(BaseException):
    """What a kill is to whoever looks at the files afterwards."""


def test_killed_anywhere_it_ends_with_the_same_bytes(tmp_path, students):
    def begin(folder):
        data = tmp_path / folder / "data.jsonl"
        data.parent.mkdir()
        write_jsonl(data, rows(5))
        return data

    def ticks(data, end):
        """Examine it, killed when it has been told `end` times how far it is; return how often it was."""
        told = 0

        def tick(done, total):
            nonlocal told
            told += 1
            if told == end:
                raise KilledError

        asked = Options(students=("half",), treat=("discard", "refuse"), teacher=TEACHER)
        exam_dataset(data, asked, tick=tick)
        return told

    whole, cut = begin("whole"), begin("cut")
    total = ticks(whole, 0)
    assert total > 20
    for end in range(8, total + 1, 2):
        with pytest.raises(KilledError):
            ticks(cut, end)
        assert not list(cut.parent.glob("data.exam.*.jsonl"))
    ticks(cut, 0)
    want, got = written(whole.parent), written(cut.parent)
    assert got.keys() == want.keys()
    # figures.json has the latencies of the calls.
    assert [name for name in want if got[name] != want[name]] in ([], ["figures.json"])


def test_a_budget_ends_it_before_anything_is_written_and_a_larger_one_goes_on(data, students):
    report = examined(data, budget_calls=9)
    assert (report.stopped, report.exit_code, report.figures) == ("budget", 3, None)
    assert not list(data.parent.glob("data.exam.*.jsonl"))
    again = examined(data, budget_calls=1000)
    assert (again.stopped, again.exit_code) == ("", 0)
    fresh = data.with_name("fresh.jsonl")
    write_jsonl(fresh, rows(8))
    whole = examined(fresh)
    assert again.stats.calls + report.stats.calls == whole.stats.calls
    assert [arm.out.read_bytes() for arm in again.arms] == [arm.out.read_bytes() for arm in whole.arms]


def test_the_plan_is_told_before_anything_is_asked(data, students):
    seen = []
    asked = Options(students=("half",), teacher=TEACHER)
    report = exam_dataset(
        data, asked, planned=lambda plan: seen.append((plan.calls, plan.paid, students["half"].asked))
    )
    assert seen == [(report.plan.calls, 0, 0)]
    assert (report.plan.rows, report.plan.examined) == (10, 10)
    assert report.plan.steps[0].name == "need"
    assert report.plan.steps[0].calls == 10


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"students": ()}, "which student"),
        ({"students": ("half", "half")}, "half is given twice"),
        ({"treat": ("forget",)}, "treat is 'forget'; it takes open_book, discard, refuse"),
        ({"rule": "median"}, "rule is 'median'; it takes mean, votes"),
        ({"by": "ear"}, "by is 'ear'; it takes letter, text, both"),
        ({"threshold": 1.5}, "the threshold is 1.5"),
        ({"threshold": 0.0}, "the threshold is 0"),
        ({"questions_per_sample": 9}, "it takes 1 to 8"),
        ({"orders": 0}, "0 orders of the options; give 1 to 10"),
        ({"demonstrations": 101}, "101 demonstrations; give 0 to 100"),
        ({"precision": "int8"}, "the precision is 'int8'; it takes float32"),
        ({"students": ("openai:m@http://x",), "precision": "float32"}, "a precision is for a student in process"),
        ({"teacher": None}, "who writes the exam"),
        ({"teacher": "procedural"}, "who writes the exam"),
        ({"teacher": "gpt"}, "no model is named 'gpt'"),
        ({"language": "xx"}, "the language is 'xx'"),
        ({"documents": Path("missing")}, "missing: there is no such folder of documents"),
        ({"shots": Path("missing.jsonl")}, "missing.jsonl"),
        ({"out": Path("out.csv")}, "samples are written as JSON lines"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said_before_anything_is_made(data, students, options, says):
    asked = {"students": ("half",), "treat": ("discard",), "teacher": TEACHER, **options}
    with pytest.raises(InputError, match=says):
        exam_dataset(data, Options(**asked))
    assert [path.name for path in data.parent.iterdir()] == ["data.jsonl"]


def test_a_student_that_cannot_be_had_is_found_before_anything_is_paid(data, monkeypatch):
    import curate.models.students as opener
    from curate.models.ledger_view import read_totals

    def gone(spec, **options):
        raise InputError(f"the student '{spec}' cannot be loaded")

    monkeypatch.setattr(opener, "open_student", gone)
    with pytest.raises(InputError, match="the student 'gone' cannot be loaded"):
        examined(data, "gone")
    assert read_totals(data.parent / "data.exam" / "calls.sqlite") == []


def test_a_budget_that_is_spent_before_a_student_is_opened_ends_it_as_any_other(data, monkeypatch):
    import curate.models.students as opener

    def asked(spec, engine, **options):
        done = next(iter(engine.run([Request("teacher", ({"role": "user", "content": "Can you?"},), 8)])))
        raise ModelError(f"the student cannot be asked: {done.failure.message}")

    monkeypatch.setattr(opener, "open_student", asked)
    report = examined(data, "served", budget_calls=0)
    assert (report.stopped, report.exit_code, report.figures) == ("budget", 3, None)


def test_the_page_holds_the_figures_and_no_markup_of_the_data(data, students):
    report = examined(data)
    page = report.page.read_text(encoding="utf-8")
    assert report.page == data.parent / "data.exam" / "exam.html"
    assert "data-exam" in page
    figures = json.loads((report.folder / "figures.json").read_text(encoding="utf-8"))
    assert figures == report.figures
    assert exam_teacher.fact("capital", places(data)[0]) not in page  # packed, not markup
