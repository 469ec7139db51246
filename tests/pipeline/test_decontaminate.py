"""Samples that contain benchmark text: exact verdicts on planted copies, whole files, and what cannot be used."""

from __future__ import annotations

import json

import pytest

import curate
from curate.errors import InputError
from curate.io import read_jsonl
from curate.pipeline.decontaminate import decontaminate_dataset

EXAM = [
    {
        "id": "ships",
        "question": "A harbour master counts seventeen grey freighters and twice as many red tugs before breakfast; "
        "how many vessels has she written into the ledger by then?",
        "answer": "Twice seventeen tugs are thirty-four, so together with the freighters she has written fifty-one.",
    },
    {"id": "short", "question": "What is two plus two?", "answer": "4"},
]
COPY = EXAM[0]["question"]
TEXTS = {
    "verbatim": COPY,
    "other case and punctuation": COPY.upper().replace(";", " -").replace("?", "!"),
    "inside a longer text": f"Read this and answer with one number only. {COPY} Show your work.",
    "other words": "A dockyard clerk sees several grey cargo boats; say how many hulls are in the book at noon.",
    "short": "What is two plus two?",
}


@pytest.fixture
def exam(tmp_path):
    path = tmp_path / "exam.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in EXAM))
    return path


def rows(path, texts):
    path.write_text("".join(json.dumps({"prompt": text, "completion": "So be it."}) + "\n" for text in texts))
    return path


def test_copies_are_dropped_with_the_passage_that_both_have(tmp_path, exam):
    data = rows(tmp_path / "data.jsonl", TEXTS.values())
    report = decontaminate_dataset(data, against=f"harbour={exam}", embedder="none", out=tmp_path / "clean.jsonl")
    kept = [row["messages"][0]["content"] for row in read_jsonl(report.out)]
    assert kept == [TEXTS["other words"], TEXTS["short"]]
    dropped = list(read_jsonl(report.dropped_file))
    assert len(kept) + len(dropped) == report.total == len(TEXTS)
    for row in dropped:
        verdict = row["dropped"]
        assert (verdict["stage"], verdict["reason"]) == ("decontaminate", "ngram")
        assert (verdict["benchmark"], verdict["item"], verdict["of"]) == ("harbour", "ships", "question")
        assert verdict["passage"] in row["messages"][0]["content"] and verdict["benchmark_passage"] in COPY
    assert [(one.name, one.items, one.ngram, one.semantic) for one in report.benchmarks] == [("harbour", 2, 3, 0)]


def test_an_answer_alone_counts_whoever_says_it(tmp_path, exam):
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps({"prompt": "Count the vessels.", "completion": EXAM[0]["answer"]}) + "\n")
    report = decontaminate_dataset(data, against=exam, embedder="none", out=tmp_path / "clean.jsonl")
    (row,) = read_jsonl(report.dropped_file)
    assert (row["dropped"]["of"], row["dropped"]["message"], row["dropped"]["benchmark"]) == (
        "answer", "assistant", "exam",
    )  # fmt: skip


def test_the_order_of_the_samples_changes_no_verdict(tmp_path, exam):
    outcomes = []
    for name, texts in (("a", list(TEXTS.values())), ("b", list(TEXTS.values())[::-1])):
        data = rows(tmp_path / f"{name}.jsonl", texts)
        report = decontaminate_dataset(data, against=exam, out=tmp_path / f"{name}-clean.jsonl")
        outcomes.append({row["id"]: row["dropped"] for row in read_jsonl(report.dropped_file)})
    assert outcomes[0] == outcomes[1] and len(outcomes[0]) == 3


def test_meaning_finds_what_the_words_hide(tmp_path, exam):
    hidden = COPY.replace("counts", "has counted").replace("before breakfast", "ahead of breakfast")
    hidden = hidden.replace("twice as many", "double as many").replace("written into", "entered in")
    data = rows(tmp_path / "data.jsonl", [hidden, "Name three rivers that end in the Black Sea."])
    report = decontaminate_dataset(data, against=exam, threshold=0.8, out=tmp_path / "clean.jsonl")
    (row,) = read_jsonl(report.dropped_file)
    assert row["messages"][0]["content"] == hidden
    assert row["dropped"]["item"] == "ships" and row["dropped"]["score"] > 0.5


@pytest.mark.parametrize(
    ("against", "said"),
    [
        ("gsm9k", "gsm8k"),
        ("", "which benchmarks"),
        ("gsm8k,GSM8K", "given twice"),
        ("{empty}", "no text to look for"),
    ],
)
def test_what_cannot_be_compared_with_is_said_in_one_line(tmp_path, exam, against, said):
    data = rows(tmp_path / "data.jsonl", TEXTS.values())
    empty = tmp_path / "empty.jsonl"
    empty.write_text(json.dumps({"question": "What is two plus two?", "answer": "4"}) + "\n")
    with pytest.raises(InputError, match=said) as error:
        decontaminate_dataset(data, against=against.format(exam=exam, empty=empty), out=tmp_path / "clean.jsonl")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "clean.jsonl").exists()


def test_from_python_the_clean_rows_come_back(tmp_path, exam):
    data = rows(tmp_path / "data.jsonl", TEXTS.values())
    clean = curate.decontaminate(data, against=exam, out=tmp_path / "clean.jsonl", quiet=True)
    assert clean.num_rows == 2


def test_the_training_half_of_gsm8k_holds_two_of_its_test_problems(tmp_path, shared_data):
    report = decontaminate_dataset(
        shared_data / "gsm8k" / "train.jsonl", against=f"gsm8k={shared_data / 'gsm8k' / 'test.jsonl'}",
        embedder="none", out=tmp_path / "clean.jsonl",
    )  # fmt: skip
    assert (report.total, report.kept) == (7473, 7471)
    assert {row["dropped"]["item"] for row in read_jsonl(report.dropped_file)} == {"603"}


def test_one_benchmark_under_two_names_is_refused(tmp_path, exam, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = rows(tmp_path / "data.jsonl", TEXTS.values())
    (tmp_path / "link.jsonl").symlink_to(exam)
    for other in ("b=exam.jsonl", "./exam.jsonl", str(exam), "link.jsonl"):
        with pytest.raises(InputError, match=r"'a=exam\.jsonl' and '.*' are the same benchmark; leave one of them out"):
            decontaminate_dataset(data, against=f"a=exam.jsonl,{other}", embedder="none")
    with pytest.raises(InputError, match=r"'exam\.jsonl' is given twice"):
        decontaminate_dataset(data, against="exam.jsonl,exam.jsonl", embedder="none")
    with pytest.raises(InputError, match="'gsm8k' is given twice"):
        decontaminate_dataset(data, against="gsm8k,openai/GSM8K", embedder="none")
    assert not (tmp_path / "data.decontaminated.jsonl").exists()
    # Another file of the same name, or with the same rows, is another benchmark.
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "exam.jsonl").write_bytes(exam.read_bytes())
    report = decontaminate_dataset(data, against="exam.jsonl,other/exam.jsonl", embedder="none")
    assert [one.name for one in report.benchmarks] == ["exam", "other/exam.jsonl"]
