"""The page of `curate dedup` in a real browser: the curve, the largest groups, and that no text runs in it."""

from __future__ import annotations

import pytest
from hostile_run import EVIL

from curate.io import write_jsonl
from curate.pipeline.dedup import dedup_dataset

POEM = "Write a short poem about the sea at night."
TURNED = "At night about the sea a short poem write."
TEXTS = (
    POEM, POEM + "!", TURNED, "Write a short poem about the sea at dawn.", "List seven kinds of cheese from Italy.",
    f"Explain {EVIL[0]} to a child.", f"Explain {EVIL[0]} to my child.",
)  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("dedup") / "data.jsonl"
    write_jsonl(path, [{"instruction": text, "input": "", "output": "Well."} for text in TEXTS])
    return dedup_dataset(path, keep="first", threshold=0.9)


@pytest.fixture
def shown(page, report):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.page.as_uri())
    page.wait_for_selector("html[data-ready]")
    yield page
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_the_head_and_the_curve(shown, report):
    assert shown.locator("h1").inner_text() == "data.jsonl"
    tiles = shown.locator(".tile").all_inner_texts()
    assert tiles[0].split() == ["kept", "3", "43", "%", "of", "7", "samples"]
    assert len(tiles) == 1 + len(report.reasons)
    label = shown.locator("#curve svg").get_attribute("aria-label")
    marks = {level: kept for level, kept in report.curve if level in (0.7, 0.8, 0.9, 1.0)}
    said = ", ".join(f"{kept} at {level:g}" for level, kept in marks.items())
    assert label == f"Kept samples against the threshold: {said}"
    assert shown.locator("#curve .applied-name").text_content() == "applied: 0.9, 3 kept"
    assert shown.locator("#sections a").all_inner_texts() == ["Curve", "Groups"]


def test_the_largest_group_has_the_kept_one_marked(shown):
    group = shown.locator(".group").first
    assert group.locator(".original .role").inner_text().startswith("kept ")
    assert group.locator(".original .prose").inner_text() == POEM
    copies = group.locator("li .prose").all_inner_texts()
    assert sorted(copies) == sorted([POEM + "!", TURNED, TEXTS[3]])
    roles = group.locator("li .role").all_inner_texts()
    scores = [float(role.split()[-1]) for role in roles]
    assert scores == sorted(scores)  # the least alike first


def test_a_text_is_text(shown):
    assert shown.locator(".group").nth(1).locator(".original .prose").inner_text().startswith("Explain ")
    assert EVIL[0] in shown.locator(".group").nth(1).locator(".original .prose").text_content()
    assert shown.title() == "data.jsonl: near-duplicates"  # a script that ran would change it


def test_it_fits_a_telephone_in_the_dark(shown):
    shown.emulate_media(color_scheme="dark")
    shown.set_viewport_size({"width": 390, "height": 800})
    assert shown.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    background = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in background.removeprefix("rgb(").rstrip(")").split(",")) < 60
