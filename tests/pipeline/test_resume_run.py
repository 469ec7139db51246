"""Running again is resuming: after kill -9, Ctrl-C or a spent budget, to the bytes of an undisturbed run."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
import runs

from curate.models import Ledger
from curate.pipeline.watch import Watch

ROWS = 70
EXPLORE = {"depth": 2, "width": [3, 2], "per_call": 2, "merge_candidates": 1}
SLOW = {"CURATE_TEST_LATENCY": "0.04", "CURATE_TEST_CONCURRENCY": "4"}
IN_FLIGHT = 4
BATCH = 1.5
"""Seconds that a commit batch may take on a busy machine; it is 0.02 s plus one fsync."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The domain, what an undisturbed run gives, and how many calls it makes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    domain = runs.domain_file(folder, explore=EXPLORE, judge={"rubric": "5: good. 1: bad."})
    report = runs.run(domain, folder / "out", runs.TEACHER, rows=ROWS)
    assert report.accepted == ROWS
    return domain, runs.outcome(folder / "out"), report.stats.calls


def keys_of(out: Path) -> set[str]:
    """The calls that a run directory's ledger holds."""
    if not (out / "calls.sqlite").exists():
        return set()
    connection = sqlite3.connect(out / "calls.sqlite")
    try:
        return {row[0].hex() for row in connection.execute("SELECT key FROM calls")}
    except sqlite3.OperationalError:  # killed before the tables were made
        return set()
    finally:
        connection.close()


def kill_at_random(domain: str, out: Path, log: Path, kills: int, seed: int) -> int:
    """Kill a run again and again; return how many calls were served in vain."""
    rng = random.Random(seed)
    wasted = 0
    environment = {**SLOW, "CURATE_TEST_LOG": str(log)}
    for _ in range(kills):
        known = keys_of(out)
        begun = len(runs.served(log))
        process = runs.child(domain, out, "--rows", str(ROWS), "--quiet", env=environment)
        # Most kills fall among the calls, some into the start or into what comes after the last call.
        wanted, patience = begun + rng.choice([0, 1, 6, 20, 40, 60, 90]), time.time() + rng.uniform(0.2, 4.0)
        while len(runs.served(log)) < wanted and time.time() < patience and process.poll() is None:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.08))
        process.kill()
        died = time.time()
        process.communicate()
        lines = runs.served(log)[begun:]
        came = [key for mark, key, _ in lines if mark == ">"]
        answered = {key: moment for mark, key, moment in lines if mark == "<"}
        assert not known & set(came), "a call that was committed before the kill was made again"
        committed = keys_of(out)
        lost = {key: moment for key, moment in answered.items() if key not in committed}
        assert all(moment > died - BATCH for moment in lost.values()), "an answer older than a batch was lost"
        assert len(came) - len(answered) <= IN_FLIGHT
        wasted += len(came) - len(committed & set(came))
    return wasted


def check_killed(undisturbed, tmp_path, kills, seed):
    domain, expected, calls = undisturbed
    out, log = tmp_path / "out", tmp_path / "log"
    wasted = kill_at_random(domain, out, log, kills, seed)
    known = keys_of(out)
    before = len(runs.served(log))
    environment = {"CURATE_TEST_LOG": str(log)}
    process = runs.child(domain, out, "--rows", str(ROWS), "--json", env=environment)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    summary = json.loads(printed.splitlines()[-1])
    assert runs.outcome(out) == expected
    assert not list(out.rglob("*.tmp"))
    last = [key for mark, key, _ in runs.served(log)[before:] if mark == ">"]
    assert len(last) == len(set(last)) == summary["calls"] and not known & set(last)
    all_served = [key for mark, key, _ in runs.served(log) if mark == ">"]
    assert len(set(all_served)) == len(keys_of(out)) == calls
    assert len(all_served) - calls == wasted


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_a_run_ends_in_the_same_bytes_and_pays_nothing_twice(undisturbed, tmp_path, seed):
    check_killed(undisturbed, tmp_path, 4, seed)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(10, 20))
def test_killed_at_fifty_random_moments(undisturbed, tmp_path, seed):
    check_killed(undisturbed, tmp_path, 5, seed)


def wait_for(log: Path, lines: int, process: subprocess.Popen[str]) -> None:
    end = time.time() + 30
    while len(runs.served(log)) < lines:
        assert process.poll() is None and time.time() < end
        time.sleep(0.005)


def test_interrupted_once_what_is_in_flight_is_kept_and_the_summary_printed(undisturbed, tmp_path):
    domain, expected, calls = undisturbed
    out, log = tmp_path / "out", tmp_path / "log"
    process = runs.child(domain, out, "--rows", str(ROWS), env={**SLOW, "CURATE_TEST_LOG": str(log)})
    wait_for(log, 60, process)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=30)
    assert process.returncode == 3, errors
    assert f"of {ROWS} rows accepted (stopped by hand)" in printed and "Traceback" not in errors
    assert "the same command again goes on" in printed
    lines = runs.served(log)
    came = {key for mark, key, _ in lines if mark == ">"}
    assert came == {key for mark, key, _ in lines if mark == "<"} == keys_of(out)
    assert len(came) < calls
    stands = (out / "dataset/train.jsonl").read_text().splitlines()
    assert all(json.loads(line)["messages"] for line in stands)
    report = runs.run(domain, out, runs.TEACHER, rows=ROWS)
    assert runs.outcome(out) == expected and report.stats.calls == calls - len(came)


def test_interrupted_twice_a_run_is_out_at_once_and_loses_nothing(undisturbed, tmp_path):
    domain, expected, calls = undisturbed
    out, log = tmp_path / "out", tmp_path / "log"
    slow = {"CURATE_TEST_LATENCY": "0.04", "CURATE_TEST_CONCURRENCY": "4", "CURATE_TEST_LOG": str(log)}
    process = runs.child(domain, out, "--rows", str(ROWS), env=slow)
    wait_for(log, 50, process)
    process.kill()
    process.communicate()
    paid = keys_of(out)
    # From here on a reply takes half a minute: whoever waits for it is not out at once.
    before = len(runs.served(log))
    process = runs.child(domain, out, "--rows", str(ROWS), env={**slow, "CURATE_TEST_LATENCY": "30"})
    wait_for(log, before + 1, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "the first interrupt waits for what is in flight"
    process.send_signal(signal.SIGINT)
    began = time.time()
    _, errors = process.communicate(timeout=30)
    assert time.time() - began < 20
    assert process.returncode == 130 and "Traceback" not in errors
    assert paid <= keys_of(out)
    report = runs.run(domain, out, runs.TEACHER, rows=ROWS)
    assert runs.outcome(out) == expected and report.stats.calls <= calls - len(paid)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_budget_that_ends_leaves_a_valid_dataset_and_more_of_it_goes_on(undisturbed, tmp_path, share):
    domain, expected, calls = undisturbed
    out = tmp_path / "out"
    limit = int(calls * share)
    part = runs.run(domain, out, runs.TEACHER, rows=ROWS, budget_calls=limit)
    assert (part.stopped, part.exit_code) == ("budget", 3)
    assert part.stats.calls == limit == len(keys_of(out))
    assert part.accepted < ROWS
    if part.dataset:
        assert len((part.dataset / "train.jsonl").read_text().splitlines()) == part.accepted
        gone = [row for row in runs.dropped(part) if row["dropped"]["stage"] != "generate"]
        assert part.accepted + len(gone) == part.counts["candidates"]
    again = runs.run(domain, out, runs.TEACHER, rows=ROWS, budget_calls=limit)
    assert again.stats.calls == 0 and again.accepted == part.accepted
    whole = runs.run(domain, out, runs.TEACHER, rows=ROWS, budget_calls=calls)
    assert whole.exit_code == 0 and whole.stats.calls == calls - limit
    assert runs.outcome(out) == expected


def test_a_budget_of_tokens_is_never_exceeded(undisturbed, tmp_path):
    domain, expected, _ = undisturbed
    part = runs.run(domain, tmp_path / "out", runs.TEACHER, rows=ROWS, budget_tokens=20_000)
    assert part.stopped == "budget"
    assert 0 < part.stats.total.input_tokens + part.stats.total.output_tokens <= 20_000
    runs.run(domain, tmp_path / "out", runs.TEACHER, rows=ROWS)
    assert runs.outcome(tmp_path / "out") == expected


def test_a_finished_run_again_makes_no_call_and_changes_no_byte(undisturbed, tmp_path):
    domain, expected, _ = undisturbed
    out, log = tmp_path / "out", tmp_path / "log"
    runs.run(domain, out, runs.TEACHER, rows=ROWS)
    process = runs.child(domain, out, "--rows", str(ROWS), "--json", env={"CURATE_TEST_LOG": str(log)})
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert json.loads(printed.splitlines()[-1])["calls"] == 0 and not log.exists()
    assert runs.outcome(out) == expected
    # Nor does it decide anything anew: the rows are whole, and taken as they are.
    watch = Watch()
    report = runs.run(domain, out, runs.TEACHER, rows=ROWS, watch=watch)
    assert watch.candidates == 0 and report.stats.replayed == 0 and report.accepted == ROWS


def test_rows_recomputed_from_the_ledger_are_the_same_bytes(undisturbed, tmp_path):
    domain, expected, _ = undisturbed
    out = tmp_path / "out"
    runs.run(domain, out, runs.TEACHER, rows=ROWS)
    for path in [*out.glob("accepted.*"), *(out / "dataset").iterdir(), out / "tree.json"]:
        path.unlink()
    report = runs.run(domain, out, runs.TEACHER, rows=ROWS)
    assert report.stats.calls == 0
    assert runs.outcome(out) == expected


@pytest.mark.parametrize("part", ["cut off", "gone", "summary"])
def test_rows_that_were_damaged_on_the_disk_are_made_again_from_the_ledger(undisturbed, tmp_path, part):
    domain, expected, _ = undisturbed
    out = tmp_path / "out"
    report = runs.run(domain, out, runs.TEACHER, rows=ROWS)
    kept = out / f"accepted.{report.key}.jsonl"
    if part == "cut off":
        kept.write_bytes(kept.read_bytes()[:-40])
    elif part == "gone":
        kept.unlink()
    else:
        summary = out / f"accepted.{report.key}.summary.json"
        summary.write_text(summary.read_text()[:50])
    again = runs.run(domain, out, runs.TEACHER, rows=ROWS)
    assert again.stats.calls == 0 and runs.outcome(out) == expected


def test_the_ledger_counts_what_the_run_counted(undisturbed, tmp_path):
    domain, _, calls = undisturbed
    runs.run(domain, tmp_path / "out", runs.TEACHER, rows=ROWS)
    with Ledger(tmp_path / "out/calls.sqlite") as ledger:
        assert sum(total.calls for total in ledger.totals()) == calls == len(keys_of(tmp_path / "out"))
