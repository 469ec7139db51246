"""Child servers: started with the first call, told what the environment says, and never left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest

from curate.errors import InputError, ModelError
from curate.models import Engine, open_model

SERVER = """
import http.server, json, os, sys
seen = os.environ["SEEN"]
if os.environ.get("HANGS"):
    import time
    open(seen, "w").write(json.dumps({"pid": os.getpid()})); time.sleep(60)
if os.environ.get("BROKEN"):
    print("loading"); print("ValueError: no such model here"); sys.exit(3)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def do_POST(self):
        if os.environ.get("DIES"):
            os.write(1, b"MemoryError: no room for the model\\n"); os._exit(1)
        size = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(size))
        reply = {"choices": [{"message": {"content": "from " + body["model"]}, "finish_reason": "stop"}],
                 "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
        data = json.dumps(reply).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(data))); self.end_headers()
        self.wfile.write(data)
    def log_message(self, *args):
        pass

names = ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "OMP_NUM_THREADS")
with open(seen, "w") as file:
    json.dump({"argv": sys.argv[1:], "pid": os.getpid(), "env": {n: os.environ.get(n) for n in names}}, file)
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A package `vllm` and a program `transformers` that serve; returns the file where they say how they were run."""
    folder = tmp_path / "site" / "vllm" / "entrypoints" / "openai"
    folder.mkdir(parents=True)
    for part in (folder, folder.parent, folder.parent.parent):
        (part / "__init__.py").touch()
    (folder / "api_server.py").write_text(SERVER)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "transformers").write_text(f"#!{sys.executable}\n{SERVER}")
    (programs / "transformers").chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the log of a server that failed is kept
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("CURATE_VLLM_PYTHON", sys.executable)
    monkeypatch.setenv("CURATE_HF_PYTHON", str(programs / "python"))
    monkeypatch.setenv("CURATE_VLLM_ARGS", "--max-model-len 1024 --override '{\"a\": 1}'")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # and that of one whose parent was killed
    monkeypatch.setenv("SEEN", str(tmp_path / "seen.json"))
    return tmp_path / "seen.json"


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not running(pid)


def ask(model, ask_for, ledger):
    with Engine({"teacher": model}, ledger) as engine:
        done = list(engine.run([ask_for("a"), ask_for("b")]))
        return done, engine.stats()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    return str(tmp_path / "tiny")


def test_a_vllm_server_is_started_asked_and_stopped(fake, folder, ask_for, ledger):
    done, _ = ask(open_model("teacher", f"vllm:{folder}"), ask_for, ledger)
    assert [(c.text, c.model, c.cost) for c in done] == [(f"from {folder}", folder, 0.0)] * 2
    seen = json.loads(fake.read_text())
    assert seen["argv"][:4] == ["--model", folder, "--served-model-name", folder]
    assert seen["argv"][-4:] == ["--max-model-len", "1024", "--override", '{"a": 1}']
    assert seen["argv"][4:6] == ["--host", "127.0.0.1"]
    assert seen["env"] == {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": None}
    assert gone(seen["pid"])


@pytest.mark.parametrize("spec", ["vllm:./nowhere", "hf:/nowhere", "hf:{}"])
def test_a_folder_without_a_model_is_refused_before_a_server_is_started(fake, tmp_path, spec):
    with pytest.raises(InputError, match=r"no model lies there; the folder of a model has a config\.json$"):
        open_model("teacher", spec.format(tmp_path))
    assert not fake.exists()


def test_transformers_serve_is_started_with_one_thread_for_each_request(fake, folder, ask_for, ledger):
    done, _ = ask(open_model("teacher", f"hf:{folder}"), ask_for, ledger)
    assert [c.text for c in done] == [f"from {folder}"] * 2
    seen = json.loads(fake.read_text())
    assert seen["argv"][:2] == ["serve", folder] and seen["env"]["OMP_NUM_THREADS"] == "1"
    assert gone(seen["pid"])


def test_a_replay_starts_no_server(fake, ask_for, ledger):
    ask(open_model("teacher", "vllm:tiny"), ask_for, ledger)
    fake.unlink()
    _, stats = ask(open_model("teacher", "vllm:tiny"), ask_for, ledger)
    assert stats.replayed == 2 and not fake.exists()


def test_a_server_that_does_not_come_up_is_an_error_with_its_last_words(fake, ask_for, ledger, monkeypatch):
    monkeypatch.setenv("BROKEN", "1")
    says = r"^tiny: the server ended before it was ready: ValueError: no such model here \(log: .*server.log\)$"
    with pytest.raises(ModelError, match=says) as caught:
        ask(open_model("teacher", "vllm:tiny"), ask_for, ledger)
    log = str(caught.value).rpartition("log: ")[2][:-1]
    assert "loading" in Path(log).read_text()


def test_a_server_that_ends_on_the_way_is_an_error_with_its_last_words(fake, ask_for, ledger, monkeypatch):
    monkeypatch.setenv("DIES", "1")
    monkeypatch.setattr("curate.models.lanes.DEAD_AFTER", 0.5)
    says = r"^teacher: tiny: the server ended: MemoryError: no room for the model \(log: (.*)\) \(\d+ failures in a row"
    with pytest.raises(ModelError, match=says) as caught:
        ask(open_model("teacher", "vllm:tiny"), ask_for, ledger)
    assert Path(re.match(says, str(caught.value))[1]).exists()


def test_a_stop_does_not_wait_for_a_server_that_comes_up(fake, ask_for, ledger, monkeypatch):
    monkeypatch.setenv("HANGS", "1")
    with Engine({"teacher": open_model("teacher", "vllm:tiny")}, ledger) as engine:

        def stop():
            while not (fake.exists() and fake.read_text()):
                time.sleep(0.01)
            engine.stop()

        stopper = threading.Thread(target=stop)
        stopper.start()
        began = time.monotonic()
        assert [c.failure.kind for c in engine.run([ask_for("a"), ask_for("b")])] == ["stopped"] * 2
        stopper.join()
        assert time.monotonic() - began < 20
    assert gone(json.loads(fake.read_text())["pid"])


def test_the_server_ends_when_this_process_is_killed(fake, tmp_path):
    code = """
        import os, signal
        from curate.models import Engine, Ledger, open_model
        from curate.types import Request
        with Ledger() as ledger, Engine({"t": open_model("t", "vllm:tiny")}, ledger) as engine:
            list(engine.run([Request("t", ({"role": "user", "content": "a"},), 5)]))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=os.environ)
    assert process.returncode == -signal.SIGKILL
    assert gone(json.loads(fake.read_text())["pid"])


def test_without_vllm_the_error_says_how_to_make_one(monkeypatch, tmp_path):
    monkeypatch.delenv("CURATE_VLLM_PYTHON", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError) as caught:
        open_model("teacher", "vllm:tiny")
    said = str(caught.value)
    assert said.startswith("teacher: 'vllm:tiny': there is no vLLM; make one with `python3 -m venv ~/.venvs/vllm && ")
    assert said.endswith(" and set CURATE_VLLM_PYTHON=~/.venvs/vllm/bin/python") and "\n" not in said
