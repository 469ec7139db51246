"""Run untrusted Python in a child that can reach nothing but its own folder, and not for long."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, cast

from curate.errors import InputError

Status = Literal["pass", "fail", "timeout", "error"]

CHILD = Path(__file__).with_name("confined.py")

SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime")
"""What an interpreter reads besides its own installation."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

STARTING = 5.0
"""Seconds that a child may take to start on a busy machine, besides those of its program."""


@dataclass(frozen=True)
class Ran:
    """How a program ended. `fail`: it or its tests raised `why`. `timeout` and `error` say nothing of whether it is
    right: it took too long, or too much memory, or died, or the sandbox did."""

    status: Status
    why: str = ""


def run_program(code: str, tests: str, *, seconds: int = 10, memory: int = 1 << 30) -> Ran:
    """Run `code`, then `tests` with the names it defined, and say how they ended.

    The child has at most `seconds` of processor and of wall time and `memory` bytes; it writes into a folder of its own
    that is removed, reads its interpreter's installation alone, and has no network, no other process and nothing of the
    environment. Its output is thrown away. A program that exits before its tests are done has failed.

    Raises:
        InputError: this system cannot confine a process.
    """
    ran = _run(code, tests, seconds, memory)
    if ran.status == "error" and ran.why.startswith("the sandbox"):
        raise InputError(f"code cannot be tested here: {ran.why}; it takes Linux 5.13 or later with Landlock")
    return ran


def _run(code: str, tests: str, seconds: int, memory: int) -> Ran:
    word = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="curate-", ignore_cleanup_errors=True) as folder:
        given, give = os.pipe()
        hear, said = os.pipe()
        numbers = [given, said, seconds, memory]
        with os.fdopen(hear, "rb", buffering=0) as heard:
            try:
                child = subprocess.Popen(
                    [sys.executable, "-I", str(CHILD), *map(str, numbers), folder, *_readable()],
                    cwd=folder,
                    env={"PATH": "/usr/bin:/bin", "HOME": folder, "TMPDIR": folder, **ONE_THREAD},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(given, said),
                    start_new_session=True,
                )
            finally:
                os.close(given)
                os.close(said)
            with contextlib.suppress(BrokenPipeError), os.fdopen(give, "wb") as pipe:
                for part in (word.encode(), code.encode("utf-8", "replace"), tests.encode("utf-8", "replace")):
                    pipe.write(struct.pack("<Q", len(part)) + part)
            # The pipe ends when the child does, who alone holds its other end.
            late = not select.select([heard], [], [], seconds + STARTING)[0]
            if late:
                os.killpg(child.pid, signal.SIGKILL)
            told = heard.read(65536).decode("utf-8", "replace")
        code_of_end = child.wait()
    return _ended(told, word, late or code_of_end == -signal.SIGXCPU, code_of_end, seconds)


def _ended(told: str, word: str, late: bool, end: int, seconds: int) -> Ran:
    status, _, why = told.removeprefix(word).partition("\n")
    if told.startswith(word) and status in ("pass", "fail", "error"):
        return Ran(cast("Status", status), why)
    if late:
        return Ran("timeout", f"more than {seconds} s")
    if end < 0:
        return Ran("error", f"ended by {signal.Signals(-end).name}")
    return Ran("fail", "it exits before its tests are done")


@cache
def _readable() -> tuple[str, ...]:
    """Return the folders that the interpreter is made of."""
    own = {sys.prefix, sys.base_prefix, sys.exec_prefix, *(path for path in sys.path if "site-packages" in path)}
    return (*sorted(own), *SYSTEM)
