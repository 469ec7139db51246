"""The report in a real browser, opened from disk: what it shows, what it lets one do, and what cannot run in it."""

from __future__ import annotations

import re

import pytest
from hostile_run import EVIL, hostile
from law_run import call

from curate.export.report import open_to_report, write_report
from curate.export.report.page import SCRIPTS

HEADER = {"x": 12, "y": 9}
"""Where a tile that holds others is to be pressed: its name stands above them."""

RUN = ("explore", "--domain", "math", "--rows", "150", "--out", "math", "--quiet")


@pytest.fixture(scope="module")
def math_report(tmp_path_factory):
    """The report of a small run of the embedded teacher."""
    folder = tmp_path_factory.mktemp("math")
    done = call(folder, *RUN)
    assert done.returncode == 0, done.stderr
    return folder / "math" / "report.html"


@pytest.fixture
def shown(page, math_report):
    """The report, opened from disk and drawn; nothing else may be asked for."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(math_report.as_uri())
    page.wait_for_selector("html[data-ready]")
    yield page
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_the_head_says_what_the_run_is(shown):
    assert shown.locator("h1").inner_text() == "math"
    assert shown.locator(".title .chip").inner_text() == "complete"
    tiles = shown.locator(".tile").all_inner_texts()
    assert tiles[0].split("\n")[:2] == ["accepted rows", "150"]
    assert any(tile.startswith("cost\n$0.00") for tile in tiles)
    sections = shown.locator("#sections a").all_inner_texts()
    # None were dropped as near-duplicates; the curve says how many another threshold would drop.
    assert sections == ["Tree", "Map", "Yield", "Near-duplicates", "Diversity", "Cost"]


def test_a_click_zooms_into_a_task_and_the_path_leads_back(shown):
    shown.locator("#treemap button.outer", has_text="Algebra").first.click(position=HEADER)
    assert shown.locator("#crumbs [aria-current]").inner_text() == "Algebra"
    assert shown.locator("#task h3").inner_text() == "Algebra"
    shown.locator("#treemap button", has_text="Inequalities").click()
    assert shown.locator("#task h3").inner_text() == "Inequalities"
    assert shown.locator("#treemap button.chosen").inner_text() == "Inequalities"
    shown.wait_for_selector("#task .sample .prose")
    shown.locator("#crumbs button").click()
    assert shown.locator("#crumbs").inner_text() == "Solve mathematical problems"


def test_the_tree_is_used_by_the_keyboard_alone(shown):
    first = shown.locator("#treemap [tabindex='0']")
    assert first.count() == 1
    first.focus()
    name = first.get_attribute("aria-label")
    shown.keyboard.press("ArrowRight")
    other = shown.evaluate("document.activeElement.getAttribute('aria-label')")
    assert other and other != name
    shown.locator("#treemap button.outer").first.focus()
    shown.keyboard.press("Enter")
    assert shown.locator("#crumbs button").count() == 1
    assert shown.evaluate("document.querySelector('#treemap').contains(document.activeElement)")
    shown.keyboard.press("Escape")
    assert shown.locator("#crumbs button").count() == 0


def test_search_finds_a_task_by_a_part_of_its_name(shown):
    shown.get_by_label("Find a task").fill("eigen")
    assert shown.locator("#found [role=option]").count() == 1
    shown.keyboard.press("Enter")
    assert shown.locator("#task h3").inner_text() == "Eigenvalues"
    assert shown.locator("#crumbs [aria-current]").inner_text() == "Linear Algebra and Complex Numbers"
    assert shown.locator("#found").is_hidden()
    shown.get_by_label("Find a task").fill("no such thing")
    assert "no task has this in its name" in shown.locator("#found").inner_text()


def test_tiles_are_coloured_by_yield_novelty_or_drops(shown):
    def colours():
        return shown.eval_on_selector_all("#treemap button", "all => all.map((one) => one.style.backgroundColor)")

    by_yield = colours()
    shown.locator("#tree-mode label", has_text="Drops").click()
    by_drops = colours()
    assert by_drops != by_yield
    assert "dropped share" in shown.locator("#tree-legend").inner_text()
    shown.locator("#tree-reason").select_option(index=1)
    shown.locator("#tree-mode label", has_text="Novelty").click()
    assert colours() != by_drops
    assert shown.locator("#tree-reason").is_hidden()


def drawn(page):
    """How many points the canvas shows, once it has been drawn again."""
    page.evaluate("() => new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(then)))")
    return int(page.locator("#points").get_attribute("data-drawn"))


def test_dropped_samples_are_switched_on_by_reason_and_branches_off(shown):
    before = drawn(shown)
    assert before == 150
    key = shown.locator("#reasons .key").first
    dropped = int(key.locator(".muted").inner_text())
    key.click()
    assert drawn(shown) == before + dropped
    branch = shown.locator("#branches .key").first
    branch.click()
    assert drawn(shown) == before + dropped - int(branch.locator(".muted").inner_text())


def pixels(page):
    """A number that changes with what the canvas shows."""
    return page.evaluate(
        """() => {
            const canvas = document.getElementById("points");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return data.reduce((sum, value, at) => (sum + value * (at % 977)) | 0, 0);
        }"""
    )


def test_the_map_zooms_and_says_what_is_under_the_pointer(shown):
    canvas = shown.locator("#points")
    canvas.scroll_into_view_if_needed()
    drawn(shown)
    before = pixels(shown)
    shown.locator("#zoom-in").click()
    drawn(shown)
    assert pixels(shown) != before
    shown.locator("#zoom-reset").click()
    drawn(shown)
    assert pixels(shown) == before

    box = canvas.bounding_box()
    tip = shown.locator("#tip")
    for step in range(2000):
        x, y = (
            box["x"] + box["width"] * (0.3 + 0.4 * (step % 40) / 40),
            box["y"] + box["height"] * (0.3 + step // 40 / 125),
        )
        shown.mouse.move(x, y)
        if tip.is_visible():
            break
    text = tip.locator(".prose").inner_text()
    assert 10 < len(text) <= 400
    shown.mouse.click(x, y)
    shown.wait_for_selector("#picked .prose")
    assert re.fullmatch("[0-9a-f]{16}", shown.locator("#picked .id").inner_text())
    shown.locator("#picked button", has_text="Show its task").click()
    assert shown.locator("#task h3").inner_text() != "Solve mathematical problems"


def test_light_and_dark_by_the_system_and_by_the_button(browser, math_report):
    for system, other in (("light", "Dark"), ("dark", "Light")):
        with browser.new_context(color_scheme=system) as context:
            page = context.new_page()
            page.goto(math_report.as_uri())
            page.wait_for_selector("html[data-ready]")
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (int(re.findall(r"\d+", ground)[0]) > 128) == (system == "light")
            page.get_by_role("button", name="Switch between light and dark").click()
            after = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (int(re.findall(r"\d+", after)[0]) > 128) == (system == "dark")
            assert other not in page.locator("#theme").inner_text()


def test_formulas_are_formulas(shown):
    shown.wait_for_selector("#task .sample math")
    assert "$" not in shown.locator("#task .sample .prose").first.inner_text()


def test_a_narrow_page_does_not_scroll_sideways(browser, math_report):
    with browser.new_context(viewport={"width": 390, "height": 800}) as context:
        page = context.new_page()
        page.goto(math_report.as_uri())
        page.wait_for_selector("html[data-ready]")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.locator("#flow svg").count() == 0
        assert page.locator("#flow-table").is_visible()


@pytest.fixture(scope="module")
def evil_run(tmp_path_factory):
    return hostile(tmp_path_factory.mktemp("evil"))


def test_nothing_that_a_model_wrote_runs_or_loads(page, evil_run):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    path = write_report(open_to_report(evil_run)).path
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]")
    assert page.locator("h1").inner_text() == EVIL[1]
    for tile in page.locator("#treemap button").all():
        tile.click(position=HEADER)
        page.wait_for_selector("#task .sample .prose")
        for kind in page.locator("#task-kind label").all():
            kind.click()
    for key in page.locator("#reasons .key").all():
        key.click()
    for group in page.locator(".group summary").all():
        group.click()
    page.get_by_label("Find a task").fill("<")
    page.locator("#points").hover()

    assert page.title() == f"{EVIL[1]}: what the run made"
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.locator("a[href^='javascript'], iframe, img, object, embed, link").count() == 0
    own = page.locator("script:not([type])")
    assert (
        own.count() == page.evaluate("document.scripts.length") - page.locator("script[type]").count() == len(SCRIPTS)
    )
    assert page.locator("main math").count() > 0
    assert page.evaluate("document.querySelectorAll('main [href], main [src], main [style*=fixed]').length") == 0
    shown = page.locator("#task").inner_text()
    assert any(text[:20] in shown for text in EVIL)


def test_a_script_that_came_in_by_the_data_would_not_run(page, evil_run):
    """The policy holds by itself: markup that a mistake would let through does nothing."""
    page.goto(write_report(open_to_report(evil_run)).path.as_uri())
    page.wait_for_selector("html[data-ready]")
    title = page.title()
    page.evaluate(
        """() => {
            const mark = "document.title = 'run'";
            const script = document.createElement("script");
            const image = document.createElement("img");
            const button = document.createElement("button");
            const tried = [
                () => (document.body.innerHTML += `<img src=x onerror="${mark}">`),
                () => (script.append(mark), document.body.append(script)),
                () => (image.setAttribute("onerror", mark), image.setAttribute("src", "https://example.org/x.png")),
                () => (button.setAttribute("onclick", mark), button.click()),
                () => setTimeout(mark),
            ];
            for (const one of tried) try { one(); } catch { /* refused at once */ }
            return new Promise((then) => setTimeout(then, 50));
        }"""
    )
    assert page.title() == title
