"""What datasets hold that nobody thought of: each is a clear error or a correct answer, and nothing is lost."""

from __future__ import annotations

import itertools
import json
import random

import numpy as np
import pytest

from curate.errors import InputError, ModelError
from curate.io import read_jsonl, write_jsonl
from curate.pipeline import dedup_find
from curate.pipeline.dedup import dedup_dataset


def rows(path, texts):
    """Every row has an answer of its own, so that no two are equal throughout."""
    made = [{"instruction": text, "output": f"Answer {number}."} for number, text in enumerate(texts)]
    write_jsonl(path, made)
    return path


def outcome(report):
    """Return kept texts and the texts of dropped ones with reason; together they must be what came in."""
    kept = [row["messages"][0]["content"] for row in read_jsonl(report.out)]
    gone = [(row["messages"][0]["content"], row["dropped"]["reason"]) for row in read_jsonl(report.dropped_file)]
    ids = {row["id"] for row in read_jsonl(report.out)}
    assert {row["dropped"]["neighbour"] for row in read_jsonl(report.dropped_file)} <= ids
    assert len(kept) + len(gone) == report.total
    return kept, gone


@pytest.mark.parametrize("settings", [{}, {"rouge": None}, {"embedder": "chargrams"}, {"embedder": "none"}], ids=str)
def test_texts_of_nothing_are_like_nothing(tmp_path, settings):
    texts = ["", "", "   ", "...", "Name a river.", "Name a river!"]
    kept, gone = outcome(dedup_dataset(rows(tmp_path / "data.jsonl", texts), keep="first", **settings))
    assert kept == texts[:5] and gone == [("Name a river!", "normalised_duplicate")]


def test_copies_of_a_row_without_text_are_copies(tmp_path):
    path = tmp_path / "data.jsonl"
    write_jsonl(path, [{"instruction": "", "output": "Well."}] * 3)
    assert dedup_dataset(path).reasons == {"exact: exact_duplicate": 2}


@pytest.mark.parametrize("keep", ["best", "first", "longest", "center", "facility"])
def test_texts_of_one_word(tmp_path, keep):
    texts = ["Sing", "sing!", "Dance", "Run", "running", "跑", "xqzzy"]
    kept, gone = outcome(dedup_dataset(rows(tmp_path / "data.jsonl", texts), keep=keep))
    assert [reason for _, reason in gone] == ["normalised_duplicate"]
    assert {text.strip("!").lower() for text in kept} == {"sing", "dance", "run", "running", "跑", "xqzzy"}


def test_many_languages_in_one_file(tmp_path):
    texts = [
        "Write a poem about the sea.", "写一首关于大海的诗。", "写一首关于大海的诗!", "Écris un poème sur la mer.",
        "海についての詩を書いてください。", "Напиши стихотворение о море.", "اكتب قصيدة عن البحر.",
        "Write 一首 poem about 大海.",
    ]  # fmt: skip
    path = rows(tmp_path / "data.jsonl", texts)
    for language in ("en", "zh"):
        kept, gone = outcome(dedup_dataset(path, keep="first", language=language, out=tmp_path / f"{language}.jsonl"))
        assert gone == [(texts[2], "normalised_duplicate")] and len(kept) == 7


@pytest.mark.parametrize("most", [dedup_find.MOST, 50])
@pytest.mark.parametrize("keep", ["best", "first", "longest"])
def test_different_texts_of_one_vector_leave_one(tmp_path, monkeypatch, keep, most):
    """The shipped encoder is a bag of words: the same words in another order are the same vector."""
    monkeypatch.setattr(dedup_find, "MOST", most)
    orders = list(itertools.permutations(["write", "a", "short", "poem", "about", "cold", "seas"]))[:300]
    texts = [" ".join(words) for words in orders]
    report = dedup_dataset(rows(tmp_path / "data.jsonl", texts), keep=keep, rouge=None)
    kept, gone = outcome(report)
    assert len(kept) == 1 and {reason for _, reason in gone} == {"semantic_duplicate"}
    assert report.search.startswith("exact, one by one") == (most == 50)


def test_copies_without_end(tmp_path):
    path = tmp_path / "data.jsonl"
    line = json.dumps({"instruction": "Name a river.", "output": "The Rhine."}) + "\n"
    path.write_text(line * 20_000)
    report = dedup_dataset(path)
    assert (report.kept, dict(report.reasons)) == (1, {"exact: exact_duplicate": 19_999})
    assert report.groups[0].count == 19_999 and len(report.groups[0].copies) == 8


class Sick:
    """An encoder that is well for the first texts, and gives no numbers from the 6,000th on."""

    name = identity = "sick"
    default_threshold = 0.9
    dim = 2

    def __init__(self):
        self.encoded = 0

    def encode(self, texts):
        vectors = np.tile(np.array([[1, 0]], dtype=np.float32), (len(texts), 1))
        if self.encoded + len(texts) > 6_000:
            vectors[-1] = np.nan
        self.encoded += len(texts)
        return vectors


def test_no_numbers_half_way_leave_the_files_of_before(tmp_path, monkeypatch):
    path = rows(tmp_path / "data.jsonl", ["Name a river.", "Name a river!"])
    before = dedup_dataset(path)
    files = {file: file.read_bytes() for file in (before.out, before.dropped_file, before.page)}
    rows(path, [f"Name river number {number}." for number in range(7_000)])
    monkeypatch.setattr(dedup_find, "open_encoder", lambda name: Sick())
    with pytest.raises(ModelError, match="the encoder gave a vector of length nan"):
        dedup_dataset(path, embedder="minilm", rouge=None)
    assert {file: file.read_bytes() for file in files} == files
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_a_dataset_without_what_is_named(tmp_path):
    path = tmp_path / "data.jsonl"
    write_jsonl(path, [{"title": "a", "body": "b"}])
    with pytest.raises(InputError, match=r"data\.jsonl:1: no known format has the fields body, title"):
        dedup_dataset(path)
    good = rows(tmp_path / "good.jsonl", ["Name a river."])
    with pytest.raises(InputError, match="no row has a number in the column 'stars'"):
        dedup_dataset(good, score="stars")
    with pytest.raises(InputError, match="the field is 'question'; it takes 'text'"):
        dedup_dataset(good, field="question")
    with pytest.raises(InputError, match=r"nowhere\.jsonl"):
        dedup_dataset(good, against=tmp_path / "nowhere.jsonl")
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == ["data.jsonl", "good.jsonl"]


def test_the_cache_of_another_encoder_is_not_used(tmp_path):
    texts = [f"Name the river number {number} of this land." for number in range(40)]
    random.Random(0).shuffle(texts)
    path = rows(tmp_path / "data.jsonl", texts)
    static = dedup_dataset(path, threshold=0.8, rouge=None)
    other = dedup_dataset(path, threshold=0.8, rouge=None, embedder="chargrams")
    assert not other.again and other.kept != static.kept
    alone = dedup_dataset(path, threshold=0.8, rouge=None, embedder="chargrams", out=tmp_path / "alone.jsonl")
    assert alone.out.read_bytes() == other.out.read_bytes()
