"""The user's documents: passages with their spans, and the two rankings that find them."""

from __future__ import annotations

import json
import random
import shutil
from itertools import pairwise
from math import log
from pathlib import Path

import numpy as np
import pytest

from curate.embed import open_encoder
from curate.errors import InputError
from curate.stages.exam.documents import (
    DEPTH,
    K1,
    PASSAGE,
    QUERY,
    B,
    Documents,
    Passage,
    Span,
    cut,
    read_documents,
    search_tokens,
)


def passages(*texts: str) -> list[Passage]:
    return [Passage(Span(f"{number}.txt", 0, len(text)), text) for number, text in enumerate(texts)]


def found(documents: Documents, *queries: str, count: int = 4) -> list[str]:
    return [passage.span.file for passage in documents.search(queries, count)]


def test_passages_are_whole_paragraphs_up_to_a_length():
    text = "  First.\n\nSecond,\non two lines.\r\n \n" + "x" * (PASSAGE - 30) + "\n\n# Heading\nUnder it.\n\nMore.\n"
    spans = cut(text)
    assert [text[start:end] for start, end in spans] == [
        "First.\n\nSecond,\non two lines.",
        "x" * (PASSAGE - 30),
        "# Heading\nUnder it.\n\nMore.",
    ]
    assert cut("") == cut(" \n\n ") == []
    text = "# Book\n\n## Chapter\nText.\n## Next\n### Part\n\nMore.\n# End"
    assert [text[start:end] for start, end in cut(text)] == [
        "# Book\n\n## Chapter\nText.",
        "## Next\n### Part\n\nMore.",
        "# End",
    ]


def test_a_long_paragraph_is_cut_between_sentences_and_a_long_sentence_where_it_must():
    sentence = "Word " * 60 + "end."
    text = f"{sentence} {sentence} {sentence} {sentence}"
    assert [text[start:end] for start, end in cut(text)] == [f"{sentence} {sentence} {sentence}", sentence]
    chinese = "这是一个很长的句子" * 30 + "。"
    assert [end - start for start, end in cut(chinese * 5)] == [3 * len(chinese), 2 * len(chinese)]
    assert cut("x" * (2 * PASSAGE + 5)) == [(0, PASSAGE), (PASSAGE, 2 * PASSAGE), (2 * PASSAGE, 2 * PASSAGE + 5)]


def test_no_letter_is_lost_and_no_span_overlaps():
    rng = random.Random(5)
    for _ in range(200):
        text = "".join(rng.choices(["word ", "End. ", "\n", "\n\n", "# Title\n", "长句。", "x" * 700, " "], k=40))
        spans = cut(text)
        kept = "".join(text[start:end] for start, end in spans)
        assert "".join(kept.split()) == "".join(text.split())
        assert all(0 < end - start <= PASSAGE for start, end in spans)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_files_of_three_kinds_are_read_with_their_spans(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.md").write_text("# One\nText of one.\n\n# Two\nText of two.\n")
    (tmp_path / "a.TXT").write_bytes("\ufeffPlain text, with a mark of byte order.".encode())
    rows = [{"text": "A row."}, {"id": 7, "content": "Another one."}]
    (tmp_path / "c.jsonl").write_text(json.dumps(rows[0]) + "\n\n" + json.dumps(rows[1]) + "\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "old.md").write_text("Not a document.")
    read = list(read_documents(tmp_path))
    assert [(p.span.file, p.span.row, p.text) for p in read] == [
        ("a.TXT", 0, "Plain text, with a mark of byte order."),
        ("b/notes.md", 0, "# One\nText of one."),
        ("b/notes.md", 0, "# Two\nText of two."),
        ("c.jsonl", 1, "A row."),
        ("c.jsonl", 3, "Another one."),
    ]
    text = (tmp_path / "b" / "notes.md").read_text()
    assert all(text[p.span.start : p.span.end] == p.text for p in read[1:3])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "a.jsonl",
            b'{"title": "x", "body": "y"}\n',
            "a.jsonl:1: no text; a row of documents has one of the fields text",
        ),
        ("a.jsonl", b'{"text": "x"}\n{"text": 3}\n', "a.jsonl:2: no text"),
        ("a.jsonl", b'{"text": "x"\n{"text": "y"}\n', "a.jsonl:1: not JSON"),
        ("a.txt", b"caf\xe9", "a.txt: not UTF-8 text"),
        ("a.pdf", b"%PDF", "no documents in it; files of these kinds are read: .txt, .md, .markdown, .jsonl"),
    ],
)
def test_a_wrong_document_is_named(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        list(read_documents(tmp_path))
    assert says in str(error.value)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere: there is no such folder of documents"):
        list(read_documents(tmp_path / "nowhere"))


def bm25(query: str, texts: list[str]) -> list[float]:
    """The formula as it stands in Robertson & Zaragoza, text by text."""
    split = [search_tokens(text) for text in texts]
    mean = sum(map(len, split)) / len(split)
    scores = []
    for tokens in split:
        score = 0.0
        for word in set(search_tokens(query)):
            n, times = sum(word in other for other in split), tokens.count(word)
            weight = log(1 + (len(texts) - n + 0.5) / (n + 0.5))
            score += weight * times * (K1 + 1) / (times + K1 * (1 - B + B * len(tokens) / mean))
        scores.append(score)
    return scores


def test_words_rank_as_bm25_defines_it():
    rng = random.Random(7)
    words = [f"word{n}" for n in range(40)]
    texts = [" ".join(rng.choices(words, k=rng.randint(3, 30))) for _ in range(60)]
    documents = Documents(passages(*texts))
    for _ in range(20):
        query = " ".join(rng.choices([*words, "unknown"], k=4))
        scores = bm25(query, texts)
        order = sorted((n for n in range(60) if scores[n] > 0), key=lambda n: (-scores[n], n))[:DEPTH]
        assert found(documents, query, count=60) == [f"{n}.txt" for n in order]


def test_chinese_is_found_by_neighbouring_characters():
    documents = Documents(passages("中国的首都是北京。", "京北有一座山。", "长江是中国最长的河流。"))
    assert search_tokens("北京a1") == ["北", "京", "a1", "北京"]
    assert found(documents, "北京", count=2) == ["0.txt", "1.txt"]
    assert found(documents, "最长的河", count=1) == ["2.txt"]


class Compass:
    """An encoder of two dimensions: north and east, by the words in a text."""

    name = "compass"
    default_threshold = None
    dim = 2

    def encode(self, texts):
        rows = np.array([[text.count("north") + text.count("polar"), text.count("east")] for text in texts], np.float32)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def test_both_rankings_are_fused_by_their_ranks():
    texts = ("polar polar", "north and east", "east", "west")
    documents = Documents(passages(*texts), Compass())
    # By words, 1 alone has "north"; by vectors, 0 comes first and 1 after it; 2 and 3 point away and share no word.
    assert found(documents, "north") == ["1.txt", "0.txt"]
    assert found(Documents(passages(*texts)), "north") == ["1.txt"]
    assert found(documents, "north", count=1) == ["1.txt"] and found(documents, "nothing of this") == []


def test_two_middling_ranks_beat_one_first_rank():
    """Which holds of 1 / (60 + rank), and does not of 1 / rank."""
    texts = ("north north", "north one", "north one two", "polar", "near")
    directions = {
        "north": (1, 0),
        texts[0]: (-1, 0),
        texts[1]: (0, 1),
        texts[2]: (1, 1),
        "polar": (1, 0.1),
        "near": (1, 0.2),
    }

    class Table(Compass):
        def encode(self, texts):
            rows = np.array([directions[text] for text in texts], np.float32)
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    documents = Documents(passages(*texts), Table())
    # By words 0, 1, 2; by vectors 3, 4, 2.
    assert found(Documents(passages(*texts)), "north") == ["0.txt", "1.txt", "2.txt"]
    assert found(documents, "north", count=3) == ["2.txt", "0.txt", "3.txt"]


def test_vectors_rank_by_their_cosine_however_many_there_are():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(1_000, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[500] = rows[2]  # equals: the earlier one comes first

    class Table(Compass):
        def encode(self, texts):
            return rows[[int(text) for text in texts]]

    documents = Documents([Passage(Span(f"{n}", 0, 1), f"{n}") for n in range(1_000)], Table())
    for query in (2, 77, 999):
        cosines = np.round(rows.astype(np.float64) @ rows[query], 6)
        # The passage that the query's word is in is found by both rankings.
        order = sorted(range(1_000), key=lambda n: (n != query, -cosines[n], n))[:DEPTH]
        assert found(documents, str(query), count=DEPTH) == [str(n) for n in order]


def test_only_the_beginning_of_a_long_query_is_searched_for():
    documents = Documents(passages("apples", "pears"))
    assert found(documents, "apples " + "x " * QUERY + "pears") == ["0.txt"]


def test_several_queries_add_up():
    documents = Documents(passages("apples", "pears", "apples and pears"))
    assert found(documents, "apples", "pears", count=1) == ["2.txt"]


def test_a_copy_of_a_passage_is_found_once():
    documents = Documents(passages("apples and pears", "Apples and pears.", "apples"))
    assert found(documents, "pears", count=2) == ["0.txt"] and found(documents, "apples", count=2) == ["2.txt", "0.txt"]


def test_no_documents_find_nothing():
    assert found(Documents([], Compass()), "north") == [] and len(Documents([])) == 0


def test_a_real_encoder_finds_what_shares_no_word(tmp_path):
    texts = ("The physician treated her illness.", "The parliament passed a law.", "Apples grow on trees.")
    documents = Documents(passages(*texts), open_encoder("static"))
    assert found(Documents(passages(*texts)), "doctor and disease", count=1) == []
    assert found(documents, "doctor and disease", count=1) == ["0.txt"]


def test_the_projects_own_documents_are_found_by_what_they_say(tmp_path):
    for name in ("README.md", "ARCHITECTURE.md"):
        shutil.copy(Path(__file__).parents[3] / name, tmp_path)
    documents = Documents(read_documents(tmp_path), open_encoder("static"))
    assert len(documents) > 20
    for passage in documents.passages:
        assert passage in documents.search([passage.text], 4)
        text = (tmp_path / passage.span.file).read_text(encoding="utf-8")
        assert text[passage.span.start : passage.span.end] == passage.text
