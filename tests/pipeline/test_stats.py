"""Figures of files and runs side by side: what each is held against, the table, the picture, and refusals."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from curate.errors import InputError, MissingExtraError
from curate.measure import Figure, Figures, Lengths
from curate.pipeline.stats import stats
from curate.pipeline.table import heading, number, table_of


def write(path, texts):
    rows = [{"prompt": text, "completion": "Yes. " * (place % 7 + 1)} for place, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def poems(n: int) -> list[str]:
    return [f"Write a poem of {place} lines on {'rain' if place % 2 else 'snow and wind'}." for place in range(n)]


@pytest.fixture
def two(tmp_path):
    rules = [f"Explain rule {place} of the game to {place % 5} children." for place in range(60)]
    return write(tmp_path / "poems.jsonl", poems(40)), write(tmp_path / "rules.jsonl", rules)


def test_files_of_different_sizes_are_measured_on_the_smallest_size_too(two):
    small, large = stats(two).files
    assert (small.figures.samples, large.figures.samples) == (40, 60)
    assert (small.subset, large.subset) == ("", "40 of its own")
    assert {figure.random_n for figure in small.figures} == {None}
    assert {figure.random_n for figure in large.figures if figure.value is not None} == {40}
    assert small.figures.verbs == (("write", "poem", 40),)
    assert large.figures.get("novelsum_density") is not None


def test_the_order_of_the_files_changes_no_figure(two):
    one, other = stats(two).files
    other_first = stats(two[::-1]).files
    assert [file.figures.rows[4:10] for file in (other, one)] == [file.figures.rows[4:10] for file in other_first]


def test_a_filtered_file_is_held_against_all_that_was_written(two, tmp_path):
    kept = tmp_path / "kept.jsonl"
    lines = two[0].read_text(encoding="utf-8").splitlines(keepends=True)
    kept.write_text("".join(lines[:30]), encoding="utf-8")
    turns = [{"role": "user", "content": "Write a poem."}]
    row = {"task": [], "messages": turns, "meta": {}, "dropped": {"stage": "rules", "reason": "too_short"}}
    dropped = [*({"id": f"{place:016x}", **row} for place in range(10)), {"id": "call-1", **row, "messages": []}]
    text = "".join(json.dumps(row) + "\n" for row in dropped)
    (tmp_path / "kept.dropped.jsonl").write_text(text, encoding="utf-8")
    (file,) = stats([kept]).files
    assert file.subset == "30 of all 40 written"
    assert file.figures.get("distinct_1").random_n == 30
    assert file.figures.get("rouge_nearest").random_value > file.figures.get("rouge_nearest").value


def test_hand_decisions_count(two, tmp_path):
    from curate.io import read_samples

    first = next(iter(read_samples(two[0])))
    line = {"id": first.id, "decision": "reject", "reason": "dull", "author": "ada", "time": "2026-01-01T00:00:00Z"}
    (tmp_path / "poems.reviews.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert stats([two[0]]).files[0].figures.samples == 39


def test_without_an_embedder_no_figure_of_embeddings_is_taken(two):
    made = stats([two[0]], embedder="none")
    assert made.settings == {"embedder": None, "language": "en", "seed": 0}
    assert made.files[0].figures.get("vendi") is None
    assert made.files[0].figures.get("rouge_mean") is not None


def test_progress_ends_where_the_samples_do(two):
    told = []
    stats(two, tell=lambda what, done, total: told.append((what, done, total)))
    assert {total for *_, total in told} == {100}
    done = [at for _, at, _ in told]
    assert done == sorted(done)
    assert done[-1] <= 100
    assert told[0][0] == f"{two[0]}, encoding"


def test_json_has_every_figure_with_its_interval(two):
    made = stats(two).as_json()
    assert json.loads(json.dumps(made)) == made
    figure = made["files"][1]["figures"][2]
    assert figure["name"] == "distinct_1"
    assert figure["low"] <= figure["value"] <= figure["high"]
    assert (figure["n"], figure["random_n"], figure["source"]) == (60, 40, "Li et al. 2016")
    assert sum(made["files"][0]["lengths"]["response"]["counts"]) == 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"files": []}, "no file to measure; name one or more datasets or run directories"),
        ({"language": "de"}, "the language is 'de'; known are en, zh"),
        ({"files": ["nowhere.jsonl"]}, "nowhere.jsonl: there is no such file or folder"),
        ({"embedder": "statik"}, "did you mean 'static'"),
    ],
)
def test_what_cannot_work_is_named(two, options, message):
    with pytest.raises(InputError, match=message):
        stats(**{"files": [two[0]], **options})


def test_a_file_without_samples_is_refused(tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"empty\.jsonl: no sample is in it"):
        stats([empty])


FEW = Figures(
    (
        Figure("vendi", "Vendi score", 43.9, 90, 42.8, 45.0, 40.123, 50, diverse="high"),
        Figure("empty_leaves", "empty leaves", 0.25, 100, 0.2, 0.3, unit="share"),
        Figure("verb_noun", "pairs", None, 100, note="not measured: only English has a lexicon"),
    ),
    100,
)


def test_the_table_shows_value_interval_size_and_subset():
    other = Figures((Figure("vendi", "Vendi score", 7.0, 50, diverse="high"),), 50)
    lines = list(table_of([("a.jsonl", "50 of its own", FEW), ("b.jsonl", "", other)]).lines())
    assert lines == [
        "               ──────── a.jsonl ─────────  b.jsonl",
        "figure                 n = 100  random 50   n = 50",
        "Vendi score ↑  43.9 ± 1.1 (90)       40.1    7.000",
        "empty leaves      25.0 % ± 5.0          –",
        "pairs                        –          –",
        "",
        "– pairs: not measured: only English has a lexicon",
        "random 50 of its own",
        "± 95 % interval, by half-sampling; ↑ high is diverse, ↓ low is; (n) where a figure is taken on fewer samples",
    ]


def test_a_narrow_terminal_gets_the_files_one_after_the_other():
    table = table_of([("a.jsonl", "", FEW), ("b.jsonl", "", FEW), ("c.jsonl", "", FEW)])
    assert [len(part.columns) for part in table.parts(200)] == [4]
    parts = list(table.parts(50))
    assert [part.columns[1:] for part in parts] == [("n = 100", "n = 100"), ("n = 100",)]
    assert max(len(line) for line in parts[0].lines()) <= 50
    assert [bool(part.notes) for part in parts] == [False, True]
    assert [len(part.columns) for part in table.parts(10)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "text"),
    [
        (0.35371, 0.3511, 0.3563, "", "0.3537 ± 0.0026"),
        (2490.0, 2455.0, 2525.0, "pairs", "2,490 ± 35"),
        (0.6170, 0.571, 0.663, "share", "61.7 % ± 4.6"),
        (12.0, 12.0, 12.0, "words", "12 ± 0"),
        (0.25, None, None, "", "0.2500"),
        (None, None, None, "", "–"),
    ],
)
def test_numbers_have_the_digits_that_mean_something(value, low, high, unit, text):
    assert number(Figure("x", "x", value, 10, low, high, unit=unit)) == text


def test_headings_are_short_and_steer_no_terminal():
    assert heading("runs/\x1b[31mmath") == "runs/math"
    assert heading("/a/very/long/path/to/some/folder/of/data/train.jsonl") == "…/folder/of/data/train.jsonl"
    assert len(heading("x" * 90)) == 32


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_picture_is_drawn_and_comes_again(tmp_path, kind):
    pytest.importorskip("matplotlib")
    from curate.pipeline.plot import draw

    lengths = Lengths((1.0, 2.0, 3.0, 4.0, 5.0), (1.0, 3.0, 6.0), (4, 6))
    verbs = tuple((f"verb{place % 30}", f"noun{place}", 100 - place) for place in range(90))
    figures = replace(FEW, verbs=verbs, lengths={"instruction": lengths, "response": lengths})
    files = [("a$x$<b>&.jsonl", figures), ("b.jsonl", replace(figures, verbs=()))]
    first, again = draw(files, tmp_path / f"a.{kind}"), draw(files, tmp_path / f"b.{kind}")
    assert first.read_bytes() == again.read_bytes()
    if kind == "png":
        assert first.read_bytes().startswith(b"\x89PNG")
    else:
        assert ElementTree.parse(first).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_a_picture_that_cannot_be_drawn_says_what_works(two, tmp_path, monkeypatch):
    made = stats([two[0]], embedder="none")
    with pytest.raises(InputError, match=r"a picture is a \.png or a \.svg file"):
        made.plot(tmp_path / "a.pdf")
    with pytest.raises(InputError, match="there is no folder"):
        made.plot(tmp_path / "no" / "a.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'curate-llm\[plot\]'"):
        made.plot(tmp_path / "a.png")
