"""The whole job on `vllm serve`, which follows schemas: with a server that curate starts, and with one of our own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from real_servers import LENGTHS, VLLM_ARGS, VLLM_ENVIRONMENT, Shell, interpreter

from curate.models.child import free_port
from curate.models.students import open_student
from curate.stages.exam.take import take
from curate.types import Question

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

START_SECONDS = 600


@pytest.fixture(scope="module")
def url(tiny, tmp_path_factory) -> Iterator[str]:
    """The URL of a vLLM server that serves the tiny model as "tiny", as anybody would start it."""
    python, port = interpreter("CURATE_VLLM_PYTHON", "vllm"), free_port()
    where = ["--model", str(tiny), "--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port)]
    command = [python, "-m", "vllm.entrypoints.openai.api_server", *where, *VLLM_ARGS]
    log = tmp_path_factory.mktemp("server") / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **VLLM_ENVIRONMENT},
            start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_SECONDS
        while b"Application startup complete" not in log.read_bytes():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def shell(tmp_path) -> Shell:
    return Shell(tmp_path, {}, "none")


def domain(folder: Path, **more) -> str:
    """Write a domain file that extends the one with rules for lengths."""
    path = folder / "domain.yaml"
    path.write_text(json.dumps({"name": "lengths", "extends": str(LENGTHS), **more}))
    return str(path)


def loaded(dataset: str, folder: Path) -> list[dict]:
    from datasets import load_dataset

    return load_dataset(str(folder / dataset), split="train", cache_dir=str(folder / "cache")).to_list()


def completed(ledger: Path, stage: str = "%") -> int:
    """Return how many calls of a stage, or of all, a run's ledger holds."""
    if not ledger.exists():
        return 0
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as calls:
        try:
            return calls.execute("select count(*) from calls where stage like ?", (stage,)).fetchone()[0]
        except sqlite3.OperationalError:  # being made
            return 0


def test_a_server_of_ours_delivers_twenty_rows_also_after_a_kill(vllm, tiny):
    arguments = ("--domain", str(LENGTHS), "--rows", "20", "--out", "run", "--teacher", f"vllm:{tiny}")
    ledger = vllm.folder / "run" / "calls.sqlite"
    process = vllm.start(*arguments)
    # A tree that stands is read from its own file: only the calls of samples are sure to be asked for again.
    while not completed(ledger, "generate"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert vllm.left_behind() == []
    paid = completed(ledger)

    ran = vllm.explore(*arguments)
    assert (ran.code, ran.report["accepted"], ran.report["stopped"]) == (0, 20, ""), ran
    # Nothing that was paid for is paid again: each call of the second run is a new row of the ledger.
    assert completed(ledger) == paid + ran.report["calls"] and ran.report["replayed"] > 0
    assert vllm.left_behind() == []
    rows = loaded(ran.report["dataset"], vllm.folder)
    assert len(rows) == 20 and len({row["id"] for row in rows}) == 20
    assert all([message["role"] for message in row["messages"]] == ["user", "assistant"] for row in rows)
    assert all(len(row["messages"][1]["content"]) <= 60 for row in rows)
    # The server bound every reply by its schema, so that none was unreadable.
    assert ran.report["counts"]["lost"] == {}


def test_somebodys_server_delivers_twenty_rows(shell, url):
    ran = shell.explore("--domain", str(LENGTHS), "--rows", "20", "--out", "run", "--teacher", f"openai:tiny@{url}")
    assert (ran.code, ran.report["accepted"], ran.report["failures"]) == (0, 20, {}), ran
    assert len(loaded(ran.report["dataset"], shell.folder)) == 20


def test_an_unknown_model_stops_at_once_with_one_clear_line(shell, url):
    began = time.monotonic()
    ran = shell.explore("--domain", str(LENGTHS), "--rows", "20", "--out", "run", "--teacher", f"openai:nobody@{url}")
    assert ran.code == 1 and time.monotonic() - began < 30
    assert ran.said.startswith("curate: teacher: ") and ran.said.count("\n") == 1
    assert "HTTP 404" in ran.said and "does not know 'nobody'" in ran.said


def test_an_over_long_prompt_loses_its_sample_with_the_reason(shell, url):
    long = domain(shell.folder, guidance="Consider everything with great care. " * 1500)
    ran = shell.explore("--domain", long, "--rows", "3", "--out", "run", "--teacher", f"openai:tiny@{url}")
    counts = ran.report["counts"]
    assert (ran.code, ran.report["accepted"], ran.report["stopped"]) == (3, 0, "saturated"), ran
    assert counts["lost"] == {"context_length": counts["calls"]} and counts["calls"] > 0
    assert counts["dropped"] == {"generate: context_length": counts["calls"]}
    grown = counts["explore"]
    assert grown["lost"] == {"context_length": grown["lookahead"] + grown["backtrack"]}


def test_a_student_answers_as_it_does_in_process(url, tiny):
    subjects = ("trees", "rules", "samples", "domains", "judges", "ledgers")
    questions = [
        Question(
            f"{n}", f"What of {subject}, {'or ' * n}what?", (f"a {subject}", "不同的", f"run {n}", "none at all"), 0
        )
        for n, subject in enumerate(subjects * 3)
    ]
    with closing(open_student(f"openai:tiny@{url}")) as served:
        assert "echo" in served.notes[0]
        through = list(take(questions, served))
    with closing(open_student(str(tiny), precision="float32")) as local:
        here = list(take(questions, local))
    decided = 0
    for one, other in zip(here, through, strict=True):
        assert one.shots == other.shots == 5 and one.error is other.error is None
        for own, theirs in ((one.letter, other.letter), (one.text, other.text)):
            assert max(abs(a - b) for a, b in zip(own, theirs, strict=True)) < 5e-4
            ranked = sorted(own)
            if ranked[-1] - ranked[-2] > 1e-3:
                decided += 1
                assert own.index(max(own)) == theirs.index(max(theirs))
    assert decided >= len(subjects)  # of 36: that a model which has learnt nothing decides at all is luck
