"""What is shown while a run goes on, and at its end."""

from __future__ import annotations

import io
import threading
import time

import pytest

from curate.cli import display as module
from curate.cli.display import Display, Meter, amount, counted, display, money, reasons, span
from curate.cli.summary import following as next_lines
from curate.cli.summary import lines
from curate.cli.text import readable
from curate.models.accounts import Account, Stats
from curate.pipeline.explore import Report
from curate.pipeline.watch import Watch


def test_numbers_as_people_say_them():
    assert [span(s) for s in (0.04, 9.94, 9.96, 59.4, 60, 185, 7800)] == [
        "0.0 s", "9.9 s", "10 s", "59 s", "1 min 00 s", "3 min 05 s", "2 h 10 min",
    ]  # fmt: skip
    assert [amount(n) for n in (950, 9_999, 12_340, 4_500_000)] == ["950", "9,999", "12.3k", "4.5M"]
    assert [money(x) for x in (None, 0.0, 0.01234, 12.345)] == ["price unknown", "$0.00", "$0.0123", "$12.35"]
    assert reasons({"b": 2, "a": 2, "c\x1b[31m": 9, "d": 1}, 3) == "c 9 · a 2 · b 2 · others 1"


def test_readable_keeps_lines_and_nothing_that_steers():
    steering = "one\x1b]0;title\x07\r\ntwo\x9b31m\tthree\x00\u202e\x1b[2J\n\n\x1b[31mfour"
    assert readable(steering) == "one\ntwo31m three\n\nfour"


class Screen(io.StringIO):
    def isatty(self):
        return True


def wait_for(condition):
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def test_panel_shows_the_run_and_notes_above_it(monkeypatch):
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    watch = Watch(rows=40, phase="generate", tasks=7, round=2, candidates=30, accepted=10)
    watch.dropped["rules: too\x1b[31m_short"] = 3
    with display(watch) as shown:
        watch.note("an \x1b[31modd tree")
        wait_for(lambda: "an odd tree" in screen.getvalue() and "too short 3" in screen.getvalue())
        assert "10 / 40" in screen.getvalue()
        with shown.silent():
            asked = screen.getvalue()
            watch.note("later")
            time.sleep(0.5)
            assert screen.getvalue() == asked
        wait_for(lambda: "note: later" in screen.getvalue())
        assert shown.unsaid() == []
    assert "\x1b[31modd" not in screen.getvalue()
    assert not [thread for thread in threading.enumerate() if thread.name == "curate-display"]


def test_error_says_the_notes_that_no_summary_will(monkeypatch, capsys):
    for quiet, said in ((False, "note: lost?\n"), (True, "")):
        watch = Watch()
        with pytest.raises(ValueError), display(watch, quiet=quiet):
            watch.note("lost?")
            raise ValueError
        assert capsys.readouterr().err == said


def test_time_left_is_told_from_accepted_rows(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    watch = Watch(rows=100, phase="generate")
    shown = Display(watch)
    assert shown.seconds_left() is None
    watch.accepted = 20
    now[0] += 5
    assert shown.seconds_left() == 20.0
    watch.phase = "export"
    assert shown.seconds_left() is None


def test_meter_speaks_after_a_moment(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    meter = Meter("dedup")
    meter.tick(500, 2000)
    now[0] += 1.9
    assert meter.line() == ""
    now[0] += 3.1
    assert meter.line() == "dedup: 500 of 2,000 samples, 100/s, 15 s left"
    meter.tick(500, None)
    assert meter.line() == "dedup: 500 samples, 100/s"
    meter.tick(3000, 2000)
    assert meter.line() == "dedup: 3,000 samples, 600/s"


def test_stage_progress_in_lines_and_not_at_all(monkeypatch, capsys):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    for quiet in (False, True):
        with counted("filter", quiet=quiet) as meter:
            meter.tick(1, 2)
            time.sleep(0.3)
        spoken = capsys.readouterr().err
        assert spoken.startswith("filter: 1 of 2 samples, ") is not quiet
        assert bool(spoken) is not quiet


def report(tmp_path, **changes):
    paths = [["Math"], ["Math", "Algebra"], ["Math", "Algebra", "Roots"], ["Math", "Sets\x1b[31m"]]
    counts = {
        "candidates": 40,
        "dropped": {"quota: surplus": 9, "rouge: rouge": 4, "generate: unreadable": 3, "rules: too_short": 2},
        "lost": {"unreadable": 3},
        "exhausted": [["Math", "Sets\x1b[31m"]],
        "per_task": [{"task": path, "accepted": 5 + number} for number, path in enumerate(paths)],
        "per_kind": {"vieta": 20, "gcd": 6},
        "ungraded": 3,
    }
    values = {"accepted": 26, "domain": "math", "counts": counts, "tree_lines": ["Math: 4 tasks"], "seconds": 4.0}
    return Report(tmp_path, 30, **{**values, **changes})


def test_summary(tmp_path):
    assert lines(report(tmp_path, stopped="saturated"), ["odd\x1b[2J"]) == [
        "math: 26 of 30 rows accepted (no task yields anything new) in 4.0 s",
        "",
        "  Math: 4 tasks",
        "  ├── (the root itself)      1 task         5 rows",
        "  ├── Algebra                2 tasks       13 rows",
        "  └── Sets                   1 task         8 rows",
        "",
        "  yield      candidates 40 → rules 38 → rouge 34 → quota 25",
        "  dropped    quota: good but not needed 9 · rouge: mostly the same words 4 · rules: too short 2",
        "  lost calls unreadable 3",
        "  judge      3 of the accepted rows could not be graded: the reply held no grade",
        "  kinds      2 kinds of problem, 6 to 20 rows each",
        "  exhausted  1 task yields nothing new: Sets",
        "  note       odd",
    ]


def test_summary_of_many_branches_and_notes(tmp_path):
    wide = [{"task": ["Math"], "accepted": 0}]
    wide += [{"task": ["Math", f"Branch {number:02}"], "accepted": 1} for number in range(30)]
    made = report(tmp_path)
    made.counts["per_task"] = wide
    text = lines(made, [f"note {number}" for number in range(25)])
    assert sum("──" in line for line in text) == 12
    assert "  └── 19 more       19 tasks       19 rows" in text
    assert "  ├── Branch 03      1 task         1 row" in text
    assert sum(line.startswith("  note ") for line in text) == 11
    assert "  note       and 15 more; --json prints them all" in text


@pytest.mark.parametrize(
    ("changes", "following"),
    [
        ({"stopped": "stopped"}, "the same command again goes on where it stopped"),
        (
            {"stopped": "budget"},
            "the same command with a larger budget goes on; what is paid for is not asked again",
        ),
        ({"tree_only": True, "counts": {}}, "curate tree show {}"),
        ({"counts": {}}, "curate view {}\n      curate show {}"),
        ({}, "curate view {}\n      curate show {} --dropped --stage rouge"),
    ],
)
def test_next_command(tmp_path, changes, following):
    shown = "\n".join(next_lines(report(tmp_path, **changes)))
    assert shown == f"Next: {following.replace('{}', str(tmp_path))}"


def test_what_a_stop_kept_from_being_sent_is_no_failure(tmp_path):
    stats = Stats(Account(calls=7), {}, {}, {"budget": 40, "refusal": 2}, {}, 0, 0, 0, 1, 0.0, 1.0)
    text = lines(report(tmp_path, stopped="budget", stats=stats), [])
    assert "  failures   refusal 2" in text
