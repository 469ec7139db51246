"""Who is answered, and who is not."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from viewing import act, ask, row, send, write

import curate
from curate.errors import InputError, RunError
from curate.view.server import LARGEST, View


@pytest.fixture
def page(folder, opened):
    return opened(folder)


def path_of(page):
    return urlsplit(page.url).path


def test_the_page_and_its_files_are_served(page):
    status, headers, body = send(page.url, "GET", path_of(page))
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert headers["Cache-Control"] == "no-store"
    policy = headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'self' 'unsafe" not in policy
    assert b"<script>" not in body
    for name in re.findall(rb'(?:src|href)="([^"]+)"', body):
        assert send(page.url, "GET", path_of(page) + name.decode())[0] == 200, name


@pytest.mark.parametrize("path", ["/", "/api/about", "/wrong/", "/wrong/api/about", "//", "/view/app.js"])
def test_without_the_token_nothing_is_told(page, path):
    status, headers, body = send(page.url, "GET", path)
    assert status == 403
    assert b"toy" not in body
    assert headers["Content-Security-Policy"]


def test_another_page_is_refused(page, folder):
    target = f"{path_of(page)}api/decide"
    decision = {"row": 1, "decision": "reject"}
    for origin in ("http://evil.example", "null", page.url.replace("127.0.0.1", "localhost"), "http://127.0.0.1:1"):
        assert send(page.url, "POST", target, decision, Origin=origin)[0] == 403
        assert send(page.url, "GET", f"{path_of(page)}api/about", Origin=origin)[0] == 403
    # What a form of another page can send without being asked first.
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert send(page.url, "POST", target, json.dumps(decision).encode(), Content_Type=kind)[0] == 403
    assert not (folder / "reviews.jsonl").exists()
    own = page.url.removesuffix(path_of(page))
    assert send(page.url, "POST", target, decision, Origin=own)[0] == 200


def test_another_name_of_this_machine_is_refused(page):
    about = f"{path_of(page)}api/about"
    for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:80", ""):
        assert send(page.url, "GET", about, Host=host)[0] == 403
    assert send(page.url, "GET", about, Host="localhost:8123")[0] == 200  # through ssh -L


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"CONNECT {path} HTTP/1.1\r\nHost: 127.0.0.1", 403),
        (b"GET {path} HTTP/1.1\r\nHost: [::1", 403),
        (b"GET {path}", 403),
        (b"\x16\x03\x01", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: 127.0.0.1", 400),
        (b"POST {path}api/decide HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5", 400),
        (b"POST {path}api/decide HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
         b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", 400),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_without_a_word_on_the_terminal(page, capfd, head, status):
    address = urlsplit(page.url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(head.replace(b"{path}", address.path.encode()) + b"\r\nConnection: close\r\n\r\n")
        assert connection.recv(1 << 16).split()[1] == str(status).encode()
    assert ask(page.url, "about")["kept"] == 24
    assert capfd.readouterr() == ("", "")


def test_requests_that_never_end_hold_nobody_up(page):
    address = urlsplit(page.url)
    head = f"POST {address.path}api/decide HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    half = f"{head}Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{{"
    with contextlib.ExitStack() as stack:
        for text in (head, half) * 20:
            connection = stack.enter_context(socket.create_connection((address.hostname, address.port)))
            connection.sendall(text.encode())
        assert ask(page.url, "about")["kept"] == 24
        page.close()


def test_no_other_origin_is_ever_let_in(page):
    for method, path in (("OPTIONS", "api/decide"), ("GET", "api/about"), ("GET", "")):
        _, headers, _ = send(page.url, method, path_of(page) + path, Access_Control_Request_Method="POST")
        assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    "name",
    [
        "../run.yaml", "..%2frun.yaml", "%2e%2e/base.css", "view/../../api/desk.py", "/etc/passwd", "//etc/passwd",
        "vendor/../../text.py", "view/app.js%00", "view", "vendor/licences/d3.txt", "view/%2e%2e/math.js/",
    ],
)  # fmt: skip
def test_nothing_but_the_page_is_served(page, name):
    assert send(page.url, "GET", path_of(page) + name)[0] in (403, 404)


def test_bodies_that_cannot_be(page, folder):
    target = f"{path_of(page)}api/decide"
    assert (
        send(page.url, "POST", target, b'{"x": "' + b"x" * LARGEST + b'"}', Content_Type="application/json")[0] == 413
    )
    for body in (b"", b"[]", b"{", b"\xff", b"[" * 100_000):
        assert send(page.url, "POST", target, body, Content_Type="application/json")[0] == 400
    for given in (
        {},
        {"row": "x"},
        {"row": True, "decision": "accept"},
        {"row": 10**30},
        {"row": -1},
        {"row": 1, "decision": "maybe"},
        {"row": 1, "reason": []},
    ):
        status, _, body = send(page.url, "POST", target, given)
        assert (status, [*json.loads(body)]) == (400, ["error"])
    assert ask(page.url, "nothing") == {"error": "there is no such request"}
    assert "error" in ask(page.url, "sample", row="1; DROP TABLE samples")
    assert not (folder / "reviews.jsonl").exists()


def test_decisions_go_to_the_journal_and_nothing_else_is_written(page, folder):
    before = {path: path.read_bytes() for path in folder.glob("accepted.*")}
    first = ask(page.url, "search")["rows"][0]
    assert (
        act(page.url, "decide", row=first["row"], decision="reject", reason="dull", author="bob")["brief"]["review"][
            "reason"
        ]
        == "dull"
    )
    (line,) = (folder / "reviews.jsonl").read_text().splitlines()
    written = json.loads(line)
    assert (written["id"], written["decision"], written["author"]) == (first["id"], "reject", "bob")
    assert act(page.url, "decide", row=first["row"], decision="undo")["brief"]["review"] is None
    assert {path: path.read_bytes() for path in folder.glob("accepted.*")} == before


def test_a_journal_that_cannot_be_written_is_told(page, folder):
    (folder / "reviews.jsonl").mkdir()
    answer = act(page.url, "decide", row=1, decision="accept")
    assert "cannot be" in answer["error"]
    (folder / "reviews.jsonl").rmdir()
    assert "brief" in act(page.url, "decide", row=1, decision="accept")


def test_a_call_that_gave_no_sample_cannot_be_decided(tmp_path, opened):
    lost = {"id": "call-ab-0", "task": [], "messages": [], "meta": {"generate": {"reply": "Sorry."}},
            "dropped": {"stage": "generate", "reason": "invalid_json", "score": None}}  # fmt: skip
    write(tmp_path / "data.dropped.jsonl", [lost])
    page = opened(write(tmp_path / "data.jsonl", [row("One?")]))
    (found,) = ask(page.url, "search", which="dropped")["rows"]
    assert found["head"] == "Sorry."
    assert "nothing to decide" in act(page.url, "decide", row=found["row"], decision="accept")["error"]


def test_a_wrong_line_in_the_journal_is_told_until_it_is_mended(page, folder):
    act(page.url, "decide", row=1, decision="accept")
    journal = folder / "reviews.jsonl"
    sound = journal.read_text()
    journal.write_text("{\n" + sound)
    for _ in range(2):
        assert "reviews.jsonl:1: not a decision" in ask(page.url, "search")["error"]
        assert "reviews.jsonl:1: not a decision" in act(page.url, "decide", row=2, decision="accept")["error"]
    journal.write_text(sound)
    assert ask(page.url, "search", review="accept")["total"] == 1


def test_rows_that_are_overwritten_are_told(page, folder):
    (path,) = folder.glob("accepted.????????????.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    for text in ("", "".join(lines[::-1]), path.read_text().replace(" ", "  ")):
        path.write_text(text)
        assert "has been changed since" in ask(page.url, "sample", row=2)["error"]
    assert ask(page.url, "about")["stale"] is True


def test_a_file_that_grows_is_looked_at_as_it_was_until_asked(tmp_path, opened):
    page = opened(write(tmp_path / "data.jsonl", [row("One?"), row("Two?")]))
    assert ask(page.url, "about")["stale"] is False
    write(tmp_path / "data.jsonl", [row("Three?"), row("One?"), row("Two?")])
    assert [each["head"] for each in ask(page.url, "search")["rows"]] == ["One?", "Two?"]
    assert ask(page.url, "about")["stale"] is True
    assert act(page.url, "reopen")["kept"] == 3
    assert ask(page.url, "about")["stale"] is False


def test_an_index_that_cannot_lie_in_the_run_lies_in_the_cache(folder, opened, tmp_path):
    (folder / ".view.sqlite").mkdir()  # as good as a folder that cannot be written
    page = opened(folder)
    assert ask(page.url, "search")["total"] == 24
    (index,) = (tmp_path / "cache" / "curate" / "view").iterdir()
    assert index.stat().st_mode & 0o077 == 0


def test_a_cache_that_may_not_be_entered_is_told(folder, opened, tmp_path, monkeypatch):
    is_file = Path.is_file

    def refused(path):
        if path.suffix == ".sqlite":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refused)
    (folder / ".view.sqlite").mkdir()
    (tmp_path / "cache").touch()
    with pytest.raises(RunError, match="set XDG_CACHE_HOME to a folder that can be written"):
        opened(folder)


def test_export_from_the_page(page, folder):
    rows = ask(page.url, "search")["rows"]
    act(page.url, "decide", row=rows[0]["row"], decision="reject", reason="dull")
    made = act(page.url, "export", format="alpaca")
    assert (made["rows"], made["out"], made["by_hand"]) == (23, str(folder / "dataset"), "1 rejected by hand")
    assert "instruction" in json.loads((folder / "dataset" / "train.jsonl").read_text().splitlines()[0])
    assert "error" in act(page.url, "export", format="csv")


def test_a_port_that_is_taken(page, folder):
    with pytest.raises(RunError, match="leave out --port"):
        View(folder, urlsplit(page.url).port)


def test_nothing_to_look_at(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        View(tmp_path / "nope.jsonl")
    with pytest.raises(InputError, match="this folder is no run directory"):
        View(tmp_path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "x", "messages": [', "not JSON"),
        ('{"question": "Is it ours?"}', "is no sample of a run"),
        ('{"id": "x", "task": [], "messages": ["hi"], "meta": {}}', "is no sample of a run"),
        ('{"id": "x", "task": [], "messages": [], "meta": {}, "dropped": "why"}', "no cause of its drop"),
        ('{"id": "x", "task": [[]], "messages": [], "meta": {}}', "row 'x' is no sample of a run"),
        ('{"id": "\\ud800", "task": [], "messages": [], "meta": {}}', "is no sample of a run"),
    ],
)
def test_rows_that_are_no_samples_are_named(folder, line, said):
    (path,) = folder.glob("accepted.*.dropped.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:-1], line + "\n"]))
    with pytest.raises(InputError, match=said):
        View(folder)
    assert not [*folder.glob("*.tmp"), *folder.glob(".view.sqlite*")]


def test_notes_that_are_nobodys_are_passed_over(tmp_path, opened):
    dropped = {"stage": "\ud800", "reason": ["dull"], "neighbour": {}, "score": 10**400}
    write(tmp_path / "data.dropped.jsonl", [row("Two?", dropped=dropped)])
    kept = row("One?", dedup={"nearest": [1], "score": 10**400}, judge=3, generate={"task_id": "\ud800"})
    page = opened(write(tmp_path / "data.jsonl", [kept]))
    found = ask(page.url, "search", which="all")["rows"]
    assert [(each["head"], each["stage"]) for each in found] == [("One?", None), ("Two?", "\ud800")]
    assert ask(page.url, "sample", row=1)["near"] is None
    assert ask(page.url, "facets")["which"] == {"kept": 1, "dropped": 1}


def test_from_python(folder, capsys):
    with curate.view(folder, quiet=True) as page:
        assert ask(page.url, "about")["kept"] == 24
        assert page.url in page._repr_html_()
        threads = threading.active_count()
    assert threading.active_count() < threads
    assert capsys.readouterr() == ("", "")
    page.close()  # a second time does nothing


def test_from_the_command_line(folder, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "CURATE_AUTHOR": "bob"}
    command = [
        sys.executable,
        "-c",
        "from curate.cli import main; main()",
        "view",
        str(folder),
        "--no-browser",
        "--json",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        told = json.loads(process.stdout.readline())
        assert (told["kept"], told["decided"], told["journal"]) == (24, 0, str(folder / "reviews.jsonl"))
        assert ask(told["url"], "about")["author"] == "bob"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
