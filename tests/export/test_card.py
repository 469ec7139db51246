"""The dataset card: everything it says, and that it obeys nothing that a model wrote."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from curate.export import Card, Written
from curate.export.branches import LONGEST, MOST, branches
from curate.export.card import front_matter, render
from curate.export.markdown import escape, fenced, line
from curate.measure import Figure, Figures

GOLDEN = Path(__file__).parent / "golden_card.md"

FIGURES = Figures(
    (
        Figure(
            "distinct-1", "distinct-1", 0.0645, 900, 0.0622, 0.0668, 0.05, 900, diverse="high", source="Li et al. 2016"
        ),
        Figure("vendi", "Vendi score", 4321.5, 900, diverse="high", source="Friedman & Dieng 2023"),
        Figure("length", "length", 39.0, 900, 38.0, 40.0, unit="words"),
        Figure("verbs", "verbs", None, 900, note="no lexicon"),
    ),
    900,
)
CARD = Card(
    domain="tenancy law | *bold*",
    language="en-GB",
    description="Disputes <script>alert(1)</script>\n# over deposits (https://evil.example, [here](javascript:x)).",
    models={"teacher": "gpt-5-mini", "judge": "org/judge_1"},
    stages=[("generate", 1200, 1200), ("rouge", 1200, 900)],
    drops={"rouge": 250, "too_short": 50, "exact_duplicate": 50},
    settings={"rows": 900, "threshold": "auto", "width": [8, 6]},
    prompts={"generate/samples": "4ea78782385147db"},
    tree=[("tenancy law",), ("tenancy law", "deposits `x`"), ("tenancy law", "1. rent")],
    checks=["rules on lengths"],
    unchecked=["whether the answers are right"],
    command="pip install curate-llm==0.1.0\ncurate explore --domain domain.yaml --rows 900",
    seed=7,
    licence="cc-by-4.0",
    repo="me/tenancy",
    by_hand="3 rejected by hand",
    figures=FIGURES,
    subset="900 of all 1,200 written",
    pictures=[("images/tree.png", "The task tree")],
)
HOSTILE = "```\n<img src=x onerror=alert(1)>\n````\n# not a heading\x1b[31m\u202e"
WRITTEN = Written(
    "alpaca",
    ("id", "task", "instruction", "input", "output"),
    {"train": 800, "test": 100},
    Counter({("tenancy law", "deposits `x`"): 500, ("tenancy law",): 399, (): 1}),
    [(("tenancy law", "deposits `x`"), (("user", HOSTILE), ("assistant", "Yes.")))],
)


def test_golden_card():
    text = render(CARD, WRITTEN)
    if os.environ.get("WRITE_GOLDENS"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def html(text: str) -> str:
    """The card as the Hub's page shows it: Markdown with tables, and with HTML let through."""
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text.split("---\n", 2)[2])


def test_nothing_that_a_model_wrote_is_obeyed():
    shown = html(render(CARD, WRITTEN))
    assert set(re.findall(r"<([a-z][a-z0-9]*)", shown)) == {
        "h1", "h2", "p", "em", "img", "pre", "code", "table", "thead", "tbody", "tr", "th", "td", "details", "summary",
        "ul", "li", "strong", "a",
    }  # fmt: skip
    assert re.findall(r'src="([^"]*)"', shown) == ["images/tree.png"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown and "&lt;img src=x onerror=alert(1)&gt;" in shown
    assert re.findall(r"<h[12]>([^<]*)", shown) == [
        "tenancy law | *bold*", "Load it", "What is in it", "How it was made", "How varied it is", "Make it again",
        "Limits", "Licence",
    ]  # fmt: skip
    assert "\x1b" not in shown and "\u202e" not in shown


def test_the_hub_takes_the_front_matter(monkeypatch):
    from huggingface_hub import DatasetCard

    card = DatasetCard(render(CARD, WRITTEN))
    data = card.data.to_dict()
    assert (data["license"], data["language"], data["size_categories"]) == ("cc-by-4.0", ["en"], ["n<1K"])
    assert data["configs"][0]["data_files"] == [
        {"split": "train", "path": "train.parquet"}, {"split": "test", "path": "test.parquet"}
    ]  # fmt: skip
    assert card.text.lstrip().startswith("# tenancy law")


def test_front_matter_is_yaml_whatever_the_domain_is_called():
    text = render(Card("a: b\n---\nlicense: mit", language="zh-Hant"), Written("messages", ("id",), {"train": 5_000}))
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["pretty_name"] == "a: b --- license: mit"
    assert (head["language"], head["license"], head["size_categories"]) == (["zh"], "other", ["1K<n<10K"])
    assert head["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "train.parquet"}]}]


def test_a_card_of_rows_of_which_nothing_is_known():
    card = Card("rows", language="")
    text = render(card, Written("messages", ("id", "task", "messages"), {"train": 1}, Counter({(): 1})))
    assert "1 row of instructions with responses, exported with `curate`." in text
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["tags"] == ["curate"] and "language" not in head and "Language:" not in text
    assert "Where the rows come from is not recorded." in text and "None was given" in text
    assert "## How it was made" not in text and "## Make it again" not in text and "branch" not in text


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("gpt-5-mini", "may not be used to develop models that compete with OpenAI"),
        ("meta-llama/Llama-3.1-8B-Instruct", 'a name that begins with "Llama"'),
        ("procedural-1", "not a language model"),
        ("my-own", "Nothing is known of this model's terms"),
    ],
)
def test_what_is_known_of_training_stands_beside_each_model(model, said):
    text = render(Card("d", models={"teacher": model}), Written("messages", ("id",)))
    (row,) = (row for row in text.splitlines() if row.startswith("| teacher |"))
    assert said in row.replace("\\", "")


def test_rows_made_by_the_embedded_teacher_come_out_the_same():
    written = Written("messages", ("id",))
    same = Card("d", models={"teacher": "procedural-1"}, command="curate explore")
    assert "same, byte for byte.\n" in render(same, written)
    other = Card("d", models={"teacher": "procedural-1", "judge": "gpt"}, command="curate explore")
    assert "asked anew" in render(other, written)


def test_the_size_is_one_of_the_hubs():
    sizes = {rows: front_matter(Card("d"), Written("messages", ("id",), {"train": rows})) for rows in (999, 10**6)}
    assert "n<1K" in sizes[999] and "n>1M" in sizes[10**6]


def test_branches_count_what_is_below_them():
    rows = {("r", "a", "x"): 2, ("r", "a"): 1, ("r", "b"): 4, ("r",): 5, (): 6}
    text = branches(rows, [("r",), ("r", "c"), ("r", "b"), ("r", "a")])
    table = [row for row in text.splitlines() if row.startswith("| ") and "---" not in row]
    assert table == ["| branch | tasks | rows |", "| b | 1 | 4 |", "| a | 2 | 3 |", "| c | 1 | 0 |",
                     "| (the root itself) | 1 | 5 |", "| (no task) | 0 | 6 |"]  # fmt: skip
    assert text[text.index("- r") : text.index("\n\n</details>")].splitlines() == [
        "- r: 12 rows", "  - c: 0 rows", "  - b: 4 rows", "  - a: 3 rows", "    - x: 2 rows"
    ]  # fmt: skip


def test_rows_without_tasks_have_no_branches():
    assert branches({(): 7}) == ""


def test_a_large_tree_is_cut_at_a_level():
    rows = {("r", f"b{i:02}", f"t{j}"): 1 for i in range(50) for j in range(10)}
    text = branches(rows)
    drawn = re.findall(r"^ *- .*$", text, re.M)
    assert len(drawn) == 51 and drawn[1] == "  - b00: 10 rows, 10 tasks below"
    assert "| 11 more | 121 | 110 |" in text and text.count("\n| b") == MOST - 1
    wide = branches({("r", f"t{i:04}"): 1 for i in range(LONGEST + 50)})
    assert len(re.findall(r"^ *- ", wide, re.M)) == LONGEST and "and 51 more tasks" in wide


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b*c", r"a\_b\*c"),
        ("x\ny\t|z", r"x y \|z"),
        ("![i](http://a)", r"\!\[i\](http\://a)"),
        ("WWW.a.b", r"WWW\.a.b"),
        ("<b>&amp;", r"\<b\>\&amp;"),
        ("\x1b[31mred\u202e", r"\[31mred"),
        ("x" * 400, "x" * 299 + "…"),
    ],
)
def test_escape(text, escaped):
    assert escape(text) == escaped


@pytest.mark.parametrize(
    "text", ["- a", "+ a", "1. a", "2) a", "# a", "> a", "=== a", "    a", "* a", "--- a", "~~~ a"]
)
def test_a_line_of_its_own_is_a_paragraph_whatever_it_begins_with(text):
    assert MarkdownIt("commonmark").render(line(text)) == f"<p>{text.strip().replace('>', '&gt;')}</p>\n"
    nested = MarkdownIt("commonmark").render(f"- {line(text)}")
    assert nested == f"<ul>\n<li>{text.strip().replace('>', '&gt;')}</li>\n</ul>\n"


@pytest.mark.parametrize("text", ["```", "a ```` b", "~~~\n```\n", "`" * 9, "", "x\n\n\ty"])
def test_a_fence_is_longer_than_any_in_the_text(text):
    tokens = MarkdownIt("commonmark").parse(fenced(text))
    assert [token.type for token in tokens] == ["fence"]
    assert tokens[0].content.rstrip("\n") == text.replace("\t", "    ").rstrip("\n")


def test_a_long_text_is_cut_and_says_so():
    assert "x … (10 more characters)\n" in fenced("x" * 1_510)
