"""What cannot work is refused with one clear line that says what would, and nothing is lost by it."""

from __future__ import annotations

import json
import resource
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
import runs
import teacher
import yaml

from curate.errors import ConfigError, CurateError, InputError, LedgerError, RunError
from curate.models import Ledger
from curate.run import RunDirectory

ROWS = 15


class Asked:
    """A teacher that counts what it was asked."""

    def __init__(self):
        self.count = 0

    async def __call__(self, request):
        self.count += 1
        return teacher.answer(request.messages, request.schema, request.attempt)


def refused(kind, domain, out, model=None, **options):
    """Run, expect an error of one line and no call; return the line."""
    model = model or Asked()
    options = {"rows": ROWS, **options}
    with pytest.raises(kind) as raised:
        runs.run(domain, out, model, **options)
    assert not isinstance(model, Asked) or model.count == 0
    assert isinstance(raised.value, CurateError) and "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def finished(tmp_path):
    """A finished run: its domain and its folder."""
    domain, out = runs.domain_file(tmp_path), tmp_path / "out"
    runs.run(domain, out, rows=ROWS)
    return domain, out


def test_a_second_process_on_one_run_directory_is_refused(tmp_path):
    domain, out, log = runs.domain_file(tmp_path), tmp_path / "out", tmp_path / "log"
    slow = {"CURATE_TEST_LATENCY": "20", "CURATE_TEST_LOG": str(log)}
    first = runs.child(domain, out, "--rows", str(ROWS), env=slow)
    try:
        while not runs.served(log):
            assert first.poll() is None
            time.sleep(0.01)
        said = refused(RunError, domain, out, runs.TEACHER)
        assert said.startswith(f"{out}: another process (pid {first.pid}) is working here") and "--out" in said
        second = runs.child(domain, out, "--rows", str(ROWS))
        printed, errors = second.communicate(timeout=30)
        assert (second.returncode, printed) == (2, "") and f"pid {first.pid}" in errors
    finally:
        first.kill()
        first.communicate()
    # The lock goes with its process.
    assert runs.run(domain, out, runs.TEACHER, rows=ROWS).accepted == ROWS


@pytest.mark.parametrize(
    ("what", "change"),
    [("seed", {"seed": 5}), ("teacher", {"model": runs.TEACHER}), ("domain", {}), ("language", {}), ("root", {})],
)
def test_another_run_in_the_same_folder_is_refused_by_name(finished, tmp_path, what, change):
    domain, out = finished
    before = runs.outcome(out)
    (tmp_path / "other").mkdir()
    if what == "domain":
        domain = runs.domain_file(tmp_path / "other", name="other")
    if what == "language":
        domain = runs.domain_file(tmp_path / "other", language="zh", dedup=None, seeds=[])
    if what == "root":
        domain = runs.domain_file(tmp_path / "other", root={"name": "Do something else"})
    said = refused(RunError, domain, out, change.pop("model", Asked()), **change)
    assert said.startswith(f"{out}: this folder holds another run ({what} was ") and said.endswith("with --out")
    assert runs.outcome(out) == before


def test_more_rows_another_threshold_and_other_rules_are_not_another_run(finished, tmp_path):
    _, out = finished
    changed = runs.domain_file(tmp_path, rules={"instruction": {"min_words": 4}}, rouge={"threshold": 0.6})
    assert runs.run(changed, out, rows=ROWS + 5, threshold=0.9).accepted == ROWS + 5


def test_a_phrase_is_not_drafted_into_the_folder_of_another_run(finished):
    _, out = finished
    said = refused(RunError, "tenancy law", out)
    assert "(domain was 'toy' and is now 'tenancy-law')" in said
    assert not (out / "domain.yaml").exists()


def test_a_second_phrase_does_not_take_the_draft_of_the_first(tmp_path):
    out = tmp_path / "out"
    runs.run("tenancy law", out, rows=5, threshold=0.95)
    said = refused(RunError, "garden design", out)
    assert "(domain was 'tenancy-law' and is now 'garden-design')" in said


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    said = refused(RunError, runs.domain_file(tmp_path), tmp_path / "file" / "out")
    assert said.startswith(f"{tmp_path / 'file' / 'out'}: cannot be written (Not a directory)") and "--out" in said


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "out").write_text("not a folder")
    assert "cannot be written (File exists)" in refused(RunError, runs.domain_file(tmp_path), tmp_path / "out")


def limited_child(domain: str, out: Path, size: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a child whose files cannot grow beyond `size` bytes, which is how a full disk looks to a program."""

    def limit() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    asked = runs.command(domain, out, "--rows", "40", "--quiet", *options)
    return subprocess.run(asked, preexec_fn=limit, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("size", [0, 20_000, 60_000])
def test_a_full_disk_is_one_clear_line_and_the_run_goes_on_once_there_is_room(tmp_path, size):
    domain, out = runs.domain_file(tmp_path), tmp_path / "out"
    done = limited_child(domain, out, size)
    assert done.returncode in (1, 2), (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith("curate: ") and str(out) in lines[-1], lines
    assert not list(out.rglob("*.tmp"))
    kept = 0
    if (out / "calls.sqlite").exists() and size > 10_000:
        with Ledger(out / "calls.sqlite") as ledger:
            kept = sum(total.calls for total in ledger.totals())
    report = runs.run(domain, out, runs.TEACHER, rows=40)
    assert report.accepted == 40
    fresh = runs.run(domain, tmp_path / "fresh", runs.TEACHER, rows=40)
    assert runs.outcome(out) == runs.outcome(tmp_path / "fresh")
    assert report.stats.calls == fresh.stats.calls - kept


def test_a_disk_that_fills_up_while_rows_are_published_leaves_the_old_ones(finished, monkeypatch):
    import errno
    import os

    domain, out = finished
    before = runs.outcome(out)
    real = os.fsync

    def full(descriptor):
        if "accepted" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"accepted\..*cannot be written \(No space left on device\)"):
        runs.run(domain, out, rows=ROWS + 10)
    monkeypatch.undo()
    assert runs.outcome(out) == before
    assert runs.run(domain, out, rows=ROWS + 10).accepted == ROWS + 10


def test_a_cut_off_last_line_of_the_journal_is_named_and_the_edits_before_it_hold(finished):
    domain, out = finished
    names = [task["name"] for task in json.loads((out / "tree.json").read_text())["tasks"]]
    edit = json.dumps({"op": "prune", "task": [names[1]]})
    (out / "tree.edits.jsonl").write_text(f'{edit}\n{{"op": "prune", "ta')
    report = runs.run(domain, out, rows=ROWS)
    assert any("tree.edits.jsonl:2" in note and "ignored" in note for note in report.notes)
    assert report.accepted == ROWS
    assert not any(names[1] in row["task"] for row in runs.accepted(report))


def test_a_wrong_line_within_the_journal_is_named_before_any_call(finished):
    domain, out = finished
    (out / "tree.edits.jsonl").write_text('{"op": "pruune", "task": ["X"]}\n{"op": "prune", "task": ["X"]}\n')
    assert "tree.edits.jsonl:1" in refused(InputError, domain, out, rows=ROWS + 1)


@pytest.mark.parametrize("content", ["", "{", '{"version": 99, "tasks": []}'])
def test_a_damaged_tree_is_named_before_any_call(finished, content):
    domain, out = finished
    (out / "tree.json").write_text(content)
    assert "tree.json" in refused(InputError, domain, out)


@pytest.mark.parametrize("content", ["{", "- 1", "identity: 3", "identity: {seed: [1"])
def test_damaged_settings_are_named_before_any_call(finished, content):
    domain, out = finished
    (out / "run.yaml").write_text(content)
    assert str(out) in refused(RunError, domain, out)


def test_a_ledger_of_an_older_version_is_refused_and_left_as_it_is(finished):
    domain, out = finished
    with sqlite3.connect(out / "calls.sqlite") as connection:
        connection.execute("PRAGMA user_version = 77")
    content = (out / "calls.sqlite").read_bytes()
    said = refused(LedgerError, domain, out)
    assert "calls.sqlite" in said and "77" in said
    assert (out / "calls.sqlite").read_bytes() == content


@pytest.mark.parametrize("content", [b"this is not a database, but a text of some length\n" * 30, b"\0" * 5000])
def test_a_ledger_that_is_no_database_is_refused_and_left_as_it_is(finished, content):
    domain, out = finished
    (out / "calls.sqlite").write_bytes(content)
    said = refused(LedgerError, domain, out)
    assert "calls.sqlite" in said
    assert (out / "calls.sqlite").read_bytes() == content


WRONG = {
    "key": ("explore:\n  depht: 1\n", r"toy.yaml:\d+: .*depht.*did you mean 'depth'"),
    "value": ("generate:\n  per_call: many\n", r"toy.yaml:\d+: .*per_call must be a whole number, not 'many'"),
    "file": ("extends: nowhere/base.yaml\n", r"toy.yaml:\d+: .*nowhere/base.yaml"),
    "seeds": ("seeds: missing.jsonl\n", r"toy.yaml:\d+: .*missing.jsonl"),
    "encoder": ("dedup: {embedder: wordclouds}\n", r"wordclouds"),
    "spec": ("models: {teacher: {spec: magic}}\n", r"toy.yaml:\d+: .*magic"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_domain_file_is_named_with_its_line_before_any_call(tmp_path, what):
    text, pattern = WRONG[what]
    base = {key: value for key, value in runs.TOY.items() if key not in yaml.safe_load(text)}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(base) + text)
    model, out = Asked(), tmp_path / "out"
    with pytest.raises(InputError, match=pattern):
        runs.run(str(tmp_path / "toy.yaml"), out, model, rows=ROWS)
    assert model.count == 0 and not out.exists()


def test_a_seed_that_is_wrong_is_named_with_file_and_line(tmp_path):
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "One.", "output": "Two."}\n{"instruction": "No output."}\n')
    domain = runs.domain_file(tmp_path, seeds="seeds.jsonl")
    with pytest.raises(ConfigError, match=r"seeds.jsonl:2: output is missing"):
        runs.run(domain, tmp_path / "out", Asked(), rows=ROWS)


def test_a_wrong_variable_of_a_prompt_is_named_with_its_line_before_any_call(tmp_path, monkeypatch):
    import shutil

    import curate.prompt.template as template
    from curate.io import resource as shipped

    prompts = tmp_path / "prompts"
    shutil.copytree(shipped("prompts"), prompts)
    path = prompts / "generate" / "samples.j2"
    path.write_text(path.read_text().replace("{{ path | tojson }}", "{{ pathh | tojson }}", 1))
    monkeypatch.setattr(template, "resource", lambda name: prompts if name == "prompts" else shipped(name))
    model = Asked()
    with pytest.raises(ConfigError, match=r"generate/samples.j2:\d+: variable 'pathh' is used and not declared"):
        runs.run(runs.domain_file(tmp_path), tmp_path / "out", model, rows=ROWS)
    assert model.count == 0


def test_no_teacher_shows_the_three_ways_to_name_one(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError) as raised:
        runs.run(runs.domain_file(tmp_path), out, None, rows=ROWS)
    assert all(way in str(raised.value) for way in ("openai:NAME@URL", "vllm:NAME", "models:"))
    assert not out.exists()


def test_a_judge_that_nobody_would_ask_is_refused_before_any_call(tmp_path):
    model, out = Asked(), tmp_path / "out"
    with pytest.raises(
        InputError, match=r"--judge procedural: .* asks for no grades; `judge: \{min_score: 4\}` in its"
    ):
        runs.run(runs.domain_file(tmp_path), out, model, rows=ROWS, judge="procedural")
    with pytest.raises(InputError, match="asks for no grades"):
        runs.run("tenancy law", out, model, rows=ROWS, judge="procedural")
    assert model.count == 0 and not out.exists()


@pytest.mark.parametrize("file", [False, True])
def test_the_embedded_teacher_is_refused_for_what_it_cannot_write(tmp_path, file):
    domain, out = runs.domain_file(tmp_path) if file else "tenancy law", tmp_path / "out"
    with pytest.raises(InputError, match="math and math-zh only") as raised:
        runs.run(domain, out, "procedural", rows=ROWS)
    assert all(way in str(raised.value) for way in ("openai:NAME@URL", "vllm:NAME", "models:"))
    (tmp_path / "mine.yaml").write_text("extends: math\nname: math\njudge: {rubric: Is it right}")
    with pytest.raises(InputError, match="'procedural' cannot; name a model with --judge"):
        runs.run(str(tmp_path / "mine.yaml"), out, None, rows=ROWS)
    assert not out.exists()


def test_the_lock_is_released_when_a_run_ends_and_old_drafts_are_swept(tmp_path):
    (tmp_path / "dataset").mkdir()
    for left in (tmp_path / ".tree.json.1-2.tmp", tmp_path / "dataset" / ".train.jsonl.1-2.tmp"):
        left.write_text("half")
    for _ in range(2):
        with RunDirectory(tmp_path), pytest.raises(RunError, match="another process"):
            RunDirectory(tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("typed", "meant"), [("rewritting", "rewriting"), ("Maths", "math"), ("brainstroming", "brainstorming")]
)
def test_a_slip_of_the_pen_is_not_drafted(tmp_path, typed, meant):
    asked = []
    with pytest.raises(InputError, match=f"'{typed}' is no shipped domain; did you mean '{meant}'"):
        runs.run(typed, tmp_path / "out", asked.append, rows=ROWS)
    assert asked == [] and not (tmp_path / "out").exists()
