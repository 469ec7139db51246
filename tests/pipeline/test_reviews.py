"""The journal of hand decisions, and what it does to a dataset."""

from __future__ import annotations

import json
import threading

import pytest
from runs import accepted, domain_file, dropped, run

from curate.errors import InputError
from curate.io import read_jsonl
from curate.pipeline.export import export_dataset
from curate.pipeline.reviews import Review, Reviews, Tally, author, decided, journal_of, read_reviews, reviewed
from curate.text import content_id
from curate.types import Sample


def turns(question, answer="Yes."):
    return ({"role": "user", "content": question}, {"role": "assistant", "content": answer})


def sample(question):
    return Sample(content_id(turns(question)), turns(question), ("Root", "Leaf"), {"judge": {"score": 4}})


def row(question, stage="rouge", reason="rouge"):
    made = sample(question)
    verdict = {"stage": stage, "reason": reason, "score": 0.9}
    return {"id": made.id, "task": ["Root"], "messages": list(made.messages), "meta": {}, "dropped": verdict}


@pytest.fixture
def reviews(tmp_path):
    return Reviews(tmp_path / "reviews.jsonl")


def test_the_last_decision_counts_and_undo_takes_back_one(reviews):
    reviews.decide("a", Review("accept", author="ada"))
    reviews.decide("a", Review("reject", "wrong answer", author="bob"))
    assert read_reviews(reviews.path).of("a").decision == "reject"
    assert reviews.undo("a").decision == "accept"
    assert read_reviews(reviews.path).of("a").author == "ada"
    assert reviews.undo("a") is None
    assert reviews.undo("a") is None  # nothing is left to take back, and no line is written for it
    lines = [json.loads(line)["decision"] for line in reviews.path.read_text().splitlines()]
    assert lines == ["accept", "reject", "undo", "undo"]
    assert read_reviews(reviews.path).standing == {}


def test_an_edited_text_is_carried_on(reviews):
    reviews.decide("a", Review("edit", messages=turns("New?")))
    reviews.decide("a", Review("reject", "unclear"))
    reviews.decide("a", Review("accept"))
    assert read_reviews(reviews.path).of("a").messages == turns("New?")


def test_a_cut_last_line_is_told_and_makes_room(reviews):
    reviews.decide("a", Review("accept"))
    with reviews.path.open("a") as file:
        file.write('{"id": "b", "decision": "rej')
    again = read_reviews(reviews.path)
    assert [*again.standing] == ["a"]
    assert again.warnings == [
        f"{reviews.path}:2: the last decision was cut off while it was written and is ignored; repeat it"
    ]
    again.decide("c", Review("accept"))
    final = read_reviews(reviews.path)
    assert ([*final.standing], final.warnings) == (["a", "c"], [])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"id": "a", "decision": "maybe"}', "'decision' is one of accept, reject, edit, undo"),
        ('{"decision": "accept"}', "a sample's id"),
        ('{"id": "a", "decision": "edit"}', "needs the new 'messages'"),
        ('{"id": "a", "decision": "edit", "messages": [{"role": "user", "content": " "}]}', "a user's text"),
        ('{"id": "a", "decision": "edit", "messages": [{"role": "tool", "content": "x"}]}', "role and content"),
        ('{"id": "a", "decision": "accept", "reason": 3}', "'reason' must be text"),
        ("[]", "expected an object"),
    ],
)
def test_a_wrong_line_is_named(reviews, line, problem):
    reviews.path.write_text(line + '\n{"id": "b", "decision": "accept"}\n')
    with pytest.raises(InputError, match=r"reviews\.jsonl:1: not a decision") as caught:
        read_reviews(reviews.path)
    assert problem in str(caught.value)


def test_several_writers_lose_nothing(reviews):
    def work(name):
        own = Reviews(reviews.path)
        for number in range(20):
            own.decide(f"{name}-{number}", Review("accept"))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_reviews(reviews.path).standing) == 80


def test_decisions_are_applied(reviews):
    kept = [sample("One?"), sample("Two?"), sample("Three?")]
    out = [row("Four?"), row("Five?"), row("One?", "exact", "exact_duplicate")]
    reviews.decide(kept[0].id, Review("accept", author="ada", time="T1"))
    reviews.decide(kept[1].id, Review("reject", "unclear", author="ada", time="T2"))
    reviews.decide(kept[2].id, Review("edit", messages=turns("Three, please?"), author="bob", time="T3"))
    reviews.decide(out[0]["id"], Review("accept", author="bob", time="T4"))
    reviews.decide("0000000000000000", Review("reject", "of another run"))
    tally = Tally()
    given = [*reviewed(kept, out, reviews, tally)]
    verdicts = [(made.instruction, verdict.keep, verdict.reason) for made, verdict in given]
    assert verdicts == [
        ("One?", True, ""),
        ("Two?", False, "unclear"),
        ("Three, please?", True, ""),
        ("Four?", True, ""),  # the copy of One? does not come in a second time
    ]
    edited, taken_in = given[2][0], given[3][0]
    assert edited.id == content_id(turns("Three, please?"))
    assert edited.meta["review"] == {"decision": "edit", "author": "bob", "time": "T3", "original": kept[2].id}
    assert edited.meta["judge"] == {"score": 4}
    assert taken_in.meta["review"]["dropped"] == {"stage": "rouge", "reason": "rouge"}
    assert (tally.before, tally.after, tally.taken_in, tally.edited, dict(tally.reasons)) == (
        3,
        3,
        1,
        1,
        {"unclear": 1},
    )
    assert tally.line() == "1 rejected, 1 taken in, 1 edited by hand"
    stages, summary = tally.told([("candidates", 5, 3)], {"dropped": {"rouge: rouge": 2}})
    assert stages == [("candidates", 5, 3), ("review", 4, 3)]
    assert summary == {"dropped": {"rouge: rouge": 2, "review: unclear": 1}}


def test_an_edit_that_makes_two_samples_one_leaves_one(reviews):
    kept = [sample("One?"), sample("Two?"), sample("Three?"), sample("One?")]
    out = [row("Four?")]
    reviews.decide(kept[1].id, Review("edit", messages=turns("One?")))
    reviews.decide(out[0]["id"], Review("edit", messages=turns("Three?")))
    tally = Tally()
    given = [(made.instruction, verdict.reason) for made, verdict in reviewed(kept, out, reviews, tally)]
    equal = "equal to another"
    # A file that held a text twice keeps both: decisions are no deduplication.
    assert given == [("One?", ""), ("One?", equal), ("Three?", ""), ("One?", ""), ("Three?", equal)]
    assert (tally.before, tally.taken_in, tally.edited, tally.after) == (4, 1, 0, 3)
    assert tally.line() == "1 taken in by hand; 2 left out as equal to another then"


def test_half_a_surrogate_pair_comes_into_no_dataset(reviews):
    reviews.decide("a", Review("edit", "cut \ud83d", turns("New \ud83d?"), "ada"))
    review = read_reviews(reviews.path).of("a")
    assert (review.reason, review.messages) == ("cut \ufffd", turns("New \ufffd?"))


def test_a_call_that_gave_nothing_cannot_come_in(reviews):
    lost = {"id": "call-x-0", "task": [], "messages": [], "meta": {}, "dropped": {"stage": "parse", "reason": "json"}}
    reviews.decide("call-x-0", Review("accept"))
    assert [*reviewed([], [lost], reviews)] == []


def test_export_and_the_next_run_honour_decisions(tmp_path):
    domain = domain_file(tmp_path)
    report = run(domain, tmp_path / "toy", rows=12)
    rows, left = accepted(report), dropped(report)
    usable = next(each for each in left if each["messages"])
    files = {path: path.read_bytes() for path in report.out.glob("accepted.*")}
    reviews = read_reviews(journal_of(report.out))
    assert reviews.path == report.out / "reviews.jsonl"
    reviews.decide(rows[0]["id"], Review("reject", "wrong answer"))
    reviews.decide(rows[1]["id"], Review("edit", messages=turns("Asked anew, by hand?")))
    reviews.decide(usable["id"], Review("accept"))

    exported = export_dataset(report.out, tmp_path / "out", format="alpaca")
    assert exported.by_hand == "1 rejected, 1 taken in, 1 edited by hand"
    texts = [each["instruction"] for each in read_jsonl(tmp_path / "out" / "train.jsonl")]
    assert (len(texts), exported.rows) == (12, 12)
    assert texts[0] == "Asked anew, by hand?"
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| review | 13 | 12 |" in card
    assert "| review: wrong answer | 1 |" in card

    again = run(domain, tmp_path / "toy", rows=12)
    assert [each["id"] for each in read_jsonl(again.dataset / "train.jsonl")] == [
        each.id for each in decided(report.out)
    ]
    assert any(note.startswith("1 rejected, 1 taken in, 1 edited by hand") for note in again.notes)
    assert {path: path.read_bytes() for path in report.out.glob("accepted.*")} == files


def test_decisions_beside_a_file(tmp_path):
    source = tmp_path / "data.jsonl"
    questions = ["One?", "Two?"]
    source.write_text("".join(json.dumps({"instruction": q, "output": "Yes."}) + "\n" for q in questions))
    (tmp_path / "data.dropped.jsonl").write_text(json.dumps(row("Three?")) + "\n")
    reviews = read_reviews(journal_of(source))
    assert reviews.path == tmp_path / "data.reviews.jsonl"
    reviews.decide(content_id(turns("One?")), Review("reject"))
    reviews.decide(content_id(turns("Three?")), Review("accept"))
    export_dataset(source, tmp_path / "out")
    rows = [*read_jsonl(tmp_path / "out" / "train.jsonl")]
    assert [each["messages"][0]["content"] for each in rows] == ["Two?", "Three?"]


def test_who_decides(monkeypatch):
    monkeypatch.setenv("CURATE_AUTHOR", " Ada ")
    assert author() == "Ada"
    monkeypatch.delenv("CURATE_AUTHOR")
    monkeypatch.setattr("getpass.getuser", lambda: "login")
    assert author() == "login"


def test_show_says_what_was_decided(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from curate.cli import root

    report = run(domain_file(tmp_path), tmp_path / "toy", rows=6)
    first = accepted(report)[0]["id"]
    read_reviews(journal_of(report.out)).decide(first, Review("reject", "wrong answer", author="ada"))
    shown = CliRunner().invoke(root, ["show", str(report.out), "--limit", "2"]).output
    assert shown.count("rejected by ada: wrong answer") == 1
