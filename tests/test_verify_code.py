"""Code is run in a sandbox that lets it do nothing but compute, and not for long."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from curate.errors import InputError
from curate.verify.code import check_code, check_codes, code_of
from curate.verify.sandbox import Ran, run_program


@pytest.fixture(autouse=True, scope="module")
def sandbox() -> None:
    try:
        run_program("", "")
    except InputError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("code", "tests", "expected"),
    [
        ("def f(x):\n    return x + 1", "assert f(1) == 2", Ran("pass")),
        ("def f(x):\n    return x", "assert f(1) == 2, 'one more'", Ran("fail", "AssertionError: one more")),
        ("def f(:", "", Ran("fail", "SyntaxError: invalid syntax (answer.py, line 1)")),
        ("import sys; sys.exit(0)", "assert False", Ran("fail", "SystemExit: 0")),
        ("import os; os._exit(0)", "assert False", Ran("fail", "it exits before its tests are done")),
        ("raise KeyboardInterrupt", "", Ran("fail", "KeyboardInterrupt: ")),
        ("x = bytearray(4 << 30)", "", Ran("error", "more memory than allowed")),
        ("import ctypes; ctypes.string_at(0)", "", Ran("error", "ended by SIGSEGV")),
        ("while True: pass", "", Ran("timeout", "more than 1 s")),
    ],
)
def test_how_a_program_ended(code: str, tests: str, expected: Ran) -> None:
    assert run_program(code, tests, seconds=1) == expected


def test_one_that_sleeps_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.verify.sandbox.STARTING", 1.0)
    assert run_program("import time; time.sleep(1000)", "", seconds=1) == Ran("timeout", "more than 1 s")


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.socket()",
        "import os; os.fork()",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.execv('/bin/true', ['true'])",
        "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
        "import multiprocessing; multiprocessing.Process(target=print).start()",
        "open('{outside}', 'w')",
        "open('{secret}')",
        "import os; os.remove('{secret}')",
        "import os; os.listdir('/')",
        "open('/etc/passwd')",
        "open('/proc/self/environ')",
        "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))",
    ],
)
def test_nothing_outside_is_reached(code: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    outside = tmp_path / "outside"
    ran = run_program(code.format(outside=outside, secret=secret), "")
    assert ran.status == "fail" and ran.why.startswith(("PermissionError", "ValueError: not allowed")), ran
    assert secret.read_text() == "x" and not outside.exists()


@pytest.mark.parametrize(
    "code",
    [
        "open('here', 'w').write('x'); assert open('here').read() == 'x'",
        "import threading\nd = []\nt = threading.Thread(target=d.append, args=(1,)); t.start(); t.join(); assert d",
        "import numpy; assert numpy.ones(3).sum() == 3",
        "import asyncio\nasync def f(): return 1\nassert asyncio.run(f()) == 1",
        "import threading; threading.Thread(target=lambda: __import__('time').sleep(100)).start()",
        "import random, json, collections, heapq, itertools, math, re, decimal, datetime",
    ],
)
def test_what_programs_need_works(code: str) -> None:
    assert run_program(code, "") == Ran("pass")


def test_the_environment_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert run_program("import os", "assert 'OPENAI_API_KEY' not in os.environ") == Ran("pass")


def test_a_program_cannot_say_itself_that_it_passed() -> None:
    shout = "import os\nfor n in range(3, 64):\n  try: os.write(n, b'pass\\n')\n  except OSError: pass\nos._exit(0)"
    assert run_program(shout, "assert False").status == "fail"


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = len([*Path("/proc/self/fd").iterdir()])
    run_program("open('here', 'w').write('x')", "")
    assert not list(tmp_path.iterdir()) and len([*Path("/proc/self/fd").iterdir()]) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL


@pytest.mark.parametrize(
    ("response", "code"),
    [
        ("x = 1", "x = 1"),
        ("Here:\n```python\nx = 1\n```\nand\n```py\nx = 1\ny = 2\n```\n", "x = 1\ny = 2\n"),
        ("```json\n{}\n```\n", ""),
        ("~~~\nx = 1\n~~~", "x = 1\n"),
        ("````python\ns = '```'\n````", "s = '```'\n"),
    ],
)
def test_the_code_of_a_response(response: str, code: str) -> None:
    assert code_of(response) == code


def test_many_are_checked_in_order() -> None:
    checks = [(f"```python\nx = {n}\n```", "assert x % 3") for n in range(9)]
    assert [ran.status for ran in check_codes(iter(checks), workers=2)] == ["fail", "pass", "pass"] * 3
    assert check_code("I cannot.\n```json\n{}\n```", "") == Ran("fail", "no code in the response")


def test_a_system_that_cannot_confine_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Ran("error", "the sandbox cannot be closed: no Landlock")
    monkeypatch.setattr("curate.verify.sandbox._run", lambda *_: broken)
    with pytest.raises(InputError, match="code cannot be tested here: the sandbox cannot be closed: no Landlock"):
        run_program("", "")
