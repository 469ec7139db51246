"""The page of `curate view` in a real browser while a large run is read."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from runs import domain_file, run
from viewing import Gate

from curate.io import read_jsonl
from curate.view import index, opening
from curate.view.server import View


@pytest.fixture
def gated(page, tmp_path, monkeypatch):
    """The page of a run of 24 samples, of which five are shown until the gate opens; it gives (run's folder, gate)."""
    monkeypatch.setattr(opening, "FIRST", 5)
    monkeypatch.setattr(index, "BATCH", 4)
    monkeypatch.setenv("CURATE_AUTHOR", "ada")
    folder = run(domain_file(tmp_path), tmp_path / "toy", rows=24).out
    gate = Gate()
    with View(folder, tick=gate.tick) as view:
        page.set_viewport_size({"width": 1280, "height": 800})
        page.goto(view.url)
        page.wait_for_selector("#detail[aria-busy='false'] .turn")
        yield folder, gate
        gate.open()


def heads(folder):
    (path,) = folder.glob("accepted.????????????.jsonl")
    return [each["messages"][0]["content"] for each in read_jsonl(path)]


def test_the_list_goes_on_where_the_reader_is(page, gated):
    folder, gate = gated
    asked = heads(folder)
    banner = page.locator("#banner-reading")
    expect(banner).to_contain_text("Indexing")
    expect(page.locator("#total")).to_have_text("24 samples")
    expect(page.locator("#which label", has_text="Kept")).to_contain_text("24")
    expect(page.locator(".item")).to_have_count(5)
    page.keyboard.press("a")
    expect(page.locator(".item.chosen")).to_have_attribute("id", "item-1")
    expect(page.locator("#detail")).to_contain_text("2 of 24")
    page.keyboard.press("e")
    page.locator("textarea").first.fill("A draft")
    gate.open()
    expect(banner).to_have_count(0)
    expect(page.locator("#item-5")).to_contain_text(asked[5][:20])
    expect(page.locator("#total")).to_have_text("24 samples · 1 reviewed")
    expect(page.locator(".item.chosen")).to_have_attribute("id", "item-1")
    expect(page.locator("textarea").first).to_have_value("A draft")
    page.keyboard.press("Escape")
    page.keyboard.press("End")
    expect(page.locator("#turns .turn.user")).to_contain_text(asked[-1][:20])


def test_what_needs_all_samples_waits_and_only_the_last_is_answered(page, gated):
    folder, gate = gated
    word = heads(folder)[-1].split()[-1].strip(".?!")
    page.fill("#q", "nothing has this")
    expect(page.locator("#total")).to_have_text("Indexing… the answer follows")
    page.locator("#which label", has_text="All").click()
    page.fill("#q", f'"{word}"')
    page.keyboard.press("Escape")
    expect(page.locator(".item")).to_have_count(5)
    gate.open()
    expect(page.locator(".item mark").first).to_have_text(word)
    expect(page.locator("#banner-reading")).to_have_count(0)
    expect(page.locator(".toast")).to_have_count(0)
    expect(page.locator("#which input:checked")).to_have_value("all")


def test_a_place_among_the_others_is_waited_for(page, gated):
    folder, gate = gated
    page.evaluate("location.hash = 'at=20'")
    page.reload()
    expect(page.locator("#total")).to_have_text("Indexing… the answer follows")
    gate.open()
    expect(page.locator("#turns .turn.user")).to_contain_text(heads(folder)[20][:20])


def test_why_the_others_cannot_be_shown(page, gated):
    folder, gate = gated
    (path,) = folder.glob("accepted.????????????.jsonl")
    path.touch()
    gate.open()
    expect(page.locator("#banner-problem")).to_contain_text("Only the first 5 samples can be shown: ")
    expect(page.locator("#banner-problem")).to_contain_text("changed while it was read")
    page.locator("#banner-stale button").click()
    expect(page.locator("#banner-problem")).to_have_count(0)
    expect(page.locator(".item").nth(9)).to_be_visible()
