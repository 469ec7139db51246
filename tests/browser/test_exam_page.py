"""The page of an examination, in a real Chromium: its parts, and that nothing in the data becomes markup."""

from __future__ import annotations

import exam_teacher
import exam_world
import pytest
from exam_world import Knowing, rows
from playwright.sync_api import expect

from curate.io import write_jsonl
from curate.pipeline.exam import exam_dataset
from curate.pipeline.exam_setup import Options

HOSTILE = "<img src=x onerror=\"document.title='run'\"></script><b>What is the capital of Ulmia?</b>"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    import curate.models.students as opener

    students = {"half": Knowing("half"), "blind": Knowing("all", reads=False)}
    data = tmp_path_factory.mktemp("exam-page") / "data.jsonl"
    turns = [
        {"role": "user", "content": HOSTILE},
        {"role": "assistant", "content": exam_teacher.fact("capital", "Ulmia")},
    ]
    write_jsonl(data, [{"messages": turns}, *rows(4)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opener, "open_student", lambda spec, **options: students[spec])
        asked = Options(("half", "blind"), treat=("discard",), teacher=f"scripted:{exam_world.__file__}")
        return exam_dataset(data, asked)


def test_it_shows_students_questions_and_examples_as_text(written, page):
    page.goto(written.page.as_uri())
    expect(page.locator("h1")).to_have_text("data.jsonl")
    cards = page.locator(".exam-student")
    expect(cards).to_have_count(2)
    expect(cards.nth(0)).to_contain_text("takes the exam")
    expect(cards.nth(1)).to_contain_text("cannot take this exam")
    expect(page.locator("#sections a")).to_have_text(["Students", "Questions", "Examples", "Cost"])
    for more in page.locator(".exam-kind .button").all():
        more.click()
    example = page.locator(".exam-example", has_text="onerror")
    example.locator("summary").click()
    expect(example.locator("summary .prose")).to_have_text(HOSTILE)
    expect(example.locator(".exam-question")).to_have_count(3)
    expect(example.locator(".exam-question").first.locator("tbody tr")).to_have_count(4)
    assert page.locator("main img, main b").count() == 0
    assert page.title() == "data.jsonl: what the students know"


def test_it_fits_a_narrow_screen_in_the_dark(written, page):
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(written.page.as_uri())
    expect(page.locator(".exam-student").first).to_be_visible()
    for summary in page.locator(".exam-example summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
