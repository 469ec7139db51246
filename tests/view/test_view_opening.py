"""A large run: its first rows at once, the others when they are read."""

from __future__ import annotations

import json
import os
import sqlite3

import pytest
from viewing import Gate, act, ask

from curate.cli.view import _wait
from curate.errors import RunError
from curate.io import read_jsonl
from curate.view import index, opening
from curate.view.server import View

FIRST = 5


@pytest.fixture
def gated(folder, tmp_path, monkeypatch):
    """A function that serves the run as a large one, whose reader waits at a gate; it returns page and gate."""
    monkeypatch.setattr(opening, "FIRST", FIRST)
    monkeypatch.setattr(index, "BATCH", 4)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pages = []

    def serve():
        gate = Gate()
        page = View(folder, tick=gate.tick)
        pages.append((page, gate))
        gate.reached()
        return page, gate

    yield serve
    for page, gate in pages:
        gate.open()
        page.close()


def kept(folder):
    (path,) = folder.glob("accepted.????????????.jsonl")
    return path


def drafts(folder):
    return [*folder.glob("*.tmp")]


def test_the_first_rows_are_shown_and_the_others_follow(gated, folder):
    page, gate = gated()
    rows = list(read_jsonl(kept(folder)))
    about = ask(page.url, "about")
    whole = about["reading"]["total"]
    assert whole > len(rows) == 24
    assert (about["kept"], about["dropped"], about["problem"]) == (24, whole - 24, "")
    assert (about["reading"]["done"], about["reading"]["first"]) == (4, FIRST)
    assert page.as_json()["kept"] == 24
    found = ask(page.url, "search")
    assert [each["id"] for each in found["rows"]] == [each["id"] for each in rows[:FIRST]]
    for wish in ({"q": "a"}, {"which": "all"}, {"order": "long"}, {"review": "open"}):
        assert "still being read" in ask(page.url, "search", **wish)["error"]
    assert "still being read" in ask(page.url, "facets")["error"]
    assert act(page.url, "decide", row=2, decision="reject", reason="dull")["brief"]["review"]["reason"] == "dull"

    gate.open()
    page.wait()
    assert ask(page.url, "about")["reading"] is None
    assert [each["id"] for each in ask(page.url, "search")["rows"]] == [each["id"] for each in rows]
    assert ask(page.url, "search", which="all")["total"] == whole
    assert ask(page.url, "facets", which="all")["reviews"] == {"open": whole - 1, "accept": 0, "reject": 1, "edit": 0}
    assert ask(page.url, "sample", row=2)["brief"]["review"]["decision"] == "reject"
    assert ask(page.url, "page", view=found["view"], begin=3, count=9)["rows"][1]["id"] == rows[4]["id"]
    assert (folder / ".view.sqlite").is_file()
    assert drafts(folder) == []


def test_a_decision_by_who_still_holds_the_first_rows_is_seen(gated):
    page, gate = gated()
    first = page.desk.store
    gate.open()
    page.wait()
    assert page.desk.store is not first
    first.decide(3, "accept", "", None, "ada")
    assert ask(page.url, "sample", row=3)["brief"]["review"]["author"] == "ada"


def test_a_tree_that_is_changed_at_the_last_moment(gated, monkeypatch):
    page, gate = gated()
    root = ask(page.url, "tree")["nodes"][0]["id"]

    def made(*given):
        store = opening_store(*given)
        assert "error" not in act(page.url, "tree", op="add", task=root, name="Songs", description="", author="ada")
        return store

    opening_store = opening.Store
    monkeypatch.setattr(opening, "Store", made)
    gate.open()
    page.wait()
    assert "Songs" in [node["name"] for node in ask(page.url, "tree")["nodes"]]


def test_closing_meanwhile_leaves_nothing(gated, folder, monkeypatch):
    page, gate = gated()
    closed = page.desk.opening._closed
    page.desk.opening._tick = lambda done, total: pytest.fail("it went on")
    set_closed = closed.set
    monkeypatch.setattr(closed, "set", lambda: (set_closed(), gate.open()))
    assert len(drafts(folder)) == 1
    page.close()
    assert [*folder.glob(".view*")] == []


def test_files_that_change_meanwhile_make_no_index(gated, folder):
    page, gate = gated()
    os.utime(kept(folder), ns=(1, 1))
    gate.open()
    with pytest.raises(RunError, match="changed while it was read; open it again"):
        page.wait()
    about = ask(page.url, "about")
    assert (about["stale"], about["reading"], about["kept"]) == (True, None, FIRST)
    assert "changed while it was read" in about["problem"]
    assert [*folder.glob(".view*")] == []
    assert ask(page.url, "search", which="all")["total"] == FIRST  # all that can be shown
    act(page.url, "reopen")
    page.wait()
    about = ask(page.url, "about")
    assert (about["stale"], about["problem"], about["kept"]) == (False, "", 24)


def test_a_wrong_row_among_the_others_is_named(gated, folder, capsys):
    (path,) = folder.glob("accepted.*.dropped.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:-1], '{"question": "Is it ours?"}\n']))
    page, gate = gated()
    gate.open()
    with pytest.raises(RunError, match="is no sample of a run"):
        page.wait()
    _wait(page, quiet=True)
    assert capsys.readouterr().err.startswith("note: only the first samples are shown: ")
    assert ask(page.url, "search")["total"] == FIRST
    assert [*folder.glob(".view*")] == []


def test_what_a_killed_builder_left_is_no_index(gated, folder):
    with sqlite3.connect(folder / ".view.sqlite") as half:
        half.executescript(index.SCHEMA)
    half.close()
    old, young = folder / ".view.sqlite.0000.tmp", folder / ".view.sqlite.1111.tmp"
    old.touch()
    os.utime(old, (1, 1))
    young.touch()
    page, gate = gated()
    gate.open()
    page.wait()
    assert ask(page.url, "search")["total"] == 24
    assert drafts(folder) == [young]


def test_two_at_once(gated, folder):
    both = [gated(), gated()]
    assert len(drafts(folder)) == 2
    for page, gate in both:
        gate.open()
        page.wait()
    assert [ask(page.url, "search")["total"] for page, _ in both] == [24, 24]
    assert drafts(folder) == []


@pytest.mark.parametrize(
    "line",
    [
        r'{"a": "\ud800", "b": "\ud83d\ude00\u0000"}',
        '{"a": [1e400, -0.0, NaN, -Infinity, 0.1, 12345678901234567890], "a": 1' + "0" * 400 + "}",
        '{"a": ' + "[" * 300 + "]" * 300 + "}\r\n",
        ' {"ключ": "значение", "": null, "t": true} ',
    ],
)
def test_rows_are_read_as_json_reads_them(line):
    assert repr(index._parsed(line.encode())) == repr(json.loads(line))


@pytest.mark.parametrize("line", [b'{"a": "\xff"}', b'{"a": 1} x', b'{"a"', b"\xef\xbb\xbf{}", b'{"a": "\n"}', b"[1,]"])
def test_lines_that_are_no_json_are_refused(line):
    with pytest.raises(ValueError):
        index._parsed(line)
