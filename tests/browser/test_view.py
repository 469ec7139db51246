"""The page of `curate view` in a real browser: looking, deciding, editing, the tree, and what must not happen."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import threading

import pytest
from playwright.sync_api import expect
from runs import domain_file, run
from viewing import row, write

from curate.io import read_jsonl
from curate.view.server import View


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return run(domain_file(folder), folder / "toy", rows=24).out


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "toy")


@pytest.fixture
def opened(page, tmp_path, monkeypatch):
    """A function that opens the page of a source in the browser."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CURATE_AUTHOR", "ada")
    views = []

    def show(source):
        views.append(View(source))
        page.goto(views[-1].url)
        page.wait_for_selector(".turn, .empty")
        return views[-1]

    yield show
    for view in views:
        view.close()


FOUR = [
    row("What is a cat?", "An animal with $4$ legs.", task=("Root", "Animals")),
    row("What is a dog?", "A friend.", task=("Root", "Animals")),
    row("What is a table?", "It holds what a cat leaves.", task=("Root", "Things")),
    row("What is a chair?", "A seat.", task=("Root", "Things")),
]

COPY = {"stage": "dedup", "reason": "semantic_duplicate", "score": 0.96}

LEFT = [
    row("What is the cat?", dropped={**COPY, "neighbour": FOUR[0]["id"]}),
    row("Bird?", dropped={"stage": "rules", "reason": "too_short", "score": 1}),
]


@pytest.fixture
def data(tmp_path):
    write(tmp_path / "data.dropped.jsonl", LEFT)
    return write(tmp_path / "data.jsonl", FOUR)


def decisions(path):
    return [(each["decision"], each.get("reason", "")) for each in read_jsonl(path)]


def instruction(page):
    return page.locator("#turns .turn.user .prose")


def chosen(page):
    return page.locator(".item.chosen .head")


def test_look_search_and_filter(page, data, opened):
    opened(data)
    expect(page.locator("#total")).to_have_text("4 samples")
    expect(instruction(page)).to_have_text("What is a cat?")
    assert page.locator(".turn.assistant math").count() == 1
    page.keyboard.press("/")
    page.keyboard.type("cat")
    expect(page.locator("#total")).to_have_text("2 samples")
    expect(page.locator(".item mark")).to_have_text(["cat", "cat"])
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator(".turn.assistant mark")).to_have_text("cat")
    page.fill("#q", "")
    # The sidebar is drawn anew with what the search found; a click meanwhile would meet a row that goes.
    expect(page.locator("#total")).to_have_text("4 samples")
    page.locator(".task", has_text="Things").locator(".name").click()
    expect(page.locator(".item .head")).to_have_text(["What is a table?", "What is a chair?"])
    page.locator("#chips button").click()
    expect(page.locator("#total")).to_have_text("4 samples")
    page.locator("#which label", has_text="Dropped").click()
    page.locator("#causes button", has_text="semantic duplicate").click()
    expect(page.locator("#total")).to_have_text("1 sample")
    expect(page.locator(".note.warn")).to_contain_text("semantic duplicate (0.960) at the stage “dedup”")
    expect(page.locator(".pair ins").first).to_have_text("the")
    expect(page.locator(".pair del").first).to_have_text("a")


def test_the_keyboard_alone(page, data, opened):
    opened(data)
    journal = data.with_name("data.reviews.jsonl")
    press = page.keyboard.press
    press("a")
    expect(instruction(page)).to_have_text("What is a dog?")
    press("r")
    expect(page.locator("dialog[open] h2")).to_have_text("Why is it rejected?")
    press("2")
    expect(instruction(page)).to_have_text("What is a table?")
    press("r")
    page.keyboard.type("just a thing, says a reader")  # letters that are keys elsewhere
    press("Enter")
    expect(instruction(page)).to_have_text("What is a chair?")
    press("Shift+R")
    expect(page.locator(".note.bad")).to_contain_text("just a thing, says a reader by ada")
    said = "just a thing, says a reader"
    assert decisions(journal) == [("accept", ""), ("reject", "unclear"), ("reject", said), ("reject", said)]
    press("u")
    expect(page.locator(".item.chosen .sign")).to_have_text("")
    press("u")
    expect(instruction(page)).to_have_text("What is a table?")
    press("Home")
    expect(instruction(page)).to_have_text("What is a cat?")
    press("n")
    expect(instruction(page)).to_have_text("What is a table?")
    assert [decision for decision, _ in decisions(journal)][4:] == ["undo", "undo"]
    press("?")
    expect(page.locator("dialog[open]")).to_contain_text("take back the last decision")
    press("a")
    press("Escape")
    assert len(decisions(journal)) == 6


def test_keys_do_nothing_while_a_text_is_typed(page, data, opened):
    opened(data)
    page.locator("#q").press_sequentially("area jury")
    expect(page.locator(".empty h2")).to_have_text("No sample fits")
    assert page.locator("#q").input_value() == "area jury"
    page.get_by_role("button", name="Clear search and filters").click()
    expect(page.locator("#total")).to_have_text("4 samples")
    assert not data.with_name("data.reviews.jsonl").exists()


def test_edit_reload_and_take_back(page, data, opened):
    opened(data)
    journal = data.with_name("data.reviews.jsonl")
    page.keyboard.press("j")
    expect(instruction(page)).to_have_text("What is a dog?")
    page.keyboard.press("e")
    page.locator("#turns textarea").first.fill("What is an old dog?")
    expect(page.locator(".below ins").first).to_have_text("an old")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".note.edit")).to_contain_text("Edited by ada")
    expect(instruction(page)).to_have_text("What is an old dog?")
    page.reload()
    expect(instruction(page)).to_have_text("What is an old dog?")
    expect(chosen(page)).to_have_text("What is an old dog?")
    expect(page.locator(".item.chosen .sign")).to_contain_text("✎")
    page.get_by_role("button", name="Take back").click()
    expect(instruction(page)).to_have_text("What is a dog?")
    page.keyboard.press("e")
    page.locator("#turns textarea").first.fill("Never mind")
    page.keyboard.press("Escape")
    expect(instruction(page)).to_have_text("What is a dog?")
    assert [decision for decision, _ in decisions(journal)] == ["edit", "undo"]
    assert [*read_jsonl(data)] == FOUR


def test_a_draft_is_kept_while_one_looks_elsewhere(page, data, opened):
    opened(data)
    page.keyboard.press("e")
    page.locator("#turns textarea").first.fill("A draft?")
    page.locator(".item").nth(2).click()
    expect(instruction(page)).to_have_text("What is a table?")
    page.locator(".item").first.click()
    expect(instruction(page)).to_have_text("What is a cat?")
    page.keyboard.press("e")
    expect(page.locator("#turns textarea").first).to_have_value("A draft?")


def test_the_tree_by_hand(page, folder, opened):
    opened(folder)
    tasks = page.locator(".tree ul .task")
    before = tasks.locator(".name").all_text_contents()

    def menu(name, entry):
        task = page.locator(".task").filter(has=page.get_by_role("button", name=name, exact=True))
        task.hover()
        task.locator(".menu").click()
        page.get_by_role("button", name=entry).click()

    menu("Help people out", "Add a task below")
    page.locator("dialog input").fill("Baking bread")
    page.locator("dialog textarea").fill("For a start.")
    page.keyboard.press("Tab")
    page.locator("dialog form footer .primary").click()
    expect(page.locator(".toast")).to_contain_text("Added “Baking bread”. The next run takes it up.")
    menu("Baking bread", "Rename")
    page.locator("dialog input").fill("Baking cakes")
    page.keyboard.press("Enter")
    expect(tasks.last.locator(".name")).to_have_text("Baking cakes")
    menu(before[0], "Rename")
    page.locator("dialog input").fill("Baking cakes")
    page.keyboard.press("Enter")
    expect(page.locator("dialog .problem")).to_contain_text("already stands for")
    page.keyboard.press("Escape")
    menu(before[0], "Merge into another")
    page.locator("dialog input").fill("baking")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Merged into “Baking cakes”")
    menu(before[1], "Prune")
    expect(page.locator("dialog")).to_contain_text("This task will not come back.")
    page.locator("dialog .danger").click()
    expect(page.locator(".toast")).to_contain_text("Pruned 1 task")
    assert tasks.locator(".name").all_text_contents() == [*before[2:], "Baking cakes"]
    assert [each["op"] for each in read_jsonl(folder / "tree.edits.jsonl")] == ["add", "rename", "merge", "prune"]


def test_export(page, folder, opened):
    opened(folder)
    page.keyboard.press("r")
    page.keyboard.press("1")
    expect(page.locator(".item .sign.bad")).to_have_count(1)
    page.locator("#export").click()
    page.locator("dialog select").select_option("alpaca")
    expect(page.locator("dialog .command")).to_have_text(
        re.compile(r"curate export .*/toy --out .*/dataset --format alpaca")
    )
    page.get_by_role("button", name="Write it").click()
    expect(page.locator("dialog .result")).to_contain_text("23 rows written to")
    assert len([*read_jsonl(folder / "dataset" / "train.jsonl")]) == 23


HOSTILE = "<img src=x onerror=hacked()><script>hacked()</script></textarea><svg onload=hacked()>"


def test_hostile_samples_run_no_script(page, tmp_path, opened):
    formula = (
        r"$\href{javascript:hacked()}{x}$ $$\includegraphics{http://evil.example/x.png}$$ \(\style{color:red}{y}\)"
    )
    verdict = {"stage": HOSTILE, "reason": HOSTILE, "score": None, "value": HOSTILE, "neighbour": HOSTILE}
    task = ("Root", HOSTILE)
    meta = {
        "judge": {"score": HOSTILE, "model": HOSTILE},
        "generate": {"model": HOSTILE, "calls": [HOSTILE], "reasoning": HOSTILE},
        "source": {"rejected": HOSTILE},
        "dedup": {"nearest": 3, "score": "x"},
        "odd": HOSTILE,
    }
    kept = row(HOSTILE, formula, task=task, **meta)
    write(tmp_path / "bad.dropped.jsonl", [row(HOSTILE + "2", formula, task=task, dropped=verdict)])
    calls: list[str] = []
    page.expose_function("hacked", lambda: calls.append("hacked"))
    foreign: list[str] = []
    page.on("request", lambda request: foreign.append(request.url) if "127.0.0.1" not in request.url else None)
    opened(write(tmp_path / "bad.jsonl", [kept]))
    expect(instruction(page)).to_have_text(HOSTILE)
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    expect(page.locator(".raw")).to_contain_text("onerror")
    page.keyboard.press("e")
    page.locator("#turns textarea").first.fill(HOSTILE + "$x$")
    expect(page.locator(".below .prose")).to_contain_text("onerror")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    page.keyboard.type(HOSTILE)
    page.keyboard.press("Enter")
    expect(page.locator(".note.bad")).to_contain_text("onerror")
    page.fill("#q", HOSTILE)
    page.locator("#which label", has_text="Dropped").click()
    page.locator("#causes button").last.click()
    expect(page.locator(".note.warn")).to_contain_text("onerror")
    page.reload()
    expect(page.locator(".note.warn")).to_contain_text("onerror")
    assert page.locator("main img, main script, main svg, main a, dialog img").count() == 0
    assert (calls, foreign) == ([], [])


def test_texts_made_to_keep_a_browser_busy(page, tmp_path, opened):
    deep = "$" + r"\Huge " * 600 + "x$"
    many = "$x$ " * 3000
    unclosed = r"\(" * 1_000_000
    rows = [row(deep, "Deep."), row(many, "Many."), row(unclosed, "Unclosed.")]
    opened(write(tmp_path / "busy.jsonl", rows))
    expect(instruction(page)).to_have_text(deep)
    page.keyboard.press("j")
    expect(page.locator("#turns math")).to_have_count(2000)
    page.keyboard.press("j")
    expect(page.locator("#turns .turn.assistant")).to_contain_text("Unclosed.")
    assert len(instruction(page).inner_text()) == 200_000
    page.get_by_role("button", name="Show all 2,000,000 characters").click()
    assert len(instruction(page).inner_text()) == 2_000_000


def test_another_page_can_neither_read_nor_write(page, data, opened):
    view = opened(data)

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>evil</title>")

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as evil:
        threading.Thread(target=evil.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{evil.server_port}/")
        tried = page.evaluate(
            """async (url) => {
                const body = JSON.stringify({ row: 1, decision: "reject" });
                const read = await fetch(url + "api/search").then(() => "read", () => "refused");
                const post = { method: "POST", body, headers: { "Content-Type": "application/json" } };
                const write = await fetch(url + "api/decide", post).then(() => "written", () => "refused");
                await fetch(url + "api/decide", { method: "POST", body, mode: "no-cors" }).catch(() => {});
                const frame = document.createElement("iframe");
                frame.src = url;
                document.body.append(frame);
                await new Promise((done) => (frame.onload = done));
                let inside = "closed";
                try { inside = frame.contentDocument?.title ?? "closed"; } catch {}
                return [read, write, inside];
            }""",
            view.url,
        )
        evil.shutdown()
    assert tried == ["refused", "refused", "closed"]
    assert not data.with_name("data.reviews.jsonl").exists()


def test_the_server_is_gone(page, data, opened):
    view = opened(data)
    view.close()
    page.keyboard.press("a")
    expect(page.locator(".banner")).to_contain_text("The server is gone. Every decision so far is saved")
    expect(page.locator(".toast.bad")).to_contain_text("Not saved")
    expect(page.locator(".item.chosen .sign")).to_have_text("")


def test_what_cannot_be_saved_is_said(page, data, opened):
    opened(data)
    data.with_name("data.reviews.jsonl").mkdir()
    page.keyboard.press("a")
    expect(page.locator(".toast.bad")).to_contain_text("Not saved: ")
    expect(chosen(page)).to_have_text("What is a cat?")


@pytest.mark.parametrize("width", [390, 800, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_its_window(page, data, opened, width, scheme):
    page.set_viewport_size({"width": width, "height": 700})
    page.emulate_media(color_scheme=scheme)
    opened(data)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    narrow = page.locator("#open-side")
    assert narrow.is_visible() == (width <= 800)
    assert instruction(page).bounding_box()["width"] > 300
    if width <= 800:
        narrow.click()
    expect(page.locator("#which")).to_be_visible()
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    light = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in (ink, paper)]
    assert (light[0] < light[1]) == (scheme == "light")


def test_names_without_an_end_push_nothing_aside(page, tmp_path, opened):
    opened(write(tmp_path / "data.jsonl", [row("Why?", task=("Root", "a" * 10_000, "b" * 10_000))]))
    ends = page.locator(".step").evaluate_all("all => all.map((one) => one.getBoundingClientRect().right)")
    assert (len(ends), max(ends) <= 1280) == (2, True)
    assert page.locator(".actions").bounding_box()["y"] < 200


def test_a_long_list_is_drawn_as_far_as_it_is_seen(page, tmp_path, opened):
    opened(write(tmp_path / "many.jsonl", [row(f"Question {number}?") for number in range(2_000)]))
    expect(page.locator("#total")).to_have_text("2,000 samples")
    assert page.locator(".item").count() < 40
    page.keyboard.press("End")
    expect(chosen(page)).to_have_text("Question 1999?")
    expect(instruction(page)).to_have_text("Question 1999?")
    page.keyboard.press("k")
    expect(instruction(page)).to_have_text("Question 1998?")
    page.reload()
    expect(chosen(page)).to_have_text("Question 1998?")


def test_an_empty_dataset(page, tmp_path, opened):
    opened(write(tmp_path / "none.jsonl", []))
    expect(page.locator(".empty h2")).to_have_text("No samples yet")


def test_the_journal_is_read_by_others(page, data, opened):
    """A second reader's decision shows up in the first one's page."""
    opened(data)
    line = {
        "id": FOUR[3]["id"],
        "decision": "reject",
        "reason": "dull",
        "author": "bob",
        "time": "2026-01-01T00:00:00Z",
    }
    data.with_name("data.reviews.jsonl").write_text(json.dumps(line) + "\n")
    page.locator("#reviews button", has_text="Rejected").click()
    expect(chosen(page)).to_have_text("What is a chair?")
    expect(page.locator(".note.bad")).to_contain_text("Rejected: dull by bob")
